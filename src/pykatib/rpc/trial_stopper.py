"""Writes on a Trial of a cluster that it is stopped early: what Katib's sidecar asks of an early stopping service.

The write is waited for and, where somebody else was faster, decided again on what that one wrote. A Trial that has
ended, or is marked already, is left as it is: a notice that comes late, or twice, does no harm.
"""

import msgspec

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.errors import Conflict
from pykatib.api.meta import Reference
from pykatib.api.trial import Trial
from pykatib.control.trial_plan import announced
from pykatib.control.view import is_finished
from pykatib.runtime.clock import Clock, SystemClock
from pykatib.store.kubernetes.api_server import ApiServer, decoded
from pykatib.store.kubernetes.resources import OURS

_TRIALS = next(resource for resource in OURS if resource.kind == names.TRIAL)
_TRIES = 10
_decoder = msgspec.json.Decoder(Trial)


class TrialStopper:
    """Marks Trials of one namespace. Any thread may call."""

    def __init__(self, server: ApiServer, *, namespace: str = "", clock: Clock | None = None) -> None:
        """Without a namespace, that of the Pod this runs in."""
        self._server = server
        self._namespace = namespace or server.namespace
        self._clock = clock or SystemClock()

    def stop(self, trial_name: str) -> None:
        """Returns once the Trial is marked, or needs no mark. Raises NotFound, Unavailable, Conflict."""
        reference = Reference(names.TRIAL, self._namespace, trial_name)
        for left in reversed(range(_TRIES)):
            path = _TRIALS.path(reference)
            trial = decoded(self._server.request("GET", path), _decoder, path)
            assert isinstance(trial, Trial), "decoded as one"
            if is_finished(trial) or is_true(trial.status.conditions, names.EARLY_STOPPED):
                return
            marked = announced(trial, "", self._clock.now())
            body = {
                "metadata": {"resourceVersion": trial.metadata.resource_version},
                "status": {"conditions": marked.status.conditions},
            }
            try:
                self._server.request(
                    "PATCH",
                    _TRIALS.path(reference, "status"),
                    body=msgspec.json.encode(body),
                    content_type="application/merge-patch+json",
                )
            except Conflict:
                if not left:
                    raise
            else:
                return
