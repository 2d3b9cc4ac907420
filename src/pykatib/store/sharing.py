"""Equal parts of objects kept once. What a process builds shares its words by itself; what is decoded shares nothing.

Ten thousand Trials that are loaded would otherwise take three times the memory that they took when they were made.
"""

from typing import Any

import msgspec
from msgspec.structs import replace


class Pool:
    """Hands out the first of equal values. Lives as long as a loading; what nobody uses goes with it."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def share(self, value: Any) -> Any:
        """An equal value, of shared parts. Buffers that were larger than what is kept of them are let go."""
        kind = type(value)
        if kind is str:
            return self._values.setdefault(value, value)
        if kind is msgspec.Raw:
            return value.copy() if value else value
        if kind is dict:
            return self._share_dict(value) if value else value
        if kind is tuple:
            # Numbers are equal across types, so only tuples of words and structs can stand for each other.
            if not value or not isinstance(value[0], str | msgspec.Struct):
                return value
        elif not isinstance(value, msgspec.Struct):
            return value
        try:
            known = self._values.get(value)
        except TypeError:  # something within cannot be hashed
            return self._of_shared_parts(value)
        if known is None:
            known = self._of_shared_parts(value)
            self._values[known] = known
        return known

    def _share_dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        shared = {self.share(key): self.share(item) for key, item in value.items()}
        key = (dict, *shared.items())
        try:
            known: dict[Any, Any] = self._values.setdefault(key, shared)
        except TypeError:
            return shared
        return known

    def _of_shared_parts(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple([self.share(item) for item in value])
        changed = {}
        for name in value.__struct_fields__:
            part = getattr(value, name)
            shared = self.share(part)
            if shared is not part:
                changed[name] = shared
        return replace(value, **changed) if changed else value
