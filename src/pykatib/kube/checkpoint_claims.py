"""The volume of an Experiment whose Trials continue each other's checkpoints, where the operator runs its algorithm.

Katib makes the claim for the suggestion service, if the Experiment's resume policy is FromVolume. Here it is made,
under the same name, whenever the algorithm has checkpoints: without it no Trial could start. It is the Suggestion's.
"""

from collections.abc import Callable

from pykatib.algorithms.checkpoint_setting import checkpoint_path
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.suggestion import Suggestion
from pykatib.control.suggestion_plan import Answer
from pykatib.control.view import ExperimentView
from pykatib.runtime.algorithm_host import Asker, Question


class CheckpointClaims:
    """An Asker that sees to it that the volume is there before the first answer is."""

    def __init__(self, asker: Asker, make: Callable[[Suggestion], None]) -> None:
        """`make` makes the volume of a Suggestion if it is not there; any thread may call it."""
        self._asker = asker
        self._make = make
        self._made: set[str] = set()  # uids of Experiments

    def question(self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int) -> Question:
        """The question, which makes the volume first where there is need of it."""
        question = self._asker.question(experiment, suggestion, view, count)
        uid = experiment.metadata.uid
        if uid in self._made or not checkpoint_path(experiment.spec.algorithm):
            return question

        def make() -> None:
            self._make(suggestion)
            self._made.add(uid)

        return _AfterwardsAsked(question, make)

    def forget(self, reference: Reference, uid: str) -> None:
        """Lets go of what is kept for an Experiment."""
        self._made.discard(uid)
        self._asker.forget(reference, uid)

    def retire(self, suggestion: Suggestion) -> None:
        """Ends what was made; the volume stays, as it does in Katib."""
        self._asker.retire(suggestion)


class _AfterwardsAsked:
    def __init__(self, question: Question, first: Callable[[], None]) -> None:
        self._question = question
        self._first = first

    @property
    def is_ready(self) -> bool | None:
        return self._question.is_ready

    def answer(self) -> Answer:
        self._first()
        return self._question.answer()
