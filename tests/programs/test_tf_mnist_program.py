"""The program behind tf-mnist-with-summaries, run for real: its event files are read by our collector and agree."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pykatib.workers.collectors.tfevents import scalars_of
from pykatib.workers.collectors.tfrecords import RecordParser

PROGRAM = Path(__file__).parents[2] / "programs" / "mnist" / "opt" / "tf-mnist-with-summaries" / "mnist.py"


def start(folder: Path, *flags: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), f"--log-path={folder}", "--learning-rate=0.003", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error", **variables},
    )


def scalars(folder: Path) -> list[tuple[str, float]]:
    """Tags and values of the only event file of a folder, in order; every record's checksum is right."""
    [file] = folder.iterdir()
    assert file.name.startswith("events.out.tfevents.")
    parser = RecordParser()
    records = parser.feed(file.read_bytes())
    assert all(record.is_sound() for record in records)
    return [(one.tag, float(one.value)) for record in records for one in scalars_of(record.data)]


def test_writes_loss_and_accuracy_of_each_epoch_into_both_folders(tmp_path: Path) -> None:
    with start(tmp_path, "--epochs=2") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    for folder in ("train", "test"):
        assert [tag for tag, _ in scalars(tmp_path / folder)] == ["loss", "accuracy"] * 2
    last = dict(scalars(tmp_path / "test"))
    assert last["accuracy"] > 0.8
    assert f"Test Loss: {last['loss']:.4f}, Test Accuracy: {100 * last['accuracy']:.2f}" in out
    assert re.search(r"Train Epoch: 2 \[\d+/\d+ \(\d+%\)\]\tloss=\d", out)


def test_workers_of_a_cluster_train_together(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cluster = {"worker": [f"127.0.0.1:{port}", "127.0.0.1:1"]}
    tasks = [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(2)]
    workers = [start(tmp_path / str(i), "--epochs=1", TF_CONFIG=task) for i, task in enumerate(tasks)]
    for worker in workers:
        with worker:
            _, err = worker.communicate()
        assert (worker.returncode, err) == (0, "")
    assert scalars(tmp_path / "0" / "test") == scalars(tmp_path / "1" / "test")


@pytest.mark.parametrize("flag", ["--learning-rate=0", "--epochs=none", "--batch-size=0"])
def test_refuses_values_that_cannot_train(flag: str, tmp_path: Path) -> None:
    with start(tmp_path, flag) as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert flag.partition("=")[0] in err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with start(file) as process:
        _, err = process.communicate()
    assert (process.returncode, f"--log-path {file} cannot be written" in err) == (1, True)
