"""`katib operator`: the control plane in a cluster.

One thread owns the store and the control plane. It takes in what watches have brought, plans for a few keys, and so
on; it sleeps when there is nothing to do. Plans are carried out on other threads, for each write waits for the API
server. While that does not answer nothing is reconciled: each key would only fail, and wait longer than the outage
lasts. Nothing is kept outside the cluster, so a new process goes on where an old one was ended, whenever that was.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import PykatibError, Unavailable
from pykatib.api.meta import Reference
from pykatib.api.validation import Templates
from pykatib.embedded.loop import SelectorWaiter
from pykatib.kube.health import Answer
from pykatib.kube.leases import LeaderElection
from pykatib.kube.metrics import ControlPlaneMetrics
from pykatib.kube.pod_labels import labelled
from pykatib.kube.template_walls import TemplateWalls, finder
from pykatib.runtime.algorithm_host import AlgorithmGateway, AlgorithmHost
from pykatib.runtime.clock import Clock, SystemClock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.runtime.curve_reading import CurveReader
from pykatib.runtime.early_stops import EarlyStops
from pykatib.runtime.thinking import ThinkingHost
from pykatib.store.contract import ObservationStore
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.store import KubernetesStore

logger = logging.getLogger(__name__)

CORE_NAMESPACE = "kubeflow"
"""Katib's own, unless it is told otherwise."""
STEPS_BETWEEN_NEWS = 10
WRITERS = 4
"""Plans that are carried out at a time. More find an API server on two cores no faster."""
TRIALS_AT_ONCE = 5
"""Of one Experiment, before others have their turn."""
LONGEST_WAIT_SECONDS = 1.0
STUCK_SECONDS = 300.0
"""A loop that has not come round for so long is not well: an algorithm may think for minutes, not longer."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0

STOPPED = 0
LEASE_LOST = 1


def _submit(pool: ThreadPoolExecutor, act: Callable[[], None]) -> None:
    pool.submit(act)


class HostFactory(Protocol):
    """Makes the host of algorithms, of which one may ask services."""

    def __call__(self, done: Callable[[Reference], None]) -> AlgorithmGateway:
        """A host that calls `done`, from any thread, when an answer is there that was not at first."""
        ...


def in_process(done: Callable[[Reference], None]) -> AlgorithmGateway:
    """Algorithms in this process, on threads of their own."""
    return ThinkingHost(AlgorithmHost(registry.create), done=done)


class Operator:
    """Reconciles a cluster, or one namespace of it, on the thread that calls `run`."""

    def __init__(
        self,
        server: ApiServer,
        observations: ObservationStore,
        *,
        namespace: str | None = None,
        election: LeaderElection | None = None,
        clock: Clock | None = None,
        host: HostFactory = in_process,
        writer_count: int = WRITERS,
        core_namespace: str = CORE_NAMESPACE,
    ) -> None:
        self._server = server
        self._observations = observations
        self._namespace = namespace
        self._election = election
        self._clock = clock or SystemClock()
        self._host = host
        walls = TemplateWalls(core_namespace)
        self._templates_for: Callable[[str], Templates] = lambda experiment: finder(server, walls, experiment)
        self._waiter = SelectorWaiter()
        self._answered: deque[Reference] = deque()  # Experiments whose algorithms have thought
        self._store: KubernetesStore | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._curves: CurveReader | None = None
        self._reading: ThreadPoolExecutor | None = None
        self._writer_count = writer_count
        self._stopping = False
        self._lost = False
        self._seen_alive_at = time.monotonic()
        self._step_count = 0
        self._is_ready = False
        self.metrics = ControlPlaneMetrics(
            [
                ("pykatib_reconciles_total", "counter", "Keys that were reconciled", lambda: self._step_count),
                ("pykatib_api_writes_total", "counter", "Writes of objects", self._write_count),
                ("pykatib_leading", "gauge", "1 where this process leads", lambda: float(self._is_leading())),
            ]
        )

    def stop(self) -> None:
        """Has `run` return soon; to be called from any thread or signal handler."""
        self._stopping = True
        self._waiter.wake()

    def run(self) -> int:
        """Works until `stop`, or until the Lease is lost; answers the exit status."""
        try:
            if self._election is not None:
                if not self._election.acquire(self._pause):
                    return STOPPED
                self._election.hold(self._lose)
            started = self._start()
            if started is not None:
                self._work(*started)
            return LEASE_LOST if self._lost else STOPPED
        finally:
            if self._reading is not None:
                self._reading.shutdown(cancel_futures=True)
            if self._pool is not None:  # what has been begun is brought to its end, or to the next write's failure
                self._pool.shutdown(cancel_futures=True)
            if self._store is not None:
                self._store.close()
            if self._election is not None:
                self._election.release()
            self._server.close()
            self._waiter.close()

    # Pages

    def health(self) -> Answer:
        """Whether the loop comes round."""
        silent = time.monotonic() - self._seen_alive_at
        if silent > STUCK_SECONDS:
            return Answer(500, f"the loop has not come round for {silent:.0f} s\n")
        return Answer(200, "ok\n")

    def readiness(self) -> Answer:
        """Whether it works, or stands by for the one that does."""
        if self._is_ready or not self._is_leading():
            return Answer(200, "ok\n")
        return Answer(503, "the cluster's objects are not known yet\n")

    def figures(self) -> Answer:
        """The metrics."""
        return Answer(200, self.metrics.text())

    def _write_count(self) -> float:
        return self._store.write_count if self._store is not None else 0

    def _is_leading(self) -> bool:
        return self._election is None or self._election.is_leading

    def _may_write(self) -> bool:
        return self._election is None or self._election.may_act

    # The loop

    def _is_over(self) -> bool:
        return self._stopping

    def _lose(self) -> None:
        self._lost = True
        self.stop()

    def _pause(self, seconds: float) -> bool:
        """Waits, and answers whether it is time to stop."""
        deadline = time.monotonic() + seconds
        while not self._stopping:
            self._seen_alive_at = time.monotonic()
            left = deadline - self._seen_alive_at
            if left <= 0:
                return False
            self._waiter.wait(left)
        return True

    def _start(self) -> tuple[KubernetesStore, ControlPlane] | None:
        """Learns what is in the cluster; tries until it can."""
        pause = FIRST_PAUSE_SECONDS
        pool = self._pool = ThreadPoolExecutor(self._writer_count, thread_name_prefix="pykatib-writer")
        store = self._store = KubernetesStore(
            self._server,
            namespace=self._namespace,
            prepare_job=labelled,
            complete_experiment=default_experiment,
            may_write=self._may_write,
        )
        store.on_news(self._waiter.wake)
        while True:
            try:
                plane = self._followed(store, pool)
            except PykatibError as error:
                logger.warning("cannot begin: %s", error)
                if self._pause(pause):
                    return None
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                self.metrics.counts = True
                self._is_ready = True
                logger.info("working on %s", f"namespace {self._namespace}" if self._namespace else "all namespaces")
                return store, plane

    def _followed(self, store: KubernetesStore, pool: ThreadPoolExecutor) -> ControlPlane:
        hearing = store.subscribe(None, self.metrics.hear)
        try:
            plane = ControlPlane(
                store,
                self._observations,
                self._clock,
                self._host(self._hear_answer),
                executor=lambda act: _submit(pool, act),
                wake=self._waiter.wake,
                templates_for=self._templates_for,
                trials_at_once=TRIALS_AT_ONCE,
            )
            plane.start()
            stops = EarlyStops(store, self._observations, self._clock, hears_all=False)
            stops.start()
        except PykatibError:
            hearing.close()
            raise
        # A thread of its own: a DB manager that does not answer must not hold up writes.
        reading = self._reading = ThreadPoolExecutor(1, thread_name_prefix="pykatib-curves")
        self._curves = CurveReader(
            stops,
            self._observations,
            self._clock,
            executor=lambda act: _submit(reading, act),
            wake=self._waiter.wake,
        )
        return plane

    def _hear_answer(self, experiment: Reference) -> None:
        self._answered.append(experiment)
        self._waiter.wake()

    def _work(self, store: KubernetesStore, plane: ControlPlane) -> None:
        while not self._stopping:
            self._seen_alive_at = time.monotonic()
            plane.collect()
            store.pump()
            while self._answered:
                answered = self._answered.popleft()
                plane.look_at(Reference(names.SUGGESTION, answered.namespace, answered.name))
            if self._server.is_failing and not self._is_answering():
                continue
            if self._curves is not None:
                self._curves.tick()
            for _ in range(STEPS_BETWEEN_NEWS):
                if self._is_over() or not plane.step():
                    break
                self._step_count += 1
            if not plane.has_work() and not store.has_news() and not self._answered:
                moment = plane.next_moment()
                left = LONGEST_WAIT_SECONDS if moment is None else moment - self._clock.now()
                self._waiter.wait(max(0.0, min(left, LONGEST_WAIT_SECONDS)))
        plane.stop()

    def _is_answering(self) -> bool:
        """Asks the API server whether it is back, and waits a little where it is not."""
        try:
            self._server.request("GET", "/readyz")
        except Unavailable:
            self._pause(FIRST_PAUSE_SECONDS)
            return False
        except PykatibError:
            pass  # it may not be asked that, but it does answer
        return True
