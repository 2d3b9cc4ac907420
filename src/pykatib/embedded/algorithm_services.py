"""Suggestion services that Experiments of one machine ask, by the address that an annotation of theirs carries.

The address is part of the Experiment, so that it is taken up again with the same service. That service, and no list
of ours, knows the algorithm's name and judges its settings: before the Experiment is let in, and never for an edit,
because one that is to be stopped must not wait for anybody.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import msgspec

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput, NotSupported, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.shared import AlgorithmSpec
from pykatib.api.validation import AlgorithmCatalog
from pykatib.runtime.algorithm_host import AlgorithmGateway, AlgorithmHost
from pykatib.runtime.algorithm_routes import AlgorithmRoutes
from pykatib.runtime.thinking import ThinkingHost

ADDRESS_PATH = f"metadata.annotations[{names.ANNOTATION_ALGORITHM_SERVICE}]"

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]@]+):([0-9]{1,5})")


def address_problem(address: str) -> str:
    """What is wrong with the address of a service; empty where nothing is."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 65_536:
        return f"found {address!r}; write HOST:PORT, as in localhost:6789"
    return ""


def parse_service_options(options: Sequence[str]) -> dict[str, str]:
    """Addresses by algorithm, of `NAME=HOST:PORT` texts. Raises InvalidInput, with all mistakes."""
    errors: list[FieldError] = []
    found: dict[str, str] = {}
    for option in options:
        name, separator, address = (part.strip() for part in option.partition("="))
        if not separator or not name:
            text = f"found {option!r}; write NAME=HOST:PORT: the algorithmName, and where its service listens"
            errors.append(FieldError("--algorithm-service", text))
        elif name in found:
            errors.append(FieldError("--algorithm-service", f"{name!r} is given twice"))
        elif problem := address_problem(address):
            errors.append(FieldError(f"--algorithm-service {name}", problem))
        else:
            found[name] = address
    if errors:
        raise InvalidInput(errors)
    return found


def algorithm_of(experiment: Experiment) -> str:
    """The name of the algorithm that an Experiment asks for."""
    return (experiment.spec.algorithm or AlgorithmSpec()).algorithm_name


def service_of(experiment: Experiment) -> str:
    """The address of the service that an Experiment asks; empty where it asks an algorithm of this process."""
    return experiment.metadata.annotations.get(names.ANNOTATION_ALGORITHM_SERVICE, "").strip()


def with_service(experiment: Experiment, address: str) -> Experiment:
    """The Experiment, asking the service at that address."""
    metadata = experiment.metadata
    annotations = {**metadata.annotations, names.ANNOTATION_ALGORITHM_SERVICE: address}
    return msgspec.structs.replace(experiment, metadata=msgspec.structs.replace(metadata, annotations=annotations))


def with_services(experiment: Experiment, addresses: Mapping[str, str]) -> Experiment:
    """The Experiment, asking the service that is named for its algorithm, if one is."""
    address = addresses.get(algorithm_of(experiment))
    return with_service(experiment, address) if address else experiment


def catalog_of(experiment: Experiment, *, is_new: bool) -> AlgorithmCatalog:
    """Who knows the algorithm of an Experiment, and judges its settings where it is new."""
    address = service_of(experiment)
    return _ServiceCatalog(algorithm_of(experiment), address, asks=is_new) if address else registry


class _ServiceCatalog:
    """The algorithm of one service, beside our own early stopping."""

    def __init__(self, name: str, address: str, *, asks: bool) -> None:
        self._name = name
        self._address = address
        self._asks = asks

    def names(self) -> Sequence[str]:
        return (self._name,) if self._name else registry.names()

    def early_stopping_names(self) -> Sequence[str]:
        return registry.early_stopping_names()

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        if not self._asks:
            return ()
        problem = address_problem(self._address)
        if problem:
            return (FieldError(ADDRESS_PATH, problem),)
        try:
            _ask_to_judge(experiment, self._address)
        except InvalidInput as error:
            return error.errors
        except (Unavailable, NotSupported) as error:
            return (FieldError(registry.NAME_PATH, f"{self._name!r} cannot be asked: {error}"),)
        return ()


def _ask_to_judge(experiment: Experiment, address: str) -> None:
    require_grpc()
    from pykatib.rpc.algorithm_services import PATIENCE_SECONDS
    from pykatib.rpc.suggestion_client import SuggestionClient

    client = SuggestionClient(address, timeout_seconds=PATIENCE_SECONDS)
    try:
        client.validate(experiment)
    finally:
        client.close()


def require_grpc() -> None:
    """Raises NotSupported where the extra that speaks to services is not installed."""
    try:
        import grpc  # noqa: F401 - an extra: whoever asks no service does without
    except ModuleNotFoundError as error:
        raise NotSupported(f"{error.name} is not installed; run: pip install 'pykatib[grpc]'") from error


class LocalAlgorithms:
    """The algorithms of one machine: those of this process, and services. A periodic of the loop that owns it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._answered: deque[Reference] = deque()
        self._closers: list[Callable[[], None]] = []
        self._look_at: Callable[[Reference], None] = lambda _: None
        self.gateway: AlgorithmGateway = AlgorithmRoutes(
            AlgorithmHost(registry.create), self._services, is_served=lambda experiment: bool(service_of(experiment))
        )

    def _services(self) -> AlgorithmGateway:
        require_grpc()
        from pykatib.rpc.algorithm_services import PATIENCE_SECONDS, FixedAddress, ServiceAsker

        asker = ServiceAsker(
            lambda experiment, _: FixedAddress(service_of(experiment)), patience_seconds=PATIENCE_SECONDS
        )
        self._closers.append(asker.close)
        return ThinkingHost(asker, done=self._hear)

    def _hear(self, experiment: Reference) -> None:  # on the thread that waited for the answer
        self._answered.append(experiment)
        self._wake()

    def on_answer(self, look_at: Callable[[Reference], None]) -> None:
        """Has `look_at` called, on the loop's thread, with each Suggestion whose answer has come."""
        self._look_at = look_at

    def tick(self, now: float) -> None:
        """Passes on what has been heard."""
        while self._answered:
            experiment = self._answered.popleft()
            self._look_at(Reference(names.SUGGESTION, experiment.namespace, experiment.name))

    def rest(self) -> None:
        """Nothing is to be done before a wait."""

    def next_moment(self) -> float | None:
        """Answers wake the loop when they come."""
        return None

    def close(self) -> None:
        """Ends the connections to services; what they still think about comes to nothing."""
        for closer in self._closers:
            closer()
