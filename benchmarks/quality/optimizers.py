"""Optimizers under one roof: pykatib's own in this process, those of others in an interpreter of their own."""

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from problem import Problem

from pykatib.algorithms import registry
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, ParameterValue, ProposedTrial
from pykatib.algorithms.parameters import Choice, Parameter, SteppedDouble
from pykatib.algorithms.problem import Problem as AlgorithmProblem
from pykatib.api.shared import ObjectiveSpec

PEERS = {
    "optuna-random": "optuna",
    "optuna-tpe": "optuna",
    "optuna-multivariate-tpe": "optuna",
    "optuna-cmaes": "optuna",
    "optuna-gp": "optuna",
    "hyperopt-tpe": "hyperopt",
    "skopt-gp": "skopt",
    "smac": "smac",
    "smac-blackbox": "smac",
    "hebo": "hebo",
    "ax": "ax",
    "vizier": "vizier",
    "cma": "cma",
    "nevergrad-ngopt": "nevergrad",
    "nevergrad-oneplusone": "nevergrad",
}
"""The methods of others and the module of `peers/` that has each; its environment has the same name."""

NUMERIC_ONLY = frozenset({"cma"})
"""Methods that know no categories; they are left out where a space has some."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# XLA has no such setting of its own; it keeps to one core where it may use one only.
_PEER_ENVIRONMENT = {**ONE_THREAD, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


_SILENCE_SECONDS = 1800


class OptimizerError(Exception):
    """A library of others raised; the message is its own."""


class Optimizer(Protocol):
    """One run of an optimizer that minimises."""

    cpu_seconds: float
    """What asking and telling has cost so far."""

    def ask(self, count: int) -> Sequence[ParameterValue] | None:
        """The next of a batch that has so many more, or None when there are no more."""
        ...

    def tell(self, number: int, value: float) -> None:
        """The value of the point that was asked for as number so-and-so, from 0."""
        ...


class Own:
    """One of pykatib's algorithms."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self.cpu_seconds = 0.0
        self._issued = 0
        self._active: dict[int, ProposedTrial] = {}

    def ask(self, count: int) -> Sequence[ParameterValue] | None:
        """The next point; the others of its batch are running Trials."""
        began = time.process_time()
        proposals = self._algorithm.ask(Ask(1, self._issued, tuple(self._active.values())))
        self.cpu_seconds += time.process_time() - began
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
        began = time.process_time()
        self._algorithm.tell([finished])
        self.cpu_seconds += time.process_time() - began


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
    """An interpreter that has another library; one process serves many runs, one after the other."""

    def __init__(self, python: Path) -> None:
        server = Path(__file__).with_name("peer_server.py")
        command = [str(python), "-W", "ignore", str(server)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **_PEER_ENVIRONMENT}
        )

    def call(self, **message: object) -> dict[str, Any]:
        """One question and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which is found below
        # Each question has one line of an answer, so that nothing can wait in the buffer behind `select`.
        if not select.select([self._process.stdout], [], [], _SILENCE_SECONDS)[0]:
            self._process.kill()
            raise OptimizerError(f"no answer in {_SILENCE_SECONDS} seconds")
        line = self._process.stdout.readline()
        if not line:
            raise OptimizerError(f"the interpreter ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the interpreter."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Peers:
    """A folder with an environment for each library, as `make_peers.py` makes it; interpreters start when needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, PeerProcess] = {}

    def has(self, method: str) -> bool:
        """Whether the environment that a method needs is there."""
        return self._python(PEERS[method]).exists()

    def start(self, method: str, problem: Problem, *, seed: int, budget: int, parallel: int) -> "Peer":
        """An optimizer of others by its name in `PEERS`."""
        library = PEERS[method]
        found = self._running.get(library)
        if found is None or not found.alive():
            if found is not None:
                found.close()
            self._running[library] = PeerProcess(self._python(library))
        return Peer(self._running[library], method, problem, seed=seed, budget=budget, parallel=parallel)

    def close(self) -> None:
        """Ends the interpreters."""
        for process in self._running.values():
            process.close()

    def _python(self, library: str) -> Path:
        return self._folder / library / "bin" / "python"


class Peer:
    """An optimizer of others."""

    def __init__(
        self, process: PeerProcess, method: str, problem: Problem, *, seed: int, budget: int, parallel: int
    ) -> None:
        self.cpu_seconds = 0.0
        self._process = process
        self._parameters = problem.space.parameters
        self._cpu_before = float(process.call(do="none")["cpu"])
        columns = [_column(parameter) for parameter in problem.space.parameters]
        settings = {"seed": seed, "budget": budget, "parallel": parallel}
        self._call(do="start", module=PEERS[method], method=method, columns=columns, **settings)

    def ask(self, count: int) -> Sequence[ParameterValue] | None:
        """The next point."""
        values = self._call(do="ask", count=count)["values"]
        if values is None:
            return None
        return [_inside(p, value) for p, value in zip(self._parameters, values, strict=True)]

    def tell(self, number: int, value: float) -> None:
        """The value of a point."""
        self._call(do="tell", number=number, value=value)

    def _call(self, **message: object) -> dict[str, Any]:
        answer = self._process.call(**message)
        self.cpu_seconds = answer["cpu"] - self._cpu_before
        if "error" in answer:
            raise OptimizerError(answer["error"])
        return answer


def _inside(parameter: Parameter, value: ParameterValue) -> ParameterValue:
    """The value without the rounding noise that libraries leave on steps and at the ends."""
    if isinstance(parameter, SteppedDouble):
        return parameter.from_unit(parameter.to_unit(value))
    return value if isinstance(parameter, Choice) else min(max(value, parameter.min), parameter.max)  # type: ignore


def _column(parameter: Parameter) -> dict[str, object]:
    """A parameter in terms that every library has; how it takes a list of numbers is its module's choice."""
    if isinstance(parameter, Choice):
        if parameter.numbers is None:
            return {"name": parameter.name, "kind": "categories", "values": parameter.values}
        pairs = sorted(zip(parameter.numbers, parameter.values, strict=True))
        return {
            "name": parameter.name,
            "kind": "numbers",
            "values": [text for _, text in pairs],
            "numbers": [number for number, _ in pairs],
        }
    return {
        "name": parameter.name,
        "kind": parameter.kind,
        "low": parameter.min,
        "high": parameter.max,
        "log": parameter.distribution == "logUniform",
        "step": parameter.step,
    }
