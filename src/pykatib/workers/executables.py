"""Whether the program of a container can be started here, asked before anything starts.

Only what can be known is judged: a file that an init container, or another process, may still make is left alone.
"""

import functools
import os
import shutil
from pathlib import Path
from typing import Final

from pykatib.workers.volumes import PlannedFile

PYTHON_NAMES: Final = ("python", "python3")
_INTERPRETERS: Final = (*PYTHON_NAMES, "sh", "bash")
_PLAIN_OPTIONS: Final = ("-u", "-B", "-O", "-OO", "-I", "-E", "-s", "-S", "-e", "-x")


def python_folders(python: str, folder: Path) -> tuple[tuple[str, ...], tuple[PlannedFile, ...]]:
    """The folders to search first so that `python` is this one, and small programs to write into `folder` for that.

    An interpreter whose folder has no `python` or `python3`, as in some systems, is called by a program of that name;
    a symbolic link would not do, since a virtual environment is found by the place of the link.
    """
    home = os.path.dirname(python)
    missing = _missing_pythons(home)
    if not missing:
        return (home,), ()
    text = f"#!/bin/sh\nexec '{python}' \"$@\"\n".encode()
    return (str(folder), home), tuple(PlannedFile(folder / name, text, 0o755) for name in missing)


@functools.cache
def _missing_pythons(folder: str) -> tuple[str, ...]:
    return tuple(name for name in PYTHON_NAMES if not os.access(os.path.join(folder, name), os.X_OK))


def is_absent_python(program: str) -> bool:
    """True for an image's own interpreter (`/usr/local/bin/python3`) that is not at that place here."""
    return program.startswith("/") and os.path.basename(program) in PYTHON_NAMES and not os.path.exists(program)


def missing_program(argv: tuple[str, ...], *, cwd: Path, search: str) -> Path | str | None:
    """The program that cannot be found, or the script that an interpreter is told to run; None where all is there."""
    program = argv[0]
    if "/" in program:
        if not os.access(cwd / program, os.X_OK):
            return cwd / program
    elif program not in PYTHON_NAMES and shutil.which(program, path=search) is None:
        return program
    script = _script(argv)
    return cwd / script if script is not None and not (cwd / script).exists() else None


def _script(argv: tuple[str, ...]) -> str | None:
    if os.path.basename(argv[0]) not in _INTERPRETERS:
        return None
    for word in argv[1:]:
        if word not in _PLAIN_OPTIONS:
            return None if word.startswith("-") or not word else word
    return None
