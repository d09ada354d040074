"""A censor beside the path: it sees every packet of its gate, holds none back, and injects.

    python -m lab.country.observer rst NAME…             a reset to both ends once a NAME was seen
    python -m lab.country.observer dns NAME… --answer A  a forged answer, faster than the true one

What it sends carries a TTL and an IP id of its own, as real ones do. Runs as root in the gate's
namespace.
"""

import argparse
import socket
import sys
from collections.abc import Callable, Sequence

from scapy.layers.dns import DNS, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

TTL, IP_ID = 113, 0x4242
OUTGOING = 4  # linux/if_packet.h, PACKET_OUTGOING: the same packet on its way out
ETH_P_IP = 0x0800


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["rst", "dns"])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--answer", default="10.10.34.35")
    parser.add_argument("--ttl", type=int, default=TTL)
    args = parser.parse_args(arguments)
    names = [name.encode() for name in args.names]
    if args.what == "rst":
        watch(lambda packet: resets(packet, names, args.ttl))
    watch(lambda packet: forged_answer(packet, names, args.answer, args.ttl))
    return 0


def watch(react: Callable[[Packet], list[Packet]]) -> None:
    """Until killed."""
    ears = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        data, (_, _, kind, *_) = ears.recvfrom(65_535)
        if kind == OUTGOING or len(data) < 20:
            continue
        for forged in react(IP(data)):
            mouth.sendto(bytes(forged), (forged.dst, 0))


def resets(packet: Packet, names: Sequence[bytes], ttl: int) -> list[Packet]:
    """One to each end, in the sequence numbers that they wait for."""
    if TCP not in packet or packet[TCP].dport not in (80, 443, 7443):
        return []
    said = bytes(packet[TCP].payload)
    if not any(name in said for name in names):
        return []
    tcp = packet[TCP]
    to_client = IP(src=packet.dst, dst=packet.src, ttl=ttl, id=IP_ID) / TCP(
        sport=tcp.dport, dport=tcp.sport, flags="R", seq=tcp.ack
    )
    to_server = IP(src=packet.src, dst=packet.dst, ttl=ttl, id=IP_ID) / TCP(
        sport=tcp.sport, dport=tcp.dport, flags="R", seq=tcp.seq
    )
    return [to_client, to_server]


def forged_answer(packet: Packet, names: Sequence[bytes], answer: str, ttl: int) -> list[Packet]:
    """To A queries only; the true reply comes too, later."""
    if UDP not in packet or packet[UDP].dport != 53:
        return []
    query = DNS(bytes(packet[UDP].payload))
    if not query.qd or query.qd[0].qtype != 1:
        return []
    asked = query.qd[0].qname
    if not any(asked.rstrip(b".").lower() == name for name in names):
        return []
    reply = DNS(
        id=query.id, qr=1, rd=1, ra=1, qd=query.qd, an=[DNSRR(rrname=asked, ttl=60, rdata=answer)]
    )
    return [
        IP(src=packet.dst, dst=packet.src, ttl=ttl, id=IP_ID)
        / UDP(sport=53, dport=packet[UDP].sport)
        / reply
    ]


if __name__ == "__main__":
    sys.exit(main())
