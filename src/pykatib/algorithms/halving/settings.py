"""Settings of the three algorithms as what they mean, and what is wrong with them."""

from collections.abc import Sequence

import msgspec

from pykatib.algorithms.description import Settings, nearest
from pykatib.algorithms.halving.ladder import Ladder, range_of
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.restricted import RestrictedSpace
from pykatib.api.errors import FieldError

PATH = "spec.algorithm.algorithmSettings"


def resource_place(problem: Problem, settings: Settings) -> int:
    """The place of the resource among the parameters; ValueError where there is none of that name."""
    name = settings.get("resource_name")
    if name is None:
        raise ValueError(f"resource_name is missing: which of {', '.join(problem.space.names)} is the resource")
    if name not in problem.space.names:
        raise ValueError(f"resource_name {name} is no parameter; {nearest(str(name), problem.space.names)}")
    return problem.space.names.index(str(name))


def ladder_of(problem: Problem, settings: Settings) -> Ladder:
    """The levels; ValueError where the settings make none.

    `r_l` is Katib's name for all of the resource; without it that is the end of the parameter's range.
    """
    parameter = problem.space.parameters[resource_place(problem, settings)]
    most = _number(settings, "r_l")
    if most is None:
        try:
            most = range_of(parameter)[1]
        except ValueError as error:
            raise ValueError(f"resource_name {error}") from None
    try:
        return Ladder(parameter, most=most, eta=eta_of(settings), least=_number(settings, "r_min"))
    except ValueError as error:
        raise ValueError(f"r_l {error}") from None


def eta_of(settings: Settings) -> float:
    """By which factor the resource grows from level to level, and the configurations become fewer."""
    eta = _number(settings, "eta")
    assert eta is not None, "it has a default"
    return eta


def random_share(settings: Settings) -> float:
    """Which part of the configurations is random though there is a model."""
    share = _number(settings, "random_fraction")
    return 1 / 3 if share is None else share


def makes_a_ladder(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """The rule that the resource is a parameter and that there are levels of it."""
    try:
        ladder = ladder_of(problem, settings)
    except ValueError as error:
        return (FieldError(PATH, str(error)),)
    space = problem.space
    if not isinstance(space, RestrictedSpace):
        return ()
    place = resource_place(problem, settings)
    if any(place == each.place or place in each.expression.places for each in space.restrictions.conditions):
        text = f"conditions name {space.names[place]}, the resource: it grows while a configuration stays the same"
        return (FieldError(PATH, text),)
    configurations = space.without(place, ladder.values)
    if isinstance(configurations, RestrictedSpace) and not configurations.has_points:
        text = f"constraints leave no configuration that keeps to them at every level of {space.names[place]}"
        return (FieldError(PATH, text),)
    return ()


def states_its_end(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """The rule that r_l is stated, as Katib demands of hyperband."""
    if settings.get("r_l") is not None:
        return ()
    return (FieldError(PATH, "r_l is missing: how much of the resource is all of it"),)


def with_room_for_the_resource(problem: Problem, settings: Settings) -> Problem:
    """The problem in whose space every level is; the same where its range is no placeholder."""
    space = problem.space.replaced(ladder_of(problem, settings).parameter)
    return msgspec.structs.replace(problem, space=space)


def _number(settings: Settings, name: str) -> float | None:
    value = settings.get(name)
    return float(value) if isinstance(value, int | float) else None
