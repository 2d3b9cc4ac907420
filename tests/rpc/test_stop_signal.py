"""Servers that are asked to stop by a signal, whichever of their threads it reaches."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, threading, time
from pykatib.rpc.serving import stop_signal

asked = stop_signal()
threading.Thread(target=time.sleep, args=(120,), daemon=True).start()
{main}
print("ready", flush=True)
asked.wait()
print("asked", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize(
    "main",
    ["", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])"],
    ids=["the main thread", "another thread"],
)
def test_a_signal_ends_the_wait_whichever_thread_it_reaches(main: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM.format(main=main)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            printed, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert printed == "asked\n"
    assert process.returncode == 0
