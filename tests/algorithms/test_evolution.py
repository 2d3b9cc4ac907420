"""Regularised evolution: who has children, who dies out, what failed Trials and other orders change."""

from collections.abc import Mapping

import numpy as np
import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import SPACES, AlgorithmConformance, ExhaustionConformance, choice, double, integer
from pykatib.algorithms.contract import Ask, FinishedTrial, Outcome, Proposal
from pykatib.algorithms.evolution import RegularizedEvolution
from pykatib.algorithms.genes import genes_of
from pykatib.algorithms.nas.space import ArchitectureSpace
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import Point, SearchSpace
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    GraphConfig,
    NasConfig,
    Operation,
    ParameterSpec,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

INFO = registry.info("regularized-evolution")
SMALL = {"population_size": "4", "sample_size": "2"}
WORDS = ("a", "b", "c", "d", "e")
CELL = SearchSpace.from_specs([choice(f"edge-{place}", "categorical", *WORDS) for place in range(6)])


def nas_config(*, layers: int = 4, operation: Operation | None = None) -> NasConfig:
    filters = ParameterSpec("filter_size", "categorical", FeasibleSpace(values=("1", "3", "5")))
    found = operation or Operation("convolution", (filters,))
    return NasConfig(GraphConfig(layers, (16, 16, 1), (10,)), (found,))


def experiment(
    config: NasConfig | None, settings: Mapping[str, str], *, reference: str = "architecture", parameters: bool = False
) -> Experiment:
    template = TrialTemplate(trial_parameters=(TrialParameterSpec("one", "", reference),))
    return Experiment(
        metadata=ObjectMeta(name="search"),
        spec=ExperimentSpec(
            objective=ObjectiveSpec(type="maximize", objective_metric_name="accuracy"),
            algorithm=AlgorithmSpec(INFO.name, tuple(Setting(*one) for one in settings.items())),
            trial_template=template,
            nas_config=config,
            parameters=SPACES["one list"] if parameters else (),
        ),
    )


def evolution(
    space: SearchSpace, *, population: int = 4, sample: int = 2, goal: str = "maximize"
) -> RegularizedEvolution:
    objective = ObjectiveSpec(type=goal, objective_metric_name="accuracy")
    settings = {"population_size": population, "sample_size": sample}
    return RegularizedEvolution(Problem(space=space, objective=objective), settings, seed=1)


def finished(index: int, point: Point, objective: float | None, outcome: Outcome = "succeeded") -> FinishedTrial:
    return FinishedTrial(index, f"trial-{index}", point, outcome, objective)


def distance(one: Point, other: Point) -> int:
    return sum(left != right for left, right in zip(one, other, strict=True))


class TestRegularizedEvolution(ExhaustionConformance, AlgorithmConformance):
    info = INFO
    settings = SMALL


class TestRegularizedEvolutionOfArchitectures(ExhaustionConformance, AlgorithmConformance):
    """The suite once more, over spaces of architectures."""

    info = INFO
    settings = SMALL
    configs = {
        "four layers": nas_config(),
        "two layers": nas_config(layers=2),
        "one layer": nas_config(layers=1),
        "one operation": nas_config(layers=3, operation=Operation("skip_connection")),
    }

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        spaces = {name: ArchitectureSpace(config) for name, config in self.configs.items()}
        if "space" in metafunc.fixturenames:
            metafunc.parametrize("space", list(spaces.values()), ids=list(spaces))
        if "small" in metafunc.fixturenames:
            few = {name: space for name, space in spaces.items() if (space.size or 0) <= 100}
            metafunc.parametrize("small", list(few.values()), ids=list(few))

    def accepts(self, specs: tuple[ParameterSpec, ...]) -> bool:
        return all(registry.check(experiment(config, self.settings)) == () for config in self.configs.values())

    def test_different_seeds_give_different_proposals(self) -> None:
        space = ArchitectureSpace(self.configs["four layers"])
        runs = [tuple(p.values for p in self.create(space, seed=seed).ask(Ask(4, 0))) for seed in range(5)]
        assert len(set(runs)) == 5


