"""Whether an Experiment makes sense: every rule of Katib's admission, and those that it lacks.

All mistakes that can be told at once are told at once. The Experiment is expected with its defaults
(`pykatib.api.defaults`); nothing is looked up but through the arguments.
"""

import math
import re
from collections.abc import Collection, Iterator
from itertools import islice

from pykatib.api import names
from pykatib.api.defaults import DEFAULT_PARALLEL_TRIAL_COUNT, default_experiment
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.manifest import Document, examine_object
from pykatib.api.meta import ObjectMeta
from pykatib.api.schema_walk import did_you_mean, listed, shown
from pykatib.api.shared import AlgorithmSpec, EarlyStoppingSpec, ObjectiveSpec
from pykatib.api.validation.catalog import AlgorithmCatalog
from pykatib.api.validation.collectors import COLLECTOR_KINDS, FilterCheck, check_collector, check_filter
from pykatib.api.validation.space import check_space
from pykatib.api.validation.template import Templates, check_template
from pykatib.api.validation.updates import changed_fields, check_update

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_GENERATED_LENGTH = 5
_MAX_ERRORS = 200  # of one section; nobody reads more
_MAX_COUNT = 2**31 - 1
_RESUME_POLICIES = (names.NEVER, names.LONG_RUNNING, names.FROM_VOLUME)
_STRATEGIES = (names.MIN, names.MAX, names.LATEST)
_OWN_UNIT = re.compile(
    r"spec\.parameters\[\d+\]\.feasibleSpace|spec\.objective\.(type|goal)"
    r"|spec\.(algorithm|earlyStopping)\.algorithm(Name|Settings)"
    r"|spec\.trialTemplate\.(retain|retries|activeDeadlineSeconds|successCondition|failureCondition)"
)
_SPACE_SECTIONS = frozenset({"spec", "spec.parameters", "spec.nasConfig"})
_SPACE_DEPENDANTS = frozenset({"spec", "spec.parameters", "spec.nasConfig", "spec.trialTemplate"})


def read_experiment(
    document: Document,
    *,
    catalog: AlgorithmCatalog,
    templates: Templates,
    supported_kinds: Collection[str] | None = None,
    supported_collectors: Collection[str] = COLLECTOR_KINDS,
    filter_check: FilterCheck = check_filter,
) -> Experiment:
    """The defaulted Experiment of a document, read and judged in one go.

    Raises:
        InvalidInput: with the mistakes of structure, and those of value wherever the structure is sound.
    """
    value, mistakes, unsound = examine_object(document)
    if value is not None and not isinstance(value, Experiment):
        raise InvalidInput([FieldError("kind", f'found "{value.kind}", wanted "Experiment"')], source=document.source)
    if value is None:
        raise InvalidInput(mistakes, source=document.source)
    experiment = default_experiment(value)
    errors = validate_experiment(
        experiment,
        catalog=catalog,
        templates=templates,
        supported_kinds=supported_kinds,
        supported_collectors=supported_collectors,
        filter_check=filter_check,
        unsound=unsound,
    )
    if mistakes or errors:
        raise InvalidInput((*mistakes, *errors), source=document.source)
    return experiment


