"""Averages vectors over the replicas of a distributed job, with the variables that a training operator sets.

Replica 0 listens at MASTER_ADDR:MASTER_PORT, the others connect; each step they send their vector and get back the
mean. A star costs more traffic than a ring and is a tenth of the text, which suits a handful of replicas.

Promise: the mean is summed in the order of ranks, so that equal runs give equal results.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

ASSEMBLY_SECONDS = 120.0  # how long replicas wait for each other at the start
STEP_SECONDS = 120.0  # and in a step
RANK_BYTES = 4


class ReplicasApartError(Exception):
    """The replicas did not find each other, or one went away."""


@dataclass
class Replicas:
    """This replica's rank, how many there are, and its connections (by rank at replica 0, else to replica 0)."""

    rank: int = 0
    count: int = 1
    connections: list[socket.socket] = field(default_factory=list)

    @classmethod
    def assemble(cls, environ: Mapping[str, str] = os.environ) -> Replicas:
        """Connect the replicas that WORLD_SIZE and RANK, or TF_CONFIG, speak of; alone where they say nothing."""
        if "TF_CONFIG" in environ:
            environ = from_tf_config(environ["TF_CONFIG"])
        count = int(environ.get("WORLD_SIZE", "1"))
        if count < 2:
            return cls()
        rank = int(environ["RANK"])
        address, port = environ["MASTER_ADDR"], int(environ["MASTER_PORT"])
        try:
            if rank == 0:
                return cls(rank, count, _listen(address, port, count))
            return cls(rank, count, [_connect(address, port, rank)])
        except OSError as error:
            raise ReplicasApartError(
                f"replica {rank} of {count} did not meet the others at {address}:{port}: {error}"
            ) from error

    def average(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of this vector over all replicas; every replica calls this equally often."""
        if self.count == 1:
            return vector
        try:
            if self.rank == 0:
                total = vector.copy()
                for connection in self.connections:
                    total += np.frombuffer(_receive(connection, vector.nbytes), dtype=np.float32)
                total /= np.float32(self.count)
                for connection in self.connections:
                    connection.sendall(total.tobytes())
                return total
            self.connections[0].sendall(vector.tobytes())
            return np.frombuffer(_receive(self.connections[0], vector.nbytes), dtype=np.float32)
        except OSError as error:
            raise ReplicasApartError(f"replica {self.rank} of {self.count} lost another one: {error}") from error

    def close(self) -> None:
        """End the connections."""
        for connection in self.connections:
            connection.close()


def from_tf_config(text: str) -> dict[str, str]:
    """TensorFlow's description of a cluster in the words of torch's; parameter servers and evaluators stay alone."""
    config = json.loads(text)
    cluster, task = config.get("cluster", {}), config.get("task", {})
    order = ("chief", "master", "worker")
    members = [(kind, index) for kind in order for index in range(len(cluster.get(kind, ())))]
    own = (task.get("type"), task.get("index"))
    if own not in members:
        return {}
    kind, index = members[0]
    address, _, port = cluster[kind][index].rpartition(":")
    return {
        "WORLD_SIZE": str(len(members)),
        "RANK": str(members.index(own)),
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
    }


def _listen(address: str, port: int, count: int) -> list[socket.socket]:
    # In a cluster MASTER_ADDR is the name of a Service, which is no address of this machine.
    host = address if address in ("localhost", "127.0.0.1") else ""
    by_rank: dict[int, socket.socket] = {}
    with socket.create_server((host, port)) as server:
        server.settimeout(ASSEMBLY_SECONDS)
        while len(by_rank) < count - 1:
            connection, _ = server.accept()
            connection.settimeout(STEP_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            by_rank[int.from_bytes(_receive(connection, RANK_BYTES), "big")] = connection
    return [by_rank[rank] for rank in sorted(by_rank)]


def _connect(address: str, port: int, rank: int) -> socket.socket:
    deadline = time.monotonic() + ASSEMBLY_SECONDS
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=STEP_SECONDS)
            break
        except OSError:
            # Replica 0 may start later than this one, and its Service's name may not resolve yet.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(rank.to_bytes(RANK_BYTES, "big"))
    return connection


def _receive(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("the connection ended")
        parts += part
    return bytes(parts)
