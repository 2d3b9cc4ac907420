"""Successive halving in its three forms: levels, brackets, who goes on, and that nobody waits."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ProposedTrial
from pykatib.algorithms.halving.brackets import Bracket, hyperband
from pykatib.algorithms.halving.ladder import Ladder
from pykatib.algorithms.parameters import Parameter
from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import Experiment, ExperimentSpec, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

LR = double("lr", "0", "1")
EPOCHS = integer("epochs", "1", "27")


def experiment(algorithm: str, parameters: Sequence[ParameterSpec], settings: Mapping[str, str]) -> Experiment:
    return Experiment(
        metadata=ObjectMeta(name="x"),
        spec=ExperimentSpec(
            parameters=tuple(parameters),
            objective=ObjectiveSpec(type="minimize", objective_metric_name="loss"),
            algorithm=AlgorithmSpec(algorithm, tuple(Setting(*pair) for pair in settings.items())),
        ),
    )


def parameter(spec: ParameterSpec) -> Parameter:
    return SearchSpace.from_specs([spec]).parameters[0]


class Run:
    """Trials of an algorithm, a few at a time; the loss is the first parameter unless told otherwise."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.active: list[ProposedTrial] = []
        self.trials: list[ProposedTrial] = []

    def ask(self, count: int = 1) -> list[ProposedTrial]:
        found = []
        for proposal in self.algorithm.ask(Ask(count, len(self.trials), tuple(self.active))):
            index = len(self.trials)
            found.append(ProposedTrial(index, f"trial-{index}", proposal.values, proposal.labels))
            self.trials.append(found[-1])
        self.active += found
        return found

    def end(self, trial: ProposedTrial, outcome: Outcome = "succeeded") -> None:
        self.active.remove(trial)
        objective = float(trial.values[0]) if outcome == "succeeded" else None
        self.algorithm.tell(
            [FinishedTrial(trial.index, trial.name, trial.values, outcome, objective, {}, trial.labels)]
        )


def run_of(algorithm: str, parameters: Sequence[ParameterSpec] = (LR, EPOCHS), **settings: str) -> Run:
    stated = {"resource_name": "epochs", "random_state": "3", **settings}
    return Run(registry.create(experiment(algorithm, parameters, stated), seed=1)[1])


@pytest.mark.parametrize(
    ("spec", "most", "eta", "values"),
    [
        pytest.param(EPOCHS, 27, 3, (1, 3, 9, 27), id="whole range"),
        pytest.param(integer("epochs", "1", "243"), 243, 3, (1, 3, 9, 27, 81, 243), id="logarithms that are not exact"),
        pytest.param(integer("epochs", "1", "1000"), 1000, 10, (1, 10, 100, 1000), id="thousand"),
        pytest.param(integer("epochs", "5", "100"), 100, 4, (6, 25, 100), id="none below the range"),
        pytest.param(integer("epochs", "0", "9"), 9, 3, (1, 3, 9), id="no Trial without any"),
        pytest.param(integer("epochs", "10", "100", "10"), 80, 2, (10, 20, 40, 80), id="steps"),
        pytest.param(integer("epochs", "1", "1"), 4, 2, (1, 2, 4), id="Katib's placeholder"),
        pytest.param(double("share", "0.1", "1"), 1, 3, (0.111111111111, 0.333333333333, 1.0), id="double"),
        pytest.param(double("share", "0.05", "1", "0.05"), 1, 4, (0.05, 0.25, 1.0), id="double with steps"),
        pytest.param(choice("size", "discrete", "64", "16", "32"), 64, 2, ("16", "32", "64"), id="list of numbers"),
        pytest.param(integer("epochs", "1", "10"), 10, 1.5, (1, 2, 4, 6, 10), id="small steps fall together"),
    ],
)
def test_levels_are_powers_of_eta_within_range_and_steps(
    spec: ParameterSpec, most: float, eta: float, values: tuple[object, ...]
) -> None:
    assert Ladder(parameter(spec), most=most, eta=eta).values == values


def test_hyperband_has_the_brackets_of_the_paper() -> None:
    assert [bracket.sizes for bracket in hyperband(5, 3).all] == [
        (81, 27, 9, 3, 1),
        (34, 12, 4, 2),
        (15, 5, 2),
        (8, 3),
        (5,),
    ]
    assert [bracket.sizes for bracket in hyperband(3, 3).all] == [(9, 3, 1), (5, 2), (3,)]


def test_a_full_level_sends_on_what_the_next_is_to_have() -> None:
    bracket = Bracket(1, 3, (5, 2))

    assert [bracket.go_on(1, ended) for ended in (2, 3, 5, 8, 10)] == [0, 1, 2, 3, 4]
    assert bracket.go_on(2, 10) == 0


def test_one_bracket_of_hyperband_does_what_the_paper_says() -> None:
    run = run_of("hyperband", r_l="9")
    for _ in range(9 + 3 + 1):
        run.end(run.ask()[0])

    by_epochs = {epochs: [trial for trial in run.trials if trial.values[1] == epochs] for epochs in (1, 3, 9)}
    assert {epochs: len(trials) for epochs, trials in by_epochs.items()} == {1: 9, 3: 3, 9: 1}
    best = sorted(trial.values[0] for trial in by_epochs[1])
    assert by_epochs[9][0].values[0] == best[0]


def test_brackets_follow_each_other_and_begin_anew() -> None:
    run = run_of("hyperband", r_l="9")
    for _ in range(80):
        run.end(run.ask()[0])

    first_epochs: dict[str, object] = {}
    for trial in run.trials:
        assert trial.labels is not None
        first_epochs.setdefault(trial.labels["halving.suggestion.katib.kubeflow.org/configuration"], trial.values[1])
    assert list(first_epochs.values())[:20] == [1] * 9 + [3] * 5 + [9] * 3 + [1] * 3


