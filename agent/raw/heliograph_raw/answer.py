"""Describe a received packet in the terms of a reply. SPDX: GPL-2.0-only."""

from dataclasses import dataclass

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6TimeExceeded, IPerror6, IPv6
from scapy.packet import Packet

_SYN_ACK = 0x12
_RST = 0x04
_FIN = 0x01
_ICMP = {11: "icmp_time_exceeded", 3: "icmp_unreachable"}
_ICMP6 = {ICMPv6TimeExceeded: "icmp_time_exceeded", ICMPv6DestUnreach: "icmp_unreachable"}
_HEAD = 64  # bytes of a payload in a reply


@dataclass(frozen=True, slots=True)
class PacketAnswer:
    """Hold the fields of a reply in the order of the protocol."""

    kind: str = "none"
    source: str = ""  # address
    ttl: int = 0
    ipid: int = 0
    head: str = ""  # in hexadecimal


NOTHING = PacketAnswer()


def read_packet(data: bytes) -> Packet | None:
    """Parse a packet from its IP header on; None when it is not IPv4 or IPv6."""
    layer = {4: IP, 6: IPv6}.get(data[0] >> 4) if data else None
    return None if layer is None else layer(data)


def describe_answer(answer: Packet) -> PacketAnswer:
    """Describe a reply; NOTHING for a packet that is none, such as a bare ACK."""
    kind, head = _classify_answer(answer)
    if kind == "none":
        return NOTHING
    ttl = answer.ttl if isinstance(answer, IP) else answer.hlim
    ipid = answer.id if isinstance(answer, IP) else 0  # IPv6 has none
    return PacketAnswer(kind, answer.src, ttl, ipid, head.hex())


def is_answer_to(answer: Packet, address: str, port: int, local_port: int) -> bool:
    """Tell whether a packet answers one from `local_port` to `port` of `address`."""
    for quoted in (IPerror, IPerror6):
        if answer.haslayer(quoted):
            is_quoted = _ports(answer, TCPerror, UDPerror) == (local_port, port)
            return is_quoted and bool(answer[quoted].dst == address)
    return bool(answer.src == address) and _ports(answer, TCP, UDP) == (port, local_port)


def _ports(packet: Packet, *layers: type[Packet]) -> tuple[int, int] | None:
    """Return source and destination port."""
    for layer in layers:
        if packet.haslayer(layer):
            return packet[layer].sport, packet[layer].dport
    return None


def _classify_answer(answer: Packet) -> tuple[str, bytes]:
    if answer.haslayer(ICMP):
        return _ICMP.get(answer[ICMP].type, "none"), b""
    for layer, kind in _ICMP6.items():
        if answer.haslayer(layer):
            return kind, b""
    if answer.haslayer(UDP):
        return "data", bytes(answer[UDP].payload)[:_HEAD]
    return _classify_segment(answer) if answer.haslayer(TCP) else ("none", b"")


def _classify_segment(answer: Packet) -> tuple[str, bytes]:
    flags = int(answer[TCP].flags)
    data = _segment_data(answer)
    if flags & _RST:
        return "rst", b""
    if flags & _SYN_ACK == _SYN_ACK:
        return "synack", b""
    if data:
        return "data", data[:_HEAD]
    return ("fin", b"") if flags & _FIN else ("none", b"")


def _segment_data(answer: Packet) -> bytes:
    """Return a segment's data without the padding that Ethernet adds to short frames."""
    tcp = answer[TCP]
    ip_payload_bytes = answer.len - 4 * answer.ihl if isinstance(answer, IP) else answer.plen
    return bytes(tcp.payload)[: max(0, ip_payload_bytes - 4 * (tcp.dataofs or 5))]
