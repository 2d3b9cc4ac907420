"""The way into a store on one machine: what admission webhooks are on a cluster.

Whatever a person asks for is defaulted and judged here before anything starts; all mistakes are told at once.
"""

from collections.abc import Callable, Sequence

import msgspec

from pykatib.api import names
from pykatib.api.errors import AlreadyExists, Conflict, FieldError, InvalidInput, NotFound
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.lifecycle import check_resumable, is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap, Secret
from pykatib.embedded.algorithm_services import catalog_of, service_of, with_service
from pykatib.store.contract import Store
from pykatib.workers.judging import judge
from pykatib.workers.runner import Runner


class FrontDoor:
    """Takes Experiments in, and changes of their budgets."""

    def __init__(self, store: Store, runners: Callable[[], Sequence[Runner]]) -> None:
        self._store = store
        self._runners = runners

    def judge(
        self, experiment: Experiment, *, old: Experiment | None = None
    ) -> tuple[Experiment, tuple[FieldError, ...]]:
        """The Experiment with defaults filled in, and every mistake in it.

        ConfigMaps and Secrets that it refers to are looked for in the store: `keep` them first.
        """
        experiment, errors = judge(
            experiment, old=old, catalog=catalog_of(experiment, is_new=old is None), templates=self.config_map
        )
        if not errors and old is None:
            errors = tuple(error for runner in self._runners() for error in runner.check(experiment))
        return experiment, errors

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """The ConfigMap of that name, or None."""
        found = self._store.find(Reference(names.CONFIG_MAP, namespace, name))
        return found if isinstance(found, ConfigMap) else None

    def create(self, experiment: Experiment) -> Experiment:
        """Takes a new Experiment in.

        Raises:
            InvalidInput: it breaks rules; nothing has been kept.
            AlreadyExists: there is one of that name.
        """
        if experiment.metadata.name and self._store.find(experiment.reference) is not None:
            raise AlreadyExists(
                f"an Experiment {experiment.metadata.namespace}/{experiment.metadata.name} is here already; "
                "resume it, delete it, or give this one another name"
            )
        experiment, errors = self.judge(experiment)
        if errors:
            raise InvalidInput(errors)
        return self._store.create(experiment)

    def keep(self, item: ConfigMap | Secret) -> None:
        """Keeps a ConfigMap or Secret, in the place of one that has its name."""
        old = self._store.find(item.reference)
        if old is None:
            self._store.create(item)
        else:
            version = old.metadata.resource_version
            self._store.update(
                msgspec.structs.replace(item, metadata=msgspec.structs.replace(item.metadata, resource_version=version))
            )

    def experiment(self, namespace: str, name: str) -> Experiment:
        """The Experiment of that name. Raises NotFound."""
        found = self._store.find(Reference(names.EXPERIMENT, namespace, name))
        if not isinstance(found, Experiment):
            raise NotFound(f"there is no Experiment {namespace}/{name} here")
        return found

    def edit(
        self,
        namespace: str,
        name: str,
        *,
        max_trial_count: int | None = None,
        parallel_trial_count: int | None = None,
        max_failed_trial_count: int | None = None,
        active_deadline_seconds: int | None = None,
        suspend: bool | None = None,
    ) -> Experiment:
        """Changes the budget of an Experiment; what is None stays.

        Raises:
            NotFound: there is no such Experiment.
            InvalidInput: the change is against the rules.
        """
        old = self.experiment(namespace, name)
        changes = {
            "max_trial_count": max_trial_count,
            "parallel_trial_count": parallel_trial_count,
            "max_failed_trial_count": max_failed_trial_count,
            "active_deadline_seconds": active_deadline_seconds,
            "suspend": suspend,
        }
        spec: ExperimentSpec = msgspec.structs.replace(
            old.spec, **{field: value for field, value in changes.items() if value is not None}
        )
        if spec == old.spec:
            return old
        new, errors = self.judge(msgspec.structs.replace(old, spec=spec), old=old)
        if errors:
            raise InvalidInput(errors)
        return self._store.update(new)

    def suspend(self, namespace: str, name: str) -> Experiment:
        """Stops an Experiment without deleting it. Raises NotFound, and Conflict where it has ended."""
        old = self.experiment(namespace, name)
        if is_completed(old):
            raise Conflict(f"Experiment {namespace}/{name} has ended already")
        return self.edit(namespace, name, suspend=True)

    def resume(
        self,
        namespace: str,
        name: str,
        *,
        max_trial_count: int | None = None,
        parallel_trial_count: int | None = None,
        max_failed_trial_count: int | None = None,
        active_deadline_seconds: int | None = None,
    ) -> Experiment:
        """Takes an Experiment up again: one that was stopped, or, with more Trials, one that used them up.

        The rest of the budget may be changed in the same go; what is None stays.

        Raises:
            NotFound: there is no such Experiment.
            InvalidInput: it has ended and cannot be restarted so.
        """
        old = self.experiment(namespace, name)
        check_resumable(old, max_trial_count)
        return self.edit(
            namespace,
            name,
            suspend=False,
            max_trial_count=max_trial_count,
            parallel_trial_count=parallel_trial_count,
            max_failed_trial_count=max_failed_trial_count,
            active_deadline_seconds=active_deadline_seconds,
        )

    def ask_service(self, namespace: str, name: str, address: str) -> Experiment:
        """Has an Experiment go on with the service at that address. Raises NotFound."""
        old = self.experiment(namespace, name)
        if service_of(old) == address:
            return old
        return self._store.update(with_service(old, address))

    def delete(self, namespace: str, name: str) -> None:
        """Deletes an Experiment with all its Trials. Raises NotFound."""
        self._store.delete(self.experiment(namespace, name).reference)
