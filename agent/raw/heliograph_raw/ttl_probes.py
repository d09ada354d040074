"""Send packets with a limited TTL over the kernel's sockets, and receive answers.

SPDX-License-Identifier: GPL-2.0-only.

The kernel's own packets look like ordinary traffic, and the kernel sends no reset for packets
that it sent itself. Each answer comes with its IP header, also one that the kernel consumes. The
header can reveal a forged packet: its TTL and its identification differ from those of the real
server.
"""

import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from heliograph_raw.answer import NOTHING, PacketAnswer, describe_answer, is_answer_to, read_packet
from heliograph_raw.request import PacketRequest

# linux/icmp.h; Python has no names for them
_SOL_RAW = 255
_ICMP_FILTER = 1
_WANTED_ICMP = (3, 11)  # unreachable, time exceeded
_ETH_P_IPV6 = 0x86DD
_OUTGOING = 4  # PACKET_OUTGOING: sent by this machine
_MAX_PACKET = 65_535
# Fraction of the timeout by which a forged packet may follow the first answer.
_SETTLE_FRACTION = 0.15
# Rank of several answers: a forger sends its reset so that it overrides the other answers.
_RANK = {"none": 0, "icmp_time_exceeded": 1, "icmp_unreachable": 1, "fin": 2, "data": 3, "rst": 4}
_LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST, retransmit nothing
_USUAL_TTL = 64


class _PacketListener:
    """Listen for answers; open it as a context manager before anything is sent."""

    def __init__(self, protocol: int, address: str, port: int) -> None:
        """Open the raw sockets. Raises OSError."""
        self._peer = address, port
        self._selector = selectors.DefaultSelector()
        self._sockets = (
            [_open_ipv6()] if ":" in address else [_open_ipv4(protocol, address), _open_icmp()]
        )
        for raw_socket in self._sockets:
            raw_socket.setblocking(False)
            self._selector.register(raw_socket, selectors.EVENT_READ)

    def __enter__(self) -> "_PacketListener":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()
        for raw_socket in self._sockets:
            raw_socket.close()

    def discard_received(self) -> None:
        """Discard the packets so far: they belong to the connection's handshake."""
        for raw_socket in self._sockets:
            while _receive_packet(raw_socket) is not None:
                pass

    def listen(self, local_port: int, timeout_s: float, *final_kinds: str) -> PacketAnswer:
        """Return the highest-ranked answer, or at once the first of `final_kinds`."""
        best_answer = NOTHING
        deadline_s = _now() + timeout_s
        while (remaining_s := deadline_s - _now()) > 0:
            for key, _ in self._selector.select(remaining_s):
                answer = self._read_answer(key.fileobj, local_port)
                if answer.kind in final_kinds:
                    return answer
                if _RANK.get(answer.kind, 0) > _RANK.get(best_answer.kind, 0):
                    best_answer = answer
                    deadline_s = min(deadline_s, _now() + _SETTLE_FRACTION * timeout_s)
        return best_answer

    def _read_answer(self, source: Any, local_port: int) -> PacketAnswer:
        packet = read_packet(_receive_packet(source) or b"")
        if packet is None or not is_answer_to(packet, *self._peer, local_port):
            return NOTHING
        return describe_answer(packet)


def _open_ipv4(protocol: int, address: str) -> socket.socket:
    raw_socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    raw_socket.connect((address, 0))  # packets of other hosts would fill the buffer
    return raw_socket


def _open_icmp() -> socket.socket:
    raw_socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    blocked_mask = ~sum(1 << kind for kind in _WANTED_ICMP) & 0xFFFFFFFF
    raw_socket.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", blocked_mask))
    return raw_socket


def _open_ipv6() -> socket.socket:
    """Open a packet socket, because a raw IPv6 socket returns no IP header."""
    return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IPV6))


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - a separate program, with its own clock


def _receive_packet(source: socket.socket) -> bytes | None:
    """Receive a packet, b"" for one of our own, None when there is none."""
    try:
        data, sender = source.recvfrom(_MAX_PACKET)
    except BlockingIOError:
        return None
    except OSError:  # a router's ICMP error, which also arrives as a packet
        return b""
    own = source.family == socket.AF_PACKET and sender[2] == _OUTGOING
    return b"" if own else data


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


def _open_listener(protocol: int, request: PacketRequest) -> _PacketListener:
    return _PacketListener(protocol, request.address, request.port)


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
    listener: _PacketListener, connection: socket.socket, request: PacketRequest, *final_kinds: str
) -> PacketAnswer:
    try:
        return listener.listen(connection.getsockname()[1], request.timeout_s, *final_kinds)
    finally:
        _set_ttl(connection, _USUAL_TTL)  # so that the RST reaches the server
