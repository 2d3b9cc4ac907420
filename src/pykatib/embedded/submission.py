"""From files to Experiments that can be started: read, changed, defaulted and judged, all files and documents at once.

Nothing here starts or keeps anything. Whoever submits gets either what to hand to the front door or every mistake of
every document; the ConfigMaps and Secrets of one file serve the Experiments of all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment, ExperimentStatus
from pykatib.api.manifest import Document, examine_object, load_documents
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import ConfigMap, Secret
from pykatib.embedded.algorithm_services import catalog_of, with_services
from pykatib.embedded.folders import HomeFolders
from pykatib.embedded.front_door import FrontDoor
from pykatib.embedded.overrides import Override, apply_override
from pykatib.runtime.clock import SystemClock
from pykatib.store.database import is_unused
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore
from pykatib.store.reader import SqliteReader
from pykatib.workers.job_runner import JobRunner
from pykatib.workers.judging import judge
from pykatib.workers.places import Places, place_annotations
from pykatib.workers.slots import Machine, Slots
from pykatib.workers.template_check import is_callable

_TAKEN = (names.EXPERIMENT, names.CONFIG_MAP, names.SECRET)


class Source(NamedTuple):
    """A file: what it is called, its bytes, and the folder that its commands run from."""

    name: str
    content: bytes
    folder: Path


class Refusal(NamedTuple):
    """All that is wrong with one document, or with a whole file."""

    source: str
    errors: tuple[FieldError, ...]


class Submission(NamedTuple):
    """What was asked for, ready for the front door."""

    experiments: tuple[Experiment, ...] = ()
    beside: tuple[ConfigMap | Secret, ...] = ()


class Candidate(NamedTuple):
    """An Experiment of a file, with what is wrong in its structure; `unsound` paths are not to be relied on."""

    experiment: Experiment
    label: str
    mistakes: tuple[FieldError, ...]
    unsound: tuple[str, ...]
    folder: Path


class Reading(NamedTuple):
    """What files hold, and what of it could not be read."""

    candidates: list[Candidate]
    beside: list[ConfigMap | Secret]
    refusals: list[Refusal]


def read_documents(
    sources: Sequence[Source],
    *,
    overrides: Sequence[Override] = (),
    namespace: str = "",
    default_namespace: str = names.DEFAULT_NAMESPACE,
) -> Reading:
    """The Experiments, ConfigMaps and Secrets of files, as they are written; nothing has been judged yet."""
    candidates: list[Candidate] = []
    beside: list[ConfigMap | Secret] = []
    refusals: list[Refusal] = []
    for source in sources:
        try:
            documents = load_documents(source.content, source=source.name)
        except InvalidInput as error:
            refusals.append(Refusal(source.name, error.errors))
            continue
        for document in documents:
            label = _label(document, len(documents))
            value, errors, unsound = _examined(document, overrides)
            if value is None:
                refusals.append(Refusal(label, errors))
                continue
            metadata, misplaced = _metadata(value.metadata, namespace, default_namespace)
            errors += misplaced
            if isinstance(value, Experiment):
                value = msgspec.structs.replace(value, metadata=metadata, status=ExperimentStatus())
                candidates.append(Candidate(value, label, errors, unsound, source.folder))
            else:
                beside.append(msgspec.structs.replace(value, metadata=metadata))
                if errors:
                    refusals.append(Refusal(label, errors))
    if not candidates and not refusals:
        files = ", ".join(source.name for source in sources)
        refusals.append(Refusal(files, (FieldError("", "there is no Experiment in it"),)))
    return Reading(candidates, beside, refusals)


class Judge:
    """Judges files against what a home folder holds, which another process may own, or against nothing."""

    def __init__(self, folders: HomeFolders | None) -> None:
        """Raises StorageFailed where the home's database cannot be read."""
        clock = SystemClock()
        self._store = MemoryStore(clock.now)
        self._taken: set[Reference] = set()
        if folders is not None and not is_unused(folders.database):
            self._learn(folders.database)
        machine = Machine.detect()
        runner = JobRunner(  # it is asked what it can run, and never started
            self._store,
            MemoryObservationStore(),
            clock,
            places=Places(machine, self._store.find),
            slots=Slots(machine),
            trial_folder=lambda namespace, experiment, trial: Path("/"),
            home_id="judge",
            watch=lambda fileno: None,
            unwatch=lambda fileno: None,
        )
        self._door = FrontDoor(self._store, lambda: (runner,))

    def _learn(self, database: Path) -> None:
        reader = SqliteReader(database)
        try:
            for kind in (names.CONFIG_MAP, names.SECRET):
                for found in reader.list(kind):
                    if isinstance(found, ConfigMap | Secret):
                        self._keep(found)
            self._taken.update(found.reference for found in reader.list(names.EXPERIMENT))
        finally:
            reader.close()

    def _keep(self, item: ConfigMap | Secret) -> None:
        if self._store.find(item.reference) is not None:
            self._store.delete(item.reference)
        self._store.create(item)

    def read(
        self,
        sources: Sequence[Source],
        *,
        overrides: Sequence[Override] = (),
        images: Mapping[str, Path] | None = None,
        services: Mapping[str, str] | None = None,
        namespace: str = "",
        may_exist: bool = False,
    ) -> tuple[Submission, tuple[Refusal, ...]]:
        """What the files ask for, and all that is wrong with them; submit it only where nothing is.

        Args:
            sources: the files.
            overrides: changes to every Experiment.
            images: folders that stand for images.
            services: addresses of suggestion services by algorithm.
            namespace: for documents that name none.
            may_exist: say nothing of Experiments that are in the home already.
        """
        read, beside, refusals = read_documents(sources, overrides=overrides, namespace=namespace)
        for item in beside:
            self._keep(item)
        candidates = [
            candidate._replace(experiment=_placed(candidate, images or {}, services or {})) for candidate in read
        ]
        experiments = self._judged(candidates, refusals, self._taken if not may_exist else set())
        return Submission(tuple(experiments), tuple(beside)), tuple(refusals)

    def _judged(
        self, candidates: Sequence[Candidate], refusals: list[Refusal], taken: set[Reference]
    ) -> list[Experiment]:
        experiments: list[Experiment] = []
        seen: set[Reference] = set()
        for candidate in candidates:
            experiment = candidate.experiment
            errors = (*candidate.mistakes, *self._name_errors(experiment, seen, taken))
            seen.add(experiment.reference)
            if candidate.mistakes:
                experiment, found = judge(
                    experiment,
                    catalog=catalog_of(experiment, is_new=True),
                    templates=self._door.config_map,
                    unsound=candidate.unsound,
                )
                errors += found
            else:
                experiment, found = self._door.judge(experiment)
                errors += found
                errors += callable_errors(experiment)
            if errors:
                refusals.append(Refusal(candidate.label, tuple(dict.fromkeys(errors))))
            experiments.append(experiment)
        return experiments

    def _name_errors(
        self, experiment: Experiment, seen: set[Reference], taken: set[Reference]
    ) -> tuple[FieldError, ...]:
        name = experiment.metadata.name
        if not name:
            return ()
        if experiment.reference in seen:
            return (FieldError("metadata.name", f"there is another Experiment {name!r} in the files given"),)
        if experiment.reference in taken:
            message = (
                f"there is an Experiment {name!r} in the home folder already; take it up with `katib resume {name}`, "
                f"delete it with `katib delete {name}` or --replace, or give this one another name with "
                "--set metadata.name=…"
            )
            return (FieldError("metadata.name", message),)
        return ()


