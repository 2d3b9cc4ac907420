"""Several objectives: which metrics count beside the objective's own, and in which direction.

Katib's Experiment has one objective and additional metrics without a direction. The algorithm setting `objectives`
gives some of those one: `latency:minimize, size:minimize`. The objective itself always counts, in the direction of its
type; it may be named, but not turned around. The setting stays a text of the manifest, so Katib's schema holds it.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from pykatib.api import names
from pykatib.api.experiment import ExperimentSpec
from pykatib.api.shared import ObjectiveSpec

OBJECTIVES_SETTING: Final = "objectives"
EXAMPLE: Final = "latency:minimize, size:minimize"
_WORDS: Final = (names.MINIMIZE, names.MAXIMIZE)


class Direction(NamedTuple):
    """A metric that counts, and whether more of it is better."""

    metric: str
    maximise: bool

    def loss(self, value: float) -> float:
        """The value turned so that less is better."""
        return -value if self.maximise else value


def directions_of(spec: ExperimentSpec) -> tuple[Direction, ...]:
    """The objectives of an Experiment that has several, its own first; empty where there is one, or a mistake."""
    settings = spec.algorithm.algorithm_settings if spec.algorithm is not None else ()
    text = next((setting.value for setting in settings if setting.name == OBJECTIVES_SETTING), None)
    if text is None or spec.objective is None:
        return ()
    try:
        return read_directions(text, spec.objective)
    except ValueError:
        return ()


def read_directions(text: str, objective: ObjectiveSpec) -> tuple[Direction, ...]:
    """The objectives that a setting means, the objective's own metric first; ValueError says what was expected."""
    own = Direction(objective.objective_metric_name, objective.type == names.MAXIMIZE)
    found = [own]
    seen: set[str] = set()
    for part in text.split(","):
        direction = _read_one(part.strip(), objective)
        if direction.metric in seen:
            raise ValueError(f"names {direction.metric} more than once")
        seen.add(direction.metric)
        if direction.metric != own.metric:
            found.append(direction)
        elif direction != own:
            raise ValueError(
                f"says {part.strip()}, but the objective's type is {objective.type}; change that, not this"
            )
    if len(found) == 1:
        raise ValueError(
            f"names no metric beside the objective {own.metric}; "
            "with one objective leave the setting out, and take another algorithm"
        )
    return tuple(found)


def _read_one(part: str, objective: ObjectiveSpec) -> Direction:
    metric, colon, word = (piece.strip() for piece in part.rpartition(":"))
    if not colon or not metric:
        raise ValueError(f"must name metrics with their directions, as in {EXAMPLE!r}; found {part!r}")
    if word not in _WORDS:
        raise ValueError(f"must say minimize or maximize of {metric}, found {word!r}{_hint(word, _WORDS)}")
    if metric not in objective.metric_names:
        known = ", ".join(objective.additional_metric_names)
        raise ValueError(
            f"names {metric!r}, which is not in spec.objective.additionalMetricNames"
            f" ({known or 'there are none'}){_hint(metric, objective.metric_names)}"
        )
    return Direction(metric, word == names.MAXIMIZE)


def _hint(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
