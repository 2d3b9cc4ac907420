"""Optimizers under one roof: pykatib's own in this process, those of others in an interpreter of their own."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from problem import Problem

from pykatib.algorithms import registry
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, ParameterValue, ProposedTrial
from pykatib.algorithms.parameters import Choice, Parameter, SteppedDouble
from pykatib.algorithms.problem import Problem as AlgorithmProblem
from pykatib.api.shared import ObjectiveSpec

PEERS = (
    "optuna-tpe",
    "optuna-multivariate-tpe",
    "optuna-random",
    "optuna-cmaes",
    "optuna-gp",
    "hyperopt-tpe",
)


class Optimizer(Protocol):
    """One run of an optimizer that minimises."""

    def ask(self) -> Sequence[ParameterValue] | None:
        """The next point, or None when there are no more."""
        ...

    def tell(self, number: int, value: float) -> None:
        """The value of the point that was asked for as number so-and-so, from 0."""
        ...


class Own:
    """One of pykatib's algorithms."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._issued = 0
        self._active: dict[int, ProposedTrial] = {}

    def ask(self) -> Sequence[ParameterValue] | None:
        """The next point."""
        proposals = self._algorithm.ask(Ask(1, self._issued, tuple(self._active.values())))
        if not proposals:
            return None
        values = proposals[0].values
        self._active[self._issued] = ProposedTrial(self._issued, f"t{self._issued}", values, proposals[0].labels)
        self._issued += 1
        return values

    def tell(self, number: int, value: float) -> None:
        """The value of a point."""
        trial = self._active.pop(number)
        finished = FinishedTrial(number, trial.name, trial.values, "succeeded", value, {"loss": value}, trial.labels)
        self._algorithm.tell([finished])


def own(method: str, problem: Problem, *, seed: int, budget: int, parallel: int) -> Own:
    """One of pykatib's algorithms by its name in the registry."""
    info = registry.info(method)
    stated = info.read_settings((), path="settings")
    what = AlgorithmProblem(
        space=problem.space,
        objective=ObjectiveSpec(type="minimize", objective_metric_name="loss"),
        max_trial_count=budget,
        parallel_trial_count=parallel,
    )
    return Own(info.create(what, stated, seed=seed))


class PeerProcess:
    """An interpreter that has other optimizers; one process serves many runs, one after the other."""

    def __init__(self, python: str) -> None:
        server = Path(__file__).with_name("peer_server.py")
        self._process = subprocess.Popen([python, "-W", "ignore", str(server)], stdin=-1, stdout=-1, text=True)

    def call(self, **message: object) -> object:
        """One question and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the peers' interpreter ended with {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the interpreter."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Peer:
    """An optimizer of others."""

    def __init__(self, process: PeerProcess, method: str, problem: Problem, *, seed: int) -> None:
        self._process = process
        self._parameters = problem.space.parameters
        columns = [_column(parameter) for parameter in problem.space.parameters]
        process.call(do="start", method=method, columns=columns, seed=seed)

    def ask(self) -> Sequence[ParameterValue] | None:
        """The next point."""
        answer = self._process.call(do="ask")
        assert isinstance(answer, list)
        return [_on_its_step(p, value) for p, value in zip(self._parameters, answer, strict=True)]

    def tell(self, number: int, value: float) -> None:
        """The value of a point."""
        self._process.call(do="tell", number=number, value=value)


def _on_its_step(parameter: Parameter, value: ParameterValue) -> ParameterValue:
    """The value without the rounding noise that libraries leave on steps."""
    return parameter.from_unit(parameter.to_unit(value)) if isinstance(parameter, SteppedDouble) else value


def _column(parameter: Parameter) -> dict[str, object]:
    """A parameter in terms that every library has. Lists of numbers are lists to them, as they are in Katib."""
    if isinstance(parameter, Choice):
        return {"name": parameter.name, "kind": "list", "values": parameter.values}
    return {
        "name": parameter.name,
        "kind": parameter.kind,
        "low": parameter.min,
        "high": parameter.max,
        "log": parameter.distribution == "logUniform",
        "step": parameter.step,
    }
