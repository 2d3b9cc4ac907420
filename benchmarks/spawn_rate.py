"""What a process costs under the supervisor, held against `xargs -P`: wall time, and CPU of supervisor and client.

python benchmarks/spawn_rate.py --count 500 --parallel 2
"""

import argparse
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from pykatib.workers.processes import ProcessExit, ProcessSpec
from pykatib.workers.supervision import Supervision


def supervised(argv: list[str], count: int, parallel: int, folder: Path) -> tuple[float, float, float]:
    """Wall seconds, the client's and the supervisor's CPU seconds for so many processes."""
    env = dict(os.environ)
    with Supervision("benchmark") as supervision:
        program = psutil.Process(supervision.pid)
        before = program.cpu_times()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        client_before = usage.ru_utime + usage.ru_stime
        begin = time.perf_counter()
        started = ended = 0
        while ended < count:
            while started < count and len(supervision.running) < parallel:
                log_path = folder / f"{started}.log"
                spec = ProcessSpec(argv=tuple(argv), cwd=folder, env=env, log_path=log_path, exit_path=folder / "exits")
                supervision.spawn(str(started), spec)
                started += 1
            select.select([supervision], [], [])
            for event in supervision.poll():
                if isinstance(event, ProcessExit):
                    assert event.exit_code == 0, event
                    ended += 1
        wall = time.perf_counter() - begin
        usage = resource.getrusage(resource.RUSAGE_SELF)
        after = program.cpu_times()
    supervisor_cpu = after.user + after.system - before.user - before.system
    return wall, usage.ru_utime + usage.ru_stime - client_before, supervisor_cpu


def with_xargs(argv: list[str], count: int, parallel: int) -> float:
    """Wall seconds of xargs for the same."""
    numbers = "\n".join(map(str, range(count)))
    begin = time.perf_counter()
    command = ["xargs", "-P", str(parallel), "-n", "1", *argv]
    subprocess.run(command, input=numbers, text=True, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--parallel", type=int, default=2)
    options = parser.parse_args()
    argv = [sys.executable, "-c", "print('loss=0.1')"]
    for _ in range(2):
        xargs = with_xargs(argv, options.count, options.parallel)
        with tempfile.TemporaryDirectory() as folder:
            wall, client, program = supervised(argv, options.count, options.parallel, Path(folder))
        print(
            f"xargs {options.count / xargs:.1f}/s; supervised {options.count / wall:.1f}/s ({xargs / wall:.0%}); "
            f"CPU per process: client {client / options.count * 1e3:.2f} ms, "
            f"supervisor {program / options.count * 1e3:.2f} ms"
        )


if __name__ == "__main__":
    main()
