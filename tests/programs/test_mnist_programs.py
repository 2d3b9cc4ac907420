"""The classifier programs, run for real: their lines, files, flags, results and refusals."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / "programs"
KATIB_RANDOM = PROGRAMS / "mnist" / "mnist-katib-random.py"
PYTORCH_MNIST = PROGRAMS / "mnist" / "opt" / "pytorch-mnist" / "mnist.py"

# Katib's default metric filter, and the filter of its file collector example.
DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
NAMED_FILTER = r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def start(program: Path, *flags: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(program), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **(env or {})},
    )


def output(program: Path, *flags: str) -> str:
    with start(program, *flags) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    return out


@cache
def accuracies(*flags: str) -> list[float]:
    """Validation accuracy after each epoch."""
    return [float(value) for value in re.findall(r"val-acc=(\S+)", output(KATIB_RANDOM, *flags))]


def test_prints_both_metrics_after_every_epoch_for_the_default_filter() -> None:
    lines = output(KATIB_RANDOM, "--epochs=3").splitlines()
    assert len(lines) == 3
    for line in lines:
        assert [match[0] for match in re.findall(DEFAULT_FILTER, line)] == ["val-loss", "val-acc"]
        assert re.fullmatch(r"model val-loss=\d\.\d{4} val-acc=0\.\d{4}", line)


def test_equal_flags_give_equal_results() -> None:
    flags = ("--learning_rate=0.05", "--dropout=0.3", "--opt=1", "--epochs=1")
    assert output(KATIB_RANDOM, *flags) == output(KATIB_RANDOM, *flags)


def test_good_parameters_learn_well_and_stay_below_the_goal_of_the_seed_manifest() -> None:
    good = accuracies("--learning_rate=0.15", "--dropout=0.2", "--opt=0")
    assert 0.93 < max(good) < 0.985
    assert good[0] < good[-1]


@pytest.mark.parametrize(
    ("flags", "below"),
    [
        pytest.param(("--learning_rate=0.01", "--dropout=0.2", "--opt=0"), 0.02, id="learning rate too small"),
        pytest.param(("--learning_rate=0.15", "--dropout=0.9", "--opt=0"), 0.1, id="too much dropped"),
        pytest.param(("--learning_rate=0.15", "--dropout=0.2", "--opt=1"), 0.4, id="learning rate not Adam's"),
    ],
)
def test_bad_parameters_are_visibly_worse(flags: tuple[str, ...], below: float) -> None:
    assert max(accuracies(*flags)) < max(accuracies("--learning_rate=0.15", "--dropout=0.2", "--opt=0")) - below


@pytest.mark.parametrize(
    ("program", "flag", "says"),
    [
        pytest.param(KATIB_RANDOM, "--learning_rate=0", "--learning_rate: 0 is not above 0", id="rate of zero"),
        pytest.param(KATIB_RANDOM, "--learning_rate=-1", "--learning_rate: -1 is not above 0", id="negative rate"),
        pytest.param(KATIB_RANDOM, "--learning_rate=nan", "'nan' is not a finite number", id="rate of nan"),
        pytest.param(KATIB_RANDOM, "--dropout=1", "--dropout: 1 is not below 1", id="everything dropped"),
        pytest.param(KATIB_RANDOM, "--opt=2", "--opt: invalid choice: 2", id="unknown optimiser"),
        pytest.param(KATIB_RANDOM, "--epochs=0", "'0' is not a whole number from 1", id="no epochs"),
        pytest.param(KATIB_RANDOM, "--lr=0.1", "unrecognized arguments: --lr=0.1", id="unknown flag"),
        pytest.param(PYTORCH_MNIST, "--lr=0", "--lr: 0 is not above 0", id="pytorch: rate of zero"),
        pytest.param(PYTORCH_MNIST, "--momentum=-0.1", "--momentum: -0.1 is below 0", id="pytorch: negative momentum"),
        pytest.param(PYTORCH_MNIST, "--batch-size=1.5", "'1.5' is not a whole number", id="pytorch: half an image"),
        pytest.param(PYTORCH_MNIST, "--logger=hypertune", "needs --log-path", id="pytorch: JSON to nowhere"),
    ],
)
def test_refuses_values_that_cannot_train(program: Path, flag: str, says: str) -> None:
    with start(program, flag) as process:
        out, err = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert says in err


def test_writes_the_lines_of_the_pytorch_image() -> None:
    lines = output(PYTORCH_MNIST, "--epochs=2", "--log-interval=100").splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO     "
    training = [line for line in lines if "Train Epoch" in line]
    scores = [line for line in lines if "metricName" in line]
    assert len(training) + len(scores) == len(lines)
    assert len(training) == 2 * 4  # 391 batches an epoch: 0, 100, 200, 300
    assert all(re.fullmatch(stamp + r"Train Epoch: [12] \[\d+/25000 \(\d+%\)\]\tloss=\d+\.\d{4}", t) for t in training)
    assert [re.findall(DEFAULT_FILTER, line)[0][0] for line in training] == ["loss"] * 8
    assert len(scores) == 2
    for line in scores:
        assert re.match(stamp, line)
        assert [match[0] for match in re.findall(NAMED_FILTER, line)] == ["accuracy", "loss"]


def test_momentum_and_batch_size_matter() -> None:
    def accuracy(*flags: str) -> float:
        return float(re.findall(NAMED_FILTER, output(PYTORCH_MNIST, "--epochs=1", *flags))[0][1])

    slow = accuracy("--lr=0.01", "--momentum=0.5", "--batch-size=128")
    assert accuracy("--lr=0.01", "--momentum=0.9", "--batch-size=128") > slow + 0.02
    assert accuracy("--lr=0.01", "--momentum=0.5", "--batch-size=16") > slow + 0.02


def test_log_path_gets_the_same_lines_as_standard_output(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "mnist.log"
    out = output(PYTORCH_MNIST, "--epochs=1", f"--log-path={file}")
    assert file.read_text() == out
    assert len(re.findall(NAMED_FILTER, out)) == 2


def test_hypertune_logger_appends_json_with_text_values(tmp_path: Path) -> None:
    file = tmp_path / "mnist.json"
    file.write_text('{"earlier": "line"}\n')
    out = output(PYTORCH_MNIST, "--epochs=2", "--logger=hypertune", f"--log-path={file}")
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert entries.pop(0) == {"earlier": "line"}
    assert [next(name for name in entry if name in ("accuracy", "loss")) for entry in entries] == [
        "accuracy",
        "loss",
        "accuracy",
        "loss",
    ]
    assert [entry["global_step"] for entry in entries] == ["1", "1", "2", "2"]
    assert all(isinstance(entry["timestamp"], float) for entry in entries)
    written = [entry.get("accuracy", entry.get("loss")) for entry in entries]
    assert all(isinstance(value, str) for value in written)
    assert [f"{float(value):.4f}" for value in written] == [match[1] for match in re.findall(NAMED_FILTER, out)]


def test_log_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with start(PYTORCH_MNIST, f"--log-path={tmp_path / 'file' / 'mnist.log'}") as process:
        _, err = process.communicate()
    assert process.returncode == 1
    assert f"--log-path {tmp_path / 'file' / 'mnist.log'} cannot be written" in err


def test_diverged_training_reports_its_nan() -> None:
    out = output(PYTORCH_MNIST, "--epochs=1", "--lr=5", "--momentum=3")
    assert "{metricName: accuracy, metricValue: 0.0000};{metricName: loss, metricValue: nan}" in out
    assert "loss=nan" in out


def test_replicas_train_together_and_end_with_the_same_network() -> None:
    env = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    with (
        start(PYTORCH_MNIST, "--epochs=1", env={**env, "RANK": "0"}) as master,
        start(PYTORCH_MNIST, "--epochs=1", env={**env, "RANK": "1"}) as worker,
    ):
        results = [process.communicate() for process in (master, worker)]
    assert [process.returncode for process in (master, worker)] == [0, 0], results
    of_master, of_worker = (re.findall(NAMED_FILTER, out) for out, _ in results)
    assert of_master == of_worker
    assert float(of_master[0][1]) > 0.6
    assert all("/12500 (" in out for out, _ in results)  # each sees half of the images


def test_replica_whose_partner_goes_away_ends_with_a_message() -> None:
    port = free_port()
    env = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with socket.create_server(("127.0.0.1", port)) as server, start(PYTORCH_MNIST, env=env) as process:
        connection, _ = server.accept()
        connection.close()
        _, err = process.communicate()
    assert process.returncode == 1
    assert "replica 1 of 2 lost another one" in err


@pytest.mark.parametrize(
    ("packages", "missing"),
    [
        pytest.param((), "numpy", id="nothing installed"),
        pytest.param(("numpy", "numpy.libs"), "scikit-learn", id="numpy alone"),
    ],
)
@pytest.mark.parametrize("program", [KATIB_RANDOM, PYTORCH_MNIST], ids=["katib-random", "pytorch"])
def test_names_the_package_that_is_missing(
    program: Path, packages: tuple[str, ...], missing: str, tmp_path: Path
) -> None:
    numpy = find_spec("numpy")
    assert numpy is not None
    assert numpy.origin is not None
    installed = Path(numpy.origin).parents[1]
    for package in packages:
        if (installed / package).exists():
            (tmp_path / package).symlink_to(installed / package)
    result = subprocess.run(
        [sys.executable, "-S", str(program)],
        capture_output=True,
        text=True,
        check=False,
        env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 1
    assert f"has no {missing}" in result.stderr
    assert "pip install" in result.stderr
    assert "Traceback" not in result.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