def validate_experiment(
    experiment: Experiment,
    *,
    old: Experiment | None = None,
    catalog: AlgorithmCatalog,
    templates: Templates,
    supported_kinds: Collection[str] | None = None,
    supported_collectors: Collection[str] = COLLECTOR_KINDS,
    filter_check: FilterCheck = check_filter,
    unsound: Collection[str] = (),
) -> tuple[FieldError, ...]:
    """All mistakes of a defaulted Experiment, or of an edit where `old` is what is there now.

    An object that is being deleted, or an edit that leaves the spec as it is, is never refused: a new rule must not
    keep old objects from going away. Nothing is said of what depends on the `unsound` paths, which could not be read.
    """
    if experiment.metadata.deletion_timestamp is not None:
        return ()
    if old is not None and not changed_fields(default_experiment(old).spec, experiment.spec):
        return ()
    spec = experiment.spec
    checks = (
        _check_metadata(experiment.metadata) if old is None else check_update(old, experiment),
        _check_budget(spec),
        _check_objective(spec.objective),
        _check_resume_policy(spec.resume_policy),
        check_space(spec),
        _check_algorithm(spec.algorithm, catalog),
        _check_early_stopping(spec.early_stopping, catalog),
        check_template(spec, templates=templates, supported_kinds=supported_kinds),
        check_collector(spec.metrics_collector_spec, supported=supported_collectors, filter_check=filter_check),
    )
    errors = [error for check in checks for error in islice(check, _MAX_ERRORS)]
    muted = {_unit_of(path) for path in unsound}
    if muted & _SPACE_SECTIONS:
        muted |= _SPACE_DEPENDANTS
    errors = [error for error in errors if not muted & {section_of(error.path), _unit_of(error.path)}]
    doubtful = {section_of(path) for path in (*muted, *(error.path for error in errors))}
    if not doubtful & _BASE_OF_ALGORITHMS:
        errors.extend(catalog.check(experiment))
    return tuple(dict.fromkeys(errors))


_BASE_OF_ALGORITHMS = _SPACE_SECTIONS | {"spec.algorithm", "spec.earlyStopping", "spec.objective"}


def _unit_of(path: str) -> str:
    """What is not judged when something in it could not be read: what stands for itself, else the whole section."""
    inner = _OWN_UNIT.match(path)
    return inner[0] if inner is not None else section_of(path)


def section_of(path: str) -> str:
    """The field of `spec` (or of the object) that a path leads into: `spec.parameters`, `metadata.name`."""
    return ".".join(re.split(r"[.\[]", path)[:2])


def _check_metadata(metadata: ObjectMeta) -> Iterator[FieldError]:
    name, length, path = metadata.name, len(metadata.name), "metadata.name"
    if not name and metadata.generate_name:
        name, path = metadata.generate_name.rstrip("-"), "metadata.generateName"
        length = len(metadata.generate_name) + _GENERATED_LENGTH
    if not name and path == "metadata.name":
        yield FieldError(path, "is required: an Experiment needs a name (or a `generateName`)")
    elif _NAME.fullmatch(name) is None:
        yield FieldError(
            path,
            f"found {shown(metadata.name or metadata.generate_name)}; a name starts with a-z, ends with a-z or 0-9, "
            "and has nothing but a-z, 0-9 and - between",
        )
    if length > names.MAX_EXPERIMENT_NAME_LENGTH:
        yield FieldError(
            path,
            f"found {length} characters, wanted at most {names.MAX_EXPERIMENT_NAME_LENGTH}: the names of Trials are "
            "made from it" + (" and from 5 more characters" if path == "metadata.generateName" else ""),
        )
    if metadata.namespace and (len(metadata.namespace) > 63 or _NAMESPACE.fullmatch(metadata.namespace) is None):
        yield FieldError(
            "metadata.namespace",
            f"found {shown(metadata.namespace)}; a namespace has at most 63 of a-z, 0-9 and -, and neither begins nor "
            "ends with -",
        )


def _check_budget(spec: ExperimentSpec) -> Iterator[FieldError]:
    for field, count, least in (
        ("maxFailedTrialCount", spec.max_failed_trial_count, 0),
        ("maxTrialCount", spec.max_trial_count, 1),
        ("parallelTrialCount", spec.parallel_trial_count, 1),
        ("activeDeadlineSeconds", spec.active_deadline_seconds, 1),
    ):
        if count is not None and count < least:
            yield FieldError(f"spec.{field}", f"found {count}, wanted at least {least}")
        elif count is not None and count > _MAX_COUNT:
            yield FieldError(f"spec.{field}", f"found {count}, wanted at most {_MAX_COUNT}")
    limit = spec.max_trial_count
    if limit is None or limit < 1:
        return
    if spec.max_failed_trial_count is not None and spec.max_failed_trial_count > limit:
        yield FieldError(
            "spec.maxFailedTrialCount",
            f"found {spec.max_failed_trial_count}, which is more than maxTrialCount, {limit}",
        )
    if spec.parallel_trial_count is not None and spec.parallel_trial_count > limit:
        hint = (
            f" ({DEFAULT_PARALLEL_TRIAL_COUNT} is also what counts where nothing is said)"
            if spec.parallel_trial_count == DEFAULT_PARALLEL_TRIAL_COUNT
            else ""
        )
        yield FieldError(
            "spec.parallelTrialCount",
            f"found {spec.parallel_trial_count}{hint}, which is more than maxTrialCount, {limit}",
        )


