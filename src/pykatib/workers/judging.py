"""What is asked of every Experiment before it is let in, on one machine and in a cluster alike.

The front door of one machine and the admission webhooks of a cluster both call `judge`, so that no rule is known to
one of them only. They differ in what they give it: the algorithms that there are, and where ConfigMaps are found.
"""

from collections.abc import Collection

from pykatib.api.defaults import default_experiment
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.validation import COLLECTOR_KINDS, AlgorithmCatalog, Templates, validate_experiment
from pykatib.control.blueprint import Blueprint
from pykatib.workers.collectors.filters import check_filter


def judge(
    experiment: Experiment,
    *,
    old: Experiment | None = None,
    catalog: AlgorithmCatalog,
    templates: Templates,
    supported_collectors: Collection[str] = COLLECTOR_KINDS,
    unsound: Collection[str] = (),
) -> tuple[Experiment, tuple[FieldError, ...]]:
    """The Experiment with defaults filled in, and every mistake in it, or in its edit from `old`.

    Args:
        experiment: as it was written.
        old: what is there now; None for a new one.
        catalog: the algorithms that there are.
        templates: finds ConfigMaps with Trial templates.
        supported_collectors: the kinds of metrics collector that there are.
        unsound: paths that could not be read; nothing is said of what depends on them.
    """
    experiment = default_experiment(experiment)
    errors = validate_experiment(
        experiment,
        old=old,
        catalog=catalog,
        templates=templates,
        supported_collectors=supported_collectors,
        filter_check=check_filter,
        unsound=unsound,
    )
    if not errors and not unsound and old is None:
        errors = _unrenderable(experiment, templates)
    return experiment, errors


def _unrenderable(experiment: Experiment, templates: Templates) -> tuple[FieldError, ...]:
    template = experiment.spec.trial_template
    source = template.config_map if template is not None else None
    try:
        found = templates(source.config_map_namespace, source.config_map_name) if source is not None else None
        Blueprint(experiment, found)
    except InvalidInput as error:
        return error.errors
    return ()
