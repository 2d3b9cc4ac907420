"""JSON patches (RFC 6902), as small as is easily had: an admitted object keeps everything that is not spoken of."""

from collections.abc import Iterator
from typing import Any

Operation = dict[str, Any]


def additions(given: Any, wanted: Any, path: str = "") -> list[Operation]:
    """The patch that makes `given` say all that `wanted` says, and takes nothing away."""
    return list(_additions(given, wanted, path))


def differences(before: Any, after: Any, path: str = "") -> list[Operation]:
    """The patch from one tree to another."""
    return list(_differences(before, after, path))


def _additions(given: Any, wanted: Any, path: str) -> Iterator[Operation]:
    if isinstance(given, dict) and isinstance(wanted, dict):
        for name, value in wanted.items():
            below = f"{path}/{_escaped(name)}"
            if given.get(name) is None:
                if value is not None:
                    yield {"op": "add", "path": below, "value": value}
            else:
                yield from _additions(given[name], value, below)
    elif isinstance(given, list) and isinstance(wanted, list) and len(given) <= len(wanted):
        yield from _entries(given, wanted, path, _additions)
    elif given != wanted:
        yield {"op": "replace", "path": path, "value": wanted}


def _differences(before: Any, after: Any, path: str) -> Iterator[Operation]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before:
            if name not in after:
                yield {"op": "remove", "path": f"{path}/{_escaped(name)}"}
        for name, value in after.items():
            below = f"{path}/{_escaped(name)}"
            if name in before:
                yield from _differences(before[name], value, below)
            else:
                yield {"op": "add", "path": below, "value": value}
    elif isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        yield from _entries(before, after, path, _differences)
    elif before != after or type(before) is not type(after):
        yield {"op": "replace", "path": path, "value": after}


def _entries(before: list[Any], after: list[Any], path: str, compare: Any) -> Iterator[Operation]:
    for index, value in enumerate(before):
        yield from compare(value, after[index], f"{path}/{index}")
    for value in after[len(before) :]:
        yield {"op": "add", "path": f"{path}/-", "value": value}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
