"""Experiments whose algorithms are services of others: one connection each, for as long as the Experiment is at work.

A service is asked on the thread that waits for its answer (`pykatib.runtime.thinking`). Before the first proposals it
judges the Experiment, as Katib's controller has it. A service that does not answer is waited for: nothing has failed
then. Where it is, and whether it first has to be made, is for its `Station` to know.
"""

import threading
from collections.abc import Callable
from typing import Protocol, TypeAlias

from pykatib.api.errors import InvalidInput, PykatibError, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.shared import EarlyStoppingRule
from pykatib.api.suggestion import Suggestion
from pykatib.control.suggestion_plan import Answer
from pykatib.control.view import ExperimentView
from pykatib.rpc.early_stopping_client import EarlyStoppingClient
from pykatib.rpc.suggestion_client import SuggestionClient

PATIENCE_SECONDS = 5.0
"""How long a service that does not answer is tried before that is said; it is tried again, less and less often."""

_Key: TypeAlias = tuple[Reference, str]


class Station(Protocol):
    """Where the service of one Experiment is."""

    is_ready: bool | None
    """Whether a service that is made for the Experiment can be asked already; None where none is made."""

    def reach(self) -> str:
        """The service's address, once it can be asked there. Raises Unavailable, InvalidInput."""
        ...

    @property
    def stopping_address(self) -> str:
        """Where the early stopping service beside it is; empty where none is."""
        ...

    def close(self) -> None:
        """Nobody waits for it any more; ends `reach`."""
        ...


class FixedAddress:
    """A service that somebody else runs."""

    is_ready: bool | None = None
    stopping_address = ""

    def __init__(self, address: str) -> None:
        self._address = address

    def reach(self) -> str:
        """The address."""
        return self._address

    def close(self) -> None:
        """Nothing is open."""


class _Line:
    """The connection to one Experiment's service."""

    def __init__(self, station: Station, patience_seconds: float) -> None:
        self.station = station
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._client: SuggestionClient | None = None
        self._is_closed = False

    def client(self) -> SuggestionClient:
        address = self.station.reach()
        with self._lock:
            if self._is_closed:
                raise Unavailable("nobody waits for this answer any more")
            if self._client is None or self._client.address != address:
                if self._client is not None:
                    self._client.close()
                self._client = SuggestionClient(address, timeout_seconds=self._patience_seconds)
            return self._client

    def close(self) -> None:
        self.station.close()
        with self._lock:
            self._is_closed = True
            if self._client is not None:
                self._client.close()


class _ServiceQuestion:
    """One question to a service."""

    def __init__(
        self,
        line: _Line,
        experiment: Experiment,
        suggestion: Suggestion,
        view: ExperimentView,
        count: int,
        *,
        db_manager_address: str,
    ) -> None:
        self._db_manager_address = db_manager_address
        self._line = line
        self._experiment = experiment
        self._suggestion = suggestion
        self._trials = (*view.history, *view.active_trials())
        self._count = count

    @property
    def is_ready(self) -> bool | None:
        return self._line.station.is_ready

    def answer(self) -> Answer:
        client = self._line.client()
        if not self._suggestion.status.suggestion_count:
            client.validate(self._experiment)
        rules = self._rules()  # first: a service may count what it has proposed as handed out
        answer = client.suggest(self._experiment, self._suggestion, self._trials, self._count)
        return Answer(answer.proposals, answer.settings, self.is_ready is not None, rules)

    def _rules(self) -> tuple[EarlyStoppingRule, ...]:
        address, stopping = self._line.station.stopping_address, self._experiment.spec.early_stopping
        if not address or stopping is None:
            return ()
        client = EarlyStoppingClient(address)
        try:
            if not self._suggestion.status.suggestion_count:
                client.validate(stopping)
            return client.rules(self._experiment, self._trials, db_manager_address=self._db_manager_address)
        except (InvalidInput, Unavailable):
            raise
        except PykatibError as error:  # its own faults must not be taken for ours
            raise PykatibError(str(error)) from error
        finally:
            client.close()


class ServiceAsker:
    """An Asker: questions to the services of Experiments. One loop owns it; `retire` may be called from any thread."""

    def __init__(
        self,
        station: Callable[[Experiment, Suggestion], Station],
        *,
        retire: Callable[[Suggestion], None] = lambda _: None,
        patience_seconds: float = PATIENCE_SECONDS,
        db_manager_address: str = "",
    ) -> None:
        """`station` knows where an Experiment's service is; `retire` ends one that was made for a Suggestion."""
        self._station = station
        self._retire = retire
        self._patience_seconds = patience_seconds
        self._db_manager_address = db_manager_address
        self._lines: dict[_Key, _Line] = {}

    def question(
        self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int
    ) -> _ServiceQuestion:
        """The question for `count` proposals. Raises InvalidInput, Unavailable."""
        key = (experiment.reference, experiment.metadata.uid)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(self._station(experiment, suggestion), self._patience_seconds)
        return _ServiceQuestion(line, experiment, suggestion, view, count, db_manager_address=self._db_manager_address)

    def forget(self, reference: Reference, uid: str) -> None:
        """Closes the connection; a question under way ends without an answer."""
        line = self._lines.pop((reference, uid), None)
        if line is not None:
            line.close()

    def retire(self, suggestion: Suggestion) -> None:
        """Ends what was made to serve a Suggestion that has come to its end."""
        controller = suggestion.metadata.controller
        if controller is not None:
            meta = suggestion.metadata
            self.forget(Reference(controller.kind, meta.namespace, controller.name), controller.uid)
        self._retire(suggestion)

    def close(self) -> None:
        """Closes all connections."""
        for reference, uid in list(self._lines):
            self.forget(reference, uid)
