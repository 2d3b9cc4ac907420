"""What a person wants of a cluster, written down there: Experiments to run, to stop, to take up again, to delete.

The rules are those of one machine, in the same words. The cluster's own admission judges each change once more.
"""

import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from pykatib.api import names, wire
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import Conflict, InvalidInput, NotFound, NotSupported, Unavailable
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.lifecycle import check_resumable, is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap, Secret
from pykatib.api.validation.updates import check_update
from pykatib.cluster.reading import not_installed, resource_of
from pykatib.store.kubernetes import objects
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer

APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "katib"
WRITE_ATTEMPTS = 20
LOOK_SECONDS = 0.5


class Wishes:
    """Writes to a cluster."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def create(self, experiment: Experiment, *, is_trial_run: bool = False) -> Experiment:
        """Hands a new Experiment in; a trial run has it judged and kept nowhere.

        Raises:
            InvalidInput: it is refused.
            AlreadyExists: there is one of that name.
        """
        resource = resource_of(names.EXPERIMENT)
        params = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if is_trial_run else {})}
        path = resource.collection(experiment.metadata.namespace)
        try:
            answer = self._server.request("POST", path, params=params, body=objects.body_of_new(experiment))
        except NotFound as error:
            if "namespaces" in str(error):
                raise NotFound(f"there is no namespace {experiment.metadata.namespace!r} in the cluster") from error
            raise not_installed(names.EXPERIMENT) from error
        except Unavailable as error:
            raise _nobody_judges(error) from error
        return wire.decode(answer, Experiment)

    def keep(self, item: ConfigMap | Secret) -> None:
        """Keeps a ConfigMap or Secret, in the place of one that has its name."""
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = resource_of(item.kind).path(item.reference)
        self._server.request("PATCH", path, params=params, body=objects.body_of_new(item), content_type=APPLY_PATCH)

    def stop(self, reference: Reference) -> None:
        """Stops an Experiment without deleting it. Raises NotFound, and Conflict where it has ended."""

        def suspended(old: Experiment) -> ExperimentSpec:
            if is_completed(old):
                raise Conflict(f"Experiment {reference.namespace}/{reference.name} has ended already")
            return replace(old.spec, suspend=True)

        new = self._edit(reference, suspended)
        if not new.spec.suspend:
            raise NotSupported(
                "the cluster's Katib cannot stop an Experiment: its definition has no spec.suspend; pykatib's has "
                "(kubectl apply -k manifests/crds)"
            )

    def resume(self, reference: Reference, *, max_trial_count: int | None) -> Experiment:
        """Takes an Experiment up again: one that was stopped, or, with more Trials, one that used them up.

        Raises:
            NotFound: there is no such Experiment.
            InvalidInput: it has ended and cannot be restarted so.
        """

        def resumed(old: Experiment) -> ExperimentSpec:
            check_resumable(old, max_trial_count)
            limit = old.spec.max_trial_count if max_trial_count is None else max_trial_count
            return replace(old.spec, suspend=False, max_trial_count=limit)

        return self._edit(reference, resumed)

    def delete(self, reference: Reference) -> str:
        """Begins to delete an Experiment with all its Trials; answers its uid. Raises NotFound."""
        path = resource_of(reference.kind).path(reference)
        uid = self._experiment(reference).metadata.uid
        self._server.request("DELETE", path, body=objects.body_of_delete(uid=uid, propagation="Foreground"))
        return uid

    def is_gone(self, reference: Reference, uid: str) -> bool:
        """Whether that very object is there no more."""
        try:
            return self._experiment(reference).metadata.uid != uid
        except NotFound:
            return True

    def delete_all(
        self, references: Sequence[Reference], *, on_waiting: Callable[[float, Reference], None] = lambda *_: None
    ) -> None:
        """Deletes Experiments, and returns when they are gone. `on_waiting` is told how long that takes already."""
        uids = {reference: self.delete(reference) for reference in references}
        began = time.monotonic()
        for reference, uid in uids.items():
            while not self._is_gone_or_unknown(reference, uid):
                on_waiting(time.monotonic() - began, reference)
                time.sleep(LOOK_SECONDS)

    def _is_gone_or_unknown(self, reference: Reference, uid: str) -> bool:
        try:
            return self.is_gone(reference, uid)
        except Unavailable:
            if not self._server.is_failing:
                raise
            return False  # it is asked again

    def _experiment(self, reference: Reference) -> Experiment:
        try:
            answer = self._server.request("GET", resource_of(reference.kind).path(reference))
        except NotFound as error:
            raise NotFound(f"there is no Experiment {reference.namespace}/{reference.name} in the cluster") from error
        return wire.decode(answer, Experiment)

    def _edit(self, reference: Reference, change: Callable[[Experiment], ExperimentSpec]) -> Experiment:
        """Changes the budget of what is there now: what `change` makes of it is written on that and nothing else."""
        path = resource_of(reference.kind).path(reference)
        for _ in range(WRITE_ATTEMPTS):
            old = self._experiment(reference)
            spec = change(old)
            if spec == old.spec:
                return old
            errors = tuple(check_update(old, default_experiment(replace(old, spec=spec))))
            if errors:
                raise InvalidInput(errors)
            budget = {"suspend": spec.suspend, "maxTrialCount": spec.max_trial_count}
            body = {"metadata": {"resourceVersion": old.metadata.resource_version}, "spec": budget}
            try:
                answer = self._server.request(
                    "PATCH",
                    path,
                    params={"fieldManager": FIELD_MANAGER},
                    body=msgspec.json.encode(body),
                    content_type=MERGE_PATCH,
                )
            except Conflict:
                continue
            except Unavailable as error:
                raise _nobody_judges(error) from error
            return wire.decode(answer, Experiment)
        raise Conflict(f"{reference} changes too often to be edited; try again")


def _nobody_judges(error: Unavailable) -> Unavailable:
    if "failed calling webhook" not in str(error):
        return error
    return Unavailable(
        f"the cluster's operator does not answer, and without its judgement nothing is let in ({error}); is it "
        "running? kubectl -n kubeflow get pods"
    )
