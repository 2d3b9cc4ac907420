"""`katib run` and `katib resume` from a file to an exit status, with real processes."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cli_support import FAILING, LONG, QUICK, STUBBORN, Katib, is_running, manifest, wait_until

CONFIG_MAP_FILE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: templates}
data:
  job.yaml: |
    apiVersion: batch/v1
    kind: Job
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: main
              image: busybox
              command: [sh, -c, 'echo loss=${trialParameters.lr} $TOKEN']
              env:
                - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: word}
---
"""


def with_config_map() -> str:
    tree = yaml.safe_load(manifest())
    template = tree["spec"]["trialTemplate"]
    del template["trialSpec"]
    template["configMap"] = {
        "configMapName": "templates",
        "configMapNamespace": "default",
        "templatePath": "job.yaml",
    }
    template["successCondition"] = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
    template["failureCondition"] = 'status.conditions.#(type=="Failed")#|#(status=="True")#'
    template["trialParameters"] = [{"name": "lr", "reference": "lr"}]
    tree["spec"]["parameters"] = tree["spec"]["parameters"][:1]
    return CONFIG_MAP_FILE + yaml.safe_dump(tree)


def test_a_run_tells_each_event_on_a_line_and_ends_with_the_best_trial(katib: Katib) -> None:
    done = katib("run", katib.write(manifest()))
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "tiny: started: random search, minimize loss, 3 Trials, 2 at a time"
    assert sum(": started with lr=" in line for line in lines) == 3
    assert sum(": succeeded after " in line and "loss=" in line for line in lines) == 3
    assert sum("* best so far" in line for line in lines) >= 1
    assert "Experiment tiny succeeded: max trial count has reached" in lines
    log = next(line for line in lines if line.startswith("  its output")).split()[-1]
    assert Path(log).read_text().startswith("loss=")


def test_what_runs_elsewhere_than_on_a_cluster_is_said_once(katib: Katib) -> None:
    done = katib("run", katib.write(manifest()))
    assert done.out.count("stands for no folder") == 1


def test_an_experiment_that_fails_shows_the_last_lines_and_ends_with_1(katib: Katib) -> None:
    done = katib("run", katib.write(manifest(script=FAILING)))
    assert done.status == 1
    assert "failed after " in done.out
    assert "    ValueError: no such file" in done.out
    assert "Experiment tiny failed: max failed count has reached" in done.out


def test_a_trial_that_prints_no_metric_shows_what_it_printed(katib: Katib) -> None:
    done = katib("run", katib.write(manifest(script="'echo los=1'")))
    assert done.status == 1
    assert "ended without the metric loss; its last lines were:" in done.out
    assert "    los=1" in done.out


def test_standard_input_is_read_and_runs_from_the_current_folder(katib: Katib) -> None:
    done = katib("run", "-", "--quiet", stdin=manifest(script="'pwd > here; echo loss=1'"))
    assert done.status == 0
    assert (katib.folder / "here").read_text().strip() == str(katib.folder)


