"""ENAS as an algorithm: whose reward teaches what, which Trials count, what a restart changes."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pytest
from nas_samples import CONVOLUTION, REDUCTION, assignments, choice, experiment, finished, integer, nas_config, problem

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import AlgorithmConformance
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ProposedTrial
from pykatib.algorithms.nas.controller import Batch
from pykatib.algorithms.nas.enas import Enas, LearnerStore
from pykatib.algorithms.nas.space import ArchitectureSpace
from pykatib.algorithms.nas.strings import from_text
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import NasConfig, Operation, ParameterSpec
from pykatib.api.shared import Setting

INFO = registry.info("enas")
CONFIGS: dict[str, NasConfig] = {
    "three layers": nas_config(),
    "one layer": nas_config(layers=1),
    "one operation": nas_config(Operation("skip_connection"), layers=2),
    "many operations": nas_config(
        Operation("convolution", (integer("filter_size", "1", "5"), integer("num_filter", "8", "64", "8"))),
        REDUCTION,
        layers=5,
    ),
}
QUICK = {"controller_train_steps": "2", "controller_learning_rate": "0.01", "controller_hidden_size": "16"}


def enas(config: NasConfig, settings: Mapping[str, str] | None = None, *, objective: str = "maximize") -> Enas:
    """An instance that shares nothing with others."""
    stated = tuple(Setting(name, value) for name, value in {**QUICK, **(settings or {})}.items())
    values = INFO.read_settings(stated, path="settings")
    return Enas(problem(config, objective=objective), values, seed=1, store=LearnerStore(1 << 20))


class TestEnas(AlgorithmConformance):
    info = INFO
    settings = QUICK
    rounds = 8
    configs: ClassVar[Mapping[str, NasConfig]] = CONFIGS

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "space" in metafunc.fixturenames:
            metafunc.parametrize("space", [ArchitectureSpace(one) for one in self.configs.values()], ids=self.configs)

    def accepts(self, specs: tuple[ParameterSpec, ...]) -> bool:
        settings = self.info.read_settings(self.stated(0), path="settings")
        return all(not rule(problem(one), settings) for rule in self.info.rules for one in self.configs.values())

    def problem(self, space: SearchSpace) -> Problem:
        assert isinstance(space, ArchitectureSpace)
        (config,) = [one for one in self.configs.values() if outline(ArchitectureSpace(one)) == outline(space)]
        return problem(config)

    def test_different_seeds_give_different_proposals(self) -> None:
        space = ArchitectureSpace(self.configs["many operations"])
        runs = [tuple(p.values for p in self.create(space, seed=seed).ask(Ask(4, 0))) for seed in range(5)]
        assert len(set(runs)) == 5


def outline(space: ArchitectureSpace) -> tuple[object, ...]:
    return space.layers, space.operations


def test_a_trial_gets_the_assignments_that_katibs_template_refers_to() -> None:
    space, algorithm = registry.create(experiment("enas", nas_config()), seed=1)
    (proposal,) = algorithm.ask(Ask(1, 0))
    found = assignments(space, proposal)
    assert list(found) == ["architecture", "nn_config"]
    rows, config = from_text(found["architecture"]), from_text(found["nn_config"])
    assert [len(row) for row in rows] == [1, 2, 3]
    assert list(config) == ["num_layers", "input_sizes", "output_sizes", "embedding"]
    assert list(config["embedding"]) == list(dict.fromkeys(str(row[0]) for row in rows))


def surprises(algorithm: Enas, told: Sequence[FinishedTrial]) -> list[float]:
    """How unlikely the controller finds each Trial's architecture."""
    space = ArchitectureSpace(nas_config())
    rows = [space.decode(trial.values) for trial in told]
    batch = Batch.of([(row.operations, row.bits) for row in rows])
    return [float(one) for one in algorithm.learner().controller.judge(batch, skip_target=0.4).surprise]


@pytest.mark.parametrize("objective", ["maximize", "minimize"])
def test_the_reward_goes_to_the_architecture_that_earned_it(objective: str) -> None:
    quiet = {"controller_skip_weight": "None", "controller_train_steps": "30"}
    algorithm = enas(nas_config(), quiet, objective=objective)
    proposals = algorithm.ask(Ask(3, 0))
    sign = 1 if objective == "maximize" else -1
    # Told in the wrong order, long after others could have been sampled.
    list(algorithm.ask(Ask(20, 2)))
    told = [finished(index, proposals[index], share * sign) for index, share in ((2, 0.9), (1, 0.1), (0, 0.5))]
    before = surprises(algorithm, told)
    algorithm.tell(told)
    after = surprises(algorithm, told)
    assert after[0] < before[0] - 0.1  # the good one has become more likely
    assert after[1] > before[1] + 0.1


def test_the_assignments_of_the_trial_count_and_not_what_was_sampled() -> None:
    proposals = enas(nas_config()).ask(Ask(3, 0))
    exchanged = [finished(0, proposals[2], 0.2), finished(1, proposals[1], 0.9), finished(2, proposals[0], 0.4)]
    one, other = enas(nas_config()), enas(nas_config())
    one.tell(exchanged)
    other.tell([finished(0, proposals[0], 0.2), finished(1, proposals[1], 0.9), finished(2, proposals[2], 0.4)])
    assert one.learner().dump() != other.learner().dump()


