"""What `default` picks, that it stays with it, and that it says so."""

from typing import ClassVar

import msgspec
import pytest

from pykatib import search, tune
from pykatib.algorithms import registry
from pykatib.algorithms.conformance import SPACES, AlgorithmConformance, ExhaustionConformance, choice, double
from pykatib.algorithms.contract import Ask
from pykatib.api.experiment import Experiment, ExperimentSpec, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus
from pykatib.control.view import ExperimentView
from pykatib.runtime.algorithm_host import AlgorithmHost


class TestDefault(ExhaustionConformance, AlgorithmConformance):
    info = registry.info("default")
    spaces: ClassVar = {name: SPACES[name] for name in ("two doubles", "manifest", "one point")}
    rounds = 8


DOUBLES = tuple(double(f"x{index}", "0", "1") for index in range(30))
LISTS = tuple(choice(f"c{index}", "categorical", "a", "b", "c") for index in range(12))


def experiment(
    parameters: tuple[ParameterSpec, ...], trials: int | None, *settings: tuple[str, str], parallel: int = 3
) -> Experiment:
    return Experiment(
        metadata=ObjectMeta(name="e", namespace="ns", uid="u"),
        spec=ExperimentSpec(
            parameters=parameters,
            objective=ObjectiveSpec("minimize", None, "loss", ("size",)),
            algorithm=AlgorithmSpec("default", tuple(Setting(*each) for each in settings)),
            max_trial_count=trials,
            parallel_trial_count=parallel,
        ),
    )


SEVERAL = ("objectives", "size:minimize")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        pytest.param(experiment(LISTS[:2], 9), "grid", id="all points"),
        pytest.param(experiment(LISTS[:2], 8, parallel=3), "sobol", id="one point too many, few Trials"),
        pytest.param(experiment(DOUBLES[:3], 64, parallel=64), "sobol", id="all at once"),
        pytest.param(experiment(DOUBLES[:3], 100), "bayesianoptimization", id="few Trials, few parameters"),
        pytest.param(experiment(DOUBLES[:21], 100), "multivariate-tpe", id="many parameters"),
        pytest.param(experiment((*DOUBLES[:2], *LISTS[:3]), 100), "multivariate-tpe", id="mostly lists"),
        pytest.param(experiment(DOUBLES[:3], 500), "multivariate-tpe", id="more Trials"),
        pytest.param(experiment(DOUBLES, 1000), "cmaes", id="many Trials, numbers"),
        pytest.param(experiment((*DOUBLES, *LISTS[:1]), 1000), "multivariate-tpe", id="many Trials and a list"),
        pytest.param(experiment(DOUBLES[:3], None), "multivariate-tpe", id="no limit"),
        pytest.param(experiment(DOUBLES[:3], 100, SEVERAL), "motpe", id="several objectives"),
        pytest.param(experiment(DOUBLES[:3], 5000, SEVERAL), "nsga2", id="several objectives, many Trials"),
    ],
)
def test_it_picks_by_space_budget_and_objectives(asked: Experiment, name: str) -> None:
    _, recorded = registry.settled(asked, ())
    assert {one.name: one.value for one in recorded}["pick"] == name
    assert registry.check(asked) == ()
    assert registry.create(asked, seed=1)[1].ask(Ask(2, 0))


def test_an_edited_budget_does_not_change_what_was_picked() -> None:
    asked = experiment(DOUBLES[:2], 20, ("random_state", "1"))
    suggestion = Suggestion(metadata=ObjectMeta(name="e"), spec=SuggestionSpec(requests=3))
    first = AlgorithmHost(registry.create).propose(asked, suggestion, ExperimentView(), 3)
    assert next(one.value for one in first.settings) == "bayesianoptimization"

    status = SuggestionStatus(algorithm_settings=first.settings)
    raised = msgspec.structs.replace(asked, spec=msgspec.structs.replace(asked.spec, max_trial_count=5000))
    kept = msgspec.structs.replace(suggestion, status=status)
    again = AlgorithmHost(registry.create).propose(raised, kept, ExperimentView(), 3)
    assert (again.proposals, again.settings) == (first.proposals, ())
    fresh = AlgorithmHost(registry.create).propose(raised, suggestion, ExperimentView(), 3)
    assert next(one.value for one in fresh.settings) == "cmaes"


def test_tune_uses_it_where_no_algorithm_is_named() -> None:
    result = tune(
        objective=lambda p: p["x"],
        parameters={"x": search.categorical([1, 2, 3])},
        max_trial_count=3,
        run_in="inline",
        progress=False,
    )
    assert result.experiment.spec.algorithm is not None
    assert result.experiment.spec.algorithm.algorithm_name == "default"
    assert sorted(trial.parameters["x"] for trial in result.trials) == [1, 2, 3]


def test_a_tuning_for_several_objectives_tells_its_pareto_set() -> None:
    result = tune(
        objective=lambda p: {"loss": p["x"], "size": -p["x"], "note": 1.0},
        parameters={"x": search.int(0, 9), "y": search.int(0, 9)},
        objective_metric_name="loss",
        objective_type="minimize",
        additional_metric_names=["size", "note"],
        algorithm_settings={"objectives": "size:minimize"},
        max_trial_count=12,
        run_in="inline",
        progress=False,
    )
    losses = [trial.metrics["loss"] for trial in result.pareto_trials]
    assert losses == sorted({trial.metrics["loss"] for trial in result.trials})
