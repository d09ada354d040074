"""Three routers in a row, an observer on the middle one, in separate namespaces.

    client 192.0.2.2 ── .1 first 203.0.113.1 ── .2 second 198.18.0.1 ── .2 third
                                                          third 198.51.100.1 ── .2 server

Each cable has an IPv6 network too, 2001:db8:0::/64 to 2001:db8:3::/64, the client's side ::1.
Addresses are those kept for documentation and benchmarks; nothing leads out of the five.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from support.netns import Namespace, namespace

SERVER, SERVER_6 = "198.51.100.2", "2001:db8:3::2"
_CABLES = (
    ("192.0.2.2", "192.0.2.1"), ("203.0.113.1", "203.0.113.2"),
    ("198.18.0.1", "198.18.0.2"), ("198.51.100.1", "198.51.100.2"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Routers:
    """`spaces` from client to server."""

    spaces: tuple[Namespace, ...]

    @property
    def client(self) -> Namespace:
        return self.spaces[0]

    @property
    def middle(self) -> Namespace:
        return self.spaces[2]

    @property
    def server(self) -> Namespace:
        return self.spaces[4]


@contextmanager
def routers() -> Iterator[Routers]:
    """Set the routers up; without namespaces skip the test, or fail it under CI."""
    with ExitStack() as stack:
        spaces = tuple(stack.enter_context(namespace()) for _ in range(5))
        for number, (near, far) in enumerate(_CABLES):
            _cable(spaces[number], spaces[number + 1], (near, far), f"2001:db8:{number}::")
        for number, space in enumerate(spaces):
            _route(number, space)
        yield Routers(spaces)


def _cable(near: Namespace, far: Namespace, ends: tuple[str, str], ipv6: str) -> None:
    near.run("ip", "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", far.name)
    for space, name, address, end in ((near, "out", ends[0], 1), (far, "in", ends[1], 2)):
        space.run("ip", "address", "add", f"{address}/24", "dev", name)
        space.run("ip", "address", "add", f"{ipv6}{end}/64", "dev", name, "nodad")
        space.run("ip", "link", "set", name, "up")


def _route(number: int, space: Namespace) -> None:
    """Route what lies beyond the next router through it, on both sides."""
    forwards = "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"
    speaks = "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"
    space.run("sysctl", "-q", "-w", *forwards, *speaks)
    for at, (near, _) in enumerate(_CABLES):
        if at > number:
            way = _CABLES[number][1], f"2001:db8:{number}::2"
        elif at < number - 1:
            way = _CABLES[number - 1][0], f"2001:db8:{number - 1}::1"
        else:
            continue  # its own
        space.run("ip", "route", "add", f"{near.rpartition('.')[0]}.0/24", "via", way[0])
        space.run("ip", "route", "add", f"2001:db8:{at}::/64", "via", way[1])


@contextmanager
def observer(space: Namespace, word: bytes, *, ttl: int, ipid: int) -> Iterator[None]:
    """Observe the path; answer a packet that carries `word` by a RST to the client.

    The RST is in the server's name, with the observer's TTL and IP identification. No packet is
    stopped.
    """
    script = (
        "import socket, sys, threading\n"
        "from scapy.layers.inet import IP, TCP\nfrom scapy.layers.l2 import Ether\n"
        "ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))\n"
        "ear.bind(('in', 3))\n"
        "mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
        "def reset(ip, tcp):\n"
        f"    return bytes(IP(src=ip.dst, dst=ip.src, ttl={ttl}, id={ipid})\n"
        "        / TCP(sport=tcp.dport, dport=tcp.sport, seq=tcp.ack, flags='R'))\n"
        "def watch():\n"
        "    while True:\n"
        "        data = ear.recv(65535)\n"
        f"        if {word!r} not in data: continue\n"
        "        seen = Ether(data)\n"
        "        if TCP not in seen: continue\n"  # a router's message quotes the word too
        "        mouth.sendto(reset(seen[IP], seen[TCP]), (seen[IP].src, 0))\n"
        "reset(IP(src='192.0.2.2', dst='198.51.100.2'), TCP())\n"  # scapy's first packet is slow
        "threading.Thread(target=watch, daemon=True).start()\n"
        "print('ready', flush=True)\nsys.stdin.read()\n"
    )
    with running(space, script):
        yield


@contextmanager
def running(space: Namespace, script: str) -> Iterator[None]:
    """Run a Python program inside `space` until the block ends.

    It prints "ready", and ends when its input ends.
    """
    process = subprocess.Popen(
        space.command([sys.executable, "-c", script]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(timeout=60)