def test_all_counted_architectures_are_different() -> None:
    space = ArchitectureSpace(nas_config(layers=3))
    genes = genes_of(space)
    assert space.size == 3**3 * 2**3
    assert len({genes.at(index) for index in range(space.size)}) == space.size


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_the_best_of_the_sample_has_a_child_that_differs_in_one_gene(goal: str) -> None:
    algorithm = evolution(CELL, population=4, sample=4, goal=goal)
    first = [proposal.values for proposal in algorithm.ask(Ask(4, 0))]
    sign = 1 if goal == "maximize" else -1
    algorithm.tell(
        [
            finished(index, point, sign * share)
            for index, (point, share) in enumerate(zip(first, (0.1, 0.9, 0.5, 0.2), strict=True))
        ]
    )
    children = [proposal.values for proposal in algorithm.ask(Ask(10, 4))]
    assert [distance(child, first[1]) for child in children] == [1] * 10
    assert len(set(children)) == 10


def test_an_old_trial_dies_out_however_good_it_was() -> None:
    algorithm = evolution(CELL, population=3, sample=3)
    points = [CELL.at(index) for index in (0, 7777, 7778, 7779)]  # the first is far from the others
    algorithm.tell([finished(index, point, 1.0 if index == 0 else 0.1) for index, point in enumerate(points)])
    children = [proposal.values for proposal in algorithm.ask(Ask(8, 4))]
    assert min(distance(child, points[0]) for child in children) > 1


def test_one_that_ends_late_is_as_old_as_its_number() -> None:
    points = [CELL.at(index * 999) for index in range(6)]
    told = [finished(index, point, 0.1 * index) for index, point in enumerate(points)]
    one, other = evolution(CELL), evolution(CELL)
    one.tell(told)
    for trial in (told[5], told[0], told[3], told[1], told[4], told[2]):
        other.tell([trial])
        other.ask(Ask(2, 6))
    assert list(one.ask(Ask(5, 6))) == list(other.ask(Ask(5, 6)))


@pytest.mark.parametrize(
    ("outcome", "objective"),
    [
        pytest.param("failed", None, id="failed"),
        pytest.param("killed", None, id="killed"),
        pytest.param("succeeded", float("nan"), id="nan"),
        pytest.param("succeeded", float("inf"), id="infinite"),
    ],
)
def test_a_trial_without_a_result_has_no_children_and_takes_no_place(outcome: Outcome, objective: float | None) -> None:
    algorithm = evolution(CELL, population=2, sample=2)
    good, other, *bad = [CELL.at(index) for index in (0, 1, 7777, 8888, 9999)]
    algorithm.tell([finished(0, good, 0.9), finished(1, other, 0.8)])
    algorithm.tell([finished(index, point, objective, outcome) for index, point in enumerate(bad, 2)])
    assert {distance(proposal.values, good) for proposal in algorithm.ask(Ask(8, 5))} == {1}


def test_nobody_waits_for_the_first_population() -> None:
    algorithm = evolution(CELL, population=4)
    assert len(algorithm.ask(Ask(12, 0))) == 12


def test_where_all_children_exist_the_next_differs_in_more_genes() -> None:
    space = SearchSpace.from_specs([choice(name, "categorical", "a", "b") for name in "uvwx"])
    algorithm = evolution(space, population=2, sample=2)
    algorithm.tell([finished(0, ("a",) * 4, 0.9), finished(1, ("b", "a", "a", "a"), 0.1)])
    points = [proposal.values for proposal in algorithm.ask(Ask(14, 2))]
    assert sorted(distance(point, ("a",) * 4) for point in points) == [1] * 3 + [2] * 6 + [3] * 4 + [4]
    assert [distance(point, ("a",) * 4) for point in points[:3]] == [1] * 3
    assert list(algorithm.ask(Ask(1, 16, ()))) != []  # those 14 were never told


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        pytest.param(integer("n", "1", "5"), 3, id="int"),
        pytest.param(integer("n", "1", "9223372036854775807", "", "logUniform"), 1, id="wide int"),
        pytest.param(double("x", "0", "1", "0.5"), 0.0, id="steps"),
        pytest.param(double("x", "0.001", "10", "", "logNormal"), 0.5, id="bell"),
        pytest.param(choice("w", "categorical", "a", "b"), "b", id="two words"),
        pytest.param(choice("w", "discrete", "3", "0.1", "2"), "0.1", id="numbers"),
    ],
)
def test_a_gene_always_changes_and_stays_in_its_bounds(spec: ParameterSpec, value: float | str) -> None:
    space = SearchSpace.from_specs([spec])
    genes = genes_of(space)
    changed = [genes.mutate((value,), np.random.default_rng(seed)) for seed in range(300)]
    assert all(space.contains(point) for point in changed)
    assert (value,) not in changed
    if space.size is not None and space.size <= 5:
        assert len(set(changed)) == space.size - 1  # and comes everywhere


