"""The Pareto set that is kept incrementally equals the one that is computed from all Trials."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_samples import NOW, experiment, in_state, objective, status_in, trials_of

from pykatib.api import names
from pykatib.api.objectives import Direction
from pykatib.api.shared import AlgorithmSpec, Metric, MetricStrategy, Observation, Setting
from pykatib.api.trial import Trial
from pykatib.control.experiment_plan import plan_experiment
from pykatib.control.pareto import MOST_SHOWN
from pykatib.control.view import ExperimentView

METRICS = ("loss", "speed", "size")
DIRECTIONS = (Direction("loss", False), Direction("speed", True), Direction("size", False))
SEVERAL = msgspec.structs.replace(
    objective(kind="minimize"),
    additional_metric_names=("speed", "size"),
    metric_strategies=tuple(MetricStrategy(name, "latest") for name in METRICS),
)
TRIALS = trials_of(experiment(objective=SEVERAL), ["Pending"] * 8)
TEXTS = st.sampled_from(["0", "1", "2", "3", "1.0", "nan", "inf", "unavailable", "text"])
ENDS = st.sampled_from([names.SUCCEEDED, names.EARLY_STOPPED, names.FAILED, names.METRICS_UNAVAILABLE])
END = st.tuples(st.integers(0, len(TRIALS) - 1), ENDS, st.tuples(TEXTS, TEXTS, TEXTS), st.booleans())


def ended(trial: Trial, state: str, texts: tuple[str, ...]) -> Trial:
    trial = in_state(trial, state)
    metrics = tuple(Metric(name, text, text, text) for name, text in zip(METRICS, texts, strict=False))
    return msgspec.structs.replace(
        trial, status=msgspec.structs.replace(trial.status, observation=Observation(metrics))
    )


def losses(texts: tuple[str, ...], directions: tuple[Direction, ...]) -> tuple[float, ...] | None:
    try:
        values = [direction.loss(float(text)) for direction, text in zip(directions, texts, strict=False)]
    except ValueError:
        return None
    return tuple(values) if all(map(math.isfinite, values)) else None


def computed(known: dict[int, tuple[str, tuple[str, ...]]], directions: tuple[Direction, ...]) -> set[str]:
    """The definition, written out: nobody is at least as good everywhere, but for the first of equals."""
    found = {}
    for index, (state, texts) in known.items():
        mine = losses(texts, directions)
        if mine is not None and state in (names.SUCCEEDED, names.EARLY_STOPPED):
            found[index] = mine
    return {
        f"e-{index}"
        for index, mine in found.items()
        if not any(
            all(theirs <= own for theirs, own in zip(other, mine, strict=True)) and (other != mine or place < index)
            for place, other in found.items()
            if place != index
        )
    }


@pytest.mark.parametrize("count", [2, 3], ids=["two objectives", "three objectives"])
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(END, max_size=20))
def test_the_set_that_is_kept_equals_the_one_computed_anew(
    count: int, steps: list[tuple[int, str, tuple[str, str, str], bool]]
) -> None:
    directions = DIRECTIONS[:count]
    view = ExperimentView()
    for trial in TRIALS:
        view.apply(None, trial)
    known: dict[int, tuple[str, tuple[str, ...]]] = {}
    for index, state, texts, deleted in steps:
        trial = TRIALS[index]
        if index in known and deleted:
            view.apply(ended(trial, *known.pop(index)), None)
        if trial.metadata.name not in {each.metadata.name for each in view.active_trials()}:
            continue
        known[index] = (state, texts)
        view.apply(trial, ended(trial, state, texts))
        front = view.pareto_front(directions)
        assert front is not None
        assert {each.trial_name for each in front.shown()} == computed(known, directions)
    front = view.pareto_front(directions)
    assert front is not None
    assert {each.trial_name for each in front.shown()} == computed(known, directions)
    assert len(front) == len(front.shown())


def several(text: str = "speed:maximize") -> AlgorithmSpec:
    return AlgorithmSpec("nsga2", (Setting("objectives", text),))


def test_the_status_has_the_set_best_of_the_objective_first_with_its_values() -> None:
    asked = experiment(objective=SEVERAL, algorithm=several())
    view = ExperimentView()
    for trial, texts in zip(TRIALS, [("3", "9"), ("1", "5"), ("2", "5"), ("1.5", "7")], strict=False):
        view.apply(None, ended(trial, names.SUCCEEDED, texts))

    status = status_in(plan_experiment(asked, None, view, None, NOW))
    assert [each.trial_name for each in status.pareto_set] == ["e-1", "e-3", "e-0"]
    assert [[one.value for one in each.metrics] for each in status.pareto_set] == [["1", "5"], ["1.5", "7"], ["3", "9"]]
    assert (status.pareto_set_size, status.current_optimal_trial.best_trial_name) == (3, "e-1")


def test_an_experiment_with_one_objective_has_none() -> None:
    view = ExperimentView()
    view.apply(None, ended(TRIALS[0], names.SUCCEEDED, ("1", "1", "1")))
    status = status_in(plan_experiment(experiment(objective=SEVERAL), None, view, None, NOW))
    assert (status.trials, status.pareto_set) == (1, ())


def test_a_status_shows_no_more_than_so_many_with_both_ends() -> None:
    count = 3 * MOST_SHOWN
    view = ExperimentView()
    for index, trial in enumerate(trials_of(experiment(objective=SEVERAL), ["Pending"] * count)):
        view.apply(None, ended(trial, names.SUCCEEDED, (str(index), str(index))))
    front = view.pareto_front(DIRECTIONS[:2])
    assert front is not None
    shown = [each.trial_name for each in front.shown()]
    assert (len(front), len(set(shown)), shown[0], shown[-1]) == (count, MOST_SHOWN, "e-0", f"e-{count - 1}")
