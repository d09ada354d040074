"""A censor beside the path that injects packets when it sees a name.

    python -m lab.country.observer rst --queue N             a reset to both ends
    python -m lab.country.observer dns --queue N --answer A  a forged answer; the true one follows

Rules of the gate hand those packets over. They pass unharmed after DISTANCE_S, as late as by a line
abroad: in a lab abroad is so near that the truth would always win. What is injected carries another
TTL and IP id, as real injections do. Packets are read and written by hand: a library that takes
milliseconds for each falls behind on a busy machine, and then injects too late.
"""

import argparse
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.country.nfqueue import Held, Queue

TTL, IP_ID = 113, 0x4242
DISTANCE_S = 0.04
TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
A, IN, ANSWERED, TO_QUESTION = 1, 1, 0x8180, 0xC00C  # RFC 1035 section 4.1
RST = 4


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 packet; `carried` begins with the header of TCP or UDP."""

    source: bytes
    target: bytes
    protocol: int
    carried: bytes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["rst", "dns"])
    parser.add_argument("--queue", type=int, required=True)
    parser.add_argument("--answer", default="10.10.34.35")
    parser.add_argument("--ttl", type=int, default=TTL)
    args = parser.parse_args(arguments)
    if args.what == "rst":
        watch(args.queue, args.ttl, resets)
    watch(args.queue, args.ttl, lambda packet: forged_answer(packet, args.answer))
    return 0


def watch(number: int, ttl: int, react: Callable[[Packet], list[Packet]]) -> None:
    """Inject what `react` returns for each queued packet, until killed."""
    queue = Queue(number)
    mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    held: deque[tuple[float, Held]] = deque()  # when each is sent on
    while True:
        while held and held[0][0] <= time.monotonic():
            queue.let_go(held.popleft()[1])
        for packet in queue.waiting(held[0][0] - time.monotonic() if held else None):
            held.append((time.monotonic() + DISTANCE_S, packet))
            for forged in react(read(packet.packet)):
                mouth.sendto(written(forged, ttl), (socket.inet_ntoa(forged.target), 0))


def read(packet: bytes) -> Packet:
    return Packet(packet[12:16], packet[16:20], packet[9], packet[(packet[0] & 15) * 4 :])


def written(packet: Packet, ttl: int) -> bytes:
    """Return an IPv4 packet; the kernel adds the sum."""
    size = 20 + len(packet.carried)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, IP_ID, 0, ttl, packet.protocol, 0)
    return head + packet.source + packet.target + packet.carried


def resets(packet: Packet) -> list[Packet]:
    """Return one reset for each end, with the sequence number that it expects."""
    if packet.protocol != TCP:
        return []
    client, server, sequence, acknowledged = struct.unpack_from("!HHII", packet.carried)
    return [
        _reset(packet.target, packet.source, struct.pack("!HHI", server, client, acknowledged)),
        _reset(packet.source, packet.target, struct.pack("!HHI", client, server, sequence)),
    ]


def _reset(source: bytes, target: bytes, begins: bytes) -> Packet:
    before, after = begins + struct.pack("!IBBH", 0, 5 << 4, RST, 8_192), bytes(2)
    around = source + target + struct.pack("!HH", TCP, 20)
    return Packet(source, target, TCP, before + _sum(around + before) + after)


def _sum(data: bytes) -> bytes:
    """Return the checksum of RFC 1071 of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)


def forged_answer(packet: Packet, answer: str) -> list[Packet]:
    """Forge an answer to an A query; the true reply comes too, later."""
    if packet.protocol != UDP:
        return []
    (client,), query = struct.unpack_from("!H", packet.carried), packet.carried[8:]
    ends = query.index(0, 12) + 5  # of the one question: its name, type and class
    if query[ends - 4 : ends] != struct.pack("!HH", A, IN):
        return []
    reply = query[:2] + struct.pack("!HHHHH", ANSWERED, 1, 1, 0, 0) + query[12:ends]
    reply += struct.pack("!HHHIH", TO_QUESTION, A, IN, 5, 4) + socket.inet_aton(answer)
    udp = struct.pack("!HHHH", 53, client, 8 + len(reply), 0)  # without a sum
    return [Packet(packet.target, packet.source, UDP, udp + reply)]


if __name__ == "__main__":
    sys.exit(main())
