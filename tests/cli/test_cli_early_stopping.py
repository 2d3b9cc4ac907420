"""What a person sees of early stopping: while it runs, afterwards, and of a setting that is wrong."""

import json

from cli_support import Katib, manifest

STOPPING = """\
  earlyStopping:
    algorithmName: {name}
    algorithmSettings: {settings}
  parallelTrialCount:"""
ENDLESS = "'echo loss=7; sleep 1000'"


def stopped(name: str, settings: str) -> str:
    """A manifest with early stopping, of Trials that would run for long."""
    text = manifest(script=ENDLESS, max_trials=2)
    return text.replace("  parallelTrialCount:", STOPPING.format(name=name, settings=settings))


def test_who_was_stopped_and_why_is_shown_by_run_get_and_describe(katib: Katib) -> None:
    file = katib.write(stopped("threshold", "[{name: value, value: '5'}]"))

    ran = katib("run", file)

    assert ran.status == 0, ran.err
    shown = ran.out + ran.err
    assert shown.count("stopped early after") == 2
    assert shown.count("    at report 1 loss is 7, above the threshold 5") == 2
    assert "2 Trials: 2 stopped early" in shown
    assert "will be run again" not in shown
    trials = json.loads(katib("get", "trials", "-o", "json").out)["items"]
    assert [trial["status"]["conditions"][-1]["type"] for trial in trials] == ["EarlyStopped"] * 2
    assert "EarlyStopped" in katib("get", "trials").out
    experiment = katib("describe", "experiment", "tiny").out
    assert "Stopping:     threshold\n              value = 5\n" in experiment
    trial = katib("describe", "trial", trials[0]["metadata"]["name"]).out
    assert "State:        EarlyStopped" in trial
    assert "Trial is early stopped: at report 1 loss is 7, above the threshold 5" in trial


def test_wrong_settings_are_refused_before_anything_starts(katib: Katib) -> None:
    file = katib.write(stopped("medianstop", "[{name: start_step, value: '0'}, {name: min_trials, value: '2'}]"))

    refused = katib("run", file)

    assert refused.status == 2
    assert "start_step must be a whole number at least 1, found '0'" in refused.err
    assert "unknown setting 'min_trials' of the early stopping medianstop; did you mean min_trials_required?" in (
        refused.err
    )
    assert not (katib.folder / "home").exists()


def test_a_method_that_does_not_exist_is_refused_with_the_nearest(katib: Katib) -> None:
    refused = katib("run", katib.write(stopped("median-stop", "[]")))

    assert refused.status == 2
    assert "medianstop" in refused.err
