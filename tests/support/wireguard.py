"""wireguard-go, the makers' own server in user space, in a network namespace of a test's.

    with wireguard(space, tmp_path, {client_public}) as server:
        f"wireguard://{server.public}@127.0.0.1:{server.port}"

Keys are Base64, as `wg` writes them.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.netns import Namespace

PORT = 51820
_START_S = 15.0
# Kernels that have WireGuard themselves are no reason not to start here.
_ANYWAY = "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1"


@dataclass(frozen=True, slots=True)
class Keys:
    private: str
    public: str


@dataclass(frozen=True, slots=True)
class Server:
    public: str
    port: int = PORT


def new_keys() -> Keys:
    private = _wg("genkey")
    return Keys(private, _wg("pubkey", text=private))


@contextmanager
def wireguard(space: Namespace, directory: Path, *peers: str) -> Iterator[Server]:
    """A server that answers the peers with these public keys."""
    device = f"hg{os.getpid()}"
    keys = new_keys()
    file = directory / "private"
    file.write_text(keys.private)
    log = directory / "wireguard.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            space.command(["env", _ANYWAY, "wireguard-go", "-f", device]),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait(process, device, log)
        space.run("wg", "set", device, "listen-port", str(PORT), "private-key", str(file))
        for peer in peers:
            space.run("wg", "set", device, "peer", peer)
        space.run("ip", "link", "set", device, "up")
        yield Server(keys.public)
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], device: str, log: Path) -> None:
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        if Path(f"/var/run/wireguard/{device}.sock").exists():
            return
        time.sleep(0.02)
    raise RuntimeError(f"wireguard-go did not start:\n{log.read_text()[-4000:]}")


def _wg(*arguments: str, text: str = "") -> str:
    done = subprocess.run(
        ["wg", *arguments], input=text, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()
