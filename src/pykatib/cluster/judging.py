"""Judging files for a cluster before anything is written there: what one machine would refuse, in the same words, and
what the cluster itself refuses.

Every sound Experiment is handed in once as a trial run, which the cluster's admission judges and keeps nowhere. What
depends on the cluster alone, such as the algorithms that its katib-config knows, is left to it where it does judge.
An Experiment whose template is in a ConfigMap of the same files is judged here only, until that ConfigMap is there.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import AlreadyExists, FieldError, InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import ConfigMap, Secret
from pykatib.api.validation.updates import EDITABLE, changed_fields
from pykatib.cluster.reading import ClusterReader
from pykatib.cluster.wishes import Wishes
from pykatib.embedded.overrides import Override
from pykatib.embedded.submission import Candidate, Refusal, Source, callable_errors, read_documents
from pykatib.store.kubernetes.api_server import Forbidden
from pykatib.workers.judging import judge

_TEMPLATE = "spec.trialTemplate.configMap"
_CLUSTERS_OWN = ("spec.algorithm", "spec.earlyStopping", "spec.metricsCollectorSpec.collector.kind", _TEMPLATE)
_PROBE = "pykatib-probe"


class ClusterSubmission(NamedTuple):
    """What was asked for: what is to be created, what is there already with what is different about it, what beside."""

    new: tuple[Experiment, ...] = ()
    attached: tuple[Experiment, ...] = ()
    remarks: tuple[str, ...] = ()
    beside: tuple[ConfigMap | Secret, ...] = ()
    in_order: tuple[Reference, ...] = ()


class ClusterJudge:
    """Judges files for one cluster."""

    def __init__(self, reader: ClusterReader, wishes: Wishes, *, namespace: str) -> None:
        """`namespace`: for documents that name none, where the command line names none either."""
        self._reader = reader
        self._wishes = wishes
        self._namespace = namespace
        self._beside: dict[Reference, ConfigMap | Secret] = {}
        self._judges: dict[str, bool] = {}  # by namespace: whether the cluster does

    def read(
        self,
        sources: Sequence[Source],
        *,
        overrides: Sequence[Override] = (),
        namespace: str = "",
        replaces: bool = False,
    ) -> tuple[ClusterSubmission, tuple[Refusal, ...]]:
        """What the files ask for, and all that is wrong with them; submit it only where nothing is.

        Args:
            sources: the files.
            overrides: changes to every Experiment.
            namespace: for documents that name none.
            replaces: Experiments that are there will be deleted first.

        Raises:
            PykatibError: the cluster cannot be asked.
        """
        candidates, beside, refusals = read_documents(
            sources, overrides=overrides, namespace=namespace, default_namespace=self._namespace
        )
        self._beside = {item.reference: item for item in beside}
        new, attached, order, remarks = [], [], [], []
        seen: set[Reference] = set()
        for candidate in candidates:
            experiment = candidate.experiment
            reference = experiment.reference
            errors, there = candidate.mistakes, None
            if experiment.metadata.name:
                if reference in seen:
                    text = f"there is another Experiment {experiment.metadata.name!r} in the files given"
                    errors += (FieldError("metadata.name", text),)
                seen.add(reference)
                order.append(reference)
                there = self._reader.find(reference) if not replaces and not candidate.mistakes else None
            if isinstance(there, Experiment):
                found, remark = _compared(there, experiment)
                errors += found
                attached.append(there)
                remarks += [remark] if remark else []
            else:
                errors += self._judged(candidate, replaces=replaces)
                new.append(default_experiment(experiment))
            if errors:
                refusals.append(Refusal(candidate.label, tuple(dict.fromkeys(errors))))
        submission = ClusterSubmission(tuple(new), tuple(attached), tuple(remarks), tuple(beside), tuple(order))
        return submission, tuple(refusals)

    def _judged(self, candidate: Candidate, *, replaces: bool) -> tuple[FieldError, ...]:
        experiment = candidate.experiment
        errors = judge(experiment, catalog=registry, templates=self._config_map, unsound=candidate.unsound)[1]
        errors += callable_errors(experiment)
        if candidate.mistakes or self._needs_beside(experiment):
            return errors
        own = tuple(error for error in errors if error.path.startswith(_CLUSTERS_OWN))
        others = tuple(error for error in errors if error not in own)
        refused = self._refused_there(experiment)
        if refused is None:
            return others if own and self._is_judge(experiment.metadata.namespace) else errors
        if self._is_judge(experiment.metadata.namespace):
            return (*others, *refused)  # its words are ours, so what both say is said once
        return errors or refused

    def _refused_there(self, experiment: Experiment) -> tuple[FieldError, ...] | None:
        """What the cluster says against an Experiment; None where it would take it."""
        try:
            self._wishes.create(default_experiment(experiment), is_trial_run=True)
        except AlreadyExists:
            return None  # it was judged before that, and is to be replaced
        except InvalidInput as error:
            return error.errors
        return None

    def _is_judge(self, namespace: str) -> bool:
        """Whether the cluster judges Experiments at all: it then refuses one that asks for nothing."""
        if namespace not in self._judges:
            probe = Experiment(metadata=ObjectMeta(name=_PROBE, namespace=namespace), spec=ExperimentSpec())
            self._judges[namespace] = self._refused_there(probe) is not None
        return self._judges[namespace]

    def _config_map(self, namespace: str, name: str) -> ConfigMap | None:
        reference = Reference(names.CONFIG_MAP, namespace, name)
        try:
            found = self._beside.get(reference) or self._reader.find(reference)
        except Forbidden as error:
            raise InvalidInput([FieldError(_TEMPLATE, f"you may not read {reference}: {error}")]) from error
        return found if isinstance(found, ConfigMap) else None

    def _needs_beside(self, experiment: Experiment) -> bool:
        template = experiment.spec.trial_template
        source = template.config_map if template is not None else None
        if source is None:
            return False
        return Reference(names.CONFIG_MAP, source.config_map_namespace, source.config_map_name) in self._beside


def _compared(there: Experiment, given: Experiment) -> tuple[tuple[FieldError, ...], str]:
    """Mistakes where an Experiment that is there is another one, and a remark where its budget is another."""
    name = given.metadata.name
    changed = changed_fields(default_experiment(there).spec, default_experiment(given).spec)
    fixed = [field for field in changed if field not in EDITABLE]
    if fixed:
        message = (
            f"there is an Experiment {name!r} in the cluster already, and it is another one: spec.{fixed[0]}"
            + (f" and {len(fixed) - 1} more fields differ" if len(fixed) > 1 else " differs")
            + f"; delete it with `katib delete {name}` or --replace, or give this one another name with "
            "--set metadata.name=…"
        )
        return (FieldError("metadata.name", message),), ""
    budget = [field for field in changed if field != "suspend"]
    if not budget:
        return (), ""
    mine, theirs = _fields(given.spec), _fields(there.spec)
    parts = ", ".join(f"{field} {theirs.get(field)} (here {mine.get(field)})" for field in budget)
    return (), f"Experiment {name} goes on with the budget that it has in the cluster: {parts}"


def _fields(spec: ExperimentSpec) -> Mapping[str, int | None]:
    return {
        "parallelTrialCount": spec.parallel_trial_count,
        "maxTrialCount": spec.max_trial_count,
        "maxFailedTrialCount": spec.max_failed_trial_count,
        "activeDeadlineSeconds": spec.active_deadline_seconds,
    }
