"""Hears every packet that answers one of ours, also those that the kernel keeps to itself.

SPDX-License-Identifier: GPL-2.0-only.

Each packet comes with its IP header, which is where a forger gives himself away: its time to live
and its identification are not those of the server he speaks for.
"""

import selectors
import socket
import struct
import time
from types import TracebackType
from typing import Any

from heliograph_raw.answer import NOTHING, belongs, described, read

_SOL_RAW, _ICMP_FILTER = 255, 1  # linux/icmp.h; Python has no names for them
_WANTED_ICMP = (3, 11)  # unreachable, time exceeded
_ETH_P_IPV6 = 0x86DD
_OUTGOING = 4  # PACKET_OUTGOING: our own
_MAX_PACKET = 65_535
_STILL = 0.15  # of the time for an answer: so long a forger may be slower than what came first
# What counts when several came: a reset is sent by whoever wants to be believed last.
_RANK = {"none": 0, "icmp_time_exceeded": 1, "icmp_unreachable": 1, "fin": 2, "data": 3, "rst": 4}


class Ear:
    """Open it before anything is sent: `with Ear(socket.IPPROTO_TCP, address, port) as ear`."""

    def __init__(self, protocol: int, address: str, port: int) -> None:
        """Raises OSError."""
        self._peer = address, port
        self._selector = selectors.DefaultSelector()
        self._sockets = [_ipv6()] if ":" in address else [_ipv4(protocol, address), _icmp()]
        for each in self._sockets:
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ)

    def __enter__(self) -> "Ear":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()
        for each in self._sockets:
            each.close()

    def forget(self) -> None:
        """Drop what was heard so far: the packets of a connection being made."""
        for each in self._sockets:
            while _next(each) is not None:
                pass

    def listen(self, local_port: int, timeout_s: float, *last: str) -> dict[str, Any]:
        """The weightiest answer to what went out from `local_port`; one of the kinds in
        `last` ends the wait at once."""
        heard: dict[str, Any] = NOTHING
        until = _now() + timeout_s
        while (left := until - _now()) > 0:
            for key, _ in self._selector.select(left):
                answer = self._answer(key.fileobj, local_port)
                if answer["kind"] in last:
                    return answer
                if _rank(answer) > _rank(heard):
                    heard = answer
                    until = min(until, _now() + _STILL * timeout_s)
        return heard

    def _answer(self, source: Any, local_port: int) -> dict[str, Any]:
        packet = read(_next(source) or b"")
        if packet is None or not belongs(packet, *self._peer, local_port):
            return NOTHING
        return described(packet)


def _ipv4(protocol: int, address: str) -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    ear.connect((address, 0))  # others' packets would only fill its buffer
    return ear


def _icmp() -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    passed = ~sum(1 << kind for kind in _WANTED_ICMP) & 0xFFFFFFFF
    ear.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", passed))
    return ear


def _ipv6() -> socket.socket:
    """A raw IPv6 socket would give no header, so everything is taken from the link."""
    return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IPV6))


def _rank(answer: dict[str, Any]) -> int:
    return _RANK.get(answer["kind"], 0)


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - a program of its own, with its own clock


def _next(source: socket.socket) -> bytes | None:
    """A packet, b"" for one of our own, None when there is none."""
    try:
        data, sender = source.recvfrom(_MAX_PACKET)
    except BlockingIOError:
        return None
    except OSError:  # a router's message, which comes as a packet too
        return b""
    own = source.family == socket.AF_PACKET and sender[2] == _OUTGOING
    return b"" if own else data
