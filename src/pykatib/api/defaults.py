"""What an Experiment means where it says nothing: Katib's defaults, in Katib's order, as a pure function.

Applying them twice is the same as applying them once. ConfigMap templates get none, as in Katib: their kind is not
known here. Parameters of architecture search get none either.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from pykatib.api import names
from pykatib.api.experiment import Experiment, ParameterSpec, TrialTemplate
from pykatib.api.objectives import Direction, directions_of
from pykatib.api.shared import (
    CollectorSpec,
    FileSystemPath,
    HTTPGet,
    MetricsCollectorSpec,
    MetricStrategy,
    ObjectiveSpec,
    SourceSpec,
)

DEFAULT_PARALLEL_TRIAL_COUNT: Final = 3
DEFAULT_METRICS_FILE: Final = "/var/log/katib/metrics.log"
DEFAULT_TENSORFLOW_FOLDER: Final = "/var/log/katib/tfevent/"
DEFAULT_PROMETHEUS_PATH: Final = "/metrics"
DEFAULT_PROMETHEUS_PORT: Final = 8080


class KindDefaults(NamedTuple):
    """What a kind of worker job tells of its end, and which of its pods are read."""

    success_condition: str
    failure_condition: str
    primary_pod_labels: dict[str, str]


_COMPLETE: Final = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
_SUCCEEDED: Final = 'status.conditions.#(type=="Succeeded")#|#(status=="True")#'
_FAILED: Final = 'status.conditions.#(type=="Failed")#|#(status=="True")#'
_TRAINING = KindDefaults(_SUCCEEDED, _FAILED, {"training.kubeflow.org/job-role": "master"})

KIND_DEFAULTS: Final[dict[str, KindDefaults]] = {
    names.JOB: KindDefaults(_COMPLETE, _FAILED, {}),
    "TFJob": _TRAINING,
    "PyTorchJob": _TRAINING,
    "XGBoostJob": _TRAINING,
    "MPIJob": _TRAINING,
    "TrainJob": KindDefaults(
        _COMPLETE,
        _FAILED,
        {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"},
    ),
    names.CALLABLE_JOB: KindDefaults(_COMPLETE, _FAILED, {}),  # pykatib's own kind
}

FITTING_CONDITIONS: Final[dict[str, tuple[str, str]]] = {
    # Success and failure of kinds for which Katib has no defaults: what their users are told to write down.
    "JAXJob": (_SUCCEEDED, _FAILED),
    "PaddleJob": (_SUCCEEDED, _FAILED),
    "RayJob": (
        'status.[@this].#(jobStatus=="SUCCEEDED")#',
        # The second: the cluster or the submitter failed, and the job has no status of its own.
        '[status.[@this].#(jobStatus=="FAILED"),status.[@this].#(jobDeploymentStatus=="Failed")]',
    ),
    "Workflow": (
        'status.[@this].#(phase=="Succeeded")#',
        '[status.[@this].#(phase=="Failed"),status.[@this].#(phase=="Error")]',
    ),
    "PipelineRun": (_SUCCEEDED, 'status.conditions.#(type=="Succeeded")#|#(status=="False")#'),
}


def default_experiment(experiment: Experiment) -> Experiment:
    """The Experiment with everything said that it leaves open."""
    spec = experiment.spec
    spec = msgspec.structs.replace(
        spec,
        parallel_trial_count=(
            DEFAULT_PARALLEL_TRIAL_COUNT if spec.parallel_trial_count is None else spec.parallel_trial_count
        ),
        resume_policy=spec.resume_policy or names.NEVER,
        objective=default_objective(spec.objective, directions_of(spec)) if spec.objective is not None else None,
        trial_template=_default_template(spec.trial_template) if spec.trial_template is not None else None,
        metrics_collector_spec=_default_collector(spec.metrics_collector_spec or MetricsCollectorSpec()),
        parameters=tuple(_default_parameter(parameter) for parameter in spec.parameters),
    )
    return msgspec.structs.replace(experiment, spec=spec)


def default_objective(objective: ObjectiveSpec, directions: Sequence[Direction] = ()) -> ObjectiveSpec:
    """The objective with a strategy for each of its metrics; the author's own entries stay as they are.

    As in Katib a metric has the strategy of the objective's type, unless it is an objective with another direction.
    """
    value = {names.MINIMIZE: names.MIN, names.MAXIMIZE: names.MAX}.get(objective.type, names.LATEST)
    value_by_name = {metric: names.MAX if maximise else names.MIN for metric, maximise in directions}
    strategies = list(objective.metric_strategies)
    stated = {strategy.name for strategy in strategies}
    for name in objective.metric_names:
        if name not in stated:
            stated.add(name)
            strategies.append(MetricStrategy(name, value_by_name.get(name, value)))
    return msgspec.structs.replace(objective, metric_strategies=tuple(strategies))


def _default_template(template: TrialTemplate) -> TrialTemplate:
    defaults = KIND_DEFAULTS.get(_kind_of(template.trial_spec))
    if defaults is None:
        return template
    return msgspec.structs.replace(
        template,
        success_condition=template.success_condition or defaults.success_condition,
        failure_condition=template.failure_condition or defaults.failure_condition,
        primary_pod_labels=template.primary_pod_labels or dict(defaults.primary_pod_labels),
    )


class _Kind(msgspec.Struct):
    kind: Any = None


def _kind_of(trial_spec: msgspec.Raw) -> str:
    if not bytes(trial_spec):
        return ""
    try:
        kind = msgspec.json.decode(trial_spec, type=_Kind).kind
    except msgspec.MsgspecError:
        return ""
    return kind if isinstance(kind, str) else ""


def _default_collector(metrics: MetricsCollectorSpec) -> MetricsCollectorSpec:
    collector = metrics.collector or CollectorSpec()
    if not collector.kind:
        collector = msgspec.structs.replace(collector, kind=names.STDOUT)
    source = metrics.source or SourceSpec()
    if collector.kind == names.FILE:
        file = source.file_system_path or FileSystemPath()
        file = FileSystemPath(
            path=file.path or DEFAULT_METRICS_FILE, kind=file.kind or "File", format=file.format or "TEXT"
        )
        source = msgspec.structs.replace(source, file_system_path=file)
    elif collector.kind == names.TENSORFLOW_EVENT:
        folder = source.file_system_path or FileSystemPath()
        folder = msgspec.structs.replace(
            folder, path=folder.path or DEFAULT_TENSORFLOW_FOLDER, kind=folder.kind or "Directory"
        )
        source = msgspec.structs.replace(source, file_system_path=folder)
    elif collector.kind == names.PROMETHEUS_METRIC:
        scrape = source.http_get or HTTPGet()
        scrape = msgspec.structs.replace(
            scrape,
            path=scrape.path or DEFAULT_PROMETHEUS_PATH,
            port=DEFAULT_PROMETHEUS_PORT if scrape.port in (None, 0, "0", "") else scrape.port,
        )
        source = msgspec.structs.replace(source, http_get=scrape)
    return MetricsCollectorSpec(source=source if source != SourceSpec() else metrics.source, collector=collector)


def _default_parameter(parameter: ParameterSpec) -> ParameterSpec:
    space = parameter.feasible_space
    if space.distribution:
        return parameter
    return msgspec.structs.replace(parameter, feasible_space=msgspec.structs.replace(space, distribution=names.UNIFORM))
