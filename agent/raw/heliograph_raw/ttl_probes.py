"""Send packets with a limited TTL over sockets of the kernel.

SPDX-License-Identifier: GPL-2.0-only.

The kernel's own packets look like ordinary traffic, and the kernel sends no reset for packets
that it sent itself.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from heliograph_raw.answer import PacketAnswer
from heliograph_raw.listener import PacketListener
from heliograph_raw.request import PacketRequest

_LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST, retransmit nothing
_USUAL_TTL = 64


def ttl_syn(request: PacketRequest) -> PacketAnswer:
    """Send a SYN, repeated once, and return the answer. Raises OSError."""
    with _open_listener(socket.IPPROTO_TCP, request) as listener, _open_tcp(request) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        connection.setblocking(False)
        _set_ttl(connection, request.ttl)
        with suppress(BlockingIOError, ConnectionRefusedError):  # the listener receives the refusal
            connection.connect((request.address, request.port))
        return _await_answer(listener, connection, request, "synack", "rst")


def ttl_stream(request: PacketRequest) -> PacketAnswer:
    """Send a payload on a connection and return the answer.

    The handshake has the usual TTL; only then is the TTL lowered. Raises OSError when there is
    no connection.
    """
    with _open_listener(socket.IPPROTO_TCP, request) as listener, _open_tcp(request) as connection:
        connection.settimeout(request.timeout_s)
        connection.connect((request.address, request.port))
        listener.discard_received()
        _set_ttl(connection, request.ttl)
        connection.sendall(request.payload)
        return _await_answer(listener, connection, request, "rst")


def ttl_datagram(request: PacketRequest) -> PacketAnswer:
    """Send a datagram and return the answer. Raises OSError."""
    with (
        _open_listener(socket.IPPROTO_UDP, request) as listener,
        socket.socket(_family(request), socket.SOCK_DGRAM) as udp_socket,
    ):
        udp_socket.connect((request.address, request.port))
        _set_ttl(udp_socket, request.ttl)
        udp_socket.send(request.payload)
        return listener.listen(udp_socket.getsockname()[1], request.timeout_s, "data")


OPS: dict[str, Callable[[PacketRequest], PacketAnswer]] = {
    "ttl_syn": ttl_syn,
    "ttl_stream": ttl_stream,
    "ttl_datagram": ttl_datagram,
}


def _open_listener(protocol: int, request: PacketRequest) -> PacketListener:
    return PacketListener(protocol, request.address, request.port)


def _family(request: PacketRequest) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in request.address else socket.AF_INET


def _open_tcp(request: PacketRequest) -> socket.socket:
    connection = socket.socket(_family(request), socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    return connection


def _set_ttl(ip_socket: socket.socket, ttl: int) -> None:
    if ip_socket.family == socket.AF_INET6:
        ip_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        ip_socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def _await_answer(
    listener: PacketListener, connection: socket.socket, request: PacketRequest, *final_kinds: str
) -> PacketAnswer:
    try:
        return listener.listen(connection.getsockname()[1], request.timeout_s, *final_kinds)
    finally:
        _set_ttl(connection, _USUAL_TTL)  # so that the RST reaches the server
