"""Sends a payload whose packets may run out on the way, over a socket of the kernel's.

SPDX-License-Identifier: GPL-2.0-only.

The connection is the kernel's own, so that no middlebox sees anything odd before the payload: its
handshake goes all the way, and only then the time to live is lowered.
"""

import socket
import struct
from typing import Any

from heliograph_raw.ear import Ear
from heliograph_raw.request import Request

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: leave by RST, send nothing again
_USUAL_TTL = 64


def ttl_stream(request: Request) -> dict[str, Any]:
    """The reply to `request`. Raises OSError when there is no connection."""
    with Ear(socket.IPPROTO_TCP, request.address, request.port) as ear, _tcp(request) as connection:
        ear.forget()
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, request.ttl)
        connection.sendall(request.payload)
        try:
            return ear.listen(connection.getsockname()[1], request.timeout_s, "rst")
        finally:
            connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _USUAL_TTL)


def ttl_datagram(request: Request) -> dict[str, Any]:
    """The reply to `request`. Raises OSError when the datagram cannot be sent."""
    with (
        Ear(socket.IPPROTO_UDP, request.address, request.port) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending,
    ):
        sending.connect((request.address, request.port))
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, request.ttl)
        sending.send(request.payload)
        return ear.listen(sending.getsockname()[1], request.timeout_s, "data")


def _tcp(request: Request) -> socket.socket:
    connection = socket.create_connection((request.address, request.port), request.timeout_s)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    return connection
