"""What reading a worker job brings to light: reasons to refuse it, and things to be said once."""

from pykatib.api.errors import FieldError


class Findings:
    """Collects refusals and warnings, each with the path of the field within the job, none twice."""

    def __init__(self) -> None:
        self._refusals: dict[FieldError, None] = {}
        self._warnings: dict[FieldError, None] = {}

    def refuse(self, path: str, message: str) -> None:
        """The job cannot run here."""
        self._refusals[FieldError(path, message)] = None

    def warn(self, path: str, message: str) -> None:
        """The job runs, but not in all as its manifest says. Texts name no Trial, so that equal ones are said once."""
        self._warnings[FieldError(path, message)] = None

    @property
    def refusals(self) -> tuple[FieldError, ...]:
        """The refusals, in order of discovery."""
        return tuple(self._refusals)

    @property
    def warnings(self) -> tuple[FieldError, ...]:
        """The warnings, in order of discovery."""
        return tuple(self._warnings)
