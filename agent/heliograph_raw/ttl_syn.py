"""Sends one SYN by scapy and reads what comes back. SPDX-License-Identifier: GPL-2.0-only."""

import random
from typing import Any

from scapy.config import conf
from scapy.layers.inet import IP, TCP
from scapy.sendrecv import sr1

from heliograph_raw.answer import described
from heliograph_raw.request import Request

_random = random.SystemRandom()


def ttl_syn(request: Request) -> dict[str, Any]:
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
    return described(sr1(packet, timeout=request.timeout_s, verbose=0))
