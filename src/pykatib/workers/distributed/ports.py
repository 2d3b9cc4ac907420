"""Ports for replicas that will listen on them: given out once on this machine as long as their owner lives.

A replica binds its port itself, some time after it was told the number, so a port cannot be held for it by listening.
Instead a name in Linux's abstract socket namespace stands for each port: who binds the name has the port, every Trial
of every katib of this machine asks there, and the kernel takes the name back when its owner dies, however it dies. The
range lies below the ports that the kernel gives to outgoing connections, so that no connection takes one meanwhile.
Elsewhere only what is in use is passed over.

Plans name ports by tokens, `{port:master-0}`, since a plan may wait long for its turn.
"""

import os
import re
import socket
import sys
from collections.abc import Callable

FIRST_PORT, PORT_COUNT = 20000, 12000  # Linux gives out 32768 and up
_TOKEN = re.compile(r"\{pykatib-port:([\w.-]+)\}")


class NoPort(Exception):  # noqa: N818 - states the fault
    """Every port is taken."""


def port_token(name: str) -> str:
    """What stands for a port in arguments and variables until the replicas start; equal names mean equal ports."""
    return f"{{pykatib-port:{name}}}"


def fill_in(text: str, port_of: Callable[[str], int]) -> str:
    """The text with the numbers in place of the tokens."""
    return _TOKEN.sub(lambda match: str(port_of(match[1])), text) if "{pykatib-port:" in text else text


class Ports:
    """Ports of one owner."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []
        self._numbers: dict[str, int] = {}
        self._next = os.getpid() * 17 % PORT_COUNT  # owners that start together look at different ones first

    def __call__(self, name: str) -> int:
        """The port of that name."""
        if name not in self._numbers:
            self._numbers[name] = self._take()
        return self._numbers[name]

    def close(self) -> None:
        """Gives all ports back."""
        for one in self._held:
            one.close()
        self._held.clear()

    def _take(self) -> int:
        for _ in range(PORT_COUNT):
            port = FIRST_PORT + self._next
            self._next = (self._next + 1) % PORT_COUNT
            claim = _claim(port)
            if claim is None:
                continue
            if _is_free(port):
                self._held.append(claim)
                return port
            claim.close()
        raise NoPort(f"none of the ports {FIRST_PORT} to {FIRST_PORT + PORT_COUNT - 1} is free")


def _claim(port: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform == "linux":
        try:
            claim.bind(f"\0pykatib-port-{port}")
        except OSError:
            claim.close()
            return None
    return claim


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                # Connections of an earlier owner that linger are in nobody's way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError:
            if family == socket.AF_INET or (socket.has_ipv6 and _speaks_ipv6()):
                return False
    return True


def _speaks_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
