"""A censor in the path that reads each ClientHello and drops some connections.

    python -m lab.country.hello_dropper browsers --queue N              a browser's hello
    python -m lab.country.hello_dropper all_but_browsers --queue N      any other hello
    python -m lab.country.hello_dropper sealed --queue N                ECH as Chrome has it
    python -m lab.country.hello_dropper name NAME… --queue N            a name, wherever it stands
    python -m lab.country.hello_dropper first_segment NAME… --queue N   a name in the first segment

Rules of the gate hand over what clients send. The kernel cuts it into segments first, as they go
over a line (without NFQA_CFG_F_GSO), so that a browser's hello comes in two. A hello is judged when
it is whole, or by its first segment alone. Nothing more of a dropped connection passes.
"""

import argparse
import struct
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.country.nfqueue import Queue
from lab.country.observer import TCP, read
from support.hello_filter import (
    Drops,
    drops_browsers,
    drops_name,
    drops_usual_seal,
    passes_browsers_only,
)

HANDSHAKE, RECORD_HEADER = 22, 5  # RFC 8446 section 5.1
SYN = 2  # RFC 9293 section 3.1, as are the offsets below
FLOWS = 4_096  # remembered at a time
WRAP = 1 << 32  # of sequence numbers
WITHOUT_NAMES = {
    "browsers": drops_browsers,
    "all_but_browsers": passes_browsers_only,
    "sealed": drops_usual_seal,
}


@dataclass(slots=True)
class Flow:
    """The bytes that the client of one connection has sent."""

    begins: int  # sequence number of the first byte
    data: bytearray = field(default_factory=bytearray)
    is_judged: bool = False
    is_dropped: bool = False

    def add(self, sequence: int, segment: bytes) -> None:
        """Take up a segment that continues what came; a repeat changes nothing."""
        offset = (sequence - self.begins) % WRAP
        if offset <= len(self.data):
            self.data[offset : offset + len(segment)] = segment


class HelloDropper:
    """Select the packets to drop; `drops` is called once for each connection."""

    def __init__(self, drops: Drops, *, by_first_segment: bool = False) -> None:
        self._drops = drops
        self._by_first_segment = by_first_segment
        self._flows: OrderedDict[tuple[bytes, bytes, bytes], Flow] = OrderedDict()

    def is_dropped(self, packet: bytes) -> bool:
        ip = read(packet)
        if ip.protocol != TCP:
            return False
        ports, sequence, words, flags = struct.unpack_from("!4sI4xBB", ip.carried)
        key = (ip.source, ip.target, ports)
        if flags & SYN:
            self._flows[key] = Flow((sequence + 1) % WRAP)
            if len(self._flows) > FLOWS:
                self._flows.popitem(last=False)
            return False
        flow = self._flows.get(key)
        if flow is None:
            return False
        segment = ip.carried[(words >> 4) * 4 :]
        if segment and not flow.is_judged:
            flow.add(sequence, segment)
            self._judge(flow)
        return flow.is_dropped

    def _judge(self, flow: Flow) -> None:
        """Judge a flow's ClientHello; let pass what is no handshake."""
        hello = bytes(flow.data)
        is_hello = hello[:1] == bytes([HANDSHAKE])
        size = RECORD_HEADER + int.from_bytes(hello[3:RECORD_HEADER], "big")
        if is_hello and not self._by_first_segment and len(hello) < max(size, RECORD_HEADER):
            return
        flow.is_judged = True
        flow.is_dropped = is_hello and self._drops(hello)
        flow.data.clear()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=[*WITHOUT_NAMES, "name", "first_segment"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--queue", type=int, required=True)
    args = parser.parse_args(arguments)
    dropper = choose_dropper(args.what, args.names)
    queue = Queue(args.queue)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:  # until killed
        for held in queue.waiting(None):
            decide = queue.drop if dropper.is_dropped(held.packet) else queue.let_go
            decide(held)


def choose_dropper(what: str, names: Sequence[str]) -> HelloDropper:
    drops = WITHOUT_NAMES.get(what) or drops_any(names)
    return HelloDropper(drops, by_first_segment=what == "first_segment")


def drops_any(names: Sequence[str]) -> Drops:
    by_name = [drops_name(name) for name in names]
    return lambda hello: any(drops(hello) for drops in by_name)


if __name__ == "__main__":
    sys.exit(main())
