"""The commands that read: over everything that ever ran, in all their formats, also beside a running owner."""

import csv
import io
import json
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from cli_support import FAILING, LONG, Katib, manifest, wait_until


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Katib:
    """A home in which some Experiments have run, in two namespaces."""
    katib = Katib(tmp_path_factory.mktemp("ran"))
    text = "---\n".join((manifest("tiny"), manifest("broken", script=FAILING)))
    katib("run", katib.write(text), "-q")
    other = katib.write(manifest("tiny"), "other.yaml")
    assert katib("run", other, "-q", "-n", "lab").status == 0
    only = katib.write(manifest("only"), "only.yaml")
    assert katib("run", only, "-q", "-n", "lab").status == 0
    return katib


def test_tables_have_the_columns_that_kubectl_prints(ran: Katib) -> None:
    lines = ran("get", "experiments", "-n", "default").out.splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "STATUS", "AGE"]
    assert [line.split()[:3] for line in lines[1:]] == [["tiny", "Succeeded", "True"], ["broken", "Failed", "True"]]
    assert ran("get", "suggestions", "tiny", "-n", "default").out.split()[:5] == [
        *("NAME", "TYPE", "STATUS", "REQUESTED", "ASSIGNED")
    ]


def test_a_column_names_the_namespace_where_there_are_several(ran: Katib) -> None:
    assert ran("get", "experiments").out.split()[0] == "NAMESPACE"
    assert ran("get", "trials", "-A").out.split()[0] == "NAMESPACE"
    assert ran("get", "trials", "-e", "broken").out.split()[0] == "NAME"


@pytest.mark.parametrize("kind", ["experiments", "suggestions", "trials"])
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_lists_parse(ran: Katib, kind: str, output: str) -> None:
    found = yaml.safe_load(ran("get", kind, "-o", output).out)
    assert found["kind"] == "List"
    assert {f"{item['kind'].lower()}s" for item in found["items"]} == {kind}


def test_one_name_is_the_object_itself_and_can_be_run_again(ran: Katib, tmp_path: Path) -> None:
    text = ran("get", "experiment", "tiny", "-n", "default", "-o", "yaml").out
    assert yaml.safe_load(text)["kind"] == "Experiment"
    again = Katib(tmp_path)
    assert again("run", again.write(text), "-q").status == 0


def test_csv_and_names_are_for_scripts(ran: Katib) -> None:
    rows = list(csv.DictReader(io.StringIO(ran("get", "trials", "-o", "csv", "-e", "tiny", "-n", "lab").out)))
    assert len(rows) == 3
    assert float(rows[0]["parameters.lr"]) == float(rows[0]["metrics.loss"]) == float(rows[0]["value"])
    names = ran("get", "trials", "-o", "name", "-e", "tiny", "-n", "lab").out.split()
    assert names == [f"trial.kubeflow.org/{row['name']}" for row in rows]


def test_wide_tables_say_more(ran: Katib) -> None:
    row = ran("get", "experiment", "tiny", "-n", "lab", "-o", "wide").out.splitlines()[1].split()
    assert "3/3" in row
    assert "lr=" in ran("get", "trials", "-o", "wide").out


def test_a_name_in_several_namespaces_needs_one(ran: Katib) -> None:
    refused = ran("best", "tiny")
    assert refused.status == 2
    assert "several namespaces: default, lab; choose one with -n" in refused.err
    assert ran("best", "tiny", "-n", "lab").status == 0
    assert ran("best", "only").status == 0


@pytest.mark.parametrize("command", ["best", "export", "stop", "resume", "delete"])
def test_an_unknown_name_is_answered_with_the_nearest(ran: Katib, command: str) -> None:
    refused = ran(command, "brokn")
    assert refused.status == 1
    assert refused.err == "Error: there is no Experiment 'brokn'; did you mean `broken`?\n"


def test_the_best_trial_is_ready_for_a_script(ran: Katib) -> None:
    best = json.loads(ran("best", "only", "-o", "json").out)
    assert best["experiment"] == "only"
    assert best["value"] == best["metrics"]["loss"] == best["parameters"]["lr"]
    assert isinstance(best["parameters"]["layers"], int)
    trials = json.loads(ran("export", "only", "-o", "json").out)
    assert best["value"] == min(trial["value"] for trial in trials)


def test_an_experiment_without_values_has_no_best_trial(ran: Katib) -> None:
    assert ran("best", "broken").status == 1


