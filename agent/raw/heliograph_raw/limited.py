"""Sends packets whose time to live may run out on the way, over sockets of the kernel's.

SPDX-License-Identifier: GPL-2.0-only.

The kernel's own packets look like everybody's, and no reset of its follows what it did not send.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from heliograph_raw.ear import Ear
from heliograph_raw.request import Request

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: leave by RST, send nothing again
_USUAL_TTL = 64


def ttl_syn(request: Request) -> dict[str, Any]:
    """What came back to a SYN, or to its one repetition. Raises OSError when it cannot be sent."""
    with _ear(socket.IPPROTO_TCP, request) as ear, _tcp(request) as opening:
        opening.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        opening.setblocking(False)
        _limit(opening, request.ttl)
        with suppress(BlockingIOError, ConnectionRefusedError):  # the ear hears a refusal
            opening.connect((request.address, request.port))
        return _heard(ear, opening, request, "synack", "rst")


def ttl_stream(request: Request) -> dict[str, Any]:
    """What came back to a payload on a connection, whose handshake goes all the way: only then the
    time to live is lowered. Raises OSError when there is no connection."""
    with _ear(socket.IPPROTO_TCP, request) as ear, _tcp(request) as connection:
        connection.settimeout(request.timeout_s)
        connection.connect((request.address, request.port))
        ear.forget()
        _limit(connection, request.ttl)
        connection.sendall(request.payload)
        return _heard(ear, connection, request, "rst")


def ttl_datagram(request: Request) -> dict[str, Any]:
    """What came back to a datagram. Raises OSError when it cannot be sent."""
    with (
        _ear(socket.IPPROTO_UDP, request) as ear,
        socket.socket(_family(request), socket.SOCK_DGRAM) as sending,
    ):
        sending.connect((request.address, request.port))
        _limit(sending, request.ttl)
        sending.send(request.payload)
        return ear.listen(sending.getsockname()[1], request.timeout_s, "data")


OPS: dict[str, Callable[[Request], dict[str, Any]]] = {
    "ttl_syn": ttl_syn,
    "ttl_stream": ttl_stream,
    "ttl_datagram": ttl_datagram,
}


def _ear(protocol: int, request: Request) -> Ear:
    return Ear(protocol, request.address, request.port)


def _family(request: Request) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in request.address else socket.AF_INET


def _tcp(request: Request) -> socket.socket:
    connection = socket.socket(_family(request), socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    return connection


def _limit(sending: socket.socket, ttl: int) -> None:
    if sending.family == socket.AF_INET6:
        sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def _heard(ear: Ear, connection: socket.socket, request: Request, *last: str) -> dict[str, Any]:
    try:
        return ear.listen(connection.getsockname()[1], request.timeout_s, *last)
    finally:
        _limit(connection, _USUAL_TTL)  # so that the server learns that we have left
