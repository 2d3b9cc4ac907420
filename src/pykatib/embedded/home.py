"""Opening a home folder: the control plane on everything that ever ran there."""

from pathlib import Path

from pykatib.embedded.folders import HomeFolders
from pykatib.embedded.keeper import StoreKeeper
from pykatib.embedded.plane import EmbeddedControlPlane
from pykatib.runtime.clock import SystemClock
from pykatib.store.sqlite import SqliteStore
from pykatib.workers.job_runner import JobRunner
from pykatib.workers.places import Places
from pykatib.workers.slots import Machine, Slots


class Home:
    """An open home folder. This process owns it until `plane.close`."""

    def __init__(self, folders: HomeFolders, store: SqliteStore, plane: EmbeddedControlPlane) -> None:
        self.folders = folders
        self.store = store
        self.plane = plane


def open_home(root: Path) -> Home:
    """Opens a home folder, made if it is not there; this process owns it until its plane is closed.

    Raises:
        HomeLocked: another process owns it.
        StorageFailed: it cannot be kept there, or what is there cannot be read.
    """
    folders = HomeFolders(root)
    folders.make()
    clock = SystemClock()
    store = SqliteStore(folders.database, clock.now)
    try:
        home_id = folders.home_id()  # only the owner may make one
        machine = Machine.detect()
    except BaseException:
        store.close()
        raise
    plane = EmbeddedControlPlane(store, store.observations, clock)
    keeper = StoreKeeper(store)
    plane.add_periodic(keeper)
    plane.on_close(keeper.close)
    plane.add_runner(
        JobRunner(
            store,
            plane.observations,
            clock,
            places=Places(machine, store.find),
            slots=Slots(machine),
            trial_folder=folders.trial,
            home_id=home_id,
            watch=plane.waiter.watch,
            unwatch=plane.waiter.unwatch,
        )
    )
    return Home(folders, store, plane)
