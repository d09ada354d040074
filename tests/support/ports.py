"""Ports nobody listens on, for servers that must be told theirs, and for refusals."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses whoever connects, and that nobody else is given meanwhile."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield int(bound.getsockname()[1])


def free_port() -> int:
    """A port free for TCP and UDP on 127.0.0.1 a moment ago; starters retry when it was taken."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((HOST, 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free for TCP and UDP together")
