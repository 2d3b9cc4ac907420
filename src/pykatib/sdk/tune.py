"""`tune`: search for the best parameters of a Python function, on this machine.

It is a manifest's Experiment around a function, on the same control plane as `katib run`; there is no second loop.
"""

import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import RetryPolicy
from pykatib.api.quantity import parse_quantity
from pykatib.api.shared import EarlyStoppingSpec
from pykatib.embedded.home import open_home
from pykatib.embedded.plane import EmbeddedControlPlane
from pykatib.runtime.clock import SystemClock
from pykatib.sdk.problem import Objective, SearchProblem, Settings, check_objective, experiment_of
from pykatib.sdk.progress import ProgressLine
from pykatib.sdk.result import TrialResult, TuneResult
from pykatib.sdk.session import TuningSession
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore
from pykatib.workers.callables import Executor, InlineExecutor, ManualExecutor, Sink, ThreadExecutor
from pykatib.workers.environment import thread_variables
from pykatib.workers.pool import PoolExecutor

RunIn: TypeAlias = Literal["processes", "threads", "inline"]


def tune(
    name: str | None = None,
    *,
    objective: Objective,
    parameters: Mapping[str, Any],
    namespace: str | None = None,
    env_per_trial: Mapping[str, str] | None = None,
    algorithm_name: str = "default",
    algorithm_settings: Settings | None = None,
    algorithm_service: str | None = None,
    early_stopping: EarlyStoppingSpec | None = None,
    objective_metric_name: str = "objective",
    additional_metric_names: Sequence[str] = (),
    objective_type: str = "maximize",
    objective_goal: float | None = None,
    max_trial_count: int | None = None,
    parallel_trial_count: int | None = None,
    max_failed_trial_count: int | None = None,
    resources_per_trial: Mapping[str, Any] | None = None,
    retain_trials: bool = False,
    trial_active_deadline_seconds: int | None = None,
    active_deadline_seconds: int | None = None,
    retries: RetryPolicy | None = None,
    run_in: RunIn = "processes",
    home: str | os.PathLike[str] | None = None,
    on_trial: Callable[[TrialResult], None] | None = None,
    progress: bool | None = None,
) -> TuneResult:
    """Searches for the parameters with which `objective` is best.

    Args:
        name: the Experiment's name; made up when None. With `home`, the same name takes the search up again.
        objective: called with one dict, the parameters of a Trial by name, floats as floats and so on. It returns a
            number, the objective metric, or a dict of metrics, or it calls `report_metrics` while it runs. What it
            raises fails that Trial alone.
        parameters: by name, `search.double(…)`, `search.int(…)`, `search.categorical(…)`, `search.discrete(…)`, or
            any other object, which is handed through as it is.
        namespace: of the Experiment; `default` when None.
        env_per_trial: environment variables of the worker processes.
        algorithm_name: the search algorithm; `katib algorithms` lists them. `default` picks one by the parameters and
            the number of Trials, and an event of the Experiment says which and why.
        algorithm_settings: its settings by name.
        algorithm_service: `"HOST:PORT"` of a Katib suggestion service, which is asked for `algorithm_name` instead of
            pykatib's own algorithms. While it does not answer, the search waits.
        early_stopping: an early stopping method and its settings; `katib algorithms` lists them. It judges what the
            objective tells by `report_metrics`. A worker process is ended when its Trial is stopped; in threads and
            inline, `report_metrics` raises `TrialStopped`, to be let pass.
        objective_metric_name: what the returned number is called, or which of the returned metrics counts.
        additional_metric_names: metrics that are kept beside it.
        objective_type: `maximize` or `minimize`.
        objective_goal: the search ends as soon as a Trial is as good as this.
        max_trial_count: the search ends after that many Trials. Without it, a goal or a time limit is needed.
        parallel_trial_count: Trials at a time; when None, 3, and 1 for `inline`.
        max_failed_trial_count: the search fails when that many Trials have failed.
        resources_per_trial: `{"cpu": n}` gives numeric libraries n threads in each worker process (1 by default).
        retain_trials: keep the records of worker jobs that have ended.
        trial_active_deadline_seconds: time limit of each Trial, which then fails. A worker process is ended; a thread
            cannot be, and goes on unheard; not for `inline`.
        active_deadline_seconds: time limit of the whole search.
        retries: how often a Trial is run again after a crash, a timeout, or the loss of its worker.
        run_in: `processes` (Trials run in parallel and cannot harm this process), `threads`, or `inline`.
        home: a folder in which everything is kept, so that the search survives this process; in memory when None.
        on_trial: called with each Trial that has ended.
        progress: show a progress line on stderr; when None, only in a terminal.

    Returns:
        The best Trial, all Trials and the Experiment. After Ctrl-C, what was found until then, with `interrupted`
        set; a second Ctrl-C raises KeyboardInterrupt.

    Raises:
        InvalidInput: the search is not well stated; all mistakes are named at once.
        ValueError: the objective cannot be called with one dict, or `parameters` searches nothing.
        TypeError: the objective cannot be sent to worker processes.

    Example:
        >>> from pykatib import search, tune
        >>> result = tune(
        ...     objective=lambda p: (p["x"] - 0.3) ** 2,
        ...     parameters={"x": search.double(0, 1)},
        ...     objective_type="minimize",
        ...     max_trial_count=20,
        ...     run_in="inline",
        ... )
        >>> len(result.trials)
        20
    """
    check_objective(objective)
    if run_in not in ("processes", "threads", "inline"):
        raise ValueError(f"run_in is {run_in!r}; it is one of 'processes', 'threads', 'inline'")
    if env_per_trial and run_in != "processes":
        raise ValueError("env_per_trial needs run_in='processes': threads share this process's environment")
    if trial_active_deadline_seconds is not None and run_in == "inline":
        raise ValueError("trial_active_deadline_seconds needs run_in='processes': nothing can end a function inline")
    if max_trial_count is None and objective_goal is None and active_deadline_seconds is None:
        message = "is required here: without it, objective_goal or active_deadline_seconds the search would never end"
        raise InvalidInput([FieldError("max_trial_count", message)])
    if parallel_trial_count is None:
        parallel_trial_count = min(1 if run_in == "inline" else 3, max_trial_count or 3)
    environment = {**thread_variables(_millicpus(resources_per_trial)), **(env_per_trial or {})}
    session = session_of(
        name,
        parameters=parameters,
        namespace=namespace,
        algorithm_name=algorithm_name,
        algorithm_settings=algorithm_settings,
        algorithm_service=algorithm_service,
        early_stopping=early_stopping,
        objective_metric_name=objective_metric_name,
        additional_metric_names=additional_metric_names,
        objective_type=objective_type,
        objective_goal=objective_goal,
        max_trial_count=max_trial_count,
        parallel_trial_count=parallel_trial_count,
        max_failed_trial_count=max_failed_trial_count,
        retain_trials=retain_trials,
        trial_active_deadline_seconds=trial_active_deadline_seconds,
        active_deadline_seconds=active_deadline_seconds,
        retries=retries,
        home=home,
        executor=partial(
            _executor,
            run_in,
            objective,
            objective_metric_name=objective_metric_name,
            count=parallel_trial_count,
            environment=environment,
        ),
    )
    show = sys.stderr.isatty() if progress is None else progress
    line = ProgressLine(max_trial_count) if show else None
    interrupted = is_whole = False
    try:
        try:
            session.run(on_trial=_both(on_trial, line))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if line is not None:
                line.close()
        result = session.result(interrupted=interrupted)
        is_whole = not interrupted
    finally:
        session.close(now=not is_whole)
    return result