def test_trials_run_from_the_folder_of_their_manifest_also_when_resumed_from_elsewhere(
    katib: Katib, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    file = katib.write(manifest(script="'pwd >> here; echo loss=1'"), "deep/experiment.yaml")
    assert katib("run", file, "-q").status == 0
    assert katib("resume", "tiny", "--max-trials", 4, "-q").status == 0
    assert set((tmp_path / "deep" / "here").read_text().split()) == {str(tmp_path / "deep")}


def test_images_stand_for_folders_given_by_option_or_settings_file(katib: Katib, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "app").mkdir(parents=True)
        (tmp_path / name / "app" / "train.sh").write_text(f"echo loss=1; echo {name} >> {tmp_path}/used\n")
    text = manifest(max_trials=2).replace("-c, " + QUICK, "/app/train.sh")
    (tmp_path / "config" / "pykatib").mkdir(parents=True)
    (tmp_path / "config" / "pykatib" / "config.toml").write_text(f'[images]\nbusybox = "{tmp_path}/one"\n')
    file = katib.write(text)
    assert katib("run", file, "-q").status == 0
    assert katib("run", file, "-q", "--image", "busybox=two", "--set", "metadata.name=other").status == 0
    assert (tmp_path / "used").read_text().split() == ["one", "one", "two", "two"]


def test_a_file_may_hold_configmaps_and_secrets_beside_experiments(katib: Katib) -> None:
    done = katib("run", katib.write(with_config_map()))
    assert (done.status, done.err) == (0, "")
    trial = json.loads(katib("best", "tiny", "-o", "json").out)["trial"]
    assert katib("logs", trial).out.endswith(" word\n")


def test_several_files_and_experiments_run_together(katib: Katib) -> None:
    both = manifest("one") + "---\n" + manifest("two")
    done = katib("run", katib.write(both, "a.yaml"), katib.write(manifest("three"), "b.yaml"), "-o", "json")
    assert done.status == 0
    found = json.loads(done.out)
    assert [item["metadata"]["name"] for item in found["items"]] == ["one", "two", "three"]
    assert {item["status"]["trials"] for item in found["items"]} == {3}


def test_options_change_the_experiment(katib: Katib) -> None:
    done = katib(
        *("run", katib.write(manifest()), "-o", "json", "--parallel", 1, "--max-trials", 2, "-n", "lab"),
        *("--set", "spec.objective.goal=-5", "--set", "spec.parameters[lr].feasibleSpace.max=0.1"),
    )
    assert done.status == 0
    found = json.loads(done.out)
    assert found["metadata"]["namespace"] == "lab"
    spec = found["spec"]
    assert (spec["parallelTrialCount"], spec["maxTrialCount"], spec["objective"]["goal"]) == (1, 2, -5)
    assert spec["parameters"][0]["feasibleSpace"]["max"] == "0.1"
    assert ": started with" in done.err


def test_a_goal_ends_the_run_and_the_trials_that_still_run_are_waited_for(katib: Katib) -> None:
    script = "'if mkdir first 2>/dev/null; then sleep 1; echo loss=5; else echo loss=0; fi'"
    done = katib("run", katib.write(manifest(script=script)), "--set", "spec.objective.goal=0.5", "--max-trials", 9)
    assert done.status == 0
    assert "tiny: succeeded: Objective goal has reached; waiting for 1 Trial that still run" in done.out


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_quiet_and_an_output_format_leave_nothing_but_the_document(katib: Katib, output: str) -> None:
    done = katib("run", katib.write(manifest()), "-q", "-o", output)
    assert (done.status, done.err) == (0, "")
    assert yaml.safe_load(done.out)["status"]["trialsSucceeded"] == 3


def test_a_name_that_is_taken_is_refused_and_replaced_on_request(katib: Katib) -> None:
    file = katib.write(manifest())
    assert katib("run", file, "-q").status == 0
    before = katib("get", "trials", "-o", "name").out.split()
    refused = katib("run", file)
    assert refused.status == 2
    assert "katib resume tiny" in refused.err
    assert katib("run", file, "-q", "--replace").status == 0
    after = katib("get", "trials", "-o", "name").out.split()
    assert len(after) == 3
    folders = {path.name for path in (katib.home / "trials" / "default" / "tiny").iterdir()}
    assert folders == {name.partition("/")[2] for name in after}
    assert not folders & {name.partition("/")[2] for name in before} or set(before) == set(after)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_stops_everything_so_that_it_can_be_resumed(katib: Katib, number: signal.Signals) -> None:
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        pids = katib.wait_for_pids(2)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == 130
    assert "To go on: katib resume tiny" in err
    assert "Traceback" not in out + err
    assert not any(is_running(pid) for pid in pids)
    found = json.loads(katib("get", "experiments", "tiny", "-o", "json").out)
    assert found["status"]["conditions"][-1]["type"] == "Suspended"
    assert (found["spec"]["suspend"], found["status"]["trialsPending"]) == (True, 2)


def test_a_second_signal_ends_at_once_what_does_not_want_to_end(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest(script=STUBBORN))) as process:
        pids = katib.wait_for_pids(2)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any("tiny: stopped" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr is not None
        err = process.stderr.read()
    assert "Ended at once. To go on: katib resume tiny" in err
    assert not any(is_running(pid) for pid in pids)


def test_a_killed_run_is_resumed_with_the_trials_it_had(katib: Katib) -> None:
    script = "'[ -e go ] || sleep 1000; echo loss=$0'"
    with katib.started("run", katib.write(manifest(script=script))) as process:
        wait_until(lambda: katib("get", "trials", "-o", "name").out.count("\n") == 2)
        trials = katib("get", "trials", "-o", "name").out.split()
        process.kill()
        process.wait()
    (katib.folder / "go").touch()
    done = katib("resume", "tiny")
    assert done.status == 0
    assert done.out.startswith("tiny: resumed: random search")
    assert "3 Trials: 3 succeeded" in done.out
    assert katib("get", "trials", "-o", "name").out.split()[:2] == trials


def test_what_a_killed_run_left_is_not_run_by_the_next_one(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest("left", script=LONG))) as process:
        katib.wait_for_pids(2)
        process.kill()
        process.wait()
    done = katib("run", katib.write(manifest()))
    assert done.status == 0
    assert "Experiment left was interrupted before; it is stopped now, `katib resume left` takes it up" in done.err
    assert len(katib.pids()) == 2
    assert katib("get", "experiments", "left").out.split()[5] == "Suspended"


