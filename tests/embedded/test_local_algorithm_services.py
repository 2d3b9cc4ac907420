"""Experiments of one machine whose algorithm is a suggestion service of somebody else."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from foreign_service import ForeignService
from pykatib import TuneResult, search, session, tune
from pykatib.api import names
from pykatib.api.errors import InvalidInput
from pykatib.api.meta import Reference
from pykatib.api.suggestion import Suggestion
from pykatib.embedded.algorithm_services import address_problem, parse_service_options
from pykatib.rpc import algorithm_services
from pykatib.sdk.session import TuningSession


@pytest.fixture
def service() -> Iterator[ForeignService]:
    """A service that listens."""
    with ForeignService() as started:
        yield started


def tuned(service: ForeignService, *, trials: int = 4, **more: object) -> TuneResult:
    """A search with the service's algorithm."""
    return tune(
        objective=lambda p: float(p["x"]),
        parameters={"x": search.int(1, 100)},
        algorithm_name="theirs",
        algorithm_settings={"a": "1"},
        algorithm_service=service.address,
        max_trial_count=trials,
        run_in="inline",
        progress=False,
        **more,  # type: ignore[arg-type]  # of tune
    )


def opened(service: ForeignService, home: Path | None = None, **more: object) -> TuningSession:
    """A session with the service's algorithm."""
    return session(
        "kept",
        parameters={"x": search.int(1, 100)},
        algorithm_name="theirs",
        algorithm_service=service.address,
        max_trial_count=4,
        home=home,
        **more,  # type: ignore[arg-type]  # of session
    )


def suggestion_of(opened: TuningSession) -> Suggestion:
    """The Suggestion as it is kept."""
    found = opened._plane.store.get(Reference(names.SUGGESTION, "default", "kept"))
    assert isinstance(found, Suggestion)
    return found


def events_of(opened: TuningSession) -> list[str]:
    """What was said of the Suggestion."""
    return [event.message for event in opened._plane.store.events(namespace="default", kind=names.SUGGESTION)]


def test_a_search_runs_on_the_services_proposals_names_and_settings(service: ForeignService) -> None:
    result = tuned(service)
    assert [trial.parameters["x"] for trial in result.trials] == [1, 2, 3, 4]
    assert [trial.name for trial in result.trials] == [f"theirs-{value}" for value in (1, 2, 3, 4)]
    settings = [
        [(one.name, one.value) for one in request.experiment.spec.algorithm.algorithm_settings]
        for request in service.requests
    ]
    assert settings == [[("a", "1"), *([("state", str(number))] if number else [])] for number in range(4)]
    assert [len(request.trials) for request in service.requests] == [0, 1, 2, 3]


def test_what_the_service_keeps_in_settings_outlives_a_process(service: ForeignService, tmp_path: Path) -> None:
    with opened(service, tmp_path) as first:
        trial = first.ask()
        assert trial is not None
        assert [(one.name, one.value) for one in suggestion_of(first).status.algorithm_settings] == [("state", "1")]
        first.tell(trial, 1.0)
    with opened(service, tmp_path) as second:
        trial = second.ask()
        assert trial is not None
        assert trial.parameters["x"] == 2


def test_a_refusal_is_said_at_once_in_the_services_words(service: ForeignService) -> None:
    service.refusal = "a must be below 1"
    with pytest.raises(InvalidInput, match="ValidateAlgorithmSettings Error: a must be below 1"):
        tuned(service)
    assert not service.requests


