"""Processes that earlier lives left running, found by the marker in their environment, and ended.

Normally there are none: the supervisor ends what its client leaves. There are when both were killed, and for some
seconds while a supervisor is still ending what it has. psutil compares creation times before it sends a signal, so a
number that was given away meanwhile does no harm.
"""

import os
import time
from collections.abc import Callable, Iterable

import psutil

from pykatib.workers.processes import MARKER_VARIABLE, SUPERVISOR_VARIABLE


def find_strays(home_id: str) -> list[psutil.Process]:
    """Every worker process of a home, with descendants and those of its session; not ourselves nor our ancestors."""
    return _with_kin(_marked(MARKER_VARIABLE, f"{home_id}/"))


def find_supervisors(home_id: str) -> list[psutil.Process]:
    """Supervisors of a home that are at work, or still ending what a dead client has left them."""
    return _marked(SUPERVISOR_VARIABLE, f"{home_id}/")


def end_strays(home_id: str, *, grace_seconds: float = 5.0) -> list[int]:
    """Ends every process that earlier lives of a home have left, and returns their numbers.

    Supervisors that are still at it come first: what they end they record. The rest get SIGTERM, and after the grace
    SIGKILL. Call it only as the home's one owner, before anything is spawned.
    """
    ended: set[int] = set()
    supervisors = find_supervisors(home_id)
    if supervisors:
        ended.update(process.pid for process in find_strays(home_id))
        _signal(supervisors, psutil.Process.terminate)
        _wait(supervisors, grace_seconds + 2.0)
        _signal(supervisors, psutil.Process.kill)
    strays = find_strays(home_id)
    ended.update(process.pid for process in strays)
    _signal(strays, psutil.Process.terminate)
    _signal(strays, psutil.Process.resume)  # stopped, a process would never see the first
    _wait(strays, grace_seconds)
    ended.update(_kill(lambda: find_strays(home_id)))
    return sorted(ended)


def kill_marked(life: str) -> None:
    """SIGKILL to everything that one supervisor started; `life` is the part of the markers that is its own."""
    _kill(
        lambda: [
            *_with_kin(_marked(MARKER_VARIABLE, f"{life}-")),
            *_marked(SUPERVISOR_VARIABLE, life),  # itself, and a process between fork and exec
        ]
    )


def _kill(find: Callable[[], list[psutil.Process]]) -> set[int]:
    """Kills what is found until nothing is: a process that forks may be ahead of a look by a child."""
    killed: set[int] = set()
    deadline = time.monotonic() + 10.0  # a process that hangs in the kernel does not go
    while (found := find()) and time.monotonic() < deadline:
        killed.update(process.pid for process in found)
        _signal(found, psutil.Process.kill)
        _wait(found, 1.0)
    return killed


def _wait(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Waits until the processes are gone or dead. They are not our children, and whoever reaps them may be slow."""
    deadline = time.monotonic() + seconds
    while any(map(_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _marked(variable: str, prefix: str) -> list[psutil.Process]:
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid not in ours and process.environ().get(variable, "").startswith(prefix):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone, dead, or somebody else's
    return found


def _with_kin(marked: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes with their descendants and sessions: a program may have overwritten or cleared its environment."""
    found = {process.pid: process for process in marked}
    if not found:
        return []
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    sessions = {session for pid in found if (session := _session(pid)) is not None} - {_session(os.getpid())}
    for process in psutil.process_iter():
        if process.pid not in ours and _session(process.pid) in sessions:
            found.setdefault(process.pid, process)
    for process in list(found.values()):
        try:
            for child in process.children(recursive=True):
                if child.pid not in ours:
                    found.setdefault(child.pid, child)
        except psutil.Error:
            continue
    return [process for process in found.values() if _alive(process)]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(processes: Iterable[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            send(process)
        except psutil.Error:
            continue  # gone, or not ours to end
