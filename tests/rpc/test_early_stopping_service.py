"""`katib serve early-stopping` over a real channel: what Katib's own test asserts, true medians, and nothing kept."""

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from db_manager_support import Process, free_port, new_database
from db_manager_support import serving as db_manager_serving
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pykatib.api import names
from pykatib.api.errors import InvalidInput, NotFound, PykatibError, Unavailable
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import Condition, ObjectMeta
from pykatib.api.shared import (
    AlgorithmSpec,
    EarlyStoppingRule,
    EarlyStoppingSpec,
    Metric,
    MetricLog,
    ObjectiveSpec,
    Observation,
    Setting,
)
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.rpc.db_manager_client import DBManagerClient, report_request
from pykatib.rpc.early_stopping_client import EarlyStoppingClient
from pykatib.rpc.early_stopping_service import EARLY_STOPPING_HEALTH, EarlyStoppingService, early_stopping_serving
from pykatib.rpc.services import open_channel
from pykatib.rpc.serving import Serving


class Stopper:
    """Notes which Trials were stopped; of those that are not there it knows nothing."""

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def stop(self, trial_name: str) -> None:
        if trial_name == "gone":
            raise NotFound("there is no Trial 'gone'")
        self.stopped.append(trial_name)


@pytest.fixture
def stopper() -> Stopper:
    return Stopper()


@pytest.fixture
def client(stopper: Stopper) -> Iterator[EarlyStoppingClient]:
    serving = early_stopping_serving("127.0.0.1:0", stopper.stop)
    serving.start()
    client = EarlyStoppingClient(f"127.0.0.1:{serving.port}", timeout_seconds=60)
    yield client
    client.close()
    serving.stop(grace_seconds=1)


@pytest.fixture(scope="module")
def db_manager(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    with db_manager_serving(new_database("sqlite", request, tmp_path_factory.mktemp("db"))) as address:
        yield address


def stopping(name: str = "medianstop", **settings: object) -> EarlyStoppingSpec:
    return EarlyStoppingSpec(name, tuple(Setting(key, str(value)) for key, value in settings.items()))


def experiment(spec: EarlyStoppingSpec, kind: str = names.MINIMIZE) -> Experiment:
    return Experiment(
        metadata=ObjectMeta(name="tune"),
        spec=ExperimentSpec(
            objective=ObjectiveSpec(kind, None, "loss"), algorithm=AlgorithmSpec("random"), early_stopping=spec
        ),
    )


def trial(name: str, state: str | None = names.SUCCEEDED) -> Trial:
    return Trial(
        metadata=ObjectMeta(name=name),
        spec=TrialSpec(objective=ObjectiveSpec(names.MINIMIZE, None, "loss")),
        status=TrialStatus(
            conditions=(Condition(state, names.TRUE),) if state else (),
            observation=Observation((Metric("loss", "1", "1", "1"),)) if state else None,
        ),
    )


def keep(address: str, curves: dict[str, Sequence[object]]) -> None:
    client = DBManagerClient(address, timeout_seconds=60)
    for name, values in curves.items():
        client.remove(name)
        logs = [MetricLog(1.7e9 + step, "loss", str(value)) for step, value in enumerate(values)]
        if logs:
            client.report(report_request(name, logs))
    client.close()


def rules_of(
    client: EarlyStoppingClient, db_manager: str, spec: EarlyStoppingSpec, *trials: Trial, kind: str = names.MINIMIZE
) -> tuple[EarlyStoppingRule, ...]:
    return client.rules(experiment(spec, kind), trials, db_manager_address=db_manager)


# What Katib's test of its service asserts


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(stopping("median"), "unknown algorithm name median; did you mean medianstop?", id="name"),
        pytest.param(stopping(min_trials=1), "unknown setting 'min_trials'", id="unknown setting"),
        pytest.param(stopping(min_trials_required=0), "min_trials_required must be .* at least 1, found '0'", id="0"),
        pytest.param(stopping(start_step=0), "start_step must be a whole number at least 1, found '0'", id="step 0"),
        pytest.param(stopping(start_step="x"), "start_step must be a whole number at least 1, found 'x'", id="text"),
        pytest.param(
            stopping("patience"), "patience cannot be served to Katib: the rules of Katib's sidecar", id="looks back"
        ),
        pytest.param(stopping("hyperband", max_resource=9), "hyperband cannot be served to Katib", id="brackets"),
    ],
)
def test_wrong_settings_are_refused(client: EarlyStoppingClient, spec: EarlyStoppingSpec, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"ValidateEarlyStoppingSettings Error: .*{words}"):
        client.validate(spec)


@pytest.mark.parametrize(
    "spec",
    [
        stopping(min_trials_required=2, start_step=5),
        stopping(),
        stopping("asha"),
        stopping("threshold", value=0.5, metric="any"),
    ],
    ids=lambda spec: spec.algorithm_name,
)
def test_right_settings_are_taken(client: EarlyStoppingClient, spec: EarlyStoppingSpec) -> None:
    client.validate(spec)


def test_rules_for_two_trials_without_a_condition_are_none(client: EarlyStoppingClient) -> None:
    trials = [trial("a", None), trial("b", None)]
    spec = stopping(min_trials_required=1)
    assert client.rules(experiment(spec), trials, db_manager_address="katib-db-manager.kubeflow:6789") == ()


# Rules


