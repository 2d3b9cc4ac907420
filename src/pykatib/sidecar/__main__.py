"""`python -m pykatib.sidecar`, which is also installed as `katib-metrics-collector`."""

import sys

from pykatib.sidecar.program import main


def run() -> int:
    """Runs the sidecar with this process' arguments; answers its exit status."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
