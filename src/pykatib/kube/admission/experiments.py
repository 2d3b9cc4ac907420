"""`/mutate-experiment` and `/validate-experiment`: the same judgement as on one machine.

Of what the API server shows, only the parts that a person decides are read. Nothing is said of an object that is being
deleted, nor of a change that leaves the spec alone: no rule of ours may keep an object from going away, nor the
operator from its work.

A mistake of structure is told by the mutating webhook already, with all the others: behind it the API server would
check types, and name the first few in its own words. The definition has unknown fields kept until here, where they are
refused. For a definition that does not (an older one of ours), the manifest that kubectl leaves in an annotation is
read too.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import msgspec

from pykatib.api import names, wire
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import FieldError, InvalidInput, PykatibError
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import Document, examine_object
from pykatib.api.objects import ConfigMap
from pykatib.api.validation import COLLECTOR_KINDS, AlgorithmCatalog, Templates
from pykatib.kube.admission.patches import additions
from pykatib.kube.admission.reviews import ALLOWED, UPDATE, Request, Verdict
from pykatib.kube.template_walls import is_offered, no_sound_template
from pykatib.workers.judging import judge

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KIND_PATH = "spec.metricsCollectorSpec.collector.kind"
_NOT_READ = ("apiVersion", "kind", "metadata", "status")
_READ_METADATA = ("name", "generateName", "namespace", "labels", "annotations")


class _Examined(NamedTuple):
    experiment: Experiment | None
    mistakes: tuple[FieldError, ...]  # of structure
    unsound: tuple[str, ...]


class _Recorder:
    """Finds templates, and notes whether one was read of which no more may be told than whether it is sound."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self.is_confidential = False

    def find(self, namespace: str, name: str) -> ConfigMap | None:
        """As the templates that it was made with."""
        found = self._templates(namespace, name)
        if found is None or not is_offered(found):
            self.is_confidential = True
        return found


def _refusing_templates(reason: FieldError) -> Templates:
    def refuse(namespace: str, name: str) -> ConfigMap | None:
        raise InvalidInput([reason])

    return refuse


def _with_reason(error: FieldError, experiment: Experiment) -> FieldError:
    metrics = experiment.spec.metrics_collector_spec
    if error.path != KIND_PATH or metrics is None or metrics.kind not in COLLECTOR_KINDS:
        return error
    more = "; katib-config's runtime.metricsCollectors has no image for it"
    return FieldError(error.path, error.message + more)


class ExperimentAdmission:
    """Judges Experiments, on any number of threads."""

    def __init__(
        self,
        *,
        catalog: AlgorithmCatalog,
        templates: Callable[[str], Templates],
        collector_kinds: Callable[[], Collection[str]] = lambda: COLLECTOR_KINDS,
        has_kind: Callable[[str, str], bool] = lambda kind, api_version: True,
    ) -> None:
        """Makes the judge.

        Args:
            catalog: the cluster's algorithms.
            templates: finds ConfigMaps for the Experiments of a namespace.
            collector_kinds: the kinds of metrics collector that the cluster has images for, or needs none for.
            has_kind: whether the cluster knows a kind of worker job, by kind and apiVersion.
        """
        self._catalog = catalog
        self._templates = templates
        self._collector_kinds = collector_kinds
        self._has_kind = has_kind

    def mutate(self, request: Request) -> Verdict:
        """Fills in defaults."""
        if not _is_of_interest(request):
            return ALLOWED
        examined = _examined(request)
        if examined.experiment is None or examined.mistakes:
            return Verdict(errors=self._judged(request, examined)[1])
        spec = default_experiment(examined.experiment).spec
        return Verdict(patch=additions(request.object["spec"], msgspec.json.decode(wire.encode(spec)), "/spec"))

    def validate(self, request: Request) -> Verdict:
        """Refuses what breaks a rule."""
        if not _is_of_interest(request):
            return ALLOWED
        experiment, errors = self._judged(request, _examined(request))
        if errors or experiment is None:
            return Verdict(errors=errors)
        return Verdict(warnings=self._warnings(experiment))

    def _judged(self, request: Request, examined: _Examined) -> tuple[Experiment | None, tuple[FieldError, ...]]:
        if examined.experiment is None:
            return None, examined.mistakes
        given, old, kinds = examined.experiment, _old(request), self._collector_kinds()
        recorder = _Recorder(self._templates(request.namespace))

        def judged(templates: Templates) -> tuple[Experiment, tuple[FieldError, ...]]:
            return judge(
                given,
                old=old,
                catalog=self._catalog,
                templates=templates,
                supported_collectors=kinds,
                unsound=examined.unsound,
            )

        experiment, errors = judged(recorder.find)
        if errors and recorder.is_confidential:
            safe = judged(_refusing_templates(no_sound_template(experiment)))[1]
            if {*errors} - {*safe}:  # some were about what the ConfigMap holds
                errors = safe
        errors = tuple(_with_reason(error, experiment) for error in errors)
        return experiment, tuple(dict.fromkeys((*examined.mistakes, *errors)))

    def _warnings(self, experiment: Experiment) -> list[str]:
        template = experiment.spec.trial_template
        if template is None or not bytes(template.trial_spec):
            return []
        job = msgspec.json.decode(template.trial_spec)
        kind, api_version = str(job.get("kind")), str(job.get("apiVersion"))
        try:
            if self._has_kind(kind, api_version):
                return []
        except PykatibError:
            return []  # it is only advice
        return [f"this cluster has no kind {kind} of {api_version}: Trials will wait until it is installed"]


