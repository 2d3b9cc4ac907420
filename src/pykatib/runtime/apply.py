"""Carries plans out against a store."""

from pykatib.api.errors import AlreadyExists, Conflict, NotFound
from pykatib.api.objects import Event
from pykatib.control.plan import Create, Delete, ForgetObservations, Plan, Tell, Update, UpdateStatus
from pykatib.store.contract import ObservationStore, Store


class Applier:
    """Does what plans say, in their order. A Conflict ends a plan: whoever was faster will be read first."""

    def __init__(self, store: Store, observations: ObservationStore) -> None:
        self._store = store
        self._observations = observations

    def apply(self, plan: Plan, now: float) -> None:
        """Does the actions of a plan.

        Raises:
            Conflict: somebody else wrote an object in the meantime.
        """
        store = self._store
        for action in plan.actions:
            if isinstance(action, UpdateStatus):
                store.update_status(action.object)
            elif isinstance(action, Create):
                try:
                    store.create(action.object)
                except AlreadyExists:
                    pass
            elif isinstance(action, Tell):
                about = action.about
                event = Event(about.kind, about.namespace, about.name, action.type, action.reason, action.message, now)
                store.record(event)
            elif isinstance(action, Delete):
                try:
                    store.delete(action.reference, uid=action.uid)
                except (NotFound, Conflict):
                    pass  # gone, or another object of that name: either way not ours to delete any more
            elif isinstance(action, Update):
                store.update(action.object)
            elif isinstance(action, ForgetObservations):
                self._observations.delete(action.namespace, action.trial_name)
