"""Run a server program in the foreground: start, wait, stop, print its log."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.ports import HOST, free_port

_START_S = 240.0
_STOP_S = 60.0


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def server_process(
    command: Callable[[Sequence[int]], Sequence[str]], ports: int, log: Path
) -> Iterator[tuple[int, ...]]:
    """Run `command(ports)` until the block ends; yield the ports once all accept.

    A port may be taken between its choice and its use: then the start is tried again.
    """
    for attempt in range(5):
        chosen = tuple(free_port() for _ in range(ports))
        process = _start(command(chosen), log)
        try:
            if _wait(process, chosen):
                yield chosen
                return
            if attempt == 4:
                raise RuntimeError(f"server did not start:\n{log.read_text()[-4000:]}")
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_S)


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _wait(process: subprocess.Popen[bytes], ports: Sequence[int]) -> bool:
    """Return whether every port accepts; False if the program ended before."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if all(listening(port) for port in ports):
            return True
        time.sleep(0.02)
    return False
