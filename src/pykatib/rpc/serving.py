"""A gRPC server as a process: it listens, serves until it is asked to stop, and lets calls under way end."""

import logging
import os
import signal
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc

from pykatib.api.errors import Unavailable
from pykatib.rpc.services import ANY_LENGTH

logger = logging.getLogger(__name__)

THREAD_COUNT = 64
GRACE_SECONDS = 20.0


class Serving:
    """A server at an address. Port 0 takes a free one; `port` says which."""

    def __init__(self, address: str, handlers: Iterable[grpc.GenericRpcHandler] = ()) -> None:
        self.grpc_server = grpc.server(
            ThreadPoolExecutor(THREAD_COUNT, thread_name_prefix="rpc"),
            # Two servers at one port would each get some of the calls.
            options=(*ANY_LENGTH, ("grpc.so_reuseport", 0)),
        )
        self.grpc_server.add_generic_rpc_handlers(tuple(handlers))
        try:
            self.port = self.grpc_server.add_insecure_port(address)
        except RuntimeError as error:
            raise Unavailable(f"nothing can listen at {address}: {error}") from error

    def start(self) -> None:
        """Serves from now on, in threads of its own."""
        self.grpc_server.start()

    def stop(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Takes no more calls; returns when those under way have ended, or their time is up."""
        self.grpc_server.stop(grace_seconds).wait()


def stop_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set from now on. To be called by the main thread.

    A handler in Python runs when the main thread comes round, which it does not while it waits for the event, and it
    must not set the event in the middle of that thread's own call of `wait`. So the interpreter writes into a pipe,
    whichever thread a signal reaches, and a thread that reads there sets the event.
    """
    asked = threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def pass_on() -> None:
        os.read(reader, 1)
        asked.set()

    threading.Thread(target=pass_on, name="stop-signal", daemon=True).start()
    return asked


def serve_until(asked: threading.Event, serving: Serving) -> None:
    """Serves until the event is set."""
    serving.start()
    logger.info("listening at port %d", serving.port)
    try:
        asked.wait()
    finally:
        logger.info("stopping")
        serving.stop()
