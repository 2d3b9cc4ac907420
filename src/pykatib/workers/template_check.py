"""Judges an Experiment's template before anything starts, by planning a sample Trial of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from pykatib.algorithms.checkpoint_setting import checkpoint_path
from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment, ParameterSpec
from pykatib.api.objects import ConfigMap
from pykatib.api.shared import MetricsCollectorSpec, ParameterAssignment
from pykatib.api.suggestion import TrialAssignment
from pykatib.api.wire import decode
from pykatib.control.blueprint import Blueprint
from pykatib.workers.checkpoints import FOLDER
from pykatib.workers.collectors.collector import check_collector
from pykatib.workers.pod import CUSTOM_COLLECTOR, Place, PodPlan, Refused
from pykatib.workers.worker_plan import plan_worker


class _Kind(msgspec.Struct):
    kind: str = ""


_SAMPLE_FOLDER: Final = Path("/sample-trial")  # nothing is written there; plans only name it


def sample_plan(
    experiment: Experiment,
    *,
    place: Place,
    config_map: ConfigMap | None = None,
    extra_mounts: Mapping[str, Path] | None = None,
) -> PodPlan | Refused:
    """The plan of a Trial that takes the first value of each parameter. Paths in refusals are the Experiment's."""
    template = experiment.spec.trial_template
    inline = template is not None and template.config_map is None
    try:
        trial = Blueprint(experiment, config_map).trial(_sample_assignment(experiment))
    except InvalidInput as error:
        return Refused(error.errors)
    plan = plan_worker(trial, place=place, folder=_SAMPLE_FOLDER, extra_mounts=extra_mounts)
    prefix = "spec.trialTemplate.trialSpec" if inline else "spec.trialTemplate.configMap"
    if isinstance(plan, Refused):
        return Refused(tuple(_within(prefix, error) for error in plan.errors))
    return msgspec.structs.replace(plan, warnings=tuple(_within(prefix, warning) for warning in plan.warnings))


def check_job(
    experiment: Experiment,
    *,
    place: Place,
    config_map: ConfigMap | None = None,
    extra_mounts: Mapping[str, Path] | None = None,
) -> tuple[FieldError, ...]:
    """Why the Trials of an Experiment cannot run here; nothing where they can."""
    plan = sample_plan(experiment, place=place, config_map=config_map, extra_mounts=extra_mounts)
    return plan.errors if isinstance(plan, Refused) else ()


def check_template(
    experiment: Experiment, *, place: Place, config_map: ConfigMap | None = None
) -> tuple[FieldError, ...]:
    """Why an Experiment cannot run here as processes: its Job, or the collector of its metrics."""
    template = experiment.spec.trial_template
    if template is None or is_callable(template.trial_spec):
        return ()
    path = checkpoint_path(experiment.spec.algorithm)
    mounts = {path: _SAMPLE_FOLDER / FOLDER} if path else None
    job_errors = check_job(experiment, place=place, config_map=config_map, extra_mounts=mounts)
    return (*job_errors, *check_collector(experiment.spec.metrics_collector_spec or MetricsCollectorSpec()))


def is_callable(trial_spec: msgspec.Raw) -> bool:
    """True for a template that runs a Python function."""
    return bool(bytes(trial_spec)) and decode(bytes(trial_spec), _Kind).kind == names.CALLABLE_JOB


def _sample_assignment(experiment: Experiment) -> TrialAssignment:
    template = experiment.spec.trial_template
    values = {parameter.name: _first_value(parameter) for parameter in experiment.spec.parameters}
    for parameter in (template.trial_parameters or ()) if template is not None else ():
        values.setdefault(parameter.reference, "1")  # what architecture search assigns
    assignments = tuple(ParameterAssignment(name, value) for name, value in values.items())
    return TrialAssignment(name=f"{experiment.metadata.name}-sample", parameter_assignments=assignments)


def _first_value(parameter: ParameterSpec) -> str:
    space = parameter.feasible_space
    return space.values[0] if space.values else space.min or "1"


def _within(prefix: str, error: FieldError) -> FieldError:
    if error.path.startswith((CUSTOM_COLLECTOR, "spec.trialTemplate.")):
        return error
    return FieldError(f"{prefix}.{error.path}" if error.path else prefix, error.message)
