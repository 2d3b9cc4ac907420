"""The two programs of architecture search, run for real: their lines, refusals, endings, and going on after a kill."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pykatib.algorithms.nas.strings import to_text

ROOT = Path(__file__).parents[2]
ENAS = ROOT / "programs" / "enas_cnn" / "opt" / "enas-cnn-cifar10" / "RunTrial.py"
DARTS = ROOT / "programs" / "darts_cnn" / "opt" / "darts-cnn-cifar10" / "run_trial.py"
KATIB = Path(os.environ.get("KATIB_MANIFESTS", ROOT.parent / "shared" / "manifests" / "katib"))

# Katib's default metric filter, and that of its example for darts.
DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)"
GENOTYPE_FILTER = r"([\w-]+)=(Genotype.*)"

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
for name in ("CIFAR10_FOLDER", "PYKATIB_METRICS_FILE"):
    ENVIRONMENT.pop(name, None)


def nn_config(kind: str = "convolution", **parameters: object) -> str:
    stated = parameters or {"filter_size": "3", "num_filter": "8", "stride": "1"}
    embedding = {"0": {"opt_id": 0, "opt_type": kind, "opt_params": stated}}
    return to_text({"num_layers": 1, "input_sizes": [8, 8, 1], "output_sizes": [10], "embedding": embedding})


# Quoted as in Katib's manifests, whose quotes reach the program where there is no shell.
ENAS_FLAGS = ('--architecture="[[0]]"', f'--nn_config="{nn_config()}"', "--num_epochs=2", "--limit=60")
DARTS_SETTINGS = "{'num_epochs': '2', 'num_nodes': '1', 'init_channels': '2', 'stem_multiplier': 1, 'batch_size': 64}"
DARTS_FLAGS = (
    f'--algorithm-settings="{DARTS_SETTINGS}"',
    "--search-space=\"['max_pooling_3x3', 'skip_connection', 'separable_convolution_3x3']\"",
    '--num-layers="2"',
    "--limit=60",
    "--image_size=8",
)


@contextmanager
def started(program: Path, flags: Sequence[str], **env: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-u", str(program), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **env},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(program: Path, flags: Sequence[str], **env: str) -> tuple[int, str, str]:
    with started(program, flags, **env) as process:
        out, err = process.communicate()
        return process.returncode, out, err


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch", reason="these programs need the extra nas")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def here(program: Path, flags: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """As `finish`, in this process: torch takes longer to import than these networks to train."""
    from pykatib.nas import arguments, darts_program, enas_program

    code: object = 0
    try:
        arguments.run_program(lambda: (enas_program if program == ENAS else darts_program).main(list(flags)))
    except SystemExit as ended:
        code = ended.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def metrics(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in re.findall(DEFAULT_FILTER, text) if name.count("-") == 1 and value]


@pytest.mark.slow
def test_enas_prints_katibs_metrics_after_every_epoch_and_says_what_it_trains_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = here(ENAS, [*ENAS_FLAGS, "--test"], capsys)
    assert (code, err) == (0, "")
    four = ["Training-Accuracy", "Training-Loss", "Validation-Accuracy", "Validation-Loss"]
    assert [name for name, _ in metrics(out)] == [*four, *four, "Test-Accuracy", "Test-Loss"]
    assert all(re.fullmatch(r"\d+\.\d{4}", value) for _, value in metrics(out))
    assert "Images: scikit-learn's handwritten digits" in out
    assert "layer 1: convolution filter_size=3 num_filter=8 stride=1 of image: 8x8x1 to 8x8x8" in out


@pytest.mark.slow
def test_darts_prints_progress_metrics_and_at_last_the_genotype_for_katibs_filter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = here(DARTS, DARTS_FLAGS, capsys)
    assert (code, err) == (0, "")
    assert "Choosing from max_pooling_3x3, skip_connection, separable_convolution_3x3, none" in out
    assert len(re.findall(r"^Train: \[ [12]/2\] Step \d+/\d+ Loss \d\.\d+ Prec@1 \d+\.\d%$", out, re.MULTILINE)) == 2
    assert len(re.findall(r"^Validation: \[ [12]/2\] Final Prec@1 \d+\.\d{4}%$", out, re.MULTILINE)) == 2
    assert [name for name, _ in metrics(out)].count("Validation-Accuracy") == 2
    assert re.search(r"^Final best Prec@1 = \d+\.\d{4}%$", out, re.MULTILINE)
    assert [name for name, _ in re.findall(GENOTYPE_FILTER, out)] == ["Best-Genotype"]
    edges = r"\[\('\w+',[01]\),\('\w+',[01]\)\]"
    cells = ",".join(rf"{cell}=\[{edges}\],{cell}_concat=range\(2,3\)" for cell in ("normal", "reduce"))
    assert re.fullmatch(rf"Best-Genotype=Genotype\({cells}\)", out.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "flags", "again"),
    [
        pytest.param(ENAS, (*ENAS_FLAGS, "--num_epochs=4"), "Epoch ", id="enas"),
        pytest.param(DARTS, DARTS_FLAGS, "Validation: ", id="darts"),
    ],
)
def test_a_killed_trial_goes_on_from_its_own_folder_and_ends_the_same(
    program: Path, flags: tuple[str, ...], again: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(number: int) -> str:
        return str(tmp_path / "trial" / str(number) / "metrics.jsonl")

    _, whole, _ = here(program, flags, capsys)
    with started(program, flags, PYKATIB_METRICS_FILE=attempt(1)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(again):
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (tmp_path / "trial" / "checkpoint" / "training.pt").is_file()
    code, rest, err = finish(program, flags, PYKATIB_METRICS_FILE=attempt(2))
    assert (code, err) == (0, "")
    # Its lines are the last of the undisturbed run's; the first epoch it prints is the one that had been kept.
    assert metrics(rest) == metrics(whole)[-len(metrics(rest)) :]
    assert rest.splitlines()[-1] == whole.splitlines()[-1]


REFUSED = [
    pytest.param(
        ENAS,
        ["--architecture=[[0]]", f"--nn_config={nn_config('pooling', size=2)}"],
        "nn_config.embedding.0.opt_type: unknown operation 'pooling'",
        id="enas: unknown operation",
    ),
    pytest.param(
        ENAS,
        ["--architecture=[[0]]", f"--nn_config={nn_config().replace('8, 8, 1', '4, 4, 1')}"],
        "input_sizes: found 4x4x1; the digits can be drawn at 8x8 or more",
        id="enas: images too small",
    ),
    pytest.param(
        ENAS,
        ["--architecture=[[0]]", f"--nn_config={nn_config().replace('[10]', '[100]')}"],
        "nn_config.output_sizes: found 100, but digits has 10 classes",
        id="enas: other classes",
    ),
    pytest.param(
        ENAS, [*ENAS_FLAGS, "--num_epochs=0"], "--num_epochs: '0' is not a whole number from 1", id="enas: flag"
    ),
    pytest.param(
        DARTS,
        [*DARTS_FLAGS, "--search-space=['max_poling_3x3']"],
        "search-space[0]: unknown operation 'max_poling_3x3'",
        id="darts: unknown operation",
    ),
    pytest.param(DARTS, [*DARTS_FLAGS, "--num-layers=0"], "num-layers: found 0, wanted", id="darts: no layers"),
    pytest.param(
        DARTS,
        [*DARTS_FLAGS, "--algorithm-settings={'w_lr': 'fast'}"],
        "algorithm-settings: w_lr must be a number at least 0, found 'fast'",
        id="darts: setting",
    ),
    pytest.param(DARTS, [*DARTS_FLAGS, "--data=cifar10"], "--data: there is no CIFAR-10 in ./data", id="darts: data"),
]


@pytest.mark.parametrize(("program", "flags", "says"), REFUSED)
def test_what_cannot_be_trained_is_refused_before_anything_is(
    program: Path,
    flags: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_FOLDER", raising=False)
    code, out, err = here(program, flags, capsys)
    assert (code, out) == (2, "")
    assert says in err


def test_a_training_that_diverges_ends_as_failed_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = here(ENAS, [*ENAS_FLAGS, "--learning_rate=1e37"], capsys)
    assert code == 1
    assert re.search(r"training has diverged: the loss is (nan|inf) in epoch 1, step \d+ of \d+; a lower learning", err)
    assert "Traceback" not in err
    assert "Accuracy" not in out


@pytest.mark.parametrize("program", [ENAS, DARTS], ids=["enas", "darts"])
def test_names_the_package_that_is_missing(program: Path, tmp_path: Path) -> None:
    """Pykatib and what it imports are there, torch is not."""
    import msgspec

    (tmp_path / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    for path, missing in ((f"{tmp_path}:{ROOT / 'src'}", "torch"), (str(tmp_path), "pykatib")):
        result = subprocess.run(
            [sys.executable, "-S", str(program)],
            capture_output=True,
            text=True,
            check=False,
            env={**ENVIRONMENT, "PYTHONPATH": path},
        )
        assert result.returncode == 1
        assert f"has no {missing}" in result.stderr
        assert "pip install 'pykatib[nas]'" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["enas-cpu", "darts-cpu"])
def test_katibs_own_manifest_runs_to_its_end(name: str, tmp_path: Path) -> None:
    """As it is, but for fewer images, which a test has no time for."""
    if not KATIB.is_dir():
        pytest.skip("KATIB_MANIFESTS names no folder with Katib's example manifests")
    text = (KATIB / f"{name}.yaml").read_text()
    flag = next(line for line in text.splitlines() if "--num_epochs=1" in line or "run_trial.py" in line)
    manifest = tmp_path / f"{name}.yaml"
    manifest.write_text(text.replace(flag, f"{flag}\n{flag[: flag.index('-')]}- --limit=24"))
    command = [sys.executable, "-m", "pykatib.cli.main", "run", str(manifest), "--home", str(tmp_path / "home")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Experiment {name} succeeded" in result.stdout
    best = {"enas-cpu": r"Validation-Accuracy = 0\.\d+", "darts-cpu": r"Best-Genotype = Genotype\(normal="}[name]
    assert re.search(best, result.stdout)
