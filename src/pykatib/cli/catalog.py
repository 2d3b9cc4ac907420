"""The algorithms and their settings, told from their own descriptions."""

from collections.abc import Iterator
from typing import Any

from pykatib.algorithms import registry
from pykatib.api.errors import InvalidInput
from pykatib.cli import words


def overview_lines() -> Iterator[str]:
    """A table of all algorithms; one whose package cannot be loaded is told as such."""
    rows = []
    for name in registry.names():
        try:
            info = registry.info(name)
        except InvalidInput as error:
            rows.append((name, "", str(error)))
            continue
        rows.append((name, ", ".join(setting.name for setting in info.settings), info.summary))
    yield from words.columns(("NAME", "SETTINGS", "SUMMARY"), rows)


def algorithm_lines(name: str) -> Iterator[str]:
    """One algorithm. Raises InvalidInput where there is none of that name."""
    info = registry.info(name)
    yield f"{info.name}: {info.summary}"
    for holds, text in (
        (info.exhausts, "Proposes each point of a finite space once, then ends the Experiment."),
        (info.architecture, "Searches for an architecture: it reads spec.nasConfig instead of spec.parameters."),
    ):
        if holds:
            yield text
    if not info.settings:
        yield "It has no settings."
        return
    yield "Settings:"
    for setting in info.settings:
        default = "" if setting.default is None else f" [default: {setting.default}]"
        yield f"  {setting.name}: {setting.expected}{default}"
        yield f"      {setting.help}"


def algorithm_document(name: str) -> dict[str, Any]:
    """One algorithm as plain JSON. Raises InvalidInput where there is none of that name."""
    info = registry.info(name)
    return {
        "name": info.name,
        "summary": info.summary,
        "exhausts": info.exhausts,
        "architecture": info.architecture,
        "settings": [
            {"name": one.name, "kind": one.kind, "expected": one.expected, "default": one.default, "help": one.help}
            for one in info.settings
        ],
    }
