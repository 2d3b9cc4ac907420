"""Makes an environment for each library that searches are compared with, in a folder of your choice, from PyPI.

python benchmarks/quality/make_peers.py FOLDER [NAME …]

Each gets a virtual environment FOLDER/NAME, since their requirements exclude each other. One that is there is left as
it is; remove its folder to make it anew. What cannot be installed is told at the end, with pip's last words.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

# The version of PyTorch is named since a later one may bring a build for graphics cards, of several gigabytes.
TORCH = "torch==2.13.0"
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "optuna": (TORCH, "optuna>=5,<6", "cmaes", "scipy"),
    "hyperopt": ("hyperopt", "setuptools<80"),  # it imports pkg_resources
    "skopt": ("scikit-optimize",),
    "smac": ("smac",),
    "ax": (TORCH, "ax-platform"),
    "cma": ("cma",),
    "nevergrad": ("nevergrad",),
    # HEBO wants numpy < 1.25; pip does not find what goes with it in ten minutes unless it is told.
    "hebo": (
        TORCH,
        "hebo==0.3.6",
        "numpy==1.24.4",
        "pandas==2.0.3",
        "scikit-learn==1.3.2",
        "scipy==1.11.4",
        "matplotlib<3.9",
    ),
    # Vizier's pin of equinox needs jax.core.Primitive, which newer versions of JAX do not have.
    "vizier": ("google-vizier[jax]", "jax<0.5", "jaxlib<0.5", "flax<0.10.3", "optax<0.2.5", "numpy<2.4"),
}


def make(folder: Path, name: str) -> str:
    """Makes one environment; answers what went wrong, or nothing. A half-made one is not left under its name."""
    place = folder / name
    if (place / "done").exists():
        return ""
    venv.create(place, with_pip=True, clear=True)
    command = [str(place / "bin" / "pip"), "install", "--quiet", *REQUIREMENTS[name]]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 0:
        (place / "done").touch()
        return ""
    (place / "bin" / "python").unlink()
    return "\n".join(done.stdout.splitlines()[-3:])


def main() -> None:
    """Reads the command line and makes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(REQUIREMENTS)}; all")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in REQUIREMENTS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: not among {', '.join(REQUIREMENTS)}")
    failures = {}
    for name in options.names or REQUIREMENTS:
        print(f"{name}: {', '.join(REQUIREMENTS[name])}", flush=True)
        failure = make(options.folder, name)
        if failure:
            failures[name] = failure
    for name, failure in failures.items():
        print(f"\n{name} is not there:\n{failure}", file=sys.stderr)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
