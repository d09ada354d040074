"""Debian's real coturn on loopback, as a STUN server alone.

with coturn(tmp_path) as port: ...
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.ports import HOST
from support.process import server_process

_PROGRAM = "/usr/bin/turnserver"
_ALONE = ("--stun-only", "--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780")


@contextmanager
def coturn(directory: Path) -> Iterator[int]:
    """The port, for UDP and TCP."""
    home = directory / "coturn"
    home.mkdir(exist_ok=True)
    files = ("--userdb", str(home / "turndb"), "--pidfile", str(home / "pid"))

    def command(ports: Sequence[int]) -> Sequence[str]:
        where = ("-n", "-L", HOST, "-p", str(ports[0]), "--log-file", "stdout")
        return (_PROGRAM, *where, *_ALONE, *files)

    with server_process(command, 1, home / "log") as (port,):
        yield port
