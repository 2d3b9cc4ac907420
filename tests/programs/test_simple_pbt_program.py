"""The simulated training for PBT: its lines, its checkpoint, what it rewards."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "programs" / "simple-pbt" / "opt" / "pbt" / "pbt_test.py"


def run(checkpoint: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(PROGRAM), "--seconds=0", f"--checkpoint={checkpoint}", *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def accuracy(checkpoint: Path, *flags: str) -> float:
    result = run(checkpoint, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    return float(result.stdout.rpartition("Validation-accuracy=")[2])


def test_prints_its_result_once_at_the_end(tmp_path: Path) -> None:
    out = run(tmp_path, "--lr=0.0031", "--epochs=5").stdout
    assert re.fullmatch(r"epoch 5:\nlr=0\.0031\nValidation-accuracy=0\.\d{4}\n", out)


def test_continues_from_the_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, "--lr=0.003")
    assert pickle.loads((tmp_path / "training.ckpt").read_bytes())["step"] == 20
    assert run(tmp_path, "--lr=0.003").stdout.startswith("epoch 40:")


def test_equal_runs_from_equal_checkpoints_are_equal(tmp_path: Path) -> None:
    assert accuracy(tmp_path / "a", "--lr=0.003") == accuracy(tmp_path / "b", "--lr=0.003")


def test_the_best_rate_depends_on_the_accuracy_reached(tmp_path: Path) -> None:
    def after(start: float, rate: float) -> float:
        tmp_path.joinpath("training.ckpt").write_bytes(pickle.dumps({"step": 0, "accuracy": start}))
        return accuracy(tmp_path, f"--lr={rate}", "--epochs=200")

    # From accuracy 50 the high rate climbs until it no longer suits; the low one is lost among the noise there.
    assert after(50.0, 0.01) > after(50.0, 0.0002) + 0.1
    # Near the end the low rate holds on, and the high one is driven down.
    assert after(95.0, 0.002) > after(95.0, 0.02) + 0.1


@pytest.mark.parametrize("flag", ["--lr=0", "--lr=nan", "--lr=x", "--epochs=0", "--epochs=2.5"])
def test_refuses_flags_that_make_no_sense(tmp_path: Path, flag: str) -> None:
    result = run(tmp_path / "new", flag)
    assert result.returncode == 2
    assert flag.partition("=")[0] in result.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a pickle", id="foreign"),
        pytest.param(pickle.dumps({"step": 3}), id="half"),
        pytest.param(pickle.dumps({"step": 3, "accuracy": 40.0})[:-8], id="cut"),
    ],
)
def test_checkpoint_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "training.ckpt"
    file.write_bytes(content)
    result = run(tmp_path)
    assert result.returncode == 1
    assert f"{file} is not a checkpoint" in result.stderr
    assert file.read_bytes() == content
