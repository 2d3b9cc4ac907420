"""Settings that every algorithm understands, because they are about the search space and not about the search.

They are `algorithmSettings` as any other, the one place that Katib's own definition, kubectl, the SDK's classes and
Katib's wire all carry unharmed (`docs/search-space.md` has the reasons). They are taken out before an algorithm
reads its own settings.

    conditions          when which parameters are active      (`pykatib.algorithms.restrictions`)
    constraints         what must hold between parameters
    points              points to begin with, with or without what they came to, as JSON
    warm_start          earlier Experiments whose Trials the algorithm is to know
    warm_start_trials   those Trials, as the control plane has found them; not for people
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pykatib.algorithms.contract import FinishedTrial, Outcome
from pykatib.algorithms.restricted import MOST_SAMPLED, RestrictedSpace
from pykatib.algorithms.restrictions import RestrictionError, Restrictions, read_conditions, read_constraints
from pykatib.algorithms.space import Point, SearchSpace
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import ParameterSpec
from pykatib.api.shared import ParameterAssignment, Setting

CONDITIONS = "conditions"
CONSTRAINTS = "constraints"
POINTS = "points"
WARM_START = "warm_start"
WARM_START_TRIALS = "warm_start_trials"
SPACE_SETTINGS = (CONDITIONS, CONSTRAINTS, POINTS, WARM_START, WARM_START_TRIALS)

PATH = "spec.algorithm.algorithmSettings"
FIRST_KNOWN_INDEX = -(1 << 40)
"""Trials that were known before the first proposal have the indexes from here on, far from any proposal's."""


class SpaceSettings(NamedTuple):
    """What an Experiment says of its space, beside its parameters, with the place of each setting."""

    own: tuple[Setting, ...]  # the settings of the algorithm
    text_by_name: Mapping[str, str]
    path_by_name: Mapping[str, str]
    paths: tuple[str, ...]  # of `own`


class KnownPoints(NamedTuple):
    """Points to propose first, and Trials to know before."""

    first: tuple[Point, ...] = ()
    known: tuple[FinishedTrial, ...] = ()


def split_settings(stated: Sequence[Setting]) -> SpaceSettings:
    """Takes the settings of the space from those of the algorithm. Raises InvalidInput where one is stated twice."""
    texts: dict[str, str] = {}
    paths: dict[str, str] = {}
    own: list[Setting] = []
    own_paths: list[str] = []
    errors: list[FieldError] = []
    for index, setting in enumerate(stated):
        here = f"{PATH}[{index}]"
        if setting.name not in SPACE_SETTINGS:
            own.append(setting)
            own_paths.append(here)
        elif setting.name in texts:
            errors.append(FieldError(f"{here}.name", f"{setting.name} is set more than once"))
        else:
            texts[setting.name] = setting.value
            paths[setting.name] = f"{here}.value"
    if errors:
        raise InvalidInput(errors)
    return SpaceSettings(tuple(own), texts, paths, tuple(own_paths))


def space_of(specs: Sequence[ParameterSpec], settings: SpaceSettings) -> SearchSpace:
    """The space of parameters with their conditions and constraints. Raises InvalidInput."""
    found = _space(tuple(specs), settings.text_by_name.get(CONDITIONS, ""), settings.text_by_name.get(CONSTRAINTS, ""))
    if isinstance(found, SearchSpace):
        return found
    name, problems = found
    raise InvalidInput([FieldError(settings.path_by_name[name], problem) for problem in problems])


@lru_cache(maxsize=16)  # counting a space out takes up to a second, and a service is asked about the same ones again
def _space(
    specs: tuple[ParameterSpec, ...], conditions: str, constraints: str
) -> SearchSpace | tuple[str, tuple[str, ...]]:
    plain = SearchSpace.from_specs(specs)
    reading = CONDITIONS
    try:
        when = read_conditions(conditions, plain.parameters)
        reading = CONSTRAINTS
        what = read_constraints(constraints, plain.parameters)
    except RestrictionError as error:
        return reading, error.problems
    if not when and not what:
        return plain
    space = RestrictedSpace(plain.parameters, Restrictions(when, what))
    problem = _emptiness(space)
    return (CONSTRAINTS, (problem,)) if problem else space


def _emptiness(space: RestrictedSpace) -> str:
    """What is to be said of a space without points; empty where there are some."""
    if space.size == 0:
        return "leave nothing to search: no combination of the values keeps to all of them" + _worst(space)
    if not space.has_points:
        return (
            f"leave nothing to search, as it seems: 0 of {MOST_SAMPLED} random points keep to all of them"
            f"{_worst(space)}; narrow the ranges to where they hold (an equality between doubles never does)"
        )
    return ""


def _worst(space: RestrictedSpace) -> str:
    """The constraints that hold nowhere by themselves."""
    nowhere = [
        repr(each.text)
        for each in space.restrictions.constraints
        if not RestrictedSpace(space.parameters, Restrictions(space.restrictions.conditions, (each,))).sampled(1)[0]
    ]
    return f" ({' and '.join(nowhere)} {'hold' if len(nowhere) > 1 else 'holds'} nowhere)" if nowhere else ""


