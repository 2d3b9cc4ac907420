"""The search algorithms, the early stopping methods and their settings, told from their own descriptions.

A name may be both: `asha` and `hyperband` are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pykatib.algorithms import registry
from pykatib.algorithms.description import SettingInfo, nearest
from pykatib.algorithms.stopping import registry as stopping
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.cli import words

_HEADER = ("NAME", "SUMMARY", "SETTINGS")


def overview_lines() -> Iterator[str]:
    """Tables of all; an algorithm whose package cannot be loaded is told as such."""
    yield "Search algorithms (spec.algorithm):"
    rows = []
    for name in registry.names():
        try:
            info = registry.info(name)
        except InvalidInput as error:
            rows.append((name, str(error), ""))
            continue
        package = registry.package_of(name)
        rows.append(
            (
                name,
                f"{info.summary} [{package}]" if package else info.summary,
                ", ".join(setting.name for setting in info.settings),
            )
        )
    yield from words.columns(_HEADER, rows)
    yield ""
    yield "Early stopping (spec.earlyStopping):"
    methods = [stopping.info(name) for name in stopping.names()]
    rows = [(info.name, info.summary, ", ".join(setting.name for setting in info.settings)) for info in methods]
    yield from words.columns(_HEADER, rows)


def lines_of(name: str) -> Iterator[str]:
    """All that is called so. Raises InvalidInput where there is nothing of that name."""
    is_search, is_stopping = _kinds_of(name)
    if is_search:
        yield from _search_lines(name)
    if is_search and is_stopping:
        yield ""
    if is_stopping:
        yield from _stopping_lines(name)


def _kinds_of(name: str) -> tuple[bool, bool]:
    is_search, is_stopping = name in registry.names(), name in stopping.names()
    if not is_search and not is_stopping:
        known = [*registry.names(), *stopping.names()]
        raise InvalidInput([FieldError("", f"unknown algorithm {name!r}; {nearest(name, known)}")])
    return is_search, is_stopping


def _stopping_lines(name: str) -> Iterator[str]:
    info = stopping.info(name)
    yield f"Early stopping {info.name}: {info.summary}"
    if not info.compares:
        yield "It judges each Trial by itself."
    if info.katib:
        yield f"An existing Katib cannot be served with it: {info.katib}."
    yield from _setting_lines(info.settings)


def _search_lines(name: str) -> Iterator[str]:
    info = registry.info(name)
    yield f"{info.name}: {info.summary}"
    package = registry.package_of(name)
    if package:
        yield f"It comes from the package {package}."
    for holds, text in (
        (info.exhausts, "Proposes each point of a finite space once, then ends the Experiment."),
        (info.architecture, "Searches for an architecture: it reads spec.nasConfig instead of spec.parameters."),
    ):
        if holds:
            yield text
    yield from _setting_lines(info.settings)


def _setting_lines(settings: Sequence[SettingInfo]) -> Iterator[str]:
    if not settings:
        yield "It has no settings."
        return
    yield "Settings:"
    for setting in settings:
        default = "" if setting.default is None else f" [default: {setting.default}]"
        yield f"  {setting.name}: {setting.expected}{default}"
        yield f"      {setting.help}"


def documents() -> list[dict[str, Any]]:
    """All of them as plain JSON."""
    return [_readable_document(name) for name in registry.names()] + [
        _stopping_document(name) for name in stopping.names()
    ]


def documents_of(name: str) -> list[dict[str, Any]]:
    """All that is called so, as plain JSON. Raises InvalidInput where there is nothing of that name."""
    is_search, is_stopping = _kinds_of(name)
    found = [_search_document(name)] if is_search else []
    return [*found, _stopping_document(name)] if is_stopping else found


def _readable_document(name: str) -> dict[str, Any]:
    try:
        return _search_document(name)
    except InvalidInput as error:  # of a package: it must not hide the others
        return {"name": name, "kind": "search", "package": registry.package_of(name), "error": str(error)}


def _search_document(name: str) -> dict[str, Any]:
    info = registry.info(name)
    return {
        "name": info.name,
        "kind": "search",
        "package": registry.package_of(name) or "pykatib",
        "summary": info.summary,
        "exhausts": info.exhausts,
        "architecture": info.architecture,
        "settings": _setting_documents(info.settings),
    }


def _stopping_document(name: str) -> dict[str, Any]:
    info = stopping.info(name)
    return {
        "name": info.name,
        "kind": "early stopping",
        "summary": info.summary,
        "compares": info.compares,
        "settings": _setting_documents(info.settings),
    }


def _setting_documents(settings: Sequence[SettingInfo]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "kind": one.kind, "expected": one.expected, "default": one.default, "help": one.help}
        for one in settings
    ]
