"""Leader election by a Lease, as Kubernetes' own controllers do it: of several operators one works, the others wait.

A holder renews the Lease every two seconds. Others take it once they have seen it unchanged for its whole duration, by
their own clock, so that clocks need not agree. A holder that cannot renew for ten seconds has lost before anybody else
can have won, and stops at once. Writes carry the version that was read: of two that try, the API server lets one.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from pykatib.api import wire
from pykatib.api.errors import Conflict, NotFound, PykatibError, Unavailable
from pykatib.api.meta import ObjectMeta, Value
from pykatib.store.kubernetes.api_server import ApiServer, decoded
from pykatib.store.kubernetes.resources import Resource

logger = logging.getLogger(__name__)

LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases", has_status=False)
LEASE_SECONDS = 15
RENEWAL_LIMIT_SECONDS = 10.0
RETRY_SECONDS = 2.0


class _LeaseSpec(Value, frozen=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(Value, frozen=True, omit_defaults=False):
    metadata: ObjectMeta
    spec: _LeaseSpec = _LeaseSpec()
    api_version: str = LEASES.api_version
    kind: str = LEASES.kind


_decoder = msgspec.json.Decoder(_Lease)


class LeaderElection:
    """One candidate, with a connection of its own. `acquire`, then `hold`, and `release` at the end."""

    def __init__(
        self,
        server: ApiServer,
        *,
        namespace: str,
        name: str,
        identity: str,
        lease_seconds: int = LEASE_SECONDS,
        renewal_limit_seconds: float = RENEWAL_LIMIT_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.identity = identity
        self.is_leading = False
        self._renewed_at = 0.0
        self._server = server
        self._collection = LEASES.collection(namespace)
        self._path = f"{self._collection}/{name}"
        self._meta = ObjectMeta(name=name, namespace=namespace)
        self._lease_seconds = lease_seconds
        self._renewal_limit_seconds = renewal_limit_seconds
        self._retry_seconds = retry_seconds
        self._seen: tuple[str, float] = ("", 0.0)  # a version, and when it was first seen here
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def may_act(self) -> bool:
        """Whether nobody else can lead yet, by the clock: a process that was frozen learns it here before it acts."""
        return self.is_leading and time.monotonic() - self._renewed_at <= self._renewal_limit_seconds

    def acquire(self, wait: Callable[[float], bool]) -> bool:
        """Returns True when the Lease is held; False when `wait` says that it is no longer wanted."""
        told = ""
        while True:
            asked_at = time.monotonic()
            try:
                holder = self._try()
                if holder == self.identity:
                    self._renewed_at = asked_at
                    self.is_leading = True
                    logger.info("%s leads", self.identity)
                    return True
                if holder != told:
                    logger.info("waiting: %s leads", holder)
                    told = holder
            except PykatibError as error:
                logger.warning("the lease cannot be had: %s", error)
            if wait(self._retry_seconds):
                return False

    def hold(self, lost: Callable[[], None]) -> None:
        """Renews from now on, on a thread of its own; calls `lost` once when that has failed for too long."""
        self._thread = threading.Thread(target=self._renew, args=(lost,), name="pykatib-lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Stops renewing, gives the Lease back so that another need not wait, and closes the connection."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self.is_leading:
            self.is_leading = False
            self._give_back()
        self._server.close()

    def _give_back(self) -> None:
        try:
            lease = self._read()
            if lease.spec.holder_identity == self.identity:
                spec = msgspec.structs.replace(lease.spec, holder_identity="", lease_duration_seconds=1)
                self._write(msgspec.structs.replace(lease, spec=spec))
        except PykatibError as error:
            logger.info("the lease could not be given back: %s", error)

    def _renew(self, lost: Callable[[], None]) -> None:
        while not self._over.wait(self._retry_seconds):
            asked_at = time.monotonic()
            try:
                holder = self._try()
            except PykatibError as error:
                logger.warning("the lease could not be renewed: %s", error)
            else:
                if holder == self.identity:
                    self._renewed_at = asked_at
                    continue
                logger.error("the lease is lost to %s", holder)
                break
            if time.monotonic() - self._renewed_at > self._renewal_limit_seconds:
                logger.error("the lease could not be renewed for %.0f s", self._renewal_limit_seconds)
                break
        else:
            return
        self.is_leading = False
        lost()

    def _try(self) -> str:
        """Takes or renews the Lease if that is allowed; answers who holds it then."""
        try:
            lease = self._read()
        except NotFound:
            new = _Lease(self._meta, self._held(None))
            try:
                self._server.request("POST", self._collection, body=wire.encode(new))
            except Conflict:
                return "another"
            return self.identity
        version = lease.metadata.resource_version
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        holder = lease.spec.holder_identity or ""
        duration = lease.spec.lease_duration_seconds or self._lease_seconds
        if holder not in ("", self.identity) and time.monotonic() < self._seen[1] + duration:
            return holder
        try:
            self._write(msgspec.structs.replace(lease, spec=self._held(lease.spec)))
        except Conflict:
            if holder == self.identity:  # somebody else has written it; the next look tells who
                raise Unavailable("somebody else has written the lease") from None
            return "another"
        return self.identity

    def _held(self, before: _LeaseSpec | None) -> _LeaseSpec:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_ours = before is not None and before.holder_identity == self.identity
        transitions = (before.lease_transitions or 0) if before is not None else 0
        return _LeaseSpec(
            holder_identity=self.identity,
            lease_duration_seconds=self._lease_seconds,
            acquire_time=before.acquire_time if before is not None and is_ours else now,
            renew_time=now,
            lease_transitions=transitions if is_ours or before is None else transitions + 1,
        )

    def _read(self) -> _Lease:
        lease: _Lease = decoded(self._server.request("GET", self._path), _decoder, self._path)
        return lease

    def _write(self, lease: _Lease) -> None:
        self._server.request("PUT", self._path, body=wire.encode(lease))
