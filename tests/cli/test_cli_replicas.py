"""What a person sees of distributed jobs: the output of each replica, and where one failed."""

from pathlib import Path

from cli_support import Katib

ROOT = Path(__file__).parents[2]
SCRIPT = '[sh, -c, "echo I am $RANK; [ $RANK = 0 ] || [ $RANK != $FAILS ] || exit 3; echo loss=1"]'


def manifest(fails: int) -> str:
    text = (ROOT / "examples" / "distributed" / "torch-gloo.yaml").read_text()
    begin, end = text.index("                    command:"), text.index("          Worker: *replica")
    own = f"""\
                    command: {SCRIPT}
                    env:
                      - {{name: FAILS, value: "{fails}"}}
                      - {{name: LR, value: "${{trialParameters.lr}}"}}
                      - {{name: WIDTH, value: "${{trialParameters.width}}"}}
"""
    return (text[:begin] + own + text[end:]).replace("maxTrialCount: 4", "maxTrialCount: 1")


def test_the_output_of_each_replica_can_be_read(katib: Katib) -> None:
    assert katib("run", katib.write(manifest(fails=9))).status == 0
    trial = katib("get", "trials", "-o", "name").out.split("/")[1].strip()
    assert katib("logs", trial).out == "I am 0\nloss=1\n"
    assert katib("logs", trial, "--replica", "master-0").out == "I am 0\nloss=1\n"
    assert katib("logs", trial, "--replica", "worker-0").out == "I am 1\nloss=1\n"
    refused = katib("logs", trial, "--replica", "worker-7")
    assert (refused.status, "replicas: master-0, worker-0" in refused.err) == (1, True)


def test_the_replica_that_failed_is_named_with_its_last_lines(katib: Katib) -> None:
    text = manifest(fails=1).replace('echo loss=1"', 'sleep 100; echo loss=1"')
    ran = katib("run", katib.write(text.replace("maxFailedTrialCount: 1", "maxFailedTrialCount: 0")))
    assert ran.status != 0
    assert "the replica worker-0 exited with code 3; its last lines were:" in ran.out + ran.err
    assert "I am 1" in ran.out + ran.err
