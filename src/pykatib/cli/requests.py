"""Asking for changes: of the process that owns the home folder, or of this one where nobody does."""

from collections.abc import Sequence

from pykatib.api.errors import FieldError, HomeLocked, InvalidInput, NotSupported
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.cli.following import foreground
from pykatib.embedded.algorithm_services import algorithm_of, parse_service_options
from pykatib.embedded.folders import HomeFolders
from pykatib.embedded.mail import Verb, Wishes, check_answer, send, wait_for
from pykatib.store.lock import Holder, holder_of
from pykatib.workers.template_check import is_callable


def owner_of(folders: HomeFolders) -> Holder | None:
    """Who owns the home folder now, or None."""
    return holder_of(folders.database)


def ask_owner(
    folders: HomeFolders, verb: Verb, references: Sequence[Reference], *, wishes: Wishes | None = None
) -> bool:
    """Has the owner do something; False where it went away before it did.

    Raises:
        InvalidInput, NotFound, Conflict: it refused.
    """
    numbers = [(one.namespace, send(folders.database, verb, one, wishes=wishes)) for one in references]
    return all(wait_for(folders.database, namespace, number) for namespace, number in numbers)


def ask(folders: HomeFolders, verb: Verb, references: Sequence[Reference]) -> None:
    """Has something done, by the owner or, where there is none, right here.

    Raises:
        InvalidInput, NotFound, Conflict: it is refused.
        StorageFailed: the home folder cannot be used.
    """
    numbers = [(one.namespace, send(folders.database, verb, one)) for one in references]
    while not all(wait_for(folders.database, namespace, number) for namespace, number in numbers):
        try:
            _take_mail(folders)
        except HomeLocked:
            continue  # somebody has just become the owner
    for namespace, number in numbers:
        check_answer(folders.database, namespace, number)


def _take_mail(folders: HomeFolders) -> None:
    """Owns the home for as long as it takes to do what was asked."""
    with foreground(folders) as work:
        work.start()
        work.mailman.tick(work.plane.clock.now())
        work.plane.control_plane.run_to_rest()


def refuse_callable(experiment: Experiment) -> None:
    """Raises NotSupported for an Experiment around a Python function, which this program does not have."""
    template = experiment.spec.trial_template
    if template is not None and is_callable(template.trial_spec):
        raise NotSupported(
            f"Experiment {experiment.metadata.name} searches for the parameters of a Python function; run the program "
            "that called pykatib.tune() again, with the same name and home"
        )


def moved_service(experiment: Experiment, options: Sequence[str]) -> str:
    """The address that `--algorithm-service` gives the algorithm of an Experiment; empty where it gives none.

    Raises:
        InvalidInput: an option cannot be read, or is for another algorithm.
    """
    addresses = parse_service_options(options)
    name = algorithm_of(experiment)
    others = [other for other in addresses if other != name]
    if others:
        text = f"{others[0]!r} is not the algorithm of {experiment.metadata.name}, which is {name!r}"
        raise InvalidInput([FieldError("--algorithm-service", text)])
    return addresses.get(name, "")
