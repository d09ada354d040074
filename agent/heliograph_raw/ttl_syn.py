"""Sends one SYN by scapy and reads what comes back. SPDX-License-Identifier: GPL-2.0-only."""

import random
from typing import Any

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP
from scapy.packet import Packet
from scapy.sendrecv import sr1

from heliograph_raw.request import TtlSyn

_SYN_ACK, _RST = 0x12, 0x04
_TIME_EXCEEDED = 11
_random = random.SystemRandom()


def ttl_syn(request: TtlSyn) -> dict[str, Any]:
    """The reply to `request`. Raises OSError when the packet cannot be sent."""
    conf.verb = 0
    packet = IP(dst=request.address, ttl=request.ttl) / TCP(
        sport=_random.randrange(32_768, 61_000),
        dport=request.port,
        flags="S",
        seq=_random.randrange(2**32),
        options=[("MSS", 1460)],
    )
    # The kernel knows no such socket and resets what a SYN-ACK would have opened.
    answer = sr1(packet, timeout=request.timeout_s, verbose=0)
    return {"id": request.id, **described(answer)}


def described(answer: Packet | None) -> dict[str, Any]:
    """What came back, in the words of the reply."""
    if answer is None or not answer.haslayer(IP):
        return {"kind": "none", "source": "", "ttl": 0, "ipid": 0}
    ip = answer[IP]
    return {"kind": _kind(answer), "source": ip.src, "ttl": ip.ttl, "ipid": ip.id}


def _kind(answer: Packet) -> str:
    if answer.haslayer(ICMP) and answer[ICMP].type == _TIME_EXCEEDED:
        return "icmp_time_exceeded"
    flags = int(answer[TCP].flags) if answer.haslayer(TCP) else 0
    if flags & _SYN_ACK == _SYN_ACK:
        return "synack"
    return "rst" if flags & _RST else "none"