def _check_resume_policy(policy: str) -> Iterator[FieldError]:
    if policy and policy not in _RESUME_POLICIES:
        yield FieldError("spec.resumePolicy", _not_one_of(policy, _RESUME_POLICIES))


def _check_objective(objective: ObjectiveSpec | None) -> Iterator[FieldError]:
    path = "spec.objective"
    if objective is None:
        yield FieldError(path, "is required: the metric to optimise and its direction")
        return
    directions = (names.MINIMIZE, names.MAXIMIZE)
    if objective.type not in directions:
        yield FieldError(f"{path}.type", _not_one_of(objective.type, directions))
    if objective.goal is not None and not math.isfinite(objective.goal):
        yield FieldError(
            f"{path}.goal", f"found {shown(objective.goal)}, wanted a finite number; leave it out for none"
        )
    if not objective.objective_metric_name.strip():
        yield FieldError(f"{path}.objectiveMetricName", "is required: the metric to optimise")
    seen: set[str] = set()
    for index, name in enumerate(objective.additional_metric_names):
        here = f"{path}.additionalMetricNames[{index}]"
        if not name.strip():
            yield FieldError(here, "is empty: a metric needs a name")
        elif name == objective.objective_metric_name:
            yield FieldError(here, f"found {shown(name)}, which is the objective's metric already")
        elif name in seen:
            yield FieldError(here, f"found {shown(name)} a second time")
        seen.add(name)
    yield from _check_strategies(objective, f"{path}.metricStrategies")


def _check_strategies(objective: ObjectiveSpec, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    known = dict.fromkeys(objective.metric_names)
    for index, strategy in enumerate(objective.metric_strategies):
        here = f"{path}[{index}]"
        if strategy.name not in known:
            yield FieldError(
                f"{here}.name",
                f"found {shown(strategy.name)}, which is no metric of the objective"
                f"{did_you_mean(strategy.name, known) or '; there are ' + listed(known)}",
            )
        elif strategy.name in seen:
            yield FieldError(f"{here}.name", f"found {shown(strategy.name)} a second time")
        seen.add(strategy.name)
        if strategy.value not in _STRATEGIES:
            yield FieldError(f"{here}.value", _not_one_of(strategy.value, _STRATEGIES))


def _check_algorithm(algorithm: AlgorithmSpec | None, catalog: AlgorithmCatalog) -> Iterator[FieldError]:
    if algorithm is None:
        yield FieldError("spec.algorithm", f"is required: one of {listed(catalog.names())}")
        return
    yield from _check_choice(algorithm, catalog.names(), "spec.algorithm")


def _check_early_stopping(stopping: EarlyStoppingSpec | None, catalog: AlgorithmCatalog) -> Iterator[FieldError]:
    if stopping is not None:
        yield from _check_choice(stopping, catalog.early_stopping_names(), "spec.earlyStopping")


def _check_choice(choice: AlgorithmSpec | EarlyStoppingSpec, known: Collection[str], path: str) -> Iterator[FieldError]:
    if choice.algorithm_name not in known:
        yield FieldError(f"{path}.algorithmName", _not_one_of(choice.algorithm_name, known))
    seen: set[str] = set()
    for index, setting in enumerate(choice.algorithm_settings):
        here = f"{path}.algorithmSettings[{index}].name"
        if not setting.name:
            yield FieldError(here, "is empty: a setting needs a name")
        elif setting.name in seen:
            yield FieldError(here, f"found {shown(setting.name)} a second time")
        seen.add(setting.name)


def _not_one_of(found: str, known: Collection[str]) -> str:
    wanted = f"one of {listed(known)}" if known else "nothing: there is none to choose from here yet"
    if not found:
        return f"is required: {wanted}"
    return f"found {shown(found)}, wanted {wanted}{did_you_mean(found, known)}"
