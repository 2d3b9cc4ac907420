"""How soon `katib --help` answers, beside an interpreter that does nothing, and which heavy modules it imports: none.

    python benchmarks/cli_startup.py [--rounds 10]

Each command is a fresh process of this interpreter; a round runs each once, and the table shows medians. CPU time is
user and system time of the process.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from measuring import machine, median, print_table

HEAVY = (
    "asyncio",
    "cloudpickle",
    "gjson",
    "grpc",
    "msgspec",
    "numpy",
    "pandas",
    "psutil",
    "rich",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "sqlite3",
    "torch",
    "yaml",
)
COMMANDS = {
    "an empty program": ("-c", "pass"),
    "katib --help": ("-m", "pykatib.cli.main", "--help"),
    "katib run --help": ("-m", "pykatib.cli.main", "run", "--help"),
    "katib algorithms": ("-m", "pykatib.cli.main", "algorithms"),
}
WHAT_IS_IMPORTED = """
import json, sys
from pykatib.cli.main import main
status = main({arguments!r})
print(json.dumps(sorted(set(sys.modules) & set({heavy!r}))))
"""


def timed(arguments: tuple[str, ...]) -> dict[str, float]:
    """Wall and CPU milliseconds of a process."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return {"wall": wall * 1e3, "cpu": (usage.ru_utime + usage.ru_stime) * 1e3}


def heavy_imports(arguments: tuple[str, ...]) -> list[str]:
    """Which of the heavy modules a command line has imported when it has answered."""
    program = WHAT_IS_IMPORTED.format(arguments=list(arguments), heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(machine(), flush=True)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, arguments in COMMANDS.items():
            samples[name].append(timed(arguments))
    lines = []
    for name, arguments in COMMANDS.items():
        heavy = heavy_imports(arguments[2:]) if arguments[0] == "-m" else []
        found = samples[name]
        lines.append([name, f"{median(found, 'wall'):.0f}", f"{median(found, 'cpu'):.0f}", ", ".join(heavy) or "none"])
    print_table(("", "wall ms", "CPU ms", "heavy modules"), lines)


if __name__ == "__main__":
    main()
