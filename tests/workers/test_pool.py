"""Worker processes: what is sent to them, how they die, and that none is left."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import objectives_to_send as objectives
import psutil
import pytest
from executor_scene import Scene, runs, wait_until

from pykatib.workers.objective import Done, Objective, Raised
from pykatib.workers.pool import WORKER_DIED, PoolExecutor


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.waiter.close()


@pytest.fixture
def pool(scene: Scene) -> Iterator[Callable[..., PoolExecutor]]:
    pools: list[PoolExecutor] = []

    def make(objective: Objective, *, count: int = 1, **environment: str) -> PoolExecutor:
        made = PoolExecutor(
            scene,
            objective,
            objective_metric_name="loss",
            count=count,
            environment=environment,
            watch=scene.waiter.watch,
            unwatch=scene.waiter.unwatch,
        )
        pools.append(made)
        return made

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield make
    for made in pools:
        made.close(now=True)
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left, "a worker process is left"


# What is sent


def test_a_function_runs_in_a_process_of_its_own(scene: Scene, pool: Callable[..., PoolExecutor]) -> None:
    scene.run(pool(objectives.says_who), "t0")
    outcome = scene.outcomes["t0"]
    assert isinstance(outcome, Done)
    assert outcome.metrics["pid"] != repr(float(os.getpid()))


def closure() -> Objective:
    factor = 2.0
    return lambda parameters: factor * parameters["x"]


class Method:
    def __init__(self) -> None:
        self.factor = 2.0

    def __call__(self, parameters: dict[str, Any]) -> float:
        return self.factor * float(parameters["x"])


def times(factor: float, parameters: dict[str, Any]) -> float:
    return factor * float(parameters["x"])


def of_a_notebook() -> Objective:
    """A function as a notebook's cell defines it: in `__main__`, with what it uses beside it."""
    cell: dict[str, Any] = {"__name__": "__main__"}
    exec("FACTOR = 2.0\ndef helper(x):\n    return FACTOR * x\ndef objective(p):\n    return helper(p['x'])\n", cell)
    objective: Objective = cell["objective"]
    return objective


@pytest.mark.parametrize(
    "objective",
    [
        pytest.param(closure(), id="closure"),
        pytest.param(Method(), id="callable object"),
        pytest.param(Method().__call__, id="method"),
        pytest.param(partial(times, 2.0), id="partial"),
        pytest.param(of_a_notebook(), id="notebook"),
    ],
)
def test_functions_of_all_kinds_can_be_sent(
    scene: Scene, pool: Callable[..., PoolExecutor], objective: Objective
) -> None:
    scene.run(pool(objective), "t0")
    assert scene.outcomes["t0"] == Done({"loss": "6.0"})


def test_a_function_that_cannot_be_sent_is_refused_with_advice(pool: Callable[..., PoolExecutor]) -> None:
    lock = threading.Lock()

    def objective(parameters: dict[str, Any]) -> float:
        with lock:
            return 1.0

    with pytest.raises(TypeError, match=r"cannot be sent to worker processes .*; run it in threads or inline instead"):
        pool(objective)