def test_an_experiment_that_used_up_its_trials_goes_on_with_more(katib: Katib) -> None:
    assert katib("run", katib.write(manifest()), "-q").status == 0
    refused = katib("resume", "tiny")
    assert (refused.status, "maxTrialCount above 3" in refused.err) == (2, True)
    done = katib("resume", "tiny", "--max-trials", 5, "-o", "json")
    assert done.status == 0
    assert json.loads(done.out)["status"]["trials"] == 5


def test_a_second_run_on_the_same_home_is_told_who_owns_it(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        katib.wait_for_pids(2)
        refused = katib("run", katib.write(manifest("other"), "other.yaml"))
        assert refused.status == 1
        assert f"is in use by process {process.pid} (" in refused.err
        assert refused.err.count("\n") == 1
        process.send_signal(signal.SIGINT)
        process.communicate()


def test_a_reader_that_goes_away_stops_the_run(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        pids = katib.wait_for_pids(2)
        # The next thing to tell finds nobody to tell it to.
        assert katib("stop", "tiny").status == 0
        assert process.wait() == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert not any(is_running(pid) for pid in pids)


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (30, 8)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_terminal_shows_the_live_view(katib: Katib, size: tuple[int, int]) -> None:
    ours, theirs = pty.openpty()
    script = "'echo loss=$0; [ $1 -gt 1 ] || exit 1; sleep 0.7'"
    file = katib.write(manifest("quite-a-long-name-for-a-small-window", script=script, max_failed=3))
    environment = {**katib.environment, "TERM": "xterm", "COLUMNS": str(size[0]), "LINES": str(size[1])}
    with subprocess.Popen(
        [sys.executable, "-m", "pykatib.cli.main", "run", str(file)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as process:
        os.close(theirs)
        shown = b""
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            try:
                shown += os.read(ours, 65536) if select.select([ours], [], [], 0.2)[0] else b""
            except OSError:
                break
        os.close(ours)
        assert process.wait() == 0
    text = shown.decode()
    assert "Traceback" not in text
    assert "running" in text
    assert "best Trial" in text


def test_colours_vanish_in_a_pipe(katib: Katib) -> None:
    assert "\x1b" not in katib("run", katib.write(manifest())).out


@pytest.mark.parametrize(("no_color", "is_plain"), [("1", True), ("", False)], ids=["NO_COLOR", "plain terminal"])
def test_a_terminal_may_ask_for_no_colours(katib: Katib, no_color: str, is_plain: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**katib.environment, "TERM": "xterm", "NO_COLOR": no_color}
    argv = [sys.executable, "-m", "pykatib.cli.main", "run", str(katib.write("kind: Pod\n"))]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        assert process.wait() == 2
        shown = os.read(ours, 65536)
        os.close(theirs)
        os.close(ours)
    assert b"Error:" in shown
    assert (b"\x1b" not in shown) is is_plain