def _both(
    on_trial: Callable[[TrialResult], None] | None, line: ProgressLine | None
) -> Callable[[TrialResult], None] | None:
    if line is None:
        return on_trial

    def told(trial: TrialResult) -> None:
        line.trial_ended(trial)
        if on_trial is not None:
            on_trial(trial)

    return told


def _millicpus(resources: Mapping[str, Any] | None) -> int:
    cpu = (resources or {}).get("cpu")
    return 1_000 if cpu is None else int(parse_quantity(str(cpu)) * 1_000)


def _executor(
    run_in: RunIn,
    objective: Objective,
    sink: Sink,
    plane: EmbeddedControlPlane,
    *,
    objective_metric_name: str,
    count: int,
    environment: Mapping[str, str],
) -> Executor:
    if run_in == "inline":
        return InlineExecutor(sink, objective, objective_metric_name=objective_metric_name)
    if run_in == "threads":
        return ThreadExecutor(
            sink, objective, objective_metric_name=objective_metric_name, count=count, wake=plane.waiter.wake
        )
    return PoolExecutor(
        sink,
        objective,
        objective_metric_name=objective_metric_name,
        count=count,
        environment=environment,
        watch=plane.waiter.watch,
        unwatch=plane.waiter.unwatch,
    )


def session_of(
    name: str | None,
    *,
    parameters: Mapping[str, Any],
    namespace: str | None,
    home: str | os.PathLike[str] | None,
    executor: Callable[[Sink, EmbeddedControlPlane], Executor],
    **fields: Any,
) -> TuningSession:
    """A session on a fresh control plane: in memory, or in a home folder."""
    problem = SearchProblem.of(parameters)
    experiment = experiment_of(
        problem, name=name or f"tune-{secrets.token_hex(4)}", namespace=namespace or "default", **fields
    )
    if home is None:
        clock = SystemClock()
        plane = EmbeddedControlPlane(MemoryStore(clock.now), MemoryObservationStore(), clock)
    else:
        plane = open_home(Path(home)).plane
    try:
        return TuningSession(plane, experiment, problem, lambda sink: executor(sink, plane))
    except BaseException:
        plane.close(now=True)
        raise


def session(
    name: str | None = None,
    *,
    parameters: Mapping[str, Any],
    namespace: str | None = None,
    algorithm_name: str = "default",
    algorithm_settings: Settings | None = None,
    early_stopping: EarlyStoppingSpec | None = None,
    algorithm_service: str | None = None,
    objective_metric_name: str = "objective",
    additional_metric_names: Sequence[str] = (),
    objective_type: str = "maximize",
    objective_goal: float | None = None,
    max_trial_count: int | None = None,
    parallel_trial_count: int = 1,
    max_failed_trial_count: int | None = None,
    active_deadline_seconds: int | None = None,
    home: str | os.PathLike[str] | None = None,
) -> TuningSession:
    """Opens a search whose Trials you evaluate yourself, by `ask` and `tell`; arguments as for `tune`.

    Raises:
        InvalidInput: the search is not well stated.
        ValueError: `parameters` searches nothing.
    """
    return session_of(
        name,
        parameters=parameters,
        namespace=namespace,
        algorithm_name=algorithm_name,
        algorithm_settings=algorithm_settings,
        early_stopping=early_stopping,
        algorithm_service=algorithm_service,
        objective_metric_name=objective_metric_name,
        additional_metric_names=additional_metric_names,
        objective_type=objective_type,
        objective_goal=objective_goal,
        max_trial_count=max_trial_count,
        parallel_trial_count=parallel_trial_count,
        max_failed_trial_count=max_failed_trial_count,
        active_deadline_seconds=active_deadline_seconds,
        home=home,
        executor=lambda sink, _: ManualExecutor(sink, count=parallel_trial_count),
    )