def test_exports_hold_every_trial(ran: Katib, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(ran("export", "only").out)))
    assert list(rows[0]) == [
        *("name", "experiment", "namespace", "state", "value", "startTime", "completionTime", "seconds"),
        *("parameters.lr", "parameters.layers", "metrics.loss", "metrics.rounds"),
    ]
    assert ran("export", "only", "-o", "parquet", "-f", tmp_path / "trials.parquet").status == 0
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(tmp_path / "trials.parquet")
    assert table.column("value").to_pylist() == [float(row["value"]) for row in rows]


def test_a_description_of_a_failed_trial_shows_what_it_printed(ran: Katib) -> None:
    name = ran("get", "trials", "-e", "broken", "-o", "name").out.split("/")[1].split()[0]
    out = ran("describe", "trial", name).out
    assert "State:        Failed" in out
    assert "Last lines of its output:\n  before\n  ValueError: no such file" in out
    assert "JobFailed" in out


def test_descriptions_of_experiments_and_suggestions(ran: Katib) -> None:
    out = ran("describe", "experiment", "only").out
    for words in (
        "random search, minimize loss",
        "lr       double   0.01 … 0.99",
        "Best Trial:",
        "RunsHere",
        "Succeeded",
    ):
        assert words in out
    assert "Assigned:     3" in ran("describe", "suggestion", "only").out


def test_logs_are_the_bytes_that_were_printed(ran: Katib) -> None:
    name = ran("get", "trials", "-e", "broken", "-o", "name").out.split("/")[1].split()[0]
    assert ran("logs", name).out == "before\nValueError: no such file\n"
    assert ran("logs", name, "--tail", 1).out == "ValueError: no such file\n"
    assert ran("logs", name, "-f").out == "before\nValueError: no such file\n"
    refused = ran("logs", name, "--attempt", 7)
    assert (refused.status, "has no attempt 7; attempts: 1" in refused.err) == (1, True)


def test_whoever_has_seen_enough_may_go(ran: Katib) -> None:
    argv = ["sh", "-c", "python -m pykatib.cli.main get trials -o json | head -1"]
    environment = {**ran.environment, "PATH": f"{Path(__import__('sys').executable).parent}:{ran.environment['PATH']}"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_everything_can_be_read_beside_an_owner(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        katib.wait_for_pids(2)
        trial = katib("get", "trials", "-o", "name").out.split("/")[1].split()[0]
        wait_until(lambda: "Metrics so far:" in katib("describe", "trial", trial).out)
        assert katib("get", "experiments").out.split()[5] == "Running"
        assert katib("logs", trial).out.startswith("loss=")
        assert "2 running" in katib("describe", "experiment", "tiny").out
        assert katib("best", "tiny").status == 1
        assert len(json.loads(katib("export", "tiny", "-o", "json").out)) == 2
        process.send_signal(signal.SIGINT)
        process.communicate()


def test_logs_are_followed_to_the_end_of_the_trial(katib: Katib) -> None:
    script = "'echo loss=1; while [ ! -e go ]; do sleep 0.05; done; echo the end'"
    with katib.started("run", katib.write(manifest(script=script, max_trials=1))) as process:
        wait_until(lambda: "trial." in katib("get", "trials", "-o", "name").out)
        trial = katib("get", "trials", "-o", "name").out.split("/")[1].strip()
        with katib.started("logs", "-f", trial) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "loss=1\n"
            (katib.folder / "go").touch()
            assert follower.stdout.read() == "the end\n"
            assert follower.wait() == 0
        process.communicate()


def test_changes_can_be_watched(katib: Katib) -> None:
    script = "'while [ ! -e go ]; do sleep 0.05; done; echo loss=1'"
    with katib.started("run", katib.write(manifest(script=script, max_trials=1))) as process:
        wait_until(lambda: "trial." in katib("get", "trials", "-o", "name").out)
        with katib.started("get", "trials", "--watch") as watcher:
            assert watcher.stdout is not None
            assert watcher.stdout.readline().split() == ["NAME", "TYPE", "STATUS", "AGE"]
            assert watcher.stdout.readline().split()[1] == "Running"
            (katib.folder / "go").touch()
            assert any(line.split()[1] == "Succeeded" for line in watcher.stdout)
            watcher.send_signal(signal.SIGINT)
            _, err = watcher.communicate()
            assert (watcher.returncode, err) == (130, "")
        process.communicate()
