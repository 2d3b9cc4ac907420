"""One tuning at work: the embedded control plane around a search problem, driven by `tune` or by hand."""

from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import msgspec

from pykatib.api import names
from pykatib.api.errors import Conflict, NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.shared import MetricLog
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.control.suggestion_plan import missing_count
from pykatib.control.trial_plan import is_being_stopped
from pykatib.control.view import is_finished
from pykatib.embedded.algorithm_services import service_of
from pykatib.embedded.plane import EmbeddedControlPlane
from pykatib.sdk.problem import SearchProblem
from pykatib.sdk.result import TrialResult, TuneResult, trial_result
from pykatib.store.contract import Change
from pykatib.workers.callables import CallableRunner, Executor, ManualExecutor, Sink
from pykatib.workers.objective import Done, Raised, metric_texts


class AskedTrial(msgspec.Struct, frozen=True):
    """A Trial to be evaluated by hand: its name, for `tell`, and its parameters."""

    name: str
    parameters: dict[str, Any]


class TuningSession:
    """A tuning in progress. `ask` and `tell` evaluate Trials by hand; use it as a context manager.

    Example:
        with pykatib.session(parameters={"x": search.double(-1, 1)}, max_trial_count=20) as session:
            while trial := session.ask():
                session.tell(trial, trial.parameters["x"] ** 2)
            print(session.result().best_parameters)
    """

    def __init__(
        self,
        plane: EmbeddedControlPlane,
        experiment: Experiment,
        problem: SearchProblem,
        executor: Callable[[Sink], Executor],
    ) -> None:
        self._plane = plane
        self._problem = problem
        self._asked: set[str] = set()
        self._executor: Executor | None = None

        def make(sink: Sink) -> Executor:
            self._executor = executor(sink)
            return self._executor

        runner = CallableRunner(plane.store, plane.observations, plane.clock, convert=problem.values, executor=make)
        plane.add_runner(runner)
        plane.start()
        self._reference = self._take_in(experiment)

    def _take_in(self, experiment: Experiment) -> Reference:
        """Creates the Experiment, or takes up the one of that name when it asks for the same search."""
        meta = experiment.metadata
        door = self._plane.front_door
        if not meta.name or self._plane.store.find(experiment.reference) is None:
            return door.create(experiment).reference
        old = door.experiment(meta.namespace, meta.name)
        new, _ = door.judge(experiment)
        same = msgspec.structs.replace(
            new.spec,
            max_trial_count=old.spec.max_trial_count,
            parallel_trial_count=old.spec.parallel_trial_count,
            max_failed_trial_count=old.spec.max_failed_trial_count,
            active_deadline_seconds=old.spec.active_deadline_seconds,
            suspend=old.spec.suspend,
        )
        if _plain(same) != _plain(old.spec):
            raise Conflict(
                f"there is an Experiment {meta.namespace}/{meta.name} in this home with another search; "
                "give this one another name, or delete that one"
            )
        if service_of(new):
            door.ask_service(meta.namespace, meta.name, service_of(new))
        spec = new.spec
        limit = spec.max_trial_count if spec.max_trial_count != old.spec.max_trial_count else None
        if not is_completed(old) or limit is not None:
            door.resume(
                meta.namespace,
                meta.name,
                max_trial_count=limit,
                parallel_trial_count=spec.parallel_trial_count,
                max_failed_trial_count=spec.max_failed_trial_count,
                active_deadline_seconds=spec.active_deadline_seconds,
            )
        return old.reference

    @property
    def experiment(self) -> Experiment:
        """The Experiment as it stands."""
        return self._plane.front_door.experiment(self._reference.namespace, self._reference.name)

    def is_over(self) -> bool:
        """True when the Experiment has ended and none of its Trials is active."""
        if not is_completed(self.experiment):
            return False
        return self._plane.control_plane.view(self._reference.namespace, self._reference.name).active_count == 0

    def run(self, *, on_trial: Callable[[TrialResult], None] | None = None) -> None:
        """Runs to the end; `on_trial` is told of each Trial that has ended, and what it raises ends the run."""
        if on_trial is None:
            self._plane.run(self.is_over)
            return
        ended: deque[Trial] = deque()

        def note(change: Change) -> None:
            new, old = change.new, change.old
            if isinstance(new, Trial) and is_finished(new) and isinstance(old, Trial) and not is_finished(old):
                ended.append(new)

        def is_over() -> bool:
            while ended:
                on_trial(self._result_of(ended.popleft()))
            return self.is_over()

        subscription = self._plane.store.subscribe((names.TRIAL,), note)
        try:
            self._plane.run(is_over)
        finally:
            subscription.close()

    # By hand

    def ask(self) -> AskedTrial | None:
        """The next Trial to evaluate; None when there are no more to come.

        Raises:
            RuntimeError: all Trials that may be active have been asked for; tell one first.
        """
        executor = self._manual()

        def next_open() -> str | None:
            return next((name for name in executor.open if name not in self._asked), None)

        idle = False

        def settled() -> bool:
            nonlocal idle
            if next_open() is not None or self.is_over():
                return True
            if self._awaits_proposals():  # they may come late, from a service
                return False
            # At rest with nothing to show: a second look, after the runner had its turn, settles it.
            was_idle, idle = idle, not self._plane.control_plane.has_work()
            self._plane.waiter.wake()  # nobody else would: there is nothing to wait for
            return was_idle and idle

        self._plane.run(settled)
        name = next_open()
        if name is not None:
            self._asked.add(name)
            return AskedTrial(name, executor.open[name])
        if is_completed(self.experiment):
            return None
        raise RuntimeError(
            f"{len(self._asked)} Trials are open, as many as parallel_trial_count allows; tell the result of one first"
        )

    def _awaits_proposals(self) -> bool:
        reference = self._reference
        found = self._plane.store.find(Reference(names.SUGGESTION, reference.namespace, reference.name))
        return isinstance(found, Suggestion) and missing_count(found, self.experiment) > 0

    def tell(
        self, trial: AskedTrial | str, result: float | Mapping[str, float] | None = None, *, error: str | None = None
    ) -> TrialResult:
        """The result of a Trial: a number, a mapping of metrics, or `error` for one that failed.

        Raises:
            NotFound: no open Trial has that name.
            TypeError: the result is no metric.
        """
        executor = self._manual()
        name = trial if isinstance(trial, str) else trial.name
        objective = self.experiment.spec.objective
        assert objective is not None, "validated"
        texts = metric_texts(result, objective_metric_name=objective.objective_metric_name)
        outcome = Raised(error, error) if error is not None else Done(texts)
        if not executor.finish(name, outcome):
            raise NotFound(f"there is no open Trial {name!r}; it may have been told already")
        self._asked.discard(name)
        self._plane.control_plane.run_to_rest()
        self._plane.store.flush()  # what was told is not asked for again, whatever happens to this process
        return self._result_of(self._trial(name))

    def report(self, trial: AskedTrial | str, metrics: Mapping[str, float]) -> bool:
        """Metrics of a Trial that is still being evaluated.

        Returns:
            Whether to go on with it. False says that it was stopped early: nothing more is to be told of it.

        Raises:
            NotFound: no open Trial has that name.
        """
        executor = self._manual()
        name = trial if isinstance(trial, str) else trial.name
        if name not in executor.open:
            raise NotFound(f"there is no open Trial {name!r}; it may have been told already")
        now = self._plane.clock.now()
        texts = metric_texts(metrics, objective_metric_name="")
        logs = [MetricLog(now, metric, text) for metric, text in texts.items()]
        self._plane.observations.report(self._reference.namespace, name, logs)
        if not is_being_stopped(self._trial(name)):
            return True
        self._asked.discard(name)
        self._plane.control_plane.run_to_rest()
        self._plane.store.flush()
        return False

    def _manual(self) -> ManualExecutor:
        if not isinstance(self._executor, ManualExecutor):
            raise RuntimeError(
                "this session runs its Trials itself; ask and tell are for sessions without an objective"
            )
        return self._executor

    # Results

    def _trial(self, name: str) -> Trial:
        trial = self._plane.store.get(Reference(names.TRIAL, self._reference.namespace, name))
        assert isinstance(trial, Trial)
        return trial

    def _result_of(self, trial: Trial) -> TrialResult:
        texts = {assignment.name: assignment.value for assignment in trial.spec.parameter_assignments}
        return trial_result(trial, self._problem.values(texts))

    def result(self, *, interrupted: bool = False) -> TuneResult:
        """What has been found so far."""
        labels = {names.LABEL_EXPERIMENT: self._reference.name}
        found = self._plane.store.list(names.TRIAL, namespace=self._reference.namespace, labels=labels)
        trials = {trial.metadata.name: self._result_of(trial) for trial in found if isinstance(trial, Trial)}
        experiment = self.experiment
        best = trials.get(experiment.status.current_optimal_trial.best_trial_name)
        return TuneResult(experiment, best, tuple(trials.values()), interrupted)

    def metrics(self, trial_name: str) -> list[MetricLog]:
        """The metric logs of a Trial, by time: its learning curve."""
        return list(self._plane.observations.logs(self._reference.namespace, trial_name))

    def close(self, *, now: bool = False) -> None:
        """Ends what runs and lets go; an Experiment in a home folder can be taken up again."""
        self._plane.close(now=now)

    def __enter__(self) -> "TuningSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(now=kind is not None)


def _plain(spec: Any) -> bytes:
    # Raw members compare by identity of their buffers; their JSON is what counts.
    return msgspec.json.encode(spec)
