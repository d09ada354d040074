"""Ports nobody listens on, for servers that must be told theirs, and for refusals."""

import socket

HOST = "127.0.0.1"


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