def test_a_number_moves_near_more_often_than_far() -> None:
    genes = genes_of(SearchSpace.from_specs([double("x", "0", "1")]))
    moves = [abs(float(genes.mutate((0.5,), np.random.default_rng(seed))[0]) - 0.5) for seed in range(400)]
    assert 0.05 < np.median(moves) < 0.2
    assert max(moves) > 0.4


def test_operations_and_connections_change_equally_often() -> None:
    space = ArchitectureSpace(nas_config(layers=8))
    genes = genes_of(space)
    start = genes.any(np.random.default_rng(0))
    before = space.decode(start)
    changes = [space.decode(genes.mutate(start, np.random.default_rng(seed))) for seed in range(200)]
    operations = sum(distance(found.operations, before.operations) == 1 for found in changes)
    bits = sum(distance(sum(found.bits, ()), sum(before.bits, ())) == 1 for found in changes)
    assert operations + bits == 200
    assert 70 < operations < 130


def test_results_lead_to_better_points() -> None:
    algorithm = evolution(CELL, population=10, sample=5)
    found = []
    for index in range(150):
        (proposal,) = algorithm.ask(Ask(1, index))
        found.append(sum(word == "c" for word in proposal.values))
        algorithm.tell([finished(index, proposal.values, found[-1])])
    assert max(found[:10]) < 6
    assert max(found) == 6  # one of 15625


def test_a_trial_with_foreign_assignments_has_no_children() -> None:
    space = ArchitectureSpace(nas_config())
    algorithm = evolution(space, population=2, sample=2)
    (proposal,) = algorithm.ask(Ask(1, 0))
    algorithm.tell([finished(0, proposal.values, 0.5), finished(1, ("[[9]]", "{}"), 0.9)])
    assert all(space.contains(one.values) for one in algorithm.ask(Ask(5, 2)))


def test_architectures_are_handed_over_as_enas_does_it() -> None:
    space, algorithm = registry.create(experiment(nas_config(), {"random_state": "1"}), seed=0)
    (proposal,) = algorithm.ask(Ask(1, 0))
    assert isinstance(proposal, Proposal)
    assert [one.name for one in space.format(proposal.values)] == ["architecture", "nn_config"]


@pytest.mark.parametrize(
    ("found", "errors"),
    [
        pytest.param(
            experiment(None, {}),
            ["spec.parameters: needs at least one parameter"],
            id="nothing to search",
        ),
        pytest.param(
            experiment(nas_config(layers=0), {}),
            ["spec.nasConfig.graphConfig.numLayers: found 0, wanted at least 1"],
            id="no layers",
        ),
        pytest.param(
            experiment(nas_config(), {"population_size": "10", "sample_size": "20"}),
            [
                "spec.algorithm.algorithmSettings: sample_size must be at most population_size, found 20 and 10",
            ],
            id="more drawn than there are",
        ),
        pytest.param(
            experiment(nas_config(), {"population_size": "1", "sample_size": "1"}),
            [
                "spec.algorithm.algorithmSettings[0].value: "
                "population_size must be a whole number at least 2, found '1'",
            ],
            id="a population of one",
        ),
        pytest.param(
            experiment(nas_config(), {}, reference="architectur"),
            [
                "spec.trialTemplate.trialParameters[0].reference: found 'architectur', which is no assignment of this "
                "algorithm; did you mean architecture?",
            ],
            id="template asks for nothing",
        ),
        pytest.param(experiment(nas_config(), {}), [], id="sound architectures"),
        pytest.param(experiment(None, {}, reference="optimizer", parameters=True), [], id="sound parameters"),
    ],
)
def test_mistakes_are_told_with_their_path(found: Experiment, errors: list[str]) -> None:
    assert [str(error) for error in registry.check(found)] == errors
