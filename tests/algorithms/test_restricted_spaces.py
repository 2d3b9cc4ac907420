"""Conditions and constraints: what they allow, what is refused, and that pykatib's algorithms keep to them alone."""

import json
from collections.abc import Mapping

import pytest

from pykatib import search, tune
from pykatib.algorithms.conformance import RESTRICTED, AlgorithmConformance, choice, double, integer, restricted_space
from pykatib.algorithms.contract import Ask
from pykatib.algorithms.randomness import words
from pykatib.algorithms.registry import check, create, info
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

SPECS = (
    choice("optimizer", "categorical", "sgd", "adam"),
    double("momentum", "0", "0.9", "0.1"),
    integer("a", "1", "10"),
    integer("b", "1", "10"),
)
MODELLED = ("cmaes", "bayesianoptimization", "tpe", "multivariate-tpe", "regularized-evolution")


def experiment(algorithm: str = "random", **settings: str) -> Experiment:
    return Experiment(
        metadata=ObjectMeta(name="restricted"),
        spec=ExperimentSpec(
            parameters=SPECS,
            objective=ObjectiveSpec(type="minimize", objective_metric_name="loss"),
            algorithm=AlgorithmSpec(algorithm, tuple(Setting(name, value) for name, value in settings.items())),
            max_trial_count=100,
        ),
    )


def test_points_alike_but_for_inactive_parameters_are_one() -> None:
    space = restricted_space(SPECS[:2], "momentum: optimizer == sgd else 0.5", "")

    assert space.size == 10 + 1
    assert [space.at(index) for index in range(11)][-1] == ("adam", 0.5)


def test_the_points_of_a_constrained_space_are_counted_exactly() -> None:
    space = restricted_space(SPECS, "", "a < b")

    assert space.size == 2 * 10 * 45
    assert all(space.index_of(space.at(index)) == index for index in range(space.size))


def test_what_is_not_allowed_is_moved_to_the_border_and_no_farther() -> None:
    space = restricted_space((double("x", "0", "1"), double("y", "0", "1")), "", "x + y <= 1")
    x, y = space.repaired((0.9, 0.8))

    assert 0.999 < float(x) + float(y) <= 1


def test_random_points_of_a_narrow_space_are_allowed() -> None:
    space = restricted_space((double("x", "0", "1"), double("y", "0", "1")), "", "x < y < x + 0.0003")
    points = [space.from_words(words(1, index, 2)) for index in range(20)]

    assert all(space.contains(point) for point in points)
    assert len(set(points)) == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conditions": "a: b > 3; b: a > 3"}, "circle: a → b → a"),
        ({"conditions": "momentum: optimizer == sgdd"}, "did you mean sgd"),
        ({"conditions": "momentun: optimizer == sgd"}, "did you mean momentum"),
        ({"conditions": "momentum: a == 99"}, "never active"),
        ({"conditions": "momentum: optimizer == sgd else 7"}, "else 7 is not among"),
        ({"conditions": "momentum optimizer"}, "no colon"),
        ({"constraints": "a + b > 20"}, "no combination"),
        ({"constraints": "a < foo"}, "column 5"),
        ({"constraint": "a < b"}, "did you mean constraints"),
        ({"points": "[1]"}, '{"parameters"'),
        ({"points": '[{"parameters": {"a": 1}}]'}, "lacks optimizer, momentum, b"),
        ({"warm_start": "earlier"}, "cannot be looked up"),
    ],
)
def test_a_mistake_is_refused_at_its_setting(settings: Mapping[str, str], message: str) -> None:
    errors = check(experiment(**settings))

    assert len(errors) == 1
    assert message in errors[0].message
    assert errors[0].path.startswith("spec.algorithm.algorithmSettings[0]")


class _Lives(AlgorithmConformance):
    """Only its helpers are used."""

    __test__ = False


@pytest.mark.parametrize("name", MODELLED)
@pytest.mark.parametrize("stated", RESTRICTED.values(), ids=list(RESTRICTED))
def test_an_algorithm_keeps_to_the_space_without_a_guard(name: str, stated: tuple[tuple, str, str]) -> None:  # type: ignore[type-arg]
    space = restricted_space(*stated)
    suite = _Lives()
    suite.info = info(name)  # type: ignore[misc]
    algorithm = suite.info.create(suite.problem(space), suite.info.read_settings((), path=""), seed=1)
    history = suite.live(algorithm, rounds=8)

    assert [p.values for p in history.proposals if not space.contains(p.values)] == []


@pytest.mark.parametrize("name", ["random", "grid", "sobol", "tpe"])
def test_given_points_come_first_and_only_once(name: str) -> None:
    point = {"optimizer": "sgd", "momentum": 0.3, "a": 2, "b": 7}
    space, algorithm = create(experiment(name, points=json.dumps([{"parameters": point}])), seed=3)
    proposals = (
        [each.values for each in algorithm.ask(Ask(2000, 0))]
        if name != "tpe"
        else [each.values for each in algorithm.ask(Ask(20, 0))]
    )

    assert proposals[0] == ("sgd", 0.3, 2, 7)
    assert len(set(proposals)) == len(proposals) == (20 if name == "tpe" else space.size)


def test_a_known_result_is_told_and_not_proposed_again() -> None:
    point = {"optimizer": "sgd", "momentum": 0.3, "a": 2, "b": 7}
    stated = experiment("tpe", points=json.dumps([{"parameters": point, "value": 0.1}]))
    space, algorithm = create(stated, seed=3)
    proposals = [each.values for each in algorithm.ask(Ask(64, 0))]

    assert space.size == 2000
    assert ("sgd", 0.3, 2, 7) not in proposals


def test_a_function_is_tuned_within_its_constraints() -> None:
    result = tune(
        objective=lambda p: p["a"] * p["b"],
        parameters={"a": search.int(1, 50), "b": search.int(1, 50)},
        algorithm_name="tpe",
        algorithm_settings={"constraints": "a * b <= 100", "random_state": 1},
        max_trial_count=15,
        run_in="inline",
        progress=False,
    )

    assert all(trial.parameters["a"] * trial.parameters["b"] <= 100 for trial in result.trials)
    with pytest.raises(InvalidInput, match="column 5"):
        tune(
            objective=lambda p: 0,
            parameters={"a": search.int(1, 5)},
            algorithm_settings={"constraints": "a < x"},
            max_trial_count=1,
            run_in="inline",
            progress=False,
        )
