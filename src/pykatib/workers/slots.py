"""What this machine has, and who holds how much of it.

A Trial's resource request becomes slots: it waits until so many CPUs, so much memory and so many GPUs are free, as a
pod waits for a node. A Trial that asks for nothing takes nothing and never waits. GPUs are handed out by id, each to
one Trial at a time; CPU shares may be fractions. Requests are booked, not enforced.
"""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_MAX = Path("/sys/fs/cgroup/memory.max")
_CPU_QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CPU_PERIOD_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
_MEMORY_LIMIT_V1 = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")

_VISIBLE_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_LISTED_DEVICE = re.compile(r"^(\s*)(GPU|MIG)\b.*\(UUID:\s*([^)\s]+)\)", re.MULTILINE)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a job needs. CPUs are counted in thousandths, so that ten times 0.1 is exactly one."""

    millicpus: int = 0
    memory_bytes: int = 0
    gpus: int = 0

    @property
    def cpus(self) -> float:
        """The CPUs as a number."""
        return self.millicpus / 1000


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a job was given: its GPUs by id."""

    gpu_ids: tuple[str, ...] = ()


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to share out. `gpu_ids` are what CUDA_VISIBLE_DEVICES would name."""

    millicpus: int
    memory_bytes: int
    gpu_ids: tuple[str, ...] = ()
    node_name: str = "localhost"

    @classmethod
    def detect(cls, environment: Mapping[str, str] | None = None) -> "Machine":
        """This machine, as far as this process may use it (CPU affinity, control group limits, visible GPUs)."""
        return cls(
            millicpus=_usable_millicpus(),
            memory_bytes=_usable_memory(),
            gpu_ids=_usable_gpus(os.environ if environment is None else environment),
            node_name=os.uname().nodename,
        )

    def clamped(self, request: Request) -> Request:
        """The request with CPUs and memory cut down to what the machine has; GPUs are left as they are."""
        return Request(
            millicpus=min(request.millicpus, self.millicpus),
            memory_bytes=min(request.memory_bytes, self.memory_bytes),
            gpus=request.gpus,
        )


class Slots:
    """Books a machine's CPUs, memory and GPUs to jobs. Safe to call from several threads."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Request, Assignment]] = {}

    def try_take(self, job_id: str, request: Request) -> Assignment | None:
        """Books the request if all of it is free now, else books nothing and returns None.

        A job that holds slots already keeps them, and is told again what it has.
        """
        with self._lock:
            if job_id in self._held:
                return self._held[job_id][1]
            request = self.machine.clamped(request)
            free, free_gpu_ids = self._free()
            # A request of nothing always fits, even where adopted jobs have overbooked the machine.
            if request.millicpus and request.millicpus > free.millicpus:
                return None
            if request.memory_bytes and request.memory_bytes > free.memory_bytes:
                return None
            if request.gpus > len(free_gpu_ids):
                return None
            assignment = Assignment(gpu_ids=free_gpu_ids[: request.gpus])
            self._held[job_id] = (request, assignment)
            return assignment

    def hold(self, job_id: str, request: Request, assignment: Assignment) -> None:
        """Books for a job that runs already, found again after a restart, what it was given before."""
        with self._lock:
            self._held[job_id] = (self.machine.clamped(request), assignment)

    def release(self, job_id: str) -> None:
        """Gives back what a job holds; it may hold nothing."""
        with self._lock:
            self._held.pop(job_id, None)

    @property
    def free(self) -> Request:
        """What is not booked."""
        with self._lock:
            return self._free()[0]

    def _free(self) -> tuple[Request, tuple[str, ...]]:
        taken_gpu_ids = {gpu_id for _, assignment in self._held.values() for gpu_id in assignment.gpu_ids}
        gpu_ids = tuple(gpu_id for gpu_id in self.machine.gpu_ids if gpu_id not in taken_gpu_ids)
        free = Request(
            millicpus=self.machine.millicpus - sum(request.millicpus for request, _ in self._held.values()),
            memory_bytes=self.machine.memory_bytes - sum(request.memory_bytes for request, _ in self._held.values()),
            gpus=len(gpu_ids),
        )
        return free, gpu_ids


def gpu_ids_in_listing(listing: str) -> tuple[str, ...]:
    """The device ids in the answer of `nvidia-smi -L`; a GPU that is cut into MIG devices counts as those.

    Ids are UUIDs and not numbers: nvidia-smi counts in PCI order, CUDA by speed.
    """
    found: list[str] = []
    whole: str | None = None
    for _, kind, uuid in _LISTED_DEVICE.findall(listing):
        if kind == "GPU":
            found.append(uuid)
            whole = uuid
        else:
            if whole is not None:
                found.remove(whole)
                whole = None
            found.append(uuid)
    return tuple(found)


def gpu_ids_in_environment(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """The devices that the user's own environment allows; None where it does not say."""
    for name in _VISIBLE_DEVICES:
        if name in environment:
            listed: list[str] = []
            for entry in environment[name].split(","):
                if entry.strip() in ("", "-1", "none", "void", "NoDevFiles"):
                    break  # CUDA ignores everything after the first id that is none
                listed.append(entry.strip())
            return tuple(dict.fromkeys(listed))
    return None


def _usable_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    named = gpu_ids_in_environment(environment)
    if named is not None:
        return named
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return gpu_ids_in_listing(answer.stdout) if answer.returncode == 0 else ()


def _usable_millicpus() -> int:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota(_read(_CPU_MAX)) or _cpu_quota(f"{_read(_CPU_QUOTA_V1)} {_read(_CPU_PERIOD_V1)}")
    return min(count * 1000, quota) if quota else count * 1000


def _cpu_quota(text: str) -> int | None:
    """Thousandths of a CPU that `cpu.max` ("quota period", microseconds) allows; None for no limit."""
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or words[1] == "0":
        return None
    return max(1, int(words[0]) * 1000 // int(words[1]))


def _usable_memory() -> int:
    total: int = psutil.virtual_memory().total
    for path in (_MEMORY_MAX, _MEMORY_LIMIT_V1):
        text = _read(path).strip()
        if text.isdigit() and 0 < int(text) < total:
            total = int(text)
    return total


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
