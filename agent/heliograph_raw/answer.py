"""What came back, read by scapy and put into the words of a reply. SPDX: GPL-2.0-only."""

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.packet import Packet

_SYN_ACK, _RST, _FIN = 0x12, 0x04, 0x01
_ICMP = {11: "icmp_time_exceeded", 3: "icmp_unreachable"}
_HEAD = 64  # bytes of a payload that are passed on
NOTHING = {"kind": "none", "source": "", "ttl": 0, "ipid": 0, "head": ""}


def described(answer: Packet | None) -> dict[str, Any]:
    """What came back; NOTHING for what is no reply, such as a bare acknowledgement."""
    if answer is None or not answer.haslayer(IP):
        return NOTHING
    kind, head = _read(answer)
    if kind == "none":
        return NOTHING
    ip = answer[IP]
    return {"kind": kind, "source": ip.src, "ttl": ip.ttl, "ipid": ip.id, "head": head.hex()}


def belongs(answer: Packet, address: str, port: int, local_port: int) -> bool:
    """Whether it answers what went from `local_port` to `port` of `address`."""
    if not answer.haslayer(ICMP):
        return bool(answer[IP].src == address) and _ports(answer, TCP, UDP) == (port, local_port)
    if not answer.haslayer(IPerror) or answer[IPerror].dst != address:
        return False
    return _ports(answer, TCPerror, UDPerror) == (local_port, port)


def _ports(packet: Packet, *layers: type[Packet]) -> tuple[int, int] | None:
    """Source and destination."""
    for layer in layers:
        if packet.haslayer(layer):
            return packet[layer].sport, packet[layer].dport
    return None


def _read(answer: Packet) -> tuple[str, bytes]:
    if answer.haslayer(ICMP):
        return _ICMP.get(answer[ICMP].type, "none"), b""
    if answer.haslayer(UDP):
        return "data", bytes(answer[UDP].payload)[:_HEAD]
    if not answer.haslayer(TCP):
        return "none", b""
    flags, data = int(answer[TCP].flags), _data(answer)
    if flags & _RST:
        return "rst", b""
    if flags & _SYN_ACK == _SYN_ACK:
        return "synack", b""
    if data:
        return "data", data[:_HEAD]
    return ("fin", b"") if flags & _FIN else ("none", b"")


def _data(answer: Packet) -> bytes:
    """Without the padding that Ethernet adds to a short frame."""
    ip, tcp = answer[IP], answer[TCP]
    size = max(0, (ip.len or 0) - 4 * (ip.ihl or 5) - 4 * (tcp.dataofs or 5))
    return bytes(tcp.payload)[:size]
