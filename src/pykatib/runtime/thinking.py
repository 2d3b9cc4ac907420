"""Algorithms that think on threads of their own, so that a slow one holds up nothing but its own Experiment.

It does not matter where they think: in this process, or in a service that is asked for each answer.

A question is asked on the loop's thread and answered on another. Most answers come within a moment, for which the loop
waits; the others raise StillThinking, and `done` is told, from the other thread, when the loop may ask again. There is
no limit to the time that an algorithm takes. An answer that never comes out, because the Experiment or this process
has gone, is worth nothing: nobody has recorded it, and asking anew gives the same one.
"""

import threading
from collections.abc import Callable

from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.suggestion import Suggestion
from pykatib.control.suggestion_plan import Answer
from pykatib.control.view import ExperimentView
from pykatib.runtime.algorithm_host import Asker, Question, StillThinking

PATIENCE_SECONDS = 0.02


class _Thought:
    """One question on its way to an answer."""

    def __init__(self, question: Question, count: int, start: int) -> None:
        self.count = count
        self.start = start
        self.failure: BaseException | None = None
        self.answer = Answer()
        self.question = question
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._done: Callable[[], None] | None = None
        # Not of a pool: a process that is to end waits for no algorithm.
        threading.Thread(target=self._think, name="pykatib-algorithm", daemon=True).start()

    def _think(self) -> None:
        try:
            self.answer = self.question.answer()
        except BaseException as failure:  # it is raised again where it was asked
            self.failure = failure
        with self._lock:
            self._over.set()
            done = self._done
        if done is not None:
            done()

    def is_over(self, patience_seconds: float, done: Callable[[], None]) -> bool:
        """Whether the answer is there within so long; if not, `done` is called when it is."""
        if self._over.wait(patience_seconds):
            return True
        with self._lock:
            self._done = done
            return self._over.is_set()


class ThinkingHost:
    """An AlgorithmGateway. One loop owns it; `done` is called from other threads."""

    def __init__(
        self,
        asker: Asker,
        *,
        done: Callable[[Reference], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._asker = asker
        self._done = done
        self._patience_seconds = patience_seconds
        self._thoughts: dict[tuple[Reference, str], _Thought] = {}

    def propose(self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int) -> Answer:
        """Up to `count` proposals; fewer mean that there are no more.

        Raises:
            InvalidInput: the algorithm does not take these settings or this space.
            StillThinking: ask the same again when `done` has been called with the Experiment's reference.
        """
        key = (experiment.reference, experiment.metadata.uid)
        start = suggestion.status.suggestion_count
        thought = self._thoughts.get(key)
        if thought is not None and (thought.count, thought.start) != (count, start):
            self.forget(*key)  # it was asked otherwise; a fresh algorithm knows no difference
            thought = None
        patience = 0.0  # it has been waited for already
        if thought is None:
            patience = self._patience_seconds
            question = self._asker.question(experiment, suggestion, view, count)
            thought = self._thoughts[key] = _Thought(question, count, start)
        if not thought.is_over(patience, lambda: self._done(experiment.reference)):
            raise StillThinking(thought.question.is_ready)
        del self._thoughts[key]
        if thought.failure is not None:
            self._asker.forget(*key)
            raise thought.failure
        return thought.answer

    def forget(self, reference: Reference, uid: str) -> None:
        """Lets an Experiment's algorithm go; it is made again when it is needed."""
        self._thoughts.pop((reference, uid), None)
        self._asker.forget(reference, uid)

    def retire(self, suggestion: Suggestion) -> None:
        """Ends what was made to serve a Suggestion that has come to its end. Any thread may call; may take its time."""
        self._asker.retire(suggestion)
