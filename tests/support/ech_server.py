"""A TLS server with Encrypted ClientHello, in Go: Debian's OpenSSL has none yet.

with ech_server(tmp_path, ca.leaf("secret.test", "public.test")) as server:
    server.port, server.config  # the latter in base64, as it stands in an HTTPS record
    server.name()  # which name the next hello was taken for
"""

import base64
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from support.loopback_ca import Leaf

SOURCE = Path(__file__).with_suffix(".go")
PUBLIC_NAME = "public.test"
_BUILD_S, _ANSWER_S = 120, 20


def encode_config_list(configs: Sequence[bytes]) -> bytes:
    joined = b"".join(configs)
    return len(joined).to_bytes(2, "big") + joined


@dataclass(frozen=True, slots=True)
class EchServer:
    port: int
    config: str
    said: "queue.Queue[str]"

    def name(self) -> str:
        word, _, name = self.said.get(timeout=_ANSWER_S).strip().partition(" ")
        assert word == "name"
        return name


def published(public: bytes, name: str = PUBLIC_NAME) -> bytes:
    """Return one ECHConfig (RFC 9849 section 4), written out by hand."""
    key = b"\x07" + b"\x00\x20" + b"\x00\x20" + public
    suites = b"\x00\x04" + b"\x00\x01\x00\x01"
    rest = b"\x20" + bytes((len(name),)) + name.encode() + b"\x00\x00"
    body = key + suites + rest
    return b"\xfe\x0d" + len(body).to_bytes(2, "big") + body


def in_base64(config: bytes) -> str:
    """Return a list of this one config in base64."""
    return base64.b64encode(len(config).to_bytes(2, "big") + config).decode()


@contextmanager
def ech_server(leaf: Leaf) -> Iterator[EchServer]:
    """Run the server; skip the test where there is no Go of 1.24 or later."""
    key = X25519PrivateKey.generate()
    config = published(key.public_key().public_bytes_raw())
    keys = (str(leaf.chain), str(leaf.key), config.hex(), key.private_bytes_raw().hex())
    command = [_built(), *keys]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, _, port = process.stdout.readline().partition(" ")
        assert word == "port", port
        said: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_pass_on, args=(process.stdout, said), daemon=True)
        reader.start()
        try:
            yield EchServer(int(port), in_base64(config), said)
        finally:
            process.kill()
            reader.join(_ANSWER_S)


def _pass_on(lines: IO[str], said: "queue.Queue[str]") -> None:
    for line in lines:
        said.put(line)


@lru_cache(maxsize=1)
def _built() -> str:
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs Go for a server with Encrypted ClientHello")
    home = mkdtemp(prefix="ech-server-")
    program = f"{home}/ech_server"
    done = subprocess.run(
        [go, "build", "-o", program, str(SOURCE)],
        env=os.environ | {"GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": f"{home}/cache"},
        capture_output=True, text=True, timeout=_BUILD_S, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"this Go builds no such server: {done.stderr[:200]}")
    return program
