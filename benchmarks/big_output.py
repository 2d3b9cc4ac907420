"""One Trial that floods its standard output, with a metric among it now and then: what katib makes of it.

Prints the memory that katib needs, the size of the log that is kept, the metrics seen of those printed, and the time
beside that of the program alone, writing into a file.

    python benchmarks/big_output.py --megabytes 200
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from measuring import machine
from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import decode_object, load_documents
from pykatib.embedded.home import open_home
from subprocess_trials import MANIFEST

METRICS_PER_MEGABYTE = 5
PROGRAM = """\
import sys
line = 'epoch 3 batch 1017 of 60000 speed 1234.5 images/s, eta 00:12:34 ' + '.' * 60 + '\\n'
block = line * ((1 << 20) // len(line) // {metrics})
for number in range({megabytes} * {metrics}):
    sys.stdout.write(block)
    sys.stdout.write(f'step {{number}} loss={{1 / (number + 1):.6f}}\\n')
"""


def peak_memory(stop: threading.Event, found: list[int]) -> None:
    """Looks at our resident memory again and again."""
    process = psutil.Process()
    while not stop.wait(0.02):
        found[0] = max(found[0], process.memory_info().rss)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "flood.py"
        program.write_text(PROGRAM.format(megabytes=options.megabytes, metrics=METRICS_PER_MEGABYTE))
        begin = time.perf_counter()
        with (folder / "alone.log").open("wb") as log:
            subprocess.run([sys.executable, str(program)], stdout=log, check=True)
        alone = time.perf_counter() - begin
        (folder / "alone.log").unlink()

        text = MANIFEST.replace("@PYTHON@, -c,", f"{sys.executable}, ").replace("@PROGRAM@", str(program))
        text = text.replace("@COUNT@", "1").replace("@PARALLEL@", "1")
        [document] = load_documents(text.encode(), source="benchmark")
        experiment = decode_object(document)
        assert isinstance(experiment, Experiment)
        home = open_home(folder / "home")
        plane = home.plane
        try:
            plane.start()
            before = psutil.Process().memory_info().rss
            peak, stop = [before], threading.Event()
            watcher = threading.Thread(target=peak_memory, args=(stop, peak))
            watcher.start()
            begin, cpu = time.perf_counter(), time.process_time()
            plane.front_door.create(experiment)
            view = plane.control_plane.view("default", "tiny")
            plane.run(lambda: view.trial_count == 1 and not view.active_count)
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            stop.set()
            watcher.join()
            [trial] = home.store.list(names.TRIAL)
            seen = sum(1 for _ in plane.observations.logs("default", trial.metadata.name))
            [log_path] = (folder / "home").glob("trials/*/*/*/1/output.log")
            kept = log_path.stat().st_size
        finally:
            plane.close(now=True)
    print(
        f"{options.megabytes} MB printed: {seconds:.1f} s (alone {alone:.1f} s, katib's CPU {cpu:.2f} s); "
        f"metrics {seen} of {options.megabytes * METRICS_PER_MEGABYTE}; log kept {kept / 1e6:.1f} MB; "
        f"memory {before >> 20} MiB before, {peak[0] >> 20} MiB at most "
        f"(high-water mark {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB)"
    )
    print(machine())


if __name__ == "__main__":
    main()
