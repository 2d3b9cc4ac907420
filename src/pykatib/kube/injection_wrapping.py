"""The command of a primary container, run by a few lines of shell that its collector relies on.

The words of the command stay words: they are handed on as the script's arguments and no shell reads them again, so
quotes, newlines and `$(VAR)` mean what they meant. The program's exit code is the container's, signals reach the
program, and what it prints is still what `kubectl logs` shows.

The script (`injection_wrapper.sh`) is POSIX, and writes down how the program ended where the collector can read it,
whoever of the two started first. It also holds a FIFO open for as long as it lives: that it was killed, and so wrote
nothing, shows there.

It takes `sh`, `mkfifo` and, for StdOut, `tee` of the user's image; one that lacks them says so when it starts.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

EXIT_FILE: Final = "exit"
STOP_SECONDS: Final = 30
"""How long a program that is stopped early may take to end, before it is killed."""


def _script() -> str:
    lines = (line.strip() for line in files("pykatib.kube").joinpath("injection_wrapper.sh").read_text().splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


SCRIPT: Final = _script()


def wrapped_command(
    *, control_folder: str, log_path: str, is_stoppable: bool, stop_seconds: int = STOP_SECONDS
) -> list[str]:
    """The `command` of a container whose `args` are the program's words; no `log_path` where output is not kept."""
    seconds = str(stop_seconds) if is_stoppable else ""
    return ["sh", "-c", SCRIPT.replace("$", "$$"), "katib", control_folder, log_path, seconds]


def whole_command(command: Sequence[str], args: Sequence[str]) -> list[str]:
    """The words that a container runs; none where only its image knows."""
    return [*command, *args] if command else []