@pytest.mark.parametrize(
    ("outcome", "objective", "counts_as"),
    [
        pytest.param("failed", None, 0.2, id="failed"),
        pytest.param("metrics-unavailable", None, 0.2, id="no metrics"),
        pytest.param("succeeded", float("nan"), 0.2, id="nan"),
        pytest.param("succeeded", float("-inf"), 0.2, id="infinitely bad"),
        pytest.param("early-stopped", 0.1, 0.1, id="stopped early"),
        pytest.param("early-stopped", None, 0.2, id="stopped before it said anything"),
        pytest.param("killed", None, None, id="killed"),
    ],
)
def test_what_a_trial_without_a_plain_result_teaches(
    outcome: Outcome, objective: float | None, counts_as: float | None
) -> None:
    proposals = enas(nas_config()).ask(Ask(4, 0))
    plain = [finished(0, proposals[0], 0.2), finished(1, proposals[1], 0.9), finished(3, proposals[3], 0.5)]
    odd, same = enas(nas_config()), enas(nas_config())
    odd.tell([*plain, finished(2, proposals[2], objective, outcome)])
    same.tell([*plain, *([finished(2, proposals[2], counts_as)] if counts_as is not None else [])])
    assert odd.learner().dump() == same.learner().dump()


def test_failures_before_any_result_teach_nothing() -> None:
    algorithm = enas(nas_config())
    fresh = algorithm.learner().dump()
    algorithm.tell([finished(index, one, None, "failed") for index, one in enumerate(algorithm.ask(Ask(3, 0)))])
    assert algorithm.learner().dump() == fresh


def test_a_trial_whose_assignments_are_of_no_such_architecture_is_left_aside() -> None:
    algorithm = enas(nas_config())
    fresh = algorithm.learner().dump()
    foreign = FinishedTrial(0, "edited", ("[[1], [7, 1], [0, 0, 1]]", "{}"), "succeeded", 0.9)
    algorithm.tell([foreign])
    assert algorithm.learner().dump() == fresh
    assert len(algorithm.ask(Ask(2, 1))) == 2


def test_no_architecture_is_proposed_twice_while_there_are_others() -> None:
    config = nas_config(CONVOLUTION, layers=2)  # two operations, two layers, one bit: eight architectures
    algorithm = enas(config)
    first = algorithm.ask(Ask(4, 0))
    active = tuple(ProposedTrial(index, f"trial-{index}", one.values) for index, one in enumerate(first[2:], 2))
    algorithm.tell([finished(0, first[0], 0.5), finished(1, first[1], 0.4)])
    second = algorithm.ask(Ask(4, 4, active))
    assert len({one.values[0] for one in (*first, *second)}) == 8
    assert len(algorithm.ask(Ask(2, 8, active))) == 2  # and goes on, with one of them again


def test_a_late_result_is_learnt_in_its_place() -> None:
    proposals = enas(nas_config()).ask(Ask(6, 0))
    told = [finished(index, one, 0.1 * index) for index, one in enumerate(proposals)]
    late, early = enas(nas_config()), enas(nas_config())
    early.tell(told)
    for trial in [*told[2:], told[0], told[1]]:
        late.tell([trial])
        late.learner()
    assert late.learner().dump() == early.learner().dump()


def test_a_store_that_forgets_changes_nothing() -> None:
    values = INFO.read_settings(tuple(Setting(*one) for one in QUICK.items()), path="settings")
    small, large = (Enas(problem(nas_config()), values, seed=1, store=LearnerStore(size)) for size in (1, 1 << 24))
    for algorithm in (small, large):
        for turn in range(6):
            proposals = algorithm.ask(Ask(2, 2 * turn))
            algorithm.tell([finished(2 * turn + place, one, 0.1 * turn) for place, one in enumerate(proposals)])
    assert small.learner().dump() == large.learner().dump()


def test_a_service_without_a_memory_learns_new_results_only() -> None:
    store = LearnerStore(1 << 24)
    values = INFO.read_settings(tuple(Setting(*one) for one in QUICK.items()), path="settings")

    def fresh() -> Enas:
        return Enas(problem(nas_config()), values, seed=1, store=store)

    told: list[FinishedTrial] = []
    learners = []
    for index in range(4):
        algorithm = fresh()
        algorithm.tell(told)
        (proposal,) = algorithm.ask(Ask(1, index))
        learners.append(algorithm.learner())
        told.append(finished(index, proposal, 0.25 * index))
    again = fresh()
    again.tell(told[:3])
    assert again.learner() is learners[3]


def test_the_seed_alone_decides_what_comes_first() -> None:
    def first(seed: str) -> list[tuple[object, ...]]:
        _, algorithm = registry.create(experiment("enas", nas_config(), settings={"random_state": seed}), seed=0)
        return [one.values for one in algorithm.ask(Ask(5, 0))]

    assert first("3") == first("3") != first("4")


def test_the_first_architectures_use_every_operation_about_evenly() -> None:
    (algorithm,) = [enas(nas_config())]
    space = ArchitectureSpace(nas_config())
    rows = [space.decode(one.values).operations for one in algorithm.ask(Ask(200, 0))]
    shares = np.bincount(np.array(rows).ravel(), minlength=4) / (200 * 3)
    assert shares.min() > 0.18


def test_results_lead_to_better_architectures() -> None:
    operations = Operation("convolution", (choice("filter_size", *map(str, range(1, 9))),))
    config = nas_config(operations, layers=4)
    space = ArchitectureSpace(config)
    algorithm: Algorithm = enas(
        config,
        {"controller_learning_rate": "0.005", "controller_train_steps": "5", "controller_hidden_size": "32"},
    )
    shares = []
    for index in range(150):
        (proposal,) = algorithm.ask(Ask(1, index))
        share = sum(operation == 5 for operation in space.decode(proposal.values).operations) / 4
        shares.append(share)
        algorithm.tell([finished(index, proposal, share)])
    assert np.mean(shares[:10]) < 0.25
    assert np.mean(shares[-30:]) > 0.5


def test_the_search_needs_no_torch() -> None:
    code = "import sys, pykatib.algorithms.nas.enas, pykatib.algorithms.nas.darts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
