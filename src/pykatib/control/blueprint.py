"""What all Trials of one Experiment share, worked out once: template, labels, owner."""

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.meta import ObjectMeta, OwnerReference
from pykatib.api.objects import ConfigMap
from pykatib.api.suggestion import TrialAssignment
from pykatib.api.trial import Trial, TrialSpec
from pykatib.control.rendering import Template, parse_template_text


def owned_by(experiment: Experiment) -> tuple[OwnerReference, ...]:
    """The owner reference that an Experiment's children carry."""
    meta = experiment.metadata
    return (OwnerReference(experiment.api_version, experiment.kind, meta.name, meta.uid, True, True),)


class Blueprint:
    """Makes the Trials of an Experiment from their assignments.

    Raises:
        InvalidInput: the template cannot be had or filled in.
    """

    def __init__(self, experiment: Experiment, config_map: ConfigMap | None) -> None:
        source = experiment.spec.trial_template
        if source is None:
            raise InvalidInput([FieldError("spec.trialTemplate", "is required")])
        if source.config_map is None:
            body = msgspec.json.decode(source.trial_spec) if bytes(source.trial_spec) else {}
        else:
            text = (config_map.data if config_map is not None else {}).get(source.config_map.template_path)
            if text is None:
                where = f"{source.config_map.config_map_namespace}/{source.config_map.config_map_name}"
                message = f"ConfigMap {where} with the key {source.config_map.template_path!r} is not there"
                raise InvalidInput([FieldError("spec.trialTemplate.configMap", message)])
            body = parse_template_text(text)
        self._template = Template(source, body)
        self._experiment = experiment
        self._owners = owned_by(experiment)
        self._labels = {**experiment.metadata.labels, names.LABEL_EXPERIMENT: experiment.metadata.name}

    def trial(self, assignment: TrialAssignment) -> Trial:
        """The Trial of an assignment. Its labels: the Experiment's, its name, the assignment's; later ones win."""
        experiment = self._experiment
        spec, namespace = experiment.spec, experiment.metadata.namespace
        source = self._template.source
        return Trial(
            metadata=ObjectMeta(
                name=assignment.name,
                namespace=namespace,
                labels={**self._labels, **assignment.labels} if assignment.labels else self._labels,
                owner_references=self._owners,
                finalizers=_TRIAL_FINALIZERS,
            ),
            spec=TrialSpec(
                objective=spec.objective,
                parameter_assignments=assignment.parameter_assignments,
                early_stopping_rules=assignment.early_stopping_rules if spec.early_stopping is not None else (),
                run_spec=self._template.render(assignment.name, namespace, assignment.parameter_assignments),
                retain_run=source.retain,
                metrics_collector=spec.metrics_collector_spec,
                primary_pod_labels=source.primary_pod_labels,
                primary_container_name=source.primary_container_name,
                success_condition=source.success_condition,
                failure_condition=source.failure_condition,
                active_deadline_seconds=source.active_deadline_seconds,
                retries=source.retries,
            ),
        )


_TRIAL_FINALIZERS = (names.FINALIZER_TRIAL,)