def test_a_function_of_a_module_that_is_not_there_fails_each_trial_and_says_so(
    scene: Scene, pool: Callable[..., PoolExecutor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_of_this_test.py").write_text("def objective(p):\n    return 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import module_of_this_test  # type: ignore[import-not-found]

    executor = pool(module_of_this_test.objective)
    (tmp_path / "module_of_this_test.py").unlink()
    for cached in (tmp_path / "__pycache__").glob("module_of_this_test*"):
        cached.unlink()
    scene.run(executor, "t0", "t1")
    for outcome in scene.outcomes.values():
        assert isinstance(outcome, Raised)
        assert "the objective could not be loaded in a worker process: ModuleNotFoundError" in outcome.error


def test_a_large_function_and_large_results_travel(scene: Scene, pool: Callable[..., PoolExecutor]) -> None:
    data = b"x" * 20_000_000
    scene.run(pool(lambda parameters: float(len(data))), "t0")
    assert scene.outcomes["t0"] == Done({"loss": "20000000.0"})
    scene.run(pool(objectives.is_huge), "t1")
    outcome = scene.outcomes["t1"]
    assert isinstance(outcome, Done)
    assert len(outcome.metrics) == 20_001


def test_workers_get_their_environment_and_know_their_trial(scene: Scene, pool: Callable[..., PoolExecutor]) -> None:
    executor = pool(lambda p: {"loss": float(os.environ["MINE"]), os.environ["KATIB_TRIAL_NAME"]: 0.0}, MINE="5")
    scene.run(executor, "t0", "t1")
    assert scene.outcomes == {"t0": Done({"loss": "5.0", "t0": "0.0"}), "t1": Done({"loss": "5.0", "t1": "0.0"})}


# Ends


def test_processes_serve_trial_after_trial_and_no_more_of_them_run_than_allowed(
    scene: Scene, pool: Callable[..., PoolExecutor]
) -> None:
    scene.run(pool(objectives.says_who, count=2), *(f"t{number}" for number in range(12)))
    pids = {outcome.metrics["pid"] for outcome in scene.outcomes.values() if isinstance(outcome, Done)}
    assert 1 <= len(pids) <= 2


@pytest.mark.parametrize(
    ("objective", "error", "line"),
    [
        pytest.param(objectives.fails, "ValueError: no luck with 3", "in fails", id="an error"),
        pytest.param(objectives.leaves, "SystemExit: 3", "in leaves", id="sys.exit"),
        pytest.param(objectives.interrupts, "KeyboardInterrupt", "KeyboardInterrupt", id="KeyboardInterrupt"),
    ],
)
def test_what_a_function_raises_fails_its_trial_alone_with_its_traceback(
    scene: Scene, pool: Callable[..., PoolExecutor], objective: Objective, error: str, line: str
) -> None:
    scene.run(pool(objective), "t0", "t1")
    for outcome in scene.outcomes.values():
        assert isinstance(outcome, Raised)
        assert outcome.error == error
        assert line in outcome.traceback
    assert not scene.losses


@pytest.mark.parametrize(
    ("objective", "how"),
    [
        pytest.param(objectives.leaves_hard, "exit code 7", id="os._exit"),
        pytest.param(objectives.segfaults, "signal SIGSEGV", id="segmentation fault"),
        pytest.param(objectives.kills_itself, "signal SIGKILL", id="SIGKILL"),
    ],
)
def test_a_process_that_dies_takes_one_trial_with_it_and_another_takes_its_place(
    scene: Scene, pool: Callable[..., PoolExecutor], objective: Objective, how: str
) -> None:
    def dies_at_first(parameters: dict[str, Any]) -> float:
        if os.environ["KATIB_TRIAL_NAME"] == "t0":
            return float(objective(parameters))
        return 1.0

    scene.run(pool(dies_at_first), "t0", "t1")
    reason, message = scene.losses["t0"]
    assert reason == WORKER_DIED
    assert f"the worker process ended with {how} while it ran this Trial" in message
    assert ("perhaps the kernel killed it for want of memory" in message) == (how == "signal SIGKILL")
    assert scene.outcomes["t1"] == Done({"loss": "1.0"})


def test_a_process_that_dies_while_it_is_idle_is_replaced(scene: Scene, pool: Callable[..., PoolExecutor]) -> None:
    executor = pool(objectives.says_who)
    scene.run(executor, "t0")
    first = scene.outcomes["t0"]
    assert isinstance(first, Done)
    os.kill(int(float(first.metrics["pid"])), signal.SIGKILL)
    wait_until(lambda: not runs(int(float(first.metrics["pid"]))))
    scene.run(executor, "t1")
    assert isinstance(scene.outcomes["t1"], Done)


def test_a_trial_that_was_on_its_way_to_a_dying_idle_process_is_given_to_another(
    scene: Scene, pool: Callable[..., PoolExecutor]
) -> None:
    executor = pool(objectives.says_who)
    scene.run(executor, "t0")
    first = scene.outcomes["t0"]
    assert isinstance(first, Done)
    pid = int(float(first.metrics["pid"]))
    os.kill(pid, signal.SIGSTOP)
    executor.submit("t1", {})
    os.kill(pid, signal.SIGKILL)
    scene.work(executor, lambda: "t1" in {*scene.outcomes, *scene.losses})
    second = scene.outcomes["t1"]
    assert isinstance(second, Done)
    assert second.metrics["pid"] != first.metrics["pid"]
    assert not scene.losses


def test_a_pool_whose_processes_cannot_start_fails_its_trials_and_says_so(
    scene: Scene, pool: Callable[..., PoolExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = pool(objectives.square)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    scene.run(executor, "t0", "t1")
    assert {reason for reason, _ in scene.losses.values()} == {WORKER_DIED}
    assert "no worker process could be started" in scene.losses["t0"][1]


def test_a_pool_whose_processes_die_at_once_fails_its_trials_and_says_how(
    scene: Scene, pool: Callable[..., PoolExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = pool(lambda p, data=b"x" * 5_000_000: len(data))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    scene.run(executor, "t0", "t1")
    assert "exit code 1" in scene.losses["t0"][1]
    assert "exit code 1" in scene.losses["t1"][1]


def hanging(scene: Scene, executor: PoolExecutor, path: Path) -> tuple[int, int]:
    """A job that hangs; its process and the child of that."""
    executor.submit("t0", {"path": str(path)})
    scene.work(executor, path.exists)
    worker, child = path.read_text().split()
    return int(worker), int(child)


def test_a_cancelled_trial_ends_its_process_and_all_that_it_started(
    scene: Scene, pool: Callable[..., PoolExecutor], tmp_path: Path
) -> None:
    executor = pool(objectives.hangs_with_a_child)
    worker, child = hanging(scene, executor, tmp_path / "pids")
    assert executor.capacity() == 0
    executor.cancel("t0")
    wait_until(lambda: not runs(worker) and not runs(child))
    assert executor.capacity() == 1
    executor.cancel("never there")
    assert not scene.outcomes
    assert not scene.losses


@pytest.mark.parametrize("now", [True, False], ids=["at once", "gently"])
def test_closing_ends_idle_and_busy_processes_with_their_children(
    scene: Scene, pool: Callable[..., PoolExecutor], tmp_path: Path, *, now: bool
) -> None:
    executor = pool(objectives.hangs_with_a_child, count=2)
    worker, child = hanging(scene, executor, tmp_path / "pids")
    executor.close(now=now)
    wait_until(lambda: not runs(worker) and not runs(child))
    executor.close(now=now)


def test_workers_end_with_their_pool_even_when_that_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        import objectives_to_send
        from executor_scene import Scene
        from pykatib.workers.pool import PoolExecutor

        scene = Scene()
        pool = PoolExecutor(
            scene, objectives_to_send.hangs_with_a_child, objective_metric_name="loss", count=2, environment={},
            watch=scene.waiter.watch, unwatch=scene.waiter.unwatch,
        )
        for name in ("a", "b"):
            pool.submit(name, {"path": f"{sys.argv[2]}/{name}"})
        while True:
            pool.advance()
            time.sleep(0.01)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)])
    try:
        wait_until(lambda: (tmp_path / "a").exists() and (tmp_path / "b").exists())
        pids = [int(pid) for name in "ab" for pid in (tmp_path / name).read_text().split()]
        assert all(runs(pid) for pid in pids)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(runs(pid) for pid in pids))


# Metrics


def test_metrics_arrive_while_the_function_runs_in_their_order_before_its_end(
    scene: Scene, pool: Callable[..., PoolExecutor]
) -> None:
    scene.run(pool(objectives.reports), "t0")
    assert scene.reported == [
        ("t0", {"loss": "3", "acc": "0"}, 100.0),
        ("t0", {"loss": "2", "acc": "1"}, 101.0),
        ("t0", {"loss": "1", "acc": "2"}, 102.0),
    ]
    assert scene.outcomes == {"t0": Done({})}


def test_threads_of_the_function_may_report(scene: Scene, pool: Callable[..., PoolExecutor]) -> None:
    scene.run(pool(objectives.reports_from_a_thread), "t0")
    assert scene.reported == [("t0", {"loss": "0.25"}, None)]


def test_a_function_that_says_nothing_has_no_metrics(scene: Scene, pool: Callable[..., PoolExecutor]) -> None:
    scene.run(pool(objectives.says_nothing), "t0")
    assert scene.outcomes == {"t0": Done({})}
