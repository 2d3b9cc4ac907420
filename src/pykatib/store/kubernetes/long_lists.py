"""Lists that grow with every Trial, kept small on the wire."""

from typing import Any

from pykatib.api.objects import ConfigMap, Object, Secret

WIRE_FIELDS: dict[str, dict[str, Any]] = {}


def shortened(obj: Object) -> Any:
    """The status as it is written."""
    assert not isinstance(obj, ConfigMap | Secret)
    return obj.status