def test_a_service_that_is_not_there_is_named_before_anything_starts(
    service: ForeignService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(algorithm_services, "PATIENCE_SECONDS", 0.3)
    service.stop()
    with pytest.raises(InvalidInput, match=f"service at {service.address} does not answer: Connection refused"):
        tuned(service)


def test_fewer_proposals_end_the_search_well(service: ForeignService) -> None:
    def two_only(number: int, context: grpc.ServicerContext) -> None:
        service.more = -1 if number == 3 else 0

    service.behave = two_only
    result = tuned(service)
    assert len(result.trials) == 2
    assert result.experiment.status.conditions[-1].reason == names.EXPERIMENT_SUGGESTION_END_REACHED


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"more": 1}, "unexpected trials: asked for 1, got 2"),
        ({"parameter": "y"}, "proposes a Trial without a value for x"),
        ({"trial_name": lambda value: "Not A Name"}, "names a Trial 'Not A Name'"),
        ({"trial_name": lambda value: "the-same"}, "names a second Trial 'the-same'"),
    ],
    ids=["too many", "another parameter", "no name", "a name twice"],
)
def test_answers_that_cannot_be_used_fail_the_search_with_the_reason(
    service: ForeignService, fault: dict[str, object], words: str
) -> None:
    for name, value in fault.items():
        setattr(service, name, value)
    result = tuned(service)
    last = result.experiment.status.conditions[-1]
    assert (last.type, last.reason) == (names.FAILED, names.EXPERIMENT_FAILED)
    assert words in last.message
    assert service.address in last.message


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS], ids=lambda code: code.name)
def test_a_service_that_fails_again_and_again_fails_the_search_and_nothing_else(
    service: ForeignService, code: grpc.StatusCode
) -> None:
    service.behave = lambda number, context: context.abort(code, "TypeError: no")
    last = tuned(service).experiment.status.conditions[-1]
    assert last.type == names.FAILED
    assert f"{code.name}: TypeError: no" in last.message
    assert len(service.requests) == 5


def test_a_refusal_of_a_question_fails_the_search_with_the_services_words(service: ForeignService) -> None:
    service.behave = lambda number, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "there is no such trial")
    last = tuned(service).experiment.status.conditions[-1]
    assert last.type == names.FAILED
    assert "there is no such trial" in last.message
    assert len(service.requests) == 1


def test_a_service_that_is_unavailable_for_a_while_is_asked_again(service: ForeignService) -> None:
    def busy(number: int, context: grpc.ServicerContext) -> None:
        if number in (2, 3):
            context.abort(grpc.StatusCode.UNAVAILABLE, "loading")

    service.behave = busy
    assert len(tuned(service).trials) == 4


def test_a_service_that_dies_is_waited_for_and_that_is_said(
    service: ForeignService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(algorithm_services, "PATIENCE_SECONDS", 0.2)
    stopper = threading.Thread(target=service.stop)
    said = threading.Event()

    def die(number: int, context: grpc.ServicerContext) -> None:
        if number == 2:
            stopper.start()
            assert said.wait(60)

    service.behave = die
    with opened(service) as work:
        first = work.ask()
        assert first is not None
        work.tell(first, 1.0)
        plane = work._plane
        plane.run(lambda: bool(events_of(work)))
        said.set()
        stopper.join()
        assert all(service.address in text for text in events_of(work)), events_of(work)
        assert work.experiment.status.conditions[-1].type == names.RUNNING
        service.start()
        second = work.ask()
        assert second is not None
        assert second.parameters["x"] == 2


def test_a_slow_service_does_not_hold_up_the_loop(service: ForeignService) -> None:
    may_answer = threading.Event()
    asked = threading.Event()

    def think(number: int, context: grpc.ServicerContext) -> None:
        asked.set()
        assert may_answer.wait(60)

    service.behave = think
    with opened(service) as slow:
        plane = slow._plane
        plane.run(asked.is_set)
        plane.run(lambda: not plane.control_plane.has_work())
        assert suggestion_of(slow).status.suggestion_count == 0
        may_answer.set()
        trial = slow.ask()
        assert trial is not None
        assert trial.parameters["x"] == 1


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", ":6789", "http://localhost:6789", "localhost:0", "a b:1", "x:65536"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    assert "write HOST:PORT" in address_problem(address)
    with pytest.raises(InvalidInput, match="--algorithm-service"):
        parse_service_options([f"mine={address}"])


@pytest.mark.parametrize("address", ["localhost:6789", "10.0.0.1:1", "[::1]:6789", "tune-own.team-a:6789"])
def test_addresses_of_every_kind_are_taken(address: str) -> None:
    assert parse_service_options([f"mine={address}"]) == {"mine": address}
