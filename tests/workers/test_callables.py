"""Functions as worker jobs: inline, in threads, by hand; what the runner makes of the store's news."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import objectives_to_send as objectives
import pytest
from executor_scene import Scene

from pykatib.api import names
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import WorkerJob
from pykatib.api.trial import Trial, TrialSpec
from pykatib.runtime.clock import ManualClock
from pykatib.sdk.report import report_metrics
from pykatib.store.contract import Change
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore
from pykatib.workers import jobstatus
from pykatib.workers.callables import (
    OBJECTIVE_FAILED,
    CallableRunner,
    Executor,
    InlineExecutor,
    ManualExecutor,
    ThreadExecutor,
)
from pykatib.workers.objective import Done, Objective, Raised


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.waiter.close()


MakeExecutor = Callable[[Scene, Objective], Executor]


def inline(scene: Scene, objective: Objective) -> InlineExecutor:
    return InlineExecutor(scene, objective, objective_metric_name="loss")


def threaded(scene: Scene, objective: Objective, count: int = 2) -> ThreadExecutor:
    return ThreadExecutor(scene, objective, objective_metric_name="loss", count=count, wake=scene.waiter.wake)


BOTH = pytest.mark.parametrize("make", [inline, threaded])


# Inline and in threads


@BOTH
def test_a_functions_number_is_its_objective(scene: Scene, make: MakeExecutor) -> None:
    executor = make(scene, objectives.square)
    scene.run(executor, "t0", "t1")
    executor.close(now=False)
    assert scene.outcomes == {"t0": Done({"loss": "9.0"}), "t1": Done({"loss": "9.0"})}


@BOTH
@pytest.mark.parametrize(
    ("objective", "error", "line"),
    [
        pytest.param(objectives.fails, "ValueError: no luck with 3", "in fails", id="an error"),
        pytest.param(objectives.leaves, "SystemExit: 3", "in leaves", id="sys.exit"),
    ],
)
def test_what_a_function_raises_fails_its_trial_alone(
    scene: Scene, make: MakeExecutor, objective: Objective, error: str, line: str
) -> None:
    executor = make(scene, objective)
    scene.run(executor, "t0", "t1")
    executor.close(now=False)
    for outcome in scene.outcomes.values():
        assert isinstance(outcome, Raised)
        assert outcome.error == error
        assert line in outcome.traceback


@BOTH
def test_metrics_are_told_before_the_end(scene: Scene, make: MakeExecutor) -> None:
    executor = make(scene, objectives.reports)
    scene.run(executor, "t0")
    executor.close(now=False)
    assert [time for _, _, time in scene.reported] == [100.0, 101.0, 102.0]
    assert scene.outcomes == {"t0": Done({})}


def test_threads_that_an_inline_function_starts_may_report(scene: Scene) -> None:
    scene.run(inline(scene, objectives.reports_from_a_thread), "t0")
    assert scene.reported == [("t0", {"loss": "0.25"}, None)]


def test_an_interrupted_inline_job_can_be_run_again(scene: Scene) -> None:
    calls: list[int] = []

    def interrupted_once(parameters: dict[str, Any]) -> float:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return 1.0

    executor = inline(scene, interrupted_once)
    executor.submit("t0", {})
    with pytest.raises(KeyboardInterrupt):
        executor.advance()
    assert executor.capacity() == 0
    executor.advance()
    assert scene.outcomes == {"t0": Done({"loss": "1.0"})}


def test_an_inline_job_that_has_not_begun_can_be_taken_back(scene: Scene) -> None:
    executor = inline(scene, objectives.square)
    executor.submit("t0", {"x": 1})
    executor.cancel("t0")
    assert not executor.advance()
    assert (executor.capacity(), scene.outcomes) == (1, {})


def test_a_keyboard_interrupt_in_a_thread_is_a_failure(scene: Scene) -> None:
    executor = threaded(scene, objectives.interrupts)
    scene.run(executor, "t0")
    executor.close(now=False)
    assert isinstance(scene.outcomes["t0"], Raised)


def test_threads_run_side_by_side_and_tell_their_metrics_apart(scene: Scene) -> None:
    meeting = threading.Barrier(2, timeout=60)

    def meets(parameters: dict[str, Any]) -> float:
        report_metrics({"loss": parameters["x"]})
        meeting.wait()
        return float(parameters["x"])

    executor = threaded(scene, meets)
    for number in (1, 2):
        executor.submit(f"t{number}", {"x": number})
    assert executor.capacity() == 0
    scene.work(executor, lambda: len(scene.outcomes) == 2)
    assert executor.capacity() == 2
    executor.close(now=False)
    assert sorted((name, metrics["loss"]) for name, metrics, _ in scene.reported) == [("t1", "1"), ("t2", "2")]


def test_a_cancelled_thread_runs_on_unheard_and_is_not_taken_for_its_successor(scene: Scene) -> None:
    go = {"first": threading.Event(), "second": threading.Event()}
    runs = iter(("first", "second"))

    def waits(parameters: dict[str, Any]) -> float:
        which = next(runs)
        go[which].wait(60)
        report_metrics({"acc": 1.0 if which == "first" else 2.0})
        return 1.0 if which == "first" else 2.0

    executor = threaded(scene, waits)
    executor.submit("t0", {})
    wait = threading.Event()
    while executor.capacity() != 1:
        wait.wait(0.01)
    executor.cancel("t0")
    assert executor.capacity() == 1  # the thread is still taken
    executor.submit("t0", {})
    assert executor.capacity() == 0
    go["first"].set()
    scene.work(executor, lambda: executor.capacity() == 1)
    assert (scene.outcomes, scene.reported) == ({}, [])
    go["second"].set()
    scene.work(executor, lambda: bool(scene.outcomes))
    executor.close(now=False)
    assert scene.outcomes == {"t0": Done({"loss": "2.0"})}
    assert scene.reported == [("t0", {"acc": "2.0"}, None)]


def test_threads_are_daemons_that_end_with_their_executor(scene: Scene) -> None:
    executor = threaded(scene, objectives.square)
    scene.run(executor, "t0", "t1", "t2")
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("pykatib-trial")]
    assert mine
    assert all(thread.daemon for thread in mine)
    executor.close(now=False)
    assert not any(thread.is_alive() for thread in mine)


def test_a_job_by_hand_is_open_until_it_is_told_or_taken_back(scene: Scene) -> None:
    executor = ManualExecutor(scene, count=2)
    executor.submit("t0", {"x": 1})
    executor.submit("t1", {"x": 2})
    assert (executor.capacity(), executor.open) == (0, {"t0": {"x": 1}, "t1": {"x": 2}})
    executor.cancel("t1")
    assert executor.finish("t0", Done({"loss": "1"}))
    assert not executor.finish("t0", Done({"loss": "2"}))
    assert not executor.finish("t1", Done({"loss": "2"}))
    assert scene.outcomes == {"t0": Done({"loss": "1"})}
    assert not executor.advance()


# The runner


class Bench:
    """A runner over a memory store, its jobs done by hand."""

    def __init__(self, count: int = 2) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock.now)
        self.observations = MemoryObservationStore()
        self.executor: ManualExecutor | None = None
        self.count = count
        self.runner = self.new_runner()

    def new_runner(self) -> CallableRunner:
        def make(sink: Any) -> ManualExecutor:
            self.executor = ManualExecutor(sink, count=self.count)
            return self.executor

        return CallableRunner(
            self.store,
            self.observations,
            self.clock,
            convert=lambda texts: {name: float(text) for name, text in texts.items()},
            executor=make,
        )

    def create(self, name: str = "t0", *, status: msgspec.Raw = jobstatus.WAITING) -> WorkerJob:
        return self.store.create(
            WorkerJob(
                api_version=names.CALLABLE_API_VERSION,
                kind=names.CALLABLE_JOB,
                metadata=ObjectMeta(name=name, namespace="ns"),
                spec=msgspec.Raw(b'{"parameters":{"x":"0.5"}}'),
                status=status,
            )
        )

    def create_trial(self, *, limit: int | None) -> None:
        self.store.create(
            Trial(metadata=ObjectMeta(name="t0", namespace="ns"), spec=TrialSpec(active_deadline_seconds=limit))
        )

    def open(self) -> dict[str, Any]:
        assert self.executor is not None
        return self.executor.open

    def status(self, name: str = "t0") -> Any:
        found = self.store.get(Reference(names.CALLABLE_JOB, "ns", name, names.CALLABLE_API_VERSION))
        assert isinstance(found, WorkerJob)
        return msgspec.json.decode(found.status)

    def losses(self) -> list[tuple[float, str]]:
        return [(log.time, log.value) for log in self.observations.logs("ns", "t0") if log.name == "loss"]


def test_jobs_are_handed_out_as_there_is_room() -> None:
    bench = Bench(count=1)
    bench.create("t0")
    bench.runner.start()
    bench.create("t1")
    assert bench.runner.advance()
    assert bench.open() == {"t0": {"x": 0.5}}
    assert not bench.runner.advance()
    bench.executor.finish("t0", Done({}))  # type: ignore[union-attr]
    bench.runner.advance()
    assert [*bench.open()] == ["t1"]


def test_metrics_are_kept_before_the_status_says_complete() -> None:
    bench = Bench()
    seen: list[int] = []

    def note(change: Change) -> None:
        if change.old is not None:
            seen.append(len(bench.losses()))

    bench.store.subscribe((names.CALLABLE_JOB,), note)
    bench.create()
    bench.runner.start()
    bench.runner.advance()
    bench.runner.metrics("t0", {"loss": "3"}, timestamp=7.0)
    bench.runner.metrics("t0", {"loss": "2"}, timestamp=None)
    bench.executor.finish("t0", Done({"loss": "1"}))  # type: ignore[union-attr]
    now = bench.clock.now()
    assert bench.losses() == [(7.0, "3"), (now, "2"), (now, "1")]
    assert bench.status()["conditions"][0]["type"] == "Complete"
    assert seen == [3]


def test_a_function_that_failed_fails_its_job_with_its_traceback() -> None:
    bench = Bench()
    bench.create()
    bench.runner.start()
    bench.runner.advance()
    bench.executor.finish("t0", Raised("ValueError: x", "Traceback …\nValueError: x"))  # type: ignore[union-attr]
    [condition] = bench.status()["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "Failed",
        OBJECTIVE_FAILED,
        "Traceback …\nValueError: x",
    )


def test_a_worker_that_went_away_fails_its_job_with_its_reason() -> None:
    bench = Bench()
    bench.create()
    bench.runner.start()
    bench.runner.advance()
    bench.runner.lost("t0", "signal SIGKILL", reason="WorkerDied")
    assert bench.status()["conditions"][0]["reason"] == "WorkerDied"
    bench.runner.lost("t0", "again", reason="WorkerDied")
    bench.runner.outcome("t0", Done({"loss": "1"}))
    bench.runner.metrics("t0", {"loss": "1"}, timestamp=None)
    assert bench.status()["conditions"][0]["message"] == "signal SIGKILL"
    assert bench.losses() == []


@pytest.mark.parametrize(("limit", "shown"), [(None, False), (10, True)])
def test_a_limited_job_says_when_it_began(limit: int | None, *, shown: bool) -> None:
    bench = Bench()
    bench.create_trial(limit=limit)
    bench.create()
    bench.runner.start()
    bench.runner.advance()
    assert ("startTime" in bench.status()) == shown


def test_a_job_that_is_deleted_is_taken_back_and_late_news_of_it_are_not_heard() -> None:
    bench = Bench()
    job = bench.create()
    bench.runner.start()
    bench.runner.advance()
    bench.store.delete(job.reference)
    assert bench.open() == {}
    bench.runner.metrics("t0", {"loss": "1"}, timestamp=None)
    bench.runner.outcome("t0", Done({"loss": "1"}))
    assert bench.losses() == []


def test_a_job_that_is_deleted_before_it_began_does_not_begin() -> None:
    bench = Bench()
    job = bench.create()
    bench.runner.start()
    bench.store.delete(job.reference)
    assert not bench.runner.advance()
    assert bench.open() == {}


def test_a_job_that_is_made_anew_while_it_waits_begins_once() -> None:
    class Counting(ManualExecutor):
        submitted = 0

        def submit(self, job_name: str, parameters: dict[str, Any]) -> None:
            self.submitted += 1
            super().submit(job_name, parameters)

    bench = Bench()
    executor = Counting(bench.runner, count=5)
    bench.runner = CallableRunner(
        bench.store, bench.observations, bench.clock, convert=lambda texts: {**texts}, executor=lambda _: executor
    )
    job = bench.create()
    bench.runner.start()
    bench.store.delete(job.reference)
    bench.create()
    bench.runner.advance()
    assert executor.submitted == 1


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        pytest.param(jobstatus.WAITING, True, id="had not begun"),
        pytest.param(jobstatus.active(started_at=5.0), True, id="was running"),
        pytest.param(jobstatus.COMPLETE, False, id="is complete"),
        pytest.param(jobstatus.failed(reason="R", message="", started_at=None, ended_at=6.0), False, id="has failed"),
    ],
)
def test_a_new_process_begins_the_jobs_anew_that_have_not_ended(status: msgspec.Raw, *, begins: bool) -> None:
    bench = Bench()
    bench.create(status=status)
    bench.runner.start()
    if begins:
        assert bench.status() == {}, "the time limit counts from the new beginning"
    assert bench.runner.advance() == begins
    assert ([*bench.open()] == ["t0"]) == begins


def test_a_closed_runner_hears_nothing_more() -> None:
    bench = Bench()
    bench.runner.start()
    bench.runner.close()
    bench.create()
    assert not bench.runner.advance()
    assert bench.runner.next_moment() is None
