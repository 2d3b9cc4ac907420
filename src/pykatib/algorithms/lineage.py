"""Trials that continue others: which one each goes on from, as labels that Trials carry.

An algorithm that proposes to continue a Trial says so in labels, in Katib's words for population based training:
`<algorithm>.suggestion.katib.kubeflow.org/parent` is the Trial whose checkpoint folder is copied before the new one
starts, `…/generation` how many steps its line has made, `…/member` the line that it belongs to. Runners read them
whatever the algorithm; the label of a member is pykatib's own, and without one nothing is known of a Trial's line.

`Lines` is the rule by which folders may be removed. It needs one promise: whoever proposes names as parent the latest
Trial with a result of some line, or repeats the parent of a Trial that has failed.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

_SUFFIX: Final = ".suggestion.katib.kubeflow.org"

LineState: TypeAlias = Literal["unfinished", "without result", "with result"]


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a Trial comes from. `parent` is empty for one that begins by itself, `member` where it is not known."""

    generation: int
    parent: str = ""
    member: str = ""

    def labels(self, algorithm: str) -> dict[str, str]:
        """The labels that say so. Names of Trials fit into values, which may have 63 characters."""
        prefix = f"{algorithm}{_SUFFIX}"
        labels = {f"{prefix}/generation": str(self.generation)}
        if self.parent:
            labels[f"{prefix}/parent"] = self.parent
        if self.member:
            labels[f"{prefix}/member"] = self.member
        return labels


def lineage_of(labels: Mapping[str, str] | None) -> Lineage | None:
    """What a Trial's labels say of where it comes from; None where they say nothing."""
    found: dict[str, str] = {}
    for key, value in (labels or {}).items():
        prefix, _, name = key.partition("/")
        if name and prefix.endswith(_SUFFIX):
            found[name] = value
    generation = found.get("generation", "")
    if not generation.isdecimal():
        return None
    return Lineage(generation=int(generation), parent=found.get("parent", ""), member=found.get("member", ""))


class _Known(msgspec.Struct):
    lineage: Lineage
    state: LineState


class Lines:
    """The Trials of one Experiment that somebody can still descend from.

    A line keeps its latest Trial with a result, and whatever came after it with its parents. What that Trial has
    replaced goes only once the line has a further Trial: Trials are created in the order in which they were proposed,
    so by then every Trial that was to descend from the replaced one is there, and holds it by itself.
    """

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, _Known]] = {}  # Trials by member, then by name; those that went are left out
        self._held: dict[str, Counter[str]] = {}  # by member: how often it holds each Trial
        self._holds: Counter[str] = Counter()

    def note(self, name: str, lineage: Lineage, state: LineState) -> tuple[str, ...]:
        """Takes notice of a Trial's state; the names of those that nobody can descend from any more."""
        line = self._lines.setdefault(lineage.member, {})
        line[name] = _Known(lineage, state)
        return self._settle(lineage.member)

    def forget(self, name: str, lineage: Lineage) -> tuple[str, ...]:
        """Takes notice that a Trial is there no more."""
        self._lines.setdefault(lineage.member, {}).pop(name, None)
        return self._settle(lineage.member)

    def holds(self, name: str) -> bool:
        """Whether somebody may descend from a Trial."""
        return self._holds[name] > 0

    def _settle(self, member: str) -> tuple[str, ...]:
        line = self._lines[member]
        ordered = sorted(line.items(), key=lambda item: _place(item[0], item[1]))
        latest = max(
            (place for place, (_, known) in enumerate(ordered[:-1]) if known.state == "with result"), default=0
        )
        for name, _ in ordered[:latest]:
            del line[name]
        held: Counter[str] = Counter()
        for name, known in line.items():
            held[name] += 1
            if known.state != "with result" and known.lineage.parent:
                held[known.lineage.parent] += 1
        before = self._held.get(member, Counter())
        self._holds.update(held)
        self._holds.subtract(before)
        self._held[member] = held
        dropped = [*(name for name, _ in ordered[:latest]), *before]
        return tuple(dict.fromkeys(name for name in dropped if self._gone(name)))

    def _gone(self, name: str) -> bool:
        if self._holds[name] > 0:
            return False
        self._holds.pop(name, None)
        return True


def _place(name: str, known: _Known) -> tuple[int, bool, bool, str]:
    """A line's order: by generation; a Trial that failed comes before the one that repeats it."""
    return known.lineage.generation, known.state == "unfinished", known.state == "with result", name
