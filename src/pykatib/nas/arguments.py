"""What both programs share on the command line: their own flags, beside those of Katib's images."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Final

from pykatib.api.errors import InvalidInput

FAILED: Final = 1
REFUSED: Final = 2  # as argparse has it


def add_own_flags(parser: ArgumentParser) -> None:
    """Adds the flags that Katib's images do not have."""
    own = parser.add_argument_group("beyond Katib's image")
    own.add_argument("--data", choices=("auto", "cifar10", "digits"), default="auto", help="auto: CIFAR-10 if found")
    own.add_argument("--data_folder", default="", help="holds cifar-10-batches-py; else CIFAR10_FOLDER, else ./data")
    own.add_argument("--limit", type=whole_from(1), help="take only so many images of each part")
    own.add_argument("--mixed_precision", action="store_true", help="compute in bfloat16 where it does no harm")
    own.add_argument("--checkpoint", default="", help="folder to go on from; else the Trial's own, where katib runs it")


def whole_from(least: int) -> Callable[[str], int]:
    """The type of a flag that is a whole number."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {least}")
        return number

    return read


def rate(text: str) -> float:
    """The type of a flag that is a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def run_program(main: Callable[[], None]) -> None:
    """Runs a program to its exit code: 2 and every mistake where it is refused, 1 and the reason where it fails."""
    # Several threads on small maps cost more than they bring, and their sums differ from machine to machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        from pykatib.nas.training import DivergedError  # torch is imported here
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        print(f"{sys.executable} has no torch, with which this trains: pip install 'pykatib[nas]'", file=sys.stderr)
        sys.exit(FAILED)
    try:
        main()
    except InvalidInput as error:
        for mistake in error.errors:
            print(f"{mistake.path}: {mistake.message}", file=sys.stderr)
        sys.exit(REFUSED)
    except DivergedError as error:
        print(f"{error}; a lower learning rate may help", file=sys.stderr)
        sys.exit(FAILED)
