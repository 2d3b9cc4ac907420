"""What every search algorithm must do, as tests to inherit: pykatib's own pass them, and so should those of others.

    class TestMine(ExhaustionConformance, AlgorithmConformance):
        info = MINE                      # an AlgorithmInfo
        settings = {"n_startup": "3"}    # where the defaults are too slow for a test

`AlgorithmConformance` holds for all. `OneByOneConformance` and `ExhaustionConformance` hold for those that promise so
in `AlgorithmInfo`; a class that promises and does not inherit them fails. Every test runs over all spaces of `SPACES`
that the algorithm's own rules accept.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest

from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, Proposal, ProposedTrial
from pykatib.algorithms.description import AlgorithmInfo
from pykatib.algorithms.distributions import DISTRIBUTION_NAMES
from pykatib.algorithms.guarded import Guarded
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import unit_of, words
from pykatib.algorithms.space import SearchSpace
from pykatib.algorithms.space_settings import CONDITIONS, CONSTRAINTS, space_of, split_settings
from pykatib.api.experiment import FeasibleSpace, ParameterSpec
from pykatib.api.shared import ObjectiveSpec, Setting


def double(name: str, low: str, high: str, step: str = "", distribution: str = "") -> ParameterSpec:
    """A parameter of type double."""
    return ParameterSpec(name, "double", FeasibleSpace(min=low, max=high, step=step, distribution=distribution))


def integer(name: str, low: str, high: str, step: str = "", distribution: str = "") -> ParameterSpec:
    """A parameter of type int."""
    return ParameterSpec(name, "int", FeasibleSpace(min=low, max=high, step=step, distribution=distribution))


def choice(name: str, kind: str, *values: str) -> ParameterSpec:
    """A parameter with a list: discrete or categorical."""
    return ParameterSpec(name, kind, FeasibleSpace(values=values))


_EVERY_KIND = (
    *(double(f"double-{name}", "0.001", "10", "", name) for name in DISTRIBUTION_NAMES),
    *(double(f"stepped-double-{name}", "0.001", "1", "0.01", name) for name in DISTRIBUTION_NAMES),
    *(integer(f"int-{name}", "1", "1000", "", name) for name in DISTRIBUTION_NAMES),
    *(integer(f"stepped-int-{name}", "5", "100", "7", name) for name in DISTRIBUTION_NAMES),
    choice("numbers", "discrete", "0.5", "0.10", "2"),
    choice("words", "discrete", "a", "b"),
    choice("optimizer", "categorical", "sgd", "adam", "ftrl"),
)

SPACES: dict[str, tuple[ParameterSpec, ...]] = {
    "every kind": _EVERY_KIND,
    "one double": (double("lr", "0.01", "0.03"),),
    "one int": (integer("layers", "1", "5"),),
    "one list": (choice("optimizer", "categorical", "sgd", "adam", "ftrl"),),
    "one point": (choice("optimizer", "categorical", "sgd"), integer("layers", "3", "3"), double("lr", "0.1", "0.1")),
    "two doubles": (double("x", "-5", "10"), double("y", "0", "15")),
    "manifest": (
        double("lr", "0.01", "0.05", "0.005"),
        integer("layers", "1", "3"),
        choice("optimizer", "categorical", "sgd", "adam"),
    ),
    "weighted": (integer("units", "1", "40", "", "logUniform"), choice("words", "discrete", "a", "b")),
    "fifty": tuple(_EVERY_KIND[index % len(_EVERY_KIND)] for index in range(50)),
    "huge": (
        double("double", "-1.7e308", "1.7e308"),
        integer("int", "-9223372036854775808", "9223372036854775807"),
        integer("stepped", "0", "9223372036854775808", "3"),
    ),
    "logarithms": (
        double("wide", "1e-300", "1e300", "", "logUniform"),
        double("bell", "1e-8", "1e-1", "", "logNormal"),
        integer("int", "1", "9223372036854775807", "", "logUniform"),
    ),
    "negative": (
        double("normal", "-3", "-1", "", "normal"),
        integer("int", "-10", "-1", "2"),
        double("s", "-1", "1", "0.3"),
    ),
}
SPACES["fifty"] = tuple(
    ParameterSpec(f"{spec.name}-{index}", spec.parameter_type, spec.feasible_space)
    for index, spec in enumerate(SPACES["fifty"])
)

RESTRICTED: dict[str, tuple[tuple[ParameterSpec, ...], str, str]] = {
    "tied together": (
        (
            choice("optimizer", "categorical", "sgd", "adam"),
            double("momentum", "0", "0.99"),
            integer("layers", "1", "3"),
            integer("units-2", "1", "64", "", "logUniform"),
            double("low", "0", "1"),
            double("high", "0", "1"),
        ),
        "momentum: optimizer == sgd else 0.5; units-2: layers >= 2 and momentum < 0.9",
        "low < high; layers * high <= 2",
    ),
    "finite, tied together": (
        (
            choice("kind", "categorical", "a", "b", "c"),
            integer("depth", "1", "4"),
            choice("width", "discrete", "8", "16", "32"),
            choice("extra", "categorical", "on", "off"),
        ),
        "width: kind in (b, c) else 16; extra: kind == c and depth > 2",
        "depth * width <= 64",
    ),
}
"""Parameters, conditions and constraints: spaces of which not all points may be proposed."""

_OUTCOMES: tuple[Outcome, ...] = (
    "succeeded",
    "succeeded",
    "succeeded",
    "failed",
    "early-stopped",
    "succeeded",
    "killed",
    "metrics-unavailable",
)
_ODD_OBJECTIVES = (math.nan, math.inf, -math.inf, 1e308, 0.5, 0.5, -1e308, 0.0)


def restricted_space(specs: tuple[ParameterSpec, ...], conditions: str, constraints: str) -> SearchSpace:
    """A space with conditions and constraints, as an Experiment states them."""
    return space_of(specs, split_settings([Setting(CONDITIONS, conditions), Setting(CONSTRAINTS, constraints)]))


class History:
    """One run of an algorithm: what was proposed, what has ended and how. Ends Trials in an order of its own."""

    def __init__(self, *, odd: bool) -> None:
        self.odd = odd
        self.proposals: list[Proposal] = []
        self.active: dict[int, ProposedTrial] = {}
        self.finished: list[FinishedTrial] = []

    def ask(self, algorithm: Algorithm, count: int) -> Sequence[Proposal]:
        """Asks for more and writes the proposals down as active Trials."""
        proposals = algorithm.ask(self.request(count))
        for proposal in proposals:
            index = len(self.proposals)
            self.proposals.append(proposal)
            self.active[index] = ProposedTrial(index, f"trial-{index}", proposal.values, proposal.labels)
        return proposals

    def request(self, count: int) -> Ask:
        """The request for `count` more."""
        return Ask(count, len(self.proposals), tuple(self.active.values()))

    def finish(self, algorithm: Algorithm, count: int) -> None:
        """Ends some active Trials, not the oldest first, and tells the algorithm."""
        ended: list[FinishedTrial] = []
        for _ in range(min(count, len(self.active))):
            keys = list(self.active)
            trial = self.active.pop(keys[words(7, len(self.finished) + len(ended), 1)[0] % len(keys)])
            ended.append(self._result(trial))
        self.finished.extend(ended)
        algorithm.tell(ended)

    def _result(self, trial: ProposedTrial) -> FinishedTrial:
        word = words(11, trial.index, 1)[0]
        outcome = _OUTCOMES[word % len(_OUTCOMES)]
        objective: float | None = unit_of(word)
        if self.odd:
            objective = _ODD_OBJECTIVES[trial.index % len(_ODD_OBJECTIVES)]
        if outcome in ("failed", "killed", "metrics-unavailable"):
            objective = None
        metrics = {} if objective is None else {"objective": objective}
        return FinishedTrial(trial.index, trial.name, trial.values, outcome, objective, metrics, trial.labels)


class _Suite:
    """What the suites share: the algorithm under test and the spaces that it accepts."""

    info: ClassVar[AlgorithmInfo]
    settings: ClassVar[Mapping[str, str]] = {}
    spaces: ClassVar[Mapping[str, tuple[ParameterSpec, ...]]] = SPACES
    restricted: ClassVar[Mapping[str, tuple[tuple[ParameterSpec, ...], str, str]]] = RESTRICTED
    rounds: ClassVar[int] = 12

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Gives each test the spaces that the algorithm's rules accept."""
        every = {name: SearchSpace.from_specs(specs) for name, specs in self.spaces.items()}
        every.update({name: restricted_space(*stated) for name, stated in self.restricted.items()})
        spaces = {name: space for name, space in every.items() if self.takes(space)}
        if "space" in metafunc.fixturenames:
            metafunc.parametrize("space", list(spaces.values()), ids=list(spaces))
        if "small" in metafunc.fixturenames:
            small = {name: space for name, space in spaces.items() if space.size is not None and space.size <= 100}
            metafunc.parametrize("small", list(small.values()), ids=list(small))

    def accepts(self, specs: tuple[ParameterSpec, ...]) -> bool:
        """Whether the algorithm's own rules let it search a space."""
        return self.takes(SearchSpace.from_specs(specs))

    def takes(self, space: SearchSpace) -> bool:
        """The same of a space that has been made."""
        problem = self.problem(space)
        settings = self.info.read_settings(self.stated(0), path="settings")
        return not any(rule(problem, settings) for rule in self.info.rules)

    def problem(self, space: SearchSpace) -> Problem:
        """What the algorithm is to work on."""
        objective = ObjectiveSpec(type="maximize", objective_metric_name="objective")
        return Problem(
            space=space,
            objective=objective,
            experiment_name="conformance",
            max_trial_count=200,
            parallel_trial_count=3,
        )

    def stated(self, seed: int) -> tuple[Setting, ...]:
        """The settings of a test; the seed is stated too where it can be."""
        seeded = {"random_state": str(seed)} if any(s.name == "random_state" for s in self.info.settings) else {}
        return tuple(Setting(name, value) for name, value in {**seeded, **self.settings}.items())

    def create(self, space: SearchSpace, *, seed: int = 1) -> Algorithm:
        """A fresh instance."""
        settings = self.info.read_settings(self.stated(seed), path="settings")
        made = self.info.create(self.problem(space), settings, seed=seed)
        return Guarded(made, space) if space.restricted else made  # as whoever asks for it by name gets it

    def live(self, algorithm: Algorithm, *, rounds: int, odd: bool = False) -> History:
        """Some rounds of asking for one to three proposals and ending about as many Trials."""
        history = History(odd=odd)
        for turn in range(rounds):
            history.ask(algorithm, 1 + turn % 3)
            history.finish(algorithm, 1 + (turn + 1) % 3)
        return history


