"""Population based training: who goes on from whom with what, that nobody waits, and which folders are still needed."""

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ParameterValue, ProposedTrial
from pykatib.algorithms.lineage import Lineage, Lines, LineState, lineage_of
from pykatib.algorithms.perturbation import perturbed
from pykatib.algorithms.space import SearchSpace
from pykatib.api import names
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

LR = double("lr", "0.001", "1000")
SETTINGS = {
    "random_state": "3",
    "suggestion_trial_dir": "/checkpoints",
    "n_population": "5",
    "truncation_threshold": "0.2",
}


def experiment(
    settings: Mapping[str, str], parameters: Sequence[ParameterSpec] = (LR,), direction: str = "minimize"
) -> Experiment:
    return Experiment(
        metadata=ObjectMeta(name="x"),
        spec=ExperimentSpec(
            parameters=tuple(parameters),
            objective=ObjectiveSpec(type=direction, objective_metric_name="loss"),
            algorithm=AlgorithmSpec("pbt", tuple(Setting(*pair) for pair in settings.items())),
        ),
    )


class Population:
    """Trials of an algorithm; each says by its labels where it comes from."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.active: list[ProposedTrial] = []
        self.trials: dict[str, ProposedTrial] = {}
        self.told: list[FinishedTrial] = []

    def ask(self, count: int = 1) -> list[ProposedTrial]:
        found = []
        for proposal in self.algorithm.ask(Ask(count, len(self.trials), tuple(self.active))):
            index = len(self.trials)
            trial = ProposedTrial(index, f"trial-{index}", proposal.values, proposal.labels)
            self.trials[trial.name] = trial
            found.append(trial)
        self.active += found
        return found

    def end(self, trial: ProposedTrial, objective: float | None, outcome: Outcome = "succeeded") -> None:
        self.active.remove(trial)
        self.told.append(FinishedTrial(trial.index, trial.name, trial.values, outcome, objective, {}, trial.labels))
        self.algorithm.tell(self.told[-1:])

    def generation(self, *objectives: float) -> list[ProposedTrial]:
        trials = self.ask(len(objectives))
        for trial, objective in zip(trials, objectives, strict=True):
            self.end(trial, objective)
        return trials


def population(direction: str = "minimize", **changed: str) -> Population:
    return Population(registry.create(experiment({**SETTINGS, **changed}, direction=direction), seed=1)[1])


def lineage(trial: ProposedTrial) -> Lineage:
    found = lineage_of(trial.labels)
    assert found is not None
    return found


def by_member(trials: Sequence[ProposedTrial]) -> dict[str, ProposedTrial]:
    return {lineage(trial).member: trial for trial in trials}


def test_the_first_generation_is_random_and_has_no_parents() -> None:
    trials = population().ask(5)
    assert [lineage(trial) for trial in trials] == [Lineage(generation=0, member=str(n)) for n in range(5)]
    assert len({trial.values for trial in trials}) == 5


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_worst_copies_the_best_the_best_stays_and_the_others_are_changed(direction: str) -> None:
    run = population(direction)
    turn = 1.0 if direction == "minimize" else -1.0
    first = run.generation(*(turn * loss for loss in (3, 1, 5, 2, 4)))
    second = by_member(run.ask(5))

    assert {lineage(trial).generation for trial in second.values()} == {1}
    parents = {member: lineage(trial).parent for member, trial in second.items()}
    assert parents == {"0": "trial-0", "1": "trial-1", "2": "trial-1", "3": "trial-3", "4": "trial-4"}
    assert second["1"].values == first[1].values
    for member, trial in second.items():
        if member != "1":
            parent = float(run.trials[parents[member]].values[0])
            assert float(trial.values[0]) / parent in (pytest.approx(0.8), pytest.approx(1.2))


def test_a_threshold_of_zero_never_copies_another() -> None:
    run = population(truncation_threshold="0")
    run.generation(3, 1, 5, 2, 4)
    assert [lineage(trial).parent for trial in run.ask(5)] == [f"trial-{n}" for n in range(5)]


def test_with_probability_one_a_value_is_drawn_anew() -> None:
    run = population(resample_probability="1")
    run.generation(3, 1, 5, 2, 4)
    changed = by_member(run.ask(5))["0"]
    assert float(changed.values[0]) not in [float(run.trials["trial-0"].values[0]) * factor for factor in (0.8, 1.2)]
    assert lineage(changed).parent == "trial-0"


@pytest.mark.parametrize("loss", [None, math.nan, math.inf, -math.inf], ids=str)
def test_a_member_that_has_diverged_goes_on_from_the_best_whatever_the_threshold(loss: float | None) -> None:
    run = population(truncation_threshold="0")
    trials = run.ask(5)
    for trial, value in zip(trials, (3.0, 1.0, loss, 2.0, 4.0), strict=True):
        run.end(trial, value)
    assert lineage(by_member(run.ask(5))["2"]).parent == "trial-1"


@pytest.mark.parametrize("outcome", ["failed", "killed", "metrics-unavailable"])
def test_a_step_without_a_result_is_repeated_once_and_then_replaced(outcome: Outcome) -> None:
    run = population()
    run.generation(3, 1, 5, 2, 4)
    second = by_member(run.ask(5))
    run.end(second["3"], None, outcome)
    [repeat] = run.ask()
    assert (repeat.values, lineage(repeat)) == (second["3"].values, lineage(second["3"]))
    run.end(repeat, None, outcome)
    [replaced] = run.ask()
    assert lineage(replaced) == Lineage(generation=2, parent="trial-1", member="3")


def test_a_member_that_never_had_a_result_begins_anew_while_nobody_has() -> None:
    run = population()
    first = run.ask(5)[0]
    run.end(first, None, "failed")
    [repeat] = run.ask()
    assert (repeat.values, lineage(repeat)) == (first.values, lineage(first))
    run.end(repeat, None, "failed")
    [anew] = run.ask()
    assert lineage(anew) == Lineage(generation=1, member="0")
    assert anew.values != first.values


def test_trials_that_fail_keep_nobody_from_their_turn() -> None:
    run = population()
    for _ in range(60):
        [trial] = run.ask()
        is_bad = lineage(trial).member in ("1", "3")
        run.end(trial, None if is_bad else 1.0 + trial.index, "failed" if is_bad else "succeeded")
    turns = [sum(lineage(trial).member == str(number) for trial in run.trials.values()) for number in range(5)]
    assert turns == [12] * 5


def test_an_early_stopped_trial_is_a_step_like_any_other() -> None:
    run = population()
    for trial, loss in zip(run.ask(5), (3.0, 1.0, 5.0, 2.0, 4.0), strict=True):
        run.end(trial, loss, "early-stopped")
    assert lineage(by_member(run.ask(5))["2"]) == Lineage(generation=1, parent="trial-1", member="2")


def test_nobody_waits_however_many_are_asked_for() -> None:
    run = population()
    assert len(run.ask(64)) == 64
    assert len({lineage(trial).member for trial in run.active}) == 64
    run.end(run.active[10], 1.0)
    assert [lineage(trial).member for trial in run.ask()] == ["10"]


def test_who_is_ahead_is_compared_at_the_same_age() -> None:
    run = population(truncation_threshold="0.4")
    trials = run.ask(5)
    for trial, loss in zip(trials[:4], (1.0, 2.0, 3.0, 4.0), strict=True):
        run.end(trial, loss)
    second = run.ask(4)
    for trial in second:  # all others are a generation further, and better for it
        run.end(trial, 0.1)
    run.end(trials[4], 0.9)  # but it was the best of its age
    best = by_member(run.ask(5))["4"]
    assert (lineage(best).parent, best.values) == ("trial-4", trials[4].values)


@given(
    turns=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 7),
            st.sampled_from(["succeeded", "early-stopped", "failed", "killed"]),
            st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf, -math.inf]),
        ),
        max_size=40,
    )
)
def test_no_parent_is_ever_missing_from_the_folders_that_are_kept(
    turns: Sequence[tuple[int, int, Outcome, float]],
) -> None:
    run = population()
    lines = Lines()
    gone: set[str] = set()
    for count, which, outcome, objective in turns:
        for trial in run.ask(count):
            assert lineage(trial).parent not in gone
            gone.update(lines.note(trial.name, lineage(trial), "unfinished"))
        if run.active:
            trial = run.active[which % len(run.active)]
            has_result = outcome in ("succeeded", "early-stopped")
            run.end(trial, objective if has_result else None, outcome)
            state: LineState = "with result" if has_result else "without result"
            gone.update(lines.note(trial.name, lineage(trial), state))
    members = {lineage(trial).member for trial in run.trials.values()}
    assert len(run.trials) - len(gone) <= 6 * max(1, len(members))


def test_a_line_lets_go_of_what_was_replaced_once_it_has_gone_on() -> None:
    lines = Lines()
    first, second, third = (Lineage(generation=n, member="0", parent=f"t{n - 1}" if n else "") for n in range(3))
    other = Lineage(generation=1, member="1", parent="t0")
    assert lines.note("t0", first, "with result") == ()
    assert lines.note("u1", other, "unfinished") == ()
    assert lines.note("t1", second, "with result") == ()
    assert lines.note("t2", third, "unfinished") == ()  # the other line still has use for t0
    assert lines.note("u1", other, "with result") == ("t0",)
    assert lines.holds("t1")


@pytest.mark.parametrize(
    ("spec", "value", "down", "up"),
    [
        pytest.param(double("x", "0.1", "10"), 1.0, 0.8, 1.2, id="double"),
        pytest.param(double("x", "0.1", "10"), 9.0, 7.2, 10.0, id="double at its bound"),
        pytest.param(double("x", "1e-6", "1", "", "logUniform"), 1e-3, 8e-4, 1.2e-3, id="logarithms"),
        pytest.param(double("x", "-1", "1"), 0.0, -0.02, 0.02, id="zero is left"),
        pytest.param(double("x", "-10", "-1"), -5.0, -4.0, -6.0, id="negative"),
        pytest.param(double("x", "0", "1", "0.1"), 0.5, 0.4, 0.6, id="steps"),
        pytest.param(double("x", "0.0001", "0.02", "0.0001"), 0.0001, 0.0001, 0.0002, id="one step at least"),
        pytest.param(integer("x", "1", "100"), 2, 1, 3, id="small int"),
        pytest.param(integer("x", "1", "100"), 50, 40, 60, id="int"),
        pytest.param(integer("x", "1", "100"), 100, 80, 100, id="int at its bound"),
        pytest.param(integer("x", "16", "256", "16"), 32, 16, 48, id="int with steps"),
        pytest.param(integer("x", "0", "9223372036854775807"), 2**62, 2**62 - 922337203685477581, None, id="huge int"),
        pytest.param(choice("x", "discrete", "64", "16", "32"), "32", "16", "64", id="numbers in their order"),
        pytest.param(choice("x", "discrete", "64", "16", "32"), "64", "32", "64", id="numbers have ends"),
        pytest.param(choice("x", "categorical", "a", "b", "c"), "c", "b", "a", id="words have none"),
    ],
)
def test_a_value_is_changed_by_a_fifth_or_a_step(
    spec: ParameterSpec, value: ParameterValue, down: ParameterValue, up: ParameterValue | None
) -> None:
    parameter = SearchSpace.from_specs([spec]).parameters[0]
    found = [perturbed(parameter, value, up=direction) for direction in (False, True)]
    assert all(parameter.contains(one) for one in found)
    if up is not None:
        assert found == [pytest.approx(one) if isinstance(one, float) else one for one in (down, up)]
    else:
        assert found[0] < value < found[1]  # type: ignore[operator]  # ints, as the table says


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"suggestion_trial_dir": None}, "suggestion_trial_dir is missing", id="no folder"),
        pytest.param({"n_population": None}, "n_population is missing: it must be a whole number", id="no population"),
        pytest.param({"truncation_threshold": None}, "truncation_threshold is missing", id="no threshold"),
        pytest.param({"n_population": "4"}, "must be a whole number at least 5, found '4'", id="small"),
        pytest.param({"n_population": "ten"}, "must be a whole number at least 5, found 'ten'", id="word"),
        pytest.param({"truncation_threshold": "1.1"}, "at least 0 and at most 1, found '1.1'", id="threshold"),
        pytest.param({"resample_probability": "-0.1"}, "at least 0 and at most 1, found '-0.1'", id="probability"),
        pytest.param({"suggestion_trial_dir": "checkpoints"}, "must be an absolute path below /", id="relative"),
        pytest.param({"suggestion_trial_dir": "//./"}, "must be an absolute path below /", id="root"),
        pytest.param({"suggestion_trial_dir": "/a/../b"}, "must be an absolute path below /", id="upwards"),
        pytest.param({"n_populaton": "5"}, "did you mean n_population", id="misspelt"),
    ],
)
def test_wrong_settings_are_refused_in_words(changed: Mapping[str, str | None], words: str) -> None:
    stated = {name: value for name, value in {**SETTINGS, **changed}.items() if value is not None}
    with pytest.raises(InvalidInput) as caught:
        registry.create(experiment(stated), seed=1)
    assert words in str(caught.value)


def test_labels_fit_kubernetes_with_the_longest_name() -> None:
    longest = "e" * names.MAX_EXPERIMENT_NAME_LENGTH + "-" + "x" * names.NAME_SUFFIX_LENGTH
    labels = Lineage(generation=10**9, parent=longest, member="1000000").labels("pbt")
    assert labels["pbt.suggestion.katib.kubeflow.org/parent"] == longest
    assert all(len(value) <= 63 and len(key.partition("/")[2]) <= 63 for key, value in labels.items())
    assert lineage_of(labels) == Lineage(generation=10**9, parent=longest, member="1000000")


@pytest.mark.parametrize(
    "labels", [None, {}, {"a/generation": "1"}, {"pbt.suggestion.katib.kubeflow.org/generation": "x"}]
)
def test_labels_of_others_say_nothing(labels: Mapping[str, str] | None) -> None:
    assert lineage_of(labels) is None
