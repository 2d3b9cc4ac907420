"""Finding what a name means: in one namespace where it is given, else wherever the name is clear."""

from typing import TypeVar

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput, NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.schema_walk import did_you_mean
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.cli.place import Place

KatibObject = Experiment | Suggestion | Trial
K = TypeVar("K", bound=KatibObject)

KINDS: dict[str, type[KatibObject]] = {
    names.EXPERIMENT: Experiment,
    names.SUGGESTION: Suggestion,
    names.TRIAL: Trial,
}


def find_one(place: Place, kind: type[K], name: str, namespace: str = "") -> K:
    """The object of that name.

    Raises:
        NotFound: there is none; the nearest name is told.
        InvalidInput: there are several, in different namespaces.
    """
    namespace = namespace or place.default_namespace
    if namespace:
        found = place.find(Reference(kind.__name__, namespace, name))
        if isinstance(found, kind):
            return found
        raise NotFound(_not_found(place, kind.__name__, name, namespace))
    namespaces = dict.fromkeys(one.metadata.namespace for one in place.list(names.EXPERIMENT))
    candidates = [place.find(Reference(kind.__name__, one, name)) for one in namespaces]
    matches = [one for one in candidates if isinstance(one, kind)]
    if len(matches) > 1:
        places = ", ".join(one.metadata.namespace for one in matches)
        message = f"{kind.__name__} {name!r} is in several namespaces: {places}; choose one with -n"
        raise InvalidInput([FieldError("", message)])
    if not matches:
        raise NotFound(_not_found(place, kind.__name__, name, None))
    return matches[0]


def _not_found(place: Place, kind: str, name: str, namespace: str | None) -> str:
    known = [one.metadata.name for one in place.list(kind, namespace=namespace)]
    where = f" in namespace {namespace}" if namespace else ""
    if not known:
        return f"there is no {kind} {name!r}{where}, nor any other"
    hint = did_you_mean(name, known) or f"; `katib get {kind.lower()}s` lists those that there are"
    return f"there is no {kind} {name!r}{where}{hint}"


def trials_of(place: Place, experiment: Experiment) -> list[Trial]:
    """The Trials of an Experiment, oldest first."""
    meta = experiment.metadata
    found = place.list(names.TRIAL, namespace=meta.namespace, labels={names.LABEL_EXPERIMENT: meta.name})
    return [trial for trial in found if isinstance(trial, Trial)]
