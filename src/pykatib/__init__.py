"""pykatib: Katib's hyperparameter tuning, early stopping and architecture search, on a laptop or on Kubernetes.

What is listed in `__all__` is public and stays; it is loaded when it is first used, so importing this costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pykatib.api.errors import (
        AlreadyExists,
        Conflict,
        FieldError,
        HomeLocked,
        InvalidInput,
        NotFound,
        NotSupported,
        PykatibError,
        StorageFailed,
        Unavailable,
    )
    from pykatib.api.experiment import RetryPolicy
    from pykatib.api.shared import EarlyStoppingSpec, Setting
    from pykatib.sdk import search
    from pykatib.sdk.report import report_metrics
    from pykatib.sdk.result import TrialResult, TuneResult
    from pykatib.sdk.session import AskedTrial, TuningSession
    from pykatib.sdk.tune import session, tune
    from pykatib.workers.reporting import TrialStopped

__version__ = "0.1.0"

__all__ = [
    "AlreadyExists",
    "AskedTrial",
    "Conflict",
    "EarlyStoppingSpec",
    "FieldError",
    "HomeLocked",
    "InvalidInput",
    "NotFound",
    "NotSupported",
    "PykatibError",
    "RetryPolicy",
    "Setting",
    "StorageFailed",
    "TrialResult",
    "TrialStopped",
    "TuneResult",
    "TuningSession",
    "Unavailable",
    "__version__",
    "report_metrics",
    "search",
    "session",
    "tune",
]

_NAMES_BY_MODULE = {
    "pykatib.api.errors": (
        "AlreadyExists",
        "Conflict",
        "FieldError",
        "HomeLocked",
        "InvalidInput",
        "NotFound",
        "NotSupported",
        "PykatibError",
        "StorageFailed",
        "Unavailable",
    ),
    "pykatib.api.experiment": ("RetryPolicy",),
    "pykatib.api.shared": ("EarlyStoppingSpec", "Setting"),
    "pykatib.sdk": ("search",),
    "pykatib.sdk.report": ("report_metrics",),
    "pykatib.sdk.result": ("TrialResult", "TuneResult"),
    "pykatib.sdk.session": ("AskedTrial", "TuningSession"),
    "pykatib.sdk.tune": ("session", "tune"),
    "pykatib.workers.reporting": ("TrialStopped",),
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _MODULE_BY_NAME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = import_module(f"{home}.{name}") if home == "pykatib.sdk" else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