def _is_of_interest(request: Request) -> bool:
    """Whether the spec is new; deletions, finalizers, labels and status are none of our business."""
    if not isinstance(request.object, dict):
        return False
    if request.object.get("metadata", {}).get("deletionTimestamp") is not None:
        return False
    if request.operation == UPDATE and isinstance(request.old_object, dict):
        return bool(request.object.get("spec") != request.old_object.get("spec")) or bool(_dropped(request))
    return True


def _examined(request: Request) -> _Examined:
    value, mistakes, unsound = examine_object(Document(_readable(request.object, request.namespace)))
    if value is not None and not isinstance(value, Experiment):
        return _Examined(None, (FieldError("kind", f'found "{value.kind}", wanted "{names.EXPERIMENT}"'),), ())
    return _Examined(value, (*mistakes, *_dropped(request)), unsound)


def _readable(given: dict[str, Any], namespace: str) -> dict[str, Any]:
    """What of an object a person decides."""
    metadata = given.get("metadata")
    if isinstance(metadata, dict):
        metadata = {name: metadata[name] for name in _READ_METADATA if name in metadata} | {"namespace": namespace}
    tree = {"apiVersion": given.get("apiVersion"), "kind": given.get("kind"), "metadata": metadata}
    return tree | {name: value for name, value in given.items() if name not in _NOT_READ}


def _dropped(request: Request) -> tuple[FieldError, ...]:
    """Unknown fields of the manifest that kubectl has applied, where it is a new one."""
    applied = _last_applied(request.object)
    if not applied or (request.operation == UPDATE and applied == _last_applied(request.old_object)):
        return ()
    try:
        tree = msgspec.json.decode(applied)
    except msgspec.MsgspecError:
        return ()
    if not isinstance(tree, dict) or tree.get("kind") != names.EXPERIMENT:
        return ()
    errors = examine_object(Document(_readable(tree, request.namespace))).errors
    return tuple(error for error in errors if error.message.startswith("unknown field"))


def _last_applied(given: Any) -> str:
    metadata = given.get("metadata") if isinstance(given, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    text = annotations.get(LAST_APPLIED) if isinstance(annotations, dict) else None
    return text if isinstance(text, str) else ""


def _old(request: Request) -> Experiment | None:
    """What is stored; None where that cannot be read, and any sound spec may take its place."""
    if request.operation != UPDATE or request.old_object is None:
        return None
    try:
        return wire.decode(msgspec.json.encode(request.old_object), Experiment)
    except msgspec.MsgspecError:
        return None
