"""What a Trial costs beyond its program: an Experiment of tiny programs, held against `xargs -P` with the same ones.

Everything that `katib run` does is in it: proposals, objects and metrics in SQLite with a commit before each start,
folders and logs, the supervisor that records each exit. Both run in turn, since the machine may be busy with other
things; the ratio of medians says more than either rate, and CPU time more than both.

    python benchmarks/subprocess_trials.py --count 500 --parallel 2 --rounds 5
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from measuring import machine
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import decode_object, load_documents
from pykatib.embedded.home import Home, open_home
from pykatib.workers.processes import read_exits
from pykatib.workers.strays import find_supervisors

PROGRAM = "print('loss=0.1')"
MANIFEST = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: tiny, namespace: default}
spec:
  objective: {type: minimize, objectiveMetricName: loss}
  algorithm: {algorithmName: random, algorithmSettings: [{name: random_state, value: "1"}]}
  parallelTrialCount: @PARALLEL@
  maxTrialCount: @COUNT@
  parameters: [{name: x, parameterType: double, feasibleSpace: {min: "0", max: "1"}}]
  trialTemplate:
    primaryContainerName: main
    trialParameters: [{name: x, reference: x}]
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
              - {name: main, image: none, command: [@PYTHON@, -c, "@PROGRAM@", "${trialParameters.x}"]}
"""


class Sample(NamedTuple):
    """One round of ours."""

    seconds: float
    own_cpu_seconds: float
    supervisor_cpu_seconds: float
    programs_cpu_seconds: float


def manifest(count: int, parallel: int) -> Experiment:
    """The Experiment."""
    values = {"COUNT": str(count), "PARALLEL": str(parallel), "PYTHON": sys.executable, "PROGRAM": PROGRAM}
    text = MANIFEST
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    [document] = load_documents(text.encode(), source="benchmark")
    experiment = decode_object(document)
    assert isinstance(experiment, Experiment)
    return experiment


def with_katib(home: Home, experiment: Experiment) -> Sample:
    """Runs the Experiment to its end."""
    plane = home.plane
    plane.start()
    begin, cpu = time.perf_counter(), time.process_time()
    plane.front_door.create(experiment)
    count = experiment.spec.max_trial_count
    view = plane.control_plane.view("default", "tiny")
    plane.run(lambda: view.trial_count == count and not view.active_count)
    seconds, own = time.perf_counter() - begin, time.process_time() - cpu
    [supervisor] = find_supervisors(home.folders.home_id())
    times = psutil.Process(supervisor.pid).cpu_times()
    assert plane.front_door.experiment("default", "tiny").status.trials_succeeded == count
    exits = (home.folders.experiment("default", "tiny")).glob("*/1/exit.json")
    programs = sum(exit_.cpu_seconds for path in exits for exit_ in read_exits(path).values())
    return Sample(seconds, own, times.user + times.system, programs)


def with_xargs(count: int, parallel: int) -> tuple[float, float]:
    """Seconds of xargs for the same programs, and CPU seconds of all together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(
        ["xargs", "-P", str(parallel), "-n", "1", sys.executable, "-c", PROGRAM],
        input="\n".join(str(number / count) for number in range(count)),
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    count = options.count
    experiment = manifest(count, options.parallel)
    ours: list[Sample] = []
    theirs: list[float] = []
    their_cpu: list[float] = []
    ratios: list[float] = []
    for _ in range(options.rounds):
        seconds, cpu = with_xargs(count, options.parallel)
        theirs.append(seconds)
        their_cpu.append(cpu)
        with tempfile.TemporaryDirectory() as folder:
            home = open_home(Path(folder))
            try:
                ours.append(with_katib(home, experiment))
            finally:
                home.plane.close(now=True)
        ratios.append(theirs[-1] / ours[-1].seconds)
        print(
            f"xargs {count / theirs[-1]:.1f}/s, katib {count / ours[-1].seconds:.1f}/s ({ratios[-1]:.0%}), "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    own = statistics.median(sample.own_cpu_seconds for sample in ours) / count
    supervisor = statistics.median(sample.supervisor_cpu_seconds for sample in ours) / count
    programs = statistics.median(sample.programs_cpu_seconds for sample in ours) / count
    all_of_theirs = statistics.median(their_cpu) / count
    rate, peer = count / statistics.median(sample.seconds for sample in ours), count / statistics.median(theirs)
    print(f"medians: xargs {peer:.1f} programs/s, katib {rate:.1f} Trials/s, ratio {statistics.median(ratios):.0%}")
    print(
        f"CPU per Trial: katib {own * 1e3:.2f} ms, supervisor {supervisor * 1e3:.2f} ms, its program "
        f"{programs * 1e3:.2f} ms; xargs and a program {all_of_theirs * 1e3:.2f} ms; "
        f"ratio {all_of_theirs / (own + supervisor + programs):.0%}"
    )
    print(machine())


if __name__ == "__main__":
    main()