def test_the_rule_is_the_median_of_running_averages_up_to_the_start_step(
    client: EarlyStoppingClient, db_manager: str
) -> None:
    keep(db_manager, {"a": [4, 2, 0, 0], "b": [2, 2, 9], "c": [1e9, 1e9]})
    trials = [trial("a"), trial("b"), trial("c")]
    spec = stopping(min_trials_required=3, start_step=2)
    assert rules_of(client, db_manager, spec, *trials) == (EarlyStoppingRule("loss", "3.0", names.GREATER, 2),)
    assert rules_of(client, db_manager, spec, *trials, kind=names.MAXIMIZE) == (
        EarlyStoppingRule("loss", "3.0", names.LESS, 2),
    )
    assert rules_of(client, db_manager, spec, *trials[:2]) == ()


def test_trials_that_were_stopped_early_count_and_failed_ones_do_not(
    client: EarlyStoppingClient, db_manager: str
) -> None:
    keep(db_manager, {"a": [1, 1], "b": [5, 5], "c": [9, 9], "d": [0, 0]})
    trials = [trial("a"), trial("b", names.EARLY_STOPPED), trial("c", names.EARLY_STOPPED), trial("d", names.FAILED)]
    [rule] = rules_of(client, db_manager, stopping(min_trials_required=1, start_step=2), *trials)
    assert rule.value == "5.0"


def test_trials_without_usable_metrics_are_passed_over(client: EarlyStoppingClient, db_manager: str) -> None:
    keep(db_manager, {"a": [1, 1], "empty": [], "texts": ["unavailable"], "short": [7]})
    trials = [trial(name) for name in ("a", "empty", "texts", "short")]
    [rule] = rules_of(client, db_manager, stopping(min_trials_required=1, start_step=2), *trials)
    assert rule.value == "1.0"


def test_what_a_threshold_or_the_first_rung_asks_is_a_rule_too(client: EarlyStoppingClient, db_manager: str) -> None:
    keep(db_manager, {"a": [1, 1], "b": [5, 5], "c": [9, 9]})
    trials = [trial("a"), trial("b"), trial("c")]
    assert rules_of(client, db_manager, stopping("threshold", value=0.5)) == (
        EarlyStoppingRule("loss", "0.5", names.GREATER, 1),
    )
    assert rules_of(client, db_manager, stopping("asha"), *trials) == (
        EarlyStoppingRule("loss", "1.0", names.GREATER, 1),
    )


def test_nothing_is_kept_between_calls(stopper: Stopper, db_manager: str) -> None:
    keep(db_manager, {"a": [1, 1], "b": [5, 5]})
    answers = []
    for count in (1, 2):
        serving = early_stopping_serving("127.0.0.1:0", stopper.stop)
        serving.start()
        client = EarlyStoppingClient(f"127.0.0.1:{serving.port}")
        # Other settings, and another Experiment's Trials, are heeded by one and the same process.
        rules_of(client, db_manager, stopping(min_trials_required=1, start_step=1), trial("b"))
        spec = stopping(min_trials_required=count, start_step=2)
        answers.append(rules_of(client, db_manager, spec, trial("a"), trial("b")))
        client.close()
        serving.stop(grace_seconds=1)
    assert answers[0] == answers[1] == (EarlyStoppingRule("loss", "3.0", names.GREATER, 2),)


@pytest.mark.parametrize("address", ["", "db", "db:", ":6789", "db:http"])
def test_an_address_that_is_none_is_refused(client: EarlyStoppingClient, address: str) -> None:
    with pytest.raises(InvalidInput, match="Invalid Katib DB manager service address"):
        client.rules(experiment(stopping()), [trial("a")], db_manager_address=address)


def test_a_db_manager_that_is_away_is_said_in_time(stopper: Stopper) -> None:
    serving = Serving("127.0.0.1:0", [EarlyStoppingService(stopper.stop, db_manager_seconds=0.5).handler()])
    serving.start()
    client = EarlyStoppingClient(f"127.0.0.1:{serving.port}")
    with pytest.raises(Unavailable, match="DB manager"):
        client.rules(experiment(stopping()), [trial("a")], db_manager_address=f"127.0.0.1:{free_port()}")
    client.close()
    serving.stop(grace_seconds=1)


# Stopping


def test_the_status_of_a_trial_is_set(client: EarlyStoppingClient, stopper: Stopper) -> None:
    client.set_trial_status("tune-abc")
    assert stopper.stopped == ["tune-abc"]


@pytest.mark.parametrize(("name", "words"), [("", "trial_name: is empty"), ("gone", "there is no Trial 'gone'")])
def test_a_trial_that_cannot_be_marked_is_an_error(client: EarlyStoppingClient, name: str, words: str) -> None:
    with pytest.raises(PykatibError, match=words):
        client.set_trial_status(name)


def test_the_process_answers_probes_and_says_what_it_lacks_and_ends_at_sigterm(tmp_path: Path) -> None:
    port = free_port()
    environment = {"KUBECONFIG": str(tmp_path / "nowhere"), "KUBERNETES_SERVICE_HOST": ""}
    with Process(["serve", "early-stopping", "--port", str(port)], port, environment, tmp_path / "log") as process:
        process.wait_until_serving(EARLY_STOPPING_HEALTH)
        with open_channel(process.address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            assert check(health_pb2.HealthCheckRequest(), timeout=30).status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
                check(health_pb2.HealthCheckRequest(service="other"), timeout=30)
        client = EarlyStoppingClient(process.address)
        client.validate(stopping())
        with pytest.raises(InvalidInput, match="kubeconfig"):
            client.set_trial_status("tune-abc")
        client.close()
        assert process.end(signal.SIGTERM) == 0
