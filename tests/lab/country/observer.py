"""A censor beside the path: it sees packets with a name in them, and injects before the truth.

    python -m lab.country.observer rst --queue N             a reset to both ends
    python -m lab.country.observer dns --queue N --answer A  a forged answer; the true one follows

Rules of the gate hand those packets over. They go on unharmed after DISTANCE_S, as long as a line
abroad would keep them: in a lab abroad is so near that the truth would always win. What is injected
carries a TTL and an IP id of its own, as real injections do.
"""

import argparse
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from scapy.layers.dns import DNS, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from lab.country.nfqueue import Held, Queue

TTL, IP_ID = 113, 0x4242
DISTANCE_S = 0.04


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["rst", "dns"])
    parser.add_argument("--queue", type=int, required=True)
    parser.add_argument("--answer", default="10.10.34.35")
    parser.add_argument("--ttl", type=int, default=TTL)
    args = parser.parse_args(arguments)
    if args.what == "rst":
        watch(args.queue, lambda packet: resets(packet, args.ttl))
    watch(args.queue, lambda packet: forged_answer(packet, args.answer, args.ttl))
    return 0


def watch(number: int, react: Callable[[Packet], list[Packet]]) -> None:
    """Until killed."""
    queue = Queue(number)
    mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    held: deque[tuple[float, Held]] = deque()  # when each goes on
    while True:
        while held and held[0][0] <= time.monotonic():
            queue.let_go(held.popleft()[1])
        for packet in queue.waiting(held[0][0] - time.monotonic() if held else None):
            held.append((time.monotonic() + DISTANCE_S, packet))
            for forged in react(IP(packet.packet)):
                mouth.sendto(bytes(forged), (forged.dst, 0))


def resets(packet: Packet, ttl: int) -> list[Packet]:
    """One to each end, in the sequence numbers that they wait for."""
    if TCP not in packet:
        return []
    tcp = packet[TCP]
    to_client = IP(src=packet.dst, dst=packet.src, ttl=ttl, id=IP_ID) / TCP(
        sport=tcp.dport, dport=tcp.sport, flags="R", seq=tcp.ack
    )
    to_server = IP(src=packet.src, dst=packet.dst, ttl=ttl, id=IP_ID) / TCP(
        sport=tcp.sport, dport=tcp.dport, flags="R", seq=tcp.seq
    )
    return [to_client, to_server]


def forged_answer(packet: Packet, answer: str, ttl: int) -> list[Packet]:
    """To A queries only; the true reply comes too, later."""
    if UDP not in packet:
        return []
    query = DNS(bytes(packet[UDP].payload))
    if not query.qd or query.qd[0].qtype != 1:
        return []
    asked = query.qd[0].qname
    reply = DNS(
        id=query.id, qr=1, rd=1, ra=1, qd=query.qd, an=[DNSRR(rrname=asked, ttl=5, rdata=answer)]
    )
    return [
        IP(src=packet.dst, dst=packet.src, ttl=ttl, id=IP_ID)
        / UDP(sport=53, dport=packet[UDP].sport)
        / reply
    ]


if __name__ == "__main__":
    sys.exit(main())