def test_only_a_part_of_one_in_eta_goes_on_and_it_is_the_best() -> None:
    run = run_of("asha")
    while len(run.trials) < 400:
        run.end(run.ask()[0])

    counts = [sum(trial.values[1] == epochs for trial in run.trials) for epochs in (1, 3, 9, 27)]
    for lower, higher in pairwise(counts):
        assert lower // 3 <= higher <= lower // 2  # a few went on too early: better ones came later
    best = min(float(trial.values[0]) for trial in run.trials if trial.values[1] == 1)
    assert best in {trial.values[0] for trial in run.trials if trial.values[1] == 27}


@pytest.mark.parametrize("outcome", ["failed", "killed", "metrics-unavailable"])
def test_trials_without_a_result_earn_nothing_and_hold_up_nothing(outcome: Outcome) -> None:
    run = run_of("hyperband", r_l="9")
    failed = set()
    for index in range(200):
        trial = run.ask()[0]
        assert trial.values[0] not in failed
        if index % 3 == 0:
            failed.add(trial.values[0])
        run.end(trial, outcome if index % 3 == 0 else "succeeded")

    assert {trial.values[1] for trial in run.trials} == {1, 3, 9}


def test_slow_trials_hold_up_nobody() -> None:
    run = run_of("asha")
    slow = run.ask(5)
    for _ in range(60):
        run.end(run.ask()[0])

    assert len(run.trials) == 65
    assert {trial.values[1] for trial in run.trials} == {1, 3, 9, 27}
    assert all(trial in run.active for trial in slow)


def test_a_trial_that_was_deleted_is_run_again() -> None:
    run = run_of("asha")
    for _ in range(3):
        run.end(run.ask()[0])
    promoted = run.ask()[0]
    assert promoted.values[1] == 3
    run.active.remove(promoted)

    assert run.ask()[0].values == promoted.values


@pytest.mark.parametrize("algorithm", ["asha", "bohb", "hyperband"])
def test_a_small_space_ends_when_all_have_been_everywhere(algorithm: str) -> None:
    parameters = (choice("kind", "discrete", "1", "2", "3"), integer("epochs", "1", "4"))
    run = run_of(algorithm, parameters, eta="2", r_l="4")
    while found := run.ask(2):
        run.end(found[-1])

    assert sorted(trial.values for trial in run.trials) == [(kind, n) for kind in "123" for n in (1, 2, 4)]


@pytest.mark.parametrize("proposer", ["tpe", "multivariate-tpe", "bayesianoptimization"])
def test_a_model_draws_where_results_are_good(proposer: str) -> None:
    def share_of_good(proposer: str) -> float:
        parameters = (LR, double("momentum", "0", "1"), double("decay", "0", "1"), EPOCHS)
        run = run_of("bohb", parameters, proposer=proposer, random_fraction="0")
        while len(run.trials) < 90:
            run.end(run.ask()[0])
        new = [float(trial.values[0]) for trial in run.trials[30:] if trial.values[3] == 1]
        return sum(value < 0.1 for value in new) / len(new)

    assert share_of_good(proposer) >= 2 * share_of_good("random") > 0


def test_katibs_manifest_gets_its_levels_though_its_range_has_no_room_for_them() -> None:
    parameters = (LR, integer("epochs", "1", "1"))
    settings = {"resource_name": "epochs", "eta": "2", "r_l": "2"}
    space, algorithm = registry.create(experiment("hyperband", parameters, settings), seed=1)
    run = Run(algorithm)
    for _ in range(3):
        run.end(run.ask()[0])

    assert [trial.values[1] for trial in run.trials] == [1, 1, 2]
    assert [space.parse(space.format(trial.values)) for trial in run.trials] == [trial.values for trial in run.trials]


@pytest.mark.parametrize(
    ("algorithm", "parameters", "settings", "message"),
    [
        pytest.param(
            "hyperband",
            (LR, EPOCHS),
            {"r_l": "9"},
            "resource_name is missing: which of lr, epochs is the resource",
            id="no resource",
        ),
        pytest.param(
            "hyperband",
            (LR, EPOCHS),
            {"resource_name": "epochs"},
            "r_l is missing: how much of the resource is all of it",
            id="no end",
        ),
        pytest.param(
            "asha",
            (LR, EPOCHS),
            {"resource_name": "epoch"},
            "resource_name epoch is no parameter; did you mean epochs?",
            id="misspelt",
        ),
        pytest.param(
            "asha",
            (LR, EPOCHS),
            {"resource_name": "epochs", "r_min": "30"},
            "r_l is 27, less than the least resource 30",
            id="least above most",
        ),
        pytest.param(
            "asha",
            (LR, choice("opt", "categorical", "a", "b")),
            {"resource_name": "opt"},
            "resource_name opt is categorical: a resource is an int, a double or a list of numbers",
            id="no number",
        ),
        pytest.param(
            "asha",
            (LR, EPOCHS),
            {"resource_name": "lr"},
            "r_l cannot begin at 0: it is multiplied by 3 from level to level",
            id="from zero",
        ),
        pytest.param(
            "hyperband",
            (LR, EPOCHS),
            {"resource_name": "epochs", "r_l": "0.5"},
            "r_l is 0.5, less than 1, while epochs is an int",
            id="less than one",
        ),
    ],
)
def test_settings_that_make_no_levels_are_refused(
    algorithm: str, parameters: Sequence[ParameterSpec], settings: dict[str, str], message: str
) -> None:
    errors = registry.check(experiment(algorithm, parameters, settings))

    assert message in [error.message for error in errors]