class AlgorithmConformance(_Suite):
    """Holds for every search algorithm."""

    def test_it_inherits_the_suites_of_what_it_promises(self) -> None:
        assert isinstance(self, OneByOneConformance) == self.info.one_by_one
        assert isinstance(self, ExhaustionConformance) == self.info.exhausts

    def test_it_searches_some_of_the_spaces(self) -> None:
        assert any(self.accepts(specs) for specs in self.spaces.values())

    @pytest.mark.parametrize("odd", [False, True], ids=["plain results", "odd results"])
    def test_proposals_stay_in_the_space_and_on_its_steps(self, space: SearchSpace, odd: bool) -> None:
        history = self.live(self.create(space), rounds=self.rounds, odd=odd)

        assert history.proposals
        outside = [proposal.values for proposal in history.proposals if not space.contains(proposal.values)]
        assert outside == []

    def test_proposals_read_back_from_their_assignments(self, space: SearchSpace) -> None:
        history = self.live(self.create(space), rounds=3)

        values = [proposal.values for proposal in history.proposals]
        assert [space.parse(space.format(point)) for point in values] == values

    @pytest.mark.parametrize("odd", [False, True], ids=["plain results", "odd results"])
    @pytest.mark.parametrize("rounds", [1, 4, 12], ids=lambda rounds: f"{rounds} rounds")
    def test_an_instance_told_the_history_goes_on_like_the_one_that_lived_it(
        self, space: SearchSpace, rounds: int, odd: bool
    ) -> None:
        warm = self.create(space)
        history = self.live(warm, rounds=rounds, odd=odd)
        cold = self.create(space)
        shuffled = sorted(history.finished, key=lambda trial: words(13, trial.index, 1)[0])
        middle = len(shuffled) // 2
        cold.tell(shuffled[:middle])
        cold.tell(shuffled[middle:])

        assert list(cold.ask(history.request(2))) == list(warm.ask(history.request(2)))

    def test_asking_twice_without_news_gives_the_same_answer(self, space: SearchSpace) -> None:
        algorithm = self.create(space)
        history = self.live(algorithm, rounds=5)

        assert list(algorithm.ask(history.request(3))) == list(algorithm.ask(history.request(3)))

    def test_the_same_seed_gives_the_same_proposals(self, space: SearchSpace) -> None:
        first = self.live(self.create(space, seed=5), rounds=5)
        second = self.live(self.create(space, seed=5), rounds=5)

        assert first.proposals == second.proposals

    def test_different_seeds_give_different_proposals(self) -> None:
        name = next((n for n in ("two doubles", "every kind", "manifest") if self.accepts(self.spaces[n])), None)
        assert name is not None
        space = SearchSpace.from_specs(self.spaces[name])
        runs = [[p.values for p in self.create(space, seed=seed).ask(Ask(4, 0))] for seed in range(5)]

        assert len({tuple(run) for run in runs}) == 5

    def test_many_can_be_asked_for_at_once(self, space: SearchSpace) -> None:
        proposals = self.create(space).ask(Ask(64, 0))

        assert 0 < len(proposals) <= 64
        assert all(space.contains(proposal.values) for proposal in proposals)

    def test_asking_for_none_gives_none(self, space: SearchSpace) -> None:
        assert list(self.create(space).ask(Ask(0, 0))) == []


class OneByOneConformance(_Suite):
    """Holds for algorithms that do not care how many proposals are asked for at a time."""

    def test_one_by_one_gives_what_a_batch_gives(self, space: SearchSpace) -> None:
        batch = list(self.create(space).ask(Ask(20, 0)))
        algorithm = self.create(space)
        singles = [proposal for index in range(20) for proposal in algorithm.ask(Ask(1, index))]

        assert singles == batch


class ExhaustionConformance(_Suite):
    """Holds for algorithms that come to the end of a finite space."""

    def test_it_proposes_every_point_once_and_then_none(self, small: SearchSpace) -> None:
        algorithm = self.create(small)
        history = History(odd=False)
        while len(history.ask(algorithm, 7)) == 7:
            history.finish(algorithm, 5)

        values = [proposal.values for proposal in history.proposals]
        assert len(set(values)) == len(values) == small.size
        assert list(algorithm.ask(history.request(1))) == []

    def test_a_batch_larger_than_the_space_is_cut_to_it(self, small: SearchSpace) -> None:
        assert small.size is not None
        proposals = self.create(small).ask(Ask(small.size + 3, 0))

        assert len(proposals) == small.size
        assert len({proposal.values for proposal in proposals}) == small.size