def remarks(space: SearchSpace) -> tuple[str, ...]:
    """What is worth knowing of a space that can be searched, in sentences."""
    if not isinstance(space, RestrictedSpace):
        return ()
    found = []
    if space.uncounted:
        found.append(
            f"conditions and constraints tie {', '.join(space.uncounted)} together, which have too many combinations "
            "to be counted; a point may come twice"
        )
    if space.size is None and space.restrictions.constraints:
        points, looked_at = space.sampled(20)
        if len(points) < 20:
            found.append(
                f"{len(points)} of {looked_at} random points keep to the constraints; narrower ranges would be "
                "searched better"
            )
    return tuple(found)


def known_points(space: SearchSpace, settings: SpaceSettings) -> KnownPoints:
    """The points and Trials that the settings state.

    Raises:
        InvalidInput: a point is not of the space, or `warm_start` names Experiments that have not been looked up.
    """
    if experiments_of(settings) and WARM_START_TRIALS not in settings.text_by_name:
        message = f"names Experiments, which cannot be looked up yet; state their Trials, with values, as {POINTS}"
        raise _wrong(settings.path_by_name[WARM_START], message)
    first: list[Point] = []
    told: list[tuple[Point, dict[str, Any]]] = []
    for name in (POINTS, WARM_START_TRIALS):
        if name in settings.text_by_name:
            path = settings.path_by_name.get(name, PATH)
            for point, entry in _entries(settings.text_by_name[name], space, path):
                if "value" in entry or "outcome" in entry:
                    told.append((point, entry))
                elif point not in first:
                    first.append(point)
    return KnownPoints(
        tuple(first), tuple(_known(FIRST_KNOWN_INDEX + number, *each) for number, each in enumerate(told))
    )


def experiments_of(settings: SpaceSettings) -> tuple[str, ...]:
    """The names of the earlier Experiments to begin from."""
    text = settings.text_by_name.get(WARM_START, "")
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _known(index: int, point: Point, entry: dict[str, Any]) -> FinishedTrial:
    value = entry.get("value")
    number = float(value) if value is not None else None
    is_early = entry.get("outcome") == "early-stopped"
    outcome: Outcome = "failed" if number is None else "early-stopped" if is_early else "succeeded"
    return FinishedTrial(
        index=index,
        name=str(entry.get("trial", "")),
        values=point,
        outcome=outcome,
        objective=number,
    )


def _entries(text: str, space: SearchSpace, path: str) -> list[tuple[Point, dict[str, Any]]]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise _wrong(path, f"is no JSON: {error}") from None
    if not isinstance(entries, list):
        raise _wrong(path, 'must be a list, as in [{"parameters": {"lr": 0.1}, "value": 0.9}]')
    found: list[tuple[Point, dict[str, Any]]] = []
    errors: list[FieldError] = []
    for number, entry in enumerate(entries):
        here = f"{path}[{number}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("parameters"), dict):
            errors.append(FieldError(here, 'must be as {"parameters": {"lr": 0.1}}, with "value" if that is known'))
            continue
        unknown = set(entry) - {"parameters", "value", "outcome", "trial"}
        if unknown:
            text = f"has {', '.join(sorted(unknown))}; there are parameters and value"
            errors.append(FieldError(here, text))
        value = entry.get("value")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            errors.append(FieldError(f"{here}.value", f"must be a number, found {value!r}"))
        try:
            found.append((point_of(space, entry["parameters"], path=f"{here}.parameters"), entry))
        except InvalidInput as error:
            errors.extend(error.errors)
    if errors:
        raise InvalidInput(errors)
    return found


def point_of(space: SearchSpace, values: Mapping[str, Any], *, path: str) -> Point:
    """The point that named values mean; those of inactive parameters may be left out. Raises InvalidInput."""
    errors = [
        FieldError(f"{path}.{name}", f"is no parameter; there are {', '.join(space.names)}")
        for name in values
        if name not in space.names
    ]
    texts = {name: text_of(value) for name, value in values.items()}
    filled = [texts.get(parameter.name, parameter.format(parameter.from_unit(0.5))) for parameter in space.parameters]
    assignments = [ParameterAssignment(name, text) for name, text in zip(space.names, filled, strict=True)]
    if errors:
        raise InvalidInput(errors)
    try:
        point = space.parse(assignments)
    except InvalidInput as error:
        raise InvalidInput(
            [FieldError(f"{path}.{each.path.rpartition('.')[2]}", each.message) for each in error.errors]
        ) from None
    inactive = space.inactive(point)
    missing = [name for place, name in enumerate(space.names) if name not in texts and place not in inactive]
    if missing:
        raise _wrong(path, f"lacks {', '.join(missing)}")
    if not space.allows(point):
        broken = space.broken(point) if isinstance(space, RestrictedSpace) else ()
        raise _wrong(path, f"breaks the constraint {' and '.join(broken)}")
    return point


def text_of(value: Any) -> str:
    """A value of JSON or Python as an assignment has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)


def _wrong(path: str, message: str) -> InvalidInput:
    return InvalidInput([FieldError(path, message)])
