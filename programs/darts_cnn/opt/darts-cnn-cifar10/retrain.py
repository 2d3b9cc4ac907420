"""Train the cells that darts has found, from scratch; all of it is in `pykatib.nas.retrain_program`."""

import sys

try:
    from pykatib.nas.arguments import run_program
except ModuleNotFoundError as error:
    sys.exit(f"{sys.executable} has no {error.name}: pip install 'pykatib[nas]'")


def main() -> None:
    """Imports what needs torch only once it is known to be there."""
    from pykatib.nas import retrain_program

    retrain_program.main()


if __name__ == "__main__":
    run_program(main)
