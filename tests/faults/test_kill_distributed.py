"""Kill it anywhere, where each Trial is several processes: see `test_kill`."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest
import yaml
from test_kill import MANIFEST, Round, assignments_of, check

KILLS = 12
HOWS = ("katib", "the supervisor", "katib and the supervisor", "everything")


def distributed(manifest: str) -> str:
    """The same Experiment with a worker beside each Trial's process, which ends only when it is ended."""
    document = yaml.safe_load(manifest)
    template = document["spec"]["trialTemplate"]
    master = template["trialSpec"]["spec"]["template"]["spec"]
    del master["restartPolicy"]
    worker = {"containers": [{"name": "main", "image": "none", "command": ["sleep", "1000"]}]}
    template["trialSpec"] = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "spec": {
            "runPolicy": {"cleanPodPolicy": "Running"},
            "pytorchReplicaSpecs": {
                "Master": {"restartPolicy": "Never", "template": {"spec": master}},
                "Worker": {"restartPolicy": "Never", "template": {"spec": worker}},
            },
        },
    }
    text: str = yaml.safe_dump(document)
    return text


@pytest.mark.slow
def test_killed_at_many_instants_no_replica_is_left_and_no_trial_is_run_twice(tmp_path: Path) -> None:
    seed = int(os.environ.get("KATIB_FAULT_SEED", "2026"))
    print(f"KATIB_FAULT_SEED={seed}")
    instants = random.Random(seed)
    round_ = Round(tmp_path / "round", pause="0.05")
    (round_.folder / "killed.yaml").write_text(distributed(MANIFEST.replace("@PAUSE@", "0.05")))
    kinds: Counter[str] = Counter()
    try:
        round_.begin_life()
        while kinds.total() < KILLS:
            round_.live_a_while(instants)
            if round_.is_over():
                break
            how = instants.choices(HOWS, weights=(6, 1, 1, 2))[0]
            round_.kill(how)
            kinds[how] += 1
            if how != "the supervisor" and not round_.is_over():
                round_.begin_life()
        round_.finish()
        print(f"{dict(kinds)}, {len(round_.done())} names")
        check(round_, expected=assignments_of(round_), supervisor_was_killed=kinds["katib"] < kinds.total())
    finally:
        round_.close()