def _placed(candidate: Candidate, images: Mapping[str, Path], services: Mapping[str, str]) -> Experiment:
    """The Experiment with what this machine has to know to run it."""
    experiment = candidate.experiment
    metadata = experiment.metadata
    annotations = {**metadata.annotations, **place_annotations(candidate.folder, images)}
    metadata = msgspec.structs.replace(metadata, annotations=annotations)
    return with_services(msgspec.structs.replace(experiment, metadata=metadata), services)


def _label(document: Document, count: int) -> str:
    metadata = document.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    what = " ".join(str(word) for word in (document.value.get("kind"), name) if isinstance(word, str))
    place = f"{document.source}, line {document.line}" if count > 1 else document.source
    return f"{place} ({what})" if what else place


def _examined(
    document: Document, overrides: Sequence[Override]
) -> tuple[Experiment | ConfigMap | Secret | None, tuple[FieldError, ...], tuple[str, ...]]:
    problems: tuple[FieldError, ...] = ()
    kind = document.value.get("kind")
    if kind == names.EXPERIMENT:
        found = (apply_override(document.value, override) for override in overrides)
        problems = tuple(problem for problem in found if problem is not None)
    elif isinstance(kind, str) and kind not in _TAKEN:
        return None, (FieldError("kind", f'found "{kind}"; here are taken {", ".join(_TAKEN)}'),), ()
    value, errors, unsound = examine_object(document)
    if value is not None and not isinstance(value, Experiment | ConfigMap | Secret):
        return None, errors, unsound
    return value, (*problems, *errors), unsound


def _metadata(
    metadata: ObjectMeta, namespace: str, default_namespace: str
) -> tuple[ObjectMeta, tuple[FieldError, ...]]:
    """What of a document's metadata a person decides; an exported object's versions and owners are not taken."""
    errors: tuple[FieldError, ...] = ()
    if namespace and metadata.namespace and namespace != metadata.namespace:
        message = f"found {metadata.namespace!r}, but --namespace says {namespace!r}; leave one of them out"
        errors = (FieldError("metadata.namespace", message),)
    kept = ObjectMeta(
        name=metadata.name,
        generate_name=metadata.generate_name,
        namespace=metadata.namespace or namespace or default_namespace,
        labels=metadata.labels,
        annotations=metadata.annotations,
    )
    return kept, errors


def callable_errors(experiment: Experiment) -> tuple[FieldError, ...]:
    """What is wrong with an Experiment that runs a Python function."""
    template = experiment.spec.trial_template
    if template is None or not is_callable(template.trial_spec):
        return ()
    message = "a Python function runs in the program that has it, with pykatib.tune(); a manifest cannot hold it"
    return (FieldError("spec.trialTemplate.trialSpec.kind", message),)


def submit(submission: Submission, door: FrontDoor) -> tuple[Experiment, ...]:
    """Hands a submission in; ConfigMaps and Secrets first, for Trials read them.

    Raises:
        InvalidInput: an Experiment is refused after all.
        AlreadyExists: there is one of that name.
    """
    for item in submission.beside:
        door.keep(item)
    return tuple(door.create(experiment) for experiment in submission.experiments)
