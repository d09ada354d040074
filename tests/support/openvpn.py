"""Debian's real OpenVPN on loopback, without a tunnel device, for one client after another.

with openvpn(tmp_path, ca, "udp") as port: ...
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.loopback_ca import LoopbackCA
from support.ports import HOST, free_port

_PROGRAM = "/usr/sbin/openvpn"
_PROTOCOLS = {"udp": "udp", "tcp": "tcp-server"}
_READY = ("link remote: [AF_UNSPEC]", "Listening for incoming TCP connection")
_START_S = 15.0


@contextmanager
def openvpn(
    directory: Path, ca: LoopbackCA, transport: str, *, secret: bool = False
) -> Iterator[int]:
    """The port. With `secret` it has a tls-auth key, and answers nobody who has it not."""
    home = directory / f"openvpn-{transport}"
    home.mkdir()
    leaf = ca.leaf("vpn.test")
    port = free_port()
    command = [
        _PROGRAM, "--dev", "null", "--tls-server", "--dh", "none", "--ifconfig-noexec",
        "--local", HOST, "--lport", str(port), "--proto", _PROTOCOLS[transport],
        "--ca", str(ca.ca_file), "--cert", str(leaf.chain), "--key", str(leaf.key),
    ]  # fmt: skip
    if secret:
        key = home / "secret"
        subprocess.run([_PROGRAM, "--genkey", "secret", str(key)], check=True, timeout=30)
        command += ["--tls-auth", str(key), "0"]
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        _wait(process, log)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        if any(mark in log.read_text() for mark in _READY):
            return
        time.sleep(0.02)
    raise RuntimeError(f"openvpn did not start:\n{log.read_text()[-4000:]}")
