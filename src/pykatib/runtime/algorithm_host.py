"""Algorithms at work in this process, one instance an Experiment.

An instance is told what has ended since it was last asked. When it is not there, because this process is new, it is
made and told the whole history; the law that cold equals warm makes that the same. So nothing of it needs keeping.
"""

import hashlib
from collections.abc import Mapping
from typing import Protocol

from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ProposedTrial
from pykatib.algorithms.registry import settled
from pykatib.algorithms.space import SearchSpace
from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.shared import Setting
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.control.observation import number_of, value_text
from pykatib.control.suggestion_plan import Answer, Proposed
from pykatib.control.view import ExperimentView, trial_state

_OUTCOMES: Mapping[str, Outcome] = {
    names.SUCCEEDED: "succeeded",
    names.EARLY_STOPPED: "early-stopped",
    names.FAILED: "failed",
    names.KILLED: "killed",
    names.METRICS_UNAVAILABLE: "metrics-unavailable",
}


class AlgorithmFactory(Protocol):
    """Makes an Experiment's algorithm; raises InvalidInput where its settings do not allow one."""

    def __call__(self, experiment: Experiment, *, seed: int) -> tuple[SearchSpace, Algorithm]:
        """The search space and a fresh algorithm over it."""
        ...


class StillThinking(Exception):  # noqa: N818 - nothing has failed
    """The answer is not there yet. The same question is to be asked again once the host has said that it is.

    `is_ready` says of a service that is made for the Experiment whether it can be asked already; None where none is.
    """

    def __init__(self, is_ready: bool | None = None) -> None:
        super().__init__()
        self.is_ready = is_ready


class AlgorithmGateway(Protocol):
    """Whoever asks algorithms for proposals."""

    def propose(self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int) -> Answer:
        """Up to `count` proposals; fewer mean that there are no more. Raises InvalidInput, StillThinking."""
        ...

    def forget(self, reference: Reference, uid: str) -> None:
        """Lets an Experiment's algorithm go; it is made again when it is needed."""
        ...

    def retire(self, suggestion: Suggestion) -> None:
        """Ends what was made to serve a Suggestion that has come to its end. Any thread may call; may take its time."""
        ...


class Question(Protocol):
    """All that is needed to answer. Made on the loop's thread, answered on any; one an Experiment at a time."""

    @property
    def is_ready(self) -> bool | None:
        """Whether the service that is made for it can be asked already; None where none is made."""
        ...

    def answer(self) -> Answer:
        """Takes its time. Raises InvalidInput, and whatever an algorithm may raise."""
        ...


class Asker(Protocol):
    """Makes questions; what answers them is behind it."""

    def question(self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int) -> Question:
        """The question for `count` proposals. It is to be answered, or the Experiment forgotten, before the next."""
        ...

    def forget(self, reference: Reference, uid: str) -> None:
        """Lets go of what is kept for an Experiment; nothing is lost by it."""
        ...

    def retire(self, suggestion: Suggestion) -> None:
        """Ends what was made to serve a Suggestion that has come to its end. Any thread may call; may take its time."""
        ...


class _Session:
    def __init__(self) -> None:
        self.made: tuple[SearchSpace, Algorithm] | None = None
        self.told = 0
        self.removal_count = 0
        self.indexes: dict[str, int] = {}
        self.indexed = 0


class _AlgorithmQuestion:
    """All that an algorithm in this process needs to answer."""

    is_ready = None

    def __init__(
        self,
        create: AlgorithmFactory,
        session: _Session,
        experiment: Experiment,
        news: list[tuple[int, Trial]],
        active: list[tuple[int, Trial]],
        *,
        count: int,
        start: int,
        recorded: tuple[Setting, ...] = (),
    ) -> None:
        self._create = create
        self._session = session
        self._experiment = experiment
        self._news = news
        self._active = active
        self._count = count
        self._start = start
        self._recorded = recorded

    def answer(self) -> Answer:
        """Tells the algorithm what is new, and asks it. Raises InvalidInput, and whatever an algorithm may raise."""
        session = self._session
        if session.made is None:
            session.made = self._create(self._experiment, seed=seed_of(self._experiment))
        space, algorithm = session.made
        if self._news:
            algorithm.tell([_finished(trial, space, index) for index, trial in self._news])
        active = tuple(
            ProposedTrial(
                index, trial.metadata.name, space.parse(trial.spec.parameter_assignments), trial.metadata.labels
            )
            for index, trial in self._active
        )
        answer = algorithm.ask(Ask(self._count, self._start, active))
        return Answer(
            tuple(
                Proposed(space.format(proposal.values), dict(proposal.labels) if proposal.labels else None)
                for proposal in answer
            ),
            settings=self._recorded,
        )


class AlgorithmHost:
    """Asks algorithms for proposals, and waits for the answers. One loop owns it."""

    def __init__(self, create: AlgorithmFactory) -> None:
        self._create = create
        self._sessions: dict[tuple[Reference, str], _Session] = {}

    def propose(self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int) -> Answer:
        """Up to `count` proposals; fewer mean that there are no more.

        Raises:
            InvalidInput: the algorithm does not take these settings or this space.
        """
        try:
            return self.question(experiment, suggestion, view, count).answer()
        except BaseException:  # what the session has been told is not certain
            self.forget(experiment.reference, experiment.metadata.uid)
            raise

    def question(self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int) -> Question:
        """The question for `count` proposals. Once it is asked for, it is to be answered, or the session forgotten."""
        key = (experiment.reference, experiment.metadata.uid)
        session = self._sessions.get(key)
        if session is None or session.removal_count != view.removal_count:
            session = self._sessions[key] = _Session()
            session.removal_count = view.removal_count
        status = suggestion.status
        indexes = session.indexes
        for assignment in status.suggestions.since(session.indexed):
            indexes[assignment.name] = session.indexed
            session.indexed += 1
        news = [(indexes.pop(trial.metadata.name, -1), trial) for trial in view.history[session.told :]]
        session.told += len(news)
        active = [(indexes.get(trial.metadata.name, -1), trial) for trial in view.active_trials()]
        start = status.suggestion_count
        experiment, recorded = settled(experiment, status.algorithm_settings)
        return _AlgorithmQuestion(
            self._create, session, experiment, news, active, count=count, start=start, recorded=recorded
        )

    def forget(self, reference: Reference, uid: str) -> None:
        """Lets an Experiment's algorithm go; it is made again when it is needed."""
        self._sessions.pop((reference, uid), None)

    def retire(self, suggestion: Suggestion) -> None:
        """Nothing was made but what `forget` lets go."""


def seed_of(experiment: Experiment) -> int:
    """The seed of an Experiment that names none: from its uid, so that it is the same after a restart."""
    return int.from_bytes(hashlib.blake2b(experiment.metadata.uid.encode(), digest_size=4).digest()) & 0x7FFFFFFF


def _finished(trial: Trial, space: SearchSpace, index: int) -> FinishedTrial:
    objective = trial.spec.objective
    values: dict[str, float] = {}
    if objective is not None:
        for name in objective.metric_names:
            value = number_of(value_text(trial.status.observation, objective, name))
            if value is not None:
                values[name] = value
    return FinishedTrial(
        index=index,
        name=trial.metadata.name,
        values=space.parse(trial.spec.parameter_assignments),
        outcome=_OUTCOMES[trial_state(trial)],
        objective=values.get(objective.objective_metric_name) if objective is not None else None,
        metrics=values,
        labels=trial.metadata.labels,
    )
