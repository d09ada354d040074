"""Ports without a listener: for servers that need a port number, and for refusals."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def refusing_port() -> Iterator[int]:
    """Reserve a port that refuses every connection."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield int(bound.getsockname()[1])


def free_port() -> int:
    """Return a free TCP and UDP port of 127.0.0.1; starters retry if it was taken."""
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
