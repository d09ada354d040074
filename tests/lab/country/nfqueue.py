"""Read packets that a filter rule queued, and accept or drop them (NFQUEUE).

Netlink by hand: linux/netfilter/nfnetlink_queue.h. A packet that is not accepted is lost.
"""

import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_NETFILTER, SUBSYSTEM = 12, 3 << 8
PACKET, VERDICT, CONFIG = SUBSYSTEM | 0, SUBSYSTEM | 1, SUBSYSTEM | 2
REQUEST = 1
CFG_CMD, CFG_PARAMS, BIND, COPY_PACKET = 1, 2, 1, 2
ATTR_HEADER, ATTR_VERDICT, ATTR_PAYLOAD = 1, 2, 10
DROP, ACCEPT = 0, 1
WHOLE = 65_535
RCVBUFFORCE, SOL_NETLINK, NO_ENOBUFS = 33, 270, 5  # asm-generic/socket.h, linux/netlink.h
ROOM = 8 * 1_048_576


@dataclass(frozen=True, slots=True)
class Held:
    """One packet, from its IP header on."""

    id: int
    packet: bytes


class Queue:
    """Raises OSError where the kernel has no such queues, or not for us."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        # A busy machine lets many wait; what has no room is a packet lost, and no error of ours.
        self._socket.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, ROOM)
        self._socket.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
        self._send(CONFIG, _attribute(CFG_CMD, struct.pack("!BxH", BIND, socket.AF_INET)))
        self._send(CONFIG, _attribute(CFG_PARAMS, struct.pack("!IB", WHOLE, COPY_PACKET)))

    def waiting(self, timeout_s: float | None) -> list[Held]:
        """Return the packets that came, at least one unless time ran out; None: no limit."""
        patience = None if timeout_s is None else max(0.0, timeout_s)
        ready, _, _ = select.select([self._socket], [], [], patience)
        return list(_messages(self._socket.recv(131_072))) if ready else []

    def let_go(self, held: Held) -> None:
        self._decide(held, ACCEPT)

    def drop(self, held: Held) -> None:
        self._decide(held, DROP)

    def _decide(self, held: Held, verdict: int) -> None:
        self._send(VERDICT, _attribute(ATTR_VERDICT, struct.pack("!II", verdict, held.id)))

    def _send(self, kind: int, attribute: bytes) -> None:
        body = struct.pack("!BBH", socket.AF_INET, 0, self._number) + attribute
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST, 0, 0) + body)


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _messages(data: bytes) -> Iterator[Held]:
    while len(data) >= 20:
        size, kind = struct.unpack_from("=IH", data)
        if kind == PACKET:
            found = dict(_attributes(data[20:size]))
            if ATTR_HEADER in found and ATTR_PAYLOAD in found:
                (number,) = struct.unpack_from("!I", found[ATTR_HEADER])
                yield Held(number, found[ATTR_PAYLOAD])
        data = data[(size + 3) & ~3 :] if size else b""


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            return
        yield kind & 0x3FFF, data[4:size]
        data = data[(size + 3) & ~3 :]
