"""Train the network of an architecture that enas has proposed; all of it is in `pykatib.nas.enas_program`."""

import sys

try:
    from pykatib.nas.arguments import run_program
except ModuleNotFoundError as error:
    sys.exit(f"{sys.executable} has no {error.name}: pip install 'pykatib[nas]'")


def main() -> None:
    """Imports what needs torch only once it is known to be there."""
    from pykatib.nas import enas_program

    enas_program.main()


if __name__ == "__main__":
    run_program(main)
