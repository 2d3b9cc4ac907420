"""Each early stopping method against its definition, and the laws that hold for all of them."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykatib.algorithms.stopping import registry
from pykatib.algorithms.stopping.builtin import BUILTIN
from pykatib.algorithms.stopping.contract import Stopping
from pykatib.algorithms.stopping.curve import Watched
from pykatib.algorithms.stopping.hyperband import HyperbandStop
from pykatib.algorithms.stopping.monitor import StopMonitor
from pykatib.api import names
from pykatib.api.shared import EarlyStoppingRule, EarlyStoppingSpec, MetricStrategy, ObjectiveSpec, Setting

Curves = Mapping[str, Sequence[float]]

MINIMISE = ObjectiveSpec(type=names.MINIMIZE, objective_metric_name="loss", additional_metric_names=("norm",))
MAXIMISE = ObjectiveSpec(type=names.MAXIMIZE, objective_metric_name="accuracy")
SETTINGS: dict[str, dict[str, str]] = {
    "medianstop": {"min_trials_required": "2", "start_step": "2"},
    "asha": {"reduction_factor": "2"},
    "hyperband": {"max_resource": "16", "reduction_factor": "2"},
    "patience": {"patience": "3"},
    "threshold": {"value": "0.5"},
}
COMPARING = [info.name for info in BUILTIN if info.compares]
NAN = math.nan


def method(name: str, objective: ObjectiveSpec = MINIMISE, **stated: object) -> Stopping:
    given = {**SETTINGS[name], **{key: str(value) for key, value in stated.items()}}
    spec = EarlyStoppingSpec(name, tuple(Setting(key, value) for key, value in given.items()))
    return registry.create(spec, objective)


def monitor_over(method: Stopping, ended: Curves, running: Curves | None = None) -> StopMonitor:
    """A monitor that knows these Trials."""
    monitor = StopMonitor(method)
    for trials, have_ended in ((ended, True), (running or {}, False)):
        for trial, values in trials.items():
            monitor.hear(trial, enumerate(values), catching_up=True)
            if have_ended:
                monitor.ended(trial)
    return monitor


def stopped_at(monitor: StopMonitor, values: Sequence[float], trial: str = "own") -> int | None:
    """The report with which a new Trial is stopped."""
    for step, value in enumerate(values, 1):
        if monitor.hear(trial, [(float(step), value)]) is not None:
            return step
    return None


# medianstop


@pytest.mark.parametrize(
    ("ended", "own", "expected"),
    [
        pytest.param([[1, 1, 1]], [9, 9, 9], None, id="too few Trials have ended"),
        pytest.param([[1, 1, 1], [2, 2, 2]], [9, 9, 9], 2, id="worse at the start step"),
        pytest.param([[1, 1, 1], [2, 2, 2]], [1.5, 9, 9], None, id="its best so far is as good as the median"),
        pytest.param([[9, 9, 1, 1], [9, 9, 1, 1]], [8, 8, 8, 8], 3, id="later than the start step"),
        pytest.param([[1, 1], [1, 1]], [0.5, 9, 9, 9], None, id="no Trial has come as far"),
        pytest.param([[1, 1], [1, 1], [1e9, 1e9]], [2, 2], 2, id="one that diverged does not matter to a median"),
        pytest.param([[1, 1], [1, 1], [NAN, NAN]], [2, 2], 2, id="nor one of NaN"),
        pytest.param([[1, 1], [1, 1]], [NAN, NAN], 2, id="NaN is worse than anything"),
        pytest.param([[NAN, NAN], [NAN, NAN]], [NAN, NAN], None, id="where all are NaN none is worse"),
        pytest.param([[4, 2], [4, 2]], [3.1, 3.1], 2, id="with running averages, not with values: 3.1 is above 3"),
        pytest.param([[4, 2], [4, 2]], [2.9, 2.9], None, id="with running averages: 2.9 is not above 3"),
    ],
)
def test_the_median_rule(ended: list[list[float]], own: list[float], expected: int | None) -> None:
    monitor = monitor_over(method("medianstop"), {f"t{index}": values for index, values in enumerate(ended)})
    assert stopped_at(monitor, own) == expected


def test_the_median_rule_names_its_figures() -> None:
    monitor = monitor_over(method("medianstop", MAXIMISE), {"a": [0.5, 0.7], "b": [0.7, 0.9]})
    assert monitor.hear("own", [(0, 0.1), (1, 0.2)]) == (
        "at report 2 its best accuracy is 0.2, below 0.7, the median of the running averages of 2 ended Trials"
    )


values = st.floats(allow_nan=True, width=32)
curves_of = st.dictionaries(st.sampled_from("abcdef"), st.lists(values, min_size=1, max_size=6), max_size=6)


def _loss(value: float) -> float:
    return math.inf if value != value else value


@given(curves_of, st.lists(values, min_size=1, max_size=6))
def test_the_median_rule_is_what_the_paper_says(ended: Curves, own: Sequence[float]) -> None:
    expected = None
    for step in range(2, len(own) + 1):
        reached = [[_loss(value) for value in curve[:step]] for curve in ended.values() if len(curve) >= step]
        averages = [sum(curve) / step for curve in reached]
        averages = [math.inf if average != average else average for average in averages]
        if len(averages) < 2:
            break
        median = statistics.median(averages)
        best = min(_loss(value) for value in own[:step])
        if math.isclose(best, median, rel_tol=1e-9) or median != median:
            return  # decided by rounding
        if best > median:
            expected = step
            break

    assert stopped_at(monitor_over(method("medianstop"), ended), own) == expected


# asha and hyperband


def test_a_rung_keeps_the_best_share_of_those_that_have_come_to_it() -> None:
    monitor = StopMonitor(method("asha", min_resource=2, reduction_factor=3))
    stops = {
        trial: stopped_at(monitor, [9, value], trial)
        for trial, value in zip("abcdefg", (5, 6, 4, 7, 3, 2, 8), strict=True)
    }
    # The first two cannot be compared with three; from then on one in three goes on, the best so far always.
    assert stops == {"a": None, "b": None, "c": None, "d": 2, "e": None, "f": None, "g": 2}


def test_rungs_are_powers_apart_and_nothing_is_judged_between_them() -> None:
    asha = method("asha", min_resource=2, reduction_factor=3)
    assert [step for step in range(1, 200) if asha.decides_at("t", step)] == [2, 6, 18, 54, 162]


def test_a_rung_counts_what_the_strategy_says() -> None:
    strategy = (MetricStrategy("loss", names.LATEST),)
    latest = ObjectiveSpec(type=names.MINIMIZE, objective_metric_name="loss", metric_strategies=strategy)
    ended = {"a": [1.0, 1.0], "b": [2.0, 2.0]}
    own = [0.0, 9.0]
    assert stopped_at(monitor_over(method("asha", min_resource=2), ended), own) is None
    assert stopped_at(monitor_over(method("asha", latest, min_resource=2), ended), own) == 2


def test_asha_names_its_figures() -> None:
    monitor = monitor_over(method("asha"), {"a": [1.0], "b": [2.0]})
    assert monitor.hear("own", [(0, 3.5)]) == (
        "at report 1 its loss is 3.5, above 1, and so not among the best 1 of 3 Trials"
    )


def test_trials_that_come_to_nothing_leave_their_rungs() -> None:
    monitor = monitor_over(method("asha"), {}, {"a": [1.0], "b": [2.0]})
    monitor.forget("a")
    assert stopped_at(monitor, [1.5]) is None


def test_hyperband_deals_trials_to_brackets_of_rungs() -> None:
    hyperband = method("hyperband", max_resource=27, reduction_factor=3)
    assert isinstance(hyperband, HyperbandStop)
    assert hyperband.brackets == [(), (9,), (3, 9), (1, 3, 9)]
    counts = [0, 0, 0, 0]
    for index in range(2_000):
        counts[hyperband.bracket_of(f"t{index}")] += 1
    # As the paper's n_s: 4, 6, 12, 27.
    shares = [count / 2_000 for count in counts]
    assert shares == pytest.approx([4 / 49, 6 / 49, 12 / 49, 27 / 49], abs=0.04)


def test_hyperband_compares_within_a_bracket() -> None:
    hyperband = method("hyperband", max_resource=4, reduction_factor=2)
    assert isinstance(hyperband, HyperbandStop)
    by_bracket: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for index in range(200):
        by_bracket[hyperband.bracket_of(f"t{index}")].append(f"t{index}")
    monitor = StopMonitor(hyperband)
    for trial in by_bracket[2][:5]:
        monitor.hear(trial, [(0, 1.0)])
    never, late, early = (by_bracket[bracket][-1] for bracket in (0, 1, 2))
    assert stopped_at(monitor, [9.0] * 4, never) is None
    assert stopped_at(monitor, [9.0] * 4, late) is None
    assert stopped_at(monitor, [9.0] * 4, early) == 1


# patience and threshold


@pytest.mark.parametrize(
    ("stated", "own", "expected"),
    [
        pytest.param({}, [5, 4, 3, 2, 1], None, id="it improves"),
        pytest.param({}, [5, 5, 5, 5], 4, id="three reports without"),
        pytest.param({}, [5, 6, 6, 4, 6, 6, 6], 7, id="counted from the last improvement"),
        pytest.param({"min_delta": 0.5}, [5, 4.9, 4.8, 4.7], 4, id="too little is none"),
        pytest.param({"min_delta": 0.5}, [5, 4.8, 4.6, 4.4], None, id="little by little is enough together"),
        pytest.param({"start_step": 6}, [5] * 8, 6, id="not before the start step"),
        pytest.param({}, [NAN, NAN, NAN, NAN], 4, id="NaN is no improvement"),
        pytest.param({}, [NAN, NAN, NAN, 1], None, id="a number after NaN is"),
        pytest.param({"type": "maximize"}, [1, 2, 3, 4, 5], None, id="the other way round"),
    ],
)
def test_patience(stated: dict[str, object], own: list[float], expected: int | None) -> None:
    assert stopped_at(StopMonitor(method("patience", MINIMISE, **stated)), own) == expected


@pytest.mark.parametrize(
    ("stated", "own", "expected"),
    [
        pytest.param({}, [0.5, 0.4, 0.6], 3, id="worse than the value"),
        pytest.param({"start_step": 3}, [9, 9, 0.1, 9], 4, id="from the start step on"),
        pytest.param({}, [0.1, NAN], 2, id="NaN"),
        pytest.param({}, [0.1, -math.inf], 2, id="infinite, even on the good side"),
        pytest.param({"non_finite": "false"}, [NAN, math.inf, 0.6], 3, id="without NaN and infinity"),
        pytest.param({"type": "maximize"}, [0.6, 0.4], 2, id="the other way round"),
    ],
)
def test_threshold(stated: dict[str, object], own: list[float], expected: int | None) -> None:
    assert stopped_at(StopMonitor(method("threshold", MINIMISE, **stated)), own) == expected


def test_a_method_can_look_at_another_metric() -> None:
    assert StopMonitor(method("threshold", metric="norm")).metric == "norm"
    assert StopMonitor(method("patience", metric="norm")).metric == "norm"
    assert StopMonitor(method("medianstop")).metric == "loss"


# Laws


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=40)
@given(ended=curves_of, running=curves_of, own=st.lists(values, min_size=1, max_size=17), seed=st.integers(0, 99))
def test_the_order_in_which_others_are_heard_makes_no_difference(
    name: str, ended: Curves, running: Curves, own: Sequence[float], seed: int
) -> None:
    running = {f"r{trial}": values for trial, values in running.items()}
    shuffled = [(trial, values, trial in ended) for trial, values in [*ended.items(), *running.items()]]
    random.Random(seed).shuffle(shuffled)
    other = StopMonitor(method(name))
    for trial, reports, has_ended in shuffled:
        for point in enumerate(reports):
            other.hear(trial, [point], catching_up=True)
        if has_ended:
            other.ended(trial)

    first = monitor_over(method(name), ended, running)
    assert [first.hear("own", [point]) for point in enumerate(own)] == [
        other.hear("own", [point]) for point in enumerate(own)
    ]


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=40)
@given(ended=curves_of, own=st.lists(values, min_size=1, max_size=17), cut=st.integers(0, 17))
def test_it_makes_no_difference_how_many_reports_come_at_once(
    name: str, ended: Curves, own: Sequence[float], cut: int
) -> None:
    one_by_one, at_once = (monitor_over(method(name), ended) for _ in range(2))
    points = list(enumerate(own))
    reasons = [reason for point in points if (reason := one_by_one.hear("own", [point])) is not None]
    first = at_once.hear("own", points[:cut])
    rest = at_once.hear("own", points[cut:])
    assert (reasons[0] if reasons else None) == (first or rest)


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=40)
@given(own=st.permutations(list(enumerate([3.0, 1.0, NAN, 2.0, 7.0, 7.0, 7.0, 9.0]))))
def test_reports_out_of_order_end_where_those_in_order_do(name: str, own: list[tuple[int, float]]) -> None:
    others = {"a": [1.0] * 8, "b": [2.0] * 8, "c": [0.5] * 8}
    late, orderly = (monitor_over(method(name), others) for _ in range(2))
    orderly.hear("own", sorted(own), catching_up=True)
    for point in own:
        late.hear("own", [point])
    for monitor in (late, orderly):
        monitor.hear("own", [(99.0, 8.0)])
    assert late.hear("own", [(99.0, 9.0)] * 8) == orderly.hear("own", [(99.0, 9.0)] * 8)
    late.ended("own")
    orderly.ended("own")
    assert stopped_at(late, [3.0] * 16, "next") == stopped_at(orderly, [3.0] * 16, "next")


@pytest.mark.parametrize("objective", [MINIMISE, MAXIMISE], ids=["minimize", "maximize"])
@pytest.mark.parametrize("name", COMPARING)
@settings(max_examples=40)
@given(
    others=st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=17),
        max_size=9,
    ),
    data=st.data(),
)
def test_who_is_better_than_all_is_never_stopped(
    name: str, objective: ObjectiveSpec, others: Curves, data: st.DataObject
) -> None:
    sign = -1.0 if objective is MAXIMISE else 1.0
    most = min((sign * value for values in others.values() for value in values), default=0.0)
    own = data.draw(
        st.lists(st.floats(max_value=most, allow_nan=False, allow_infinity=False), min_size=17, max_size=17)
    )
    monitor = monitor_over(method(name, objective), others)
    assert stopped_at(monitor, [sign * value for value in own]) is None


@pytest.mark.parametrize("name", COMPARING)
def test_who_is_as_good_as_all_others_is_never_stopped(name: str) -> None:
    others = {f"t{index}": [0.1] * 16 for index in range(9)}
    assert stopped_at(monitor_over(method(name), others), [0.1] * 16) is None


@pytest.mark.parametrize("name", COMPARING)
def test_without_other_trials_nobody_is_stopped(name: str) -> None:
    assert stopped_at(StopMonitor(method(name)), [9.0] * 16) is None


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=40)
@given(ended=curves_of, running=st.lists(values, min_size=1, max_size=16))
def test_a_trial_that_is_forgotten_leaves_no_trace(name: str, ended: Curves, running: Sequence[float]) -> None:
    touched, untouched = (monitor_over(method(name), ended) for _ in range(2))
    touched.hear("gone", enumerate(running))
    touched.forget("gone")
    assert "gone" not in touched
    own = [(float(step), 3.0) for step in range(17)]
    assert [touched.hear("own", [point]) for point in own] == [untouched.hear("own", [point]) for point in own]


# What Katib's wire can be told


@pytest.mark.parametrize(
    ("name", "objective", "expected"),
    [
        pytest.param("medianstop", MINIMISE, EarlyStoppingRule("loss", "2.0", "greater", 2), id="median, minimised"),
        pytest.param("medianstop", MAXIMISE, EarlyStoppingRule("accuracy", "2.0", "less", 2), id="median, maximised"),
        pytest.param("asha", MINIMISE, EarlyStoppingRule("loss", "1.0", "greater", 1), id="the first rung"),
        pytest.param("threshold", MAXIMISE, EarlyStoppingRule("accuracy", "0.5", "less", 1), id="threshold"),
        pytest.param("patience", MINIMISE, None, id="patience"),
        pytest.param("hyperband", MINIMISE, None, id="hyperband"),
    ],
)
def test_a_rule_says_what_would_stop_a_new_trial(
    name: str, objective: ObjectiveSpec, expected: EarlyStoppingRule | None
) -> None:
    known = method(name, objective)
    monitor_over(known, {"a": [1.0, 1.0], "b": [2.0, 2.0], "c": [90.0, 90.0]})
    assert known.rule() == expected


@pytest.mark.parametrize("name", ["medianstop", "asha"])
def test_there_is_no_rule_without_trials(name: str) -> None:
    assert method(name).rule() is None


def test_a_watched_metric_follows_the_objective() -> None:
    strategy = (MetricStrategy("accuracy", names.LATEST),)
    objective = ObjectiveSpec(type=names.MAXIMIZE, objective_metric_name="accuracy", metric_strategies=strategy)
    assert Watched.objective(objective) == Watched("accuracy", True, names.LATEST)
