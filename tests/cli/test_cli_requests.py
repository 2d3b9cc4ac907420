"""`stop`, `resume` and `delete`: beside a process that owns the home, and where nobody does."""

import json
import signal

from cli_support import LONG, Katib, is_running, manifest


def test_an_experiment_is_stopped_beside_its_owner_which_then_ends(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        pids = katib.wait_for_pids(2)
        done = katib("stop", "tiny")
        assert (done.status, done.out) == (0, "Experiment tiny is stopped. To go on: katib resume tiny\n")
        _, err = process.communicate()
    assert process.returncode == 130
    assert "katib resume tiny" in err
    assert not any(is_running(pid) for pid in pids)


def test_an_experiment_is_resumed_beside_an_owner_which_then_runs_it_too(katib: Katib) -> None:
    script = "'echo $$$$ >> pids; while [ ! -e go ]; do sleep 0.05; done; echo loss=1'"
    with katib.started("run", katib.write(manifest("one", script=script), "one.yaml")) as process:
        katib.wait_for_pids(2)
        process.send_signal(signal.SIGINT)
        process.communicate()
    with katib.started("run", katib.write(manifest("two", script=script), "two.yaml")) as process:
        katib.wait_for_pids(4)
        done = katib("resume", "one")
        assert done.status == 0
        assert f"goes on in process {process.pid}" in done.out
        katib.wait_for_pids(6)
        (katib.folder / "go").touch()
        out, _ = process.communicate()
        assert process.returncode == 0
    assert "one: resumed" in out
    types = [item["status"]["conditions"][-1]["type"] for item in _experiments(katib)]
    assert types == ["Succeeded", "Succeeded"]


def test_an_experiment_is_deleted_beside_its_owner_with_all_that_was_kept(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        pids = katib.wait_for_pids(2)
        assert katib("delete", "tiny").status == 0
        assert _experiments(katib) == []
        process.communicate()
    assert process.returncode == 130
    assert not any(is_running(pid) for pid in pids)
    assert json.loads(katib("get", "trials", "-o", "json").out)["items"] == []
    assert not (katib.home / "trials" / "default").exists()


def test_a_refusal_comes_back_from_the_owner(katib: Katib) -> None:
    assert katib("run", katib.write(manifest("done"), "done.yaml"), "-q").status == 0
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        katib.wait_for_pids(2)
        refused = katib("stop", "done")
        assert (refused.status, refused.err) == (1, "Error: Experiment default/done has ended already\n")
        refused = katib("resume", "done", "--max-trials", 2)
        assert (refused.status, "maxTrialCount above 3" in refused.err) == (2, True)
        process.send_signal(signal.SIGINT)
        process.communicate()


def test_where_nobody_owns_the_home_it_is_done_at_once(katib: Katib) -> None:
    with katib.started("run", katib.write(manifest(script=LONG))) as process:
        pids = katib.wait_for_pids(2)
        process.kill()
        process.wait()
    assert katib("stop", "tiny").status == 0
    assert _experiments(katib)[0]["status"]["conditions"][-1]["type"] == "Suspended"
    assert len(katib.pids()) == len(pids)
    refused = katib("delete", "tiny", "missing")
    assert (refused.status, len(_experiments(katib))) == (1, 1)
    assert katib("delete", "tiny").status == 0
    assert _experiments(katib) == []
    assert not (katib.home / "trials" / "default").exists()


def _experiments(katib: Katib) -> list[dict[str, dict[str, list[dict[str, str]]]]]:
    items: list[dict[str, dict[str, list[dict[str, str]]]]] = json.loads(katib("get", "experiments", "-o", "json").out)[
        "items"
    ]
    return items
