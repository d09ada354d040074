"""A client, a router and a server in namespaces of their own, joined by virtual cables.

    client 192.0.2.2 ─── 192.0.2.1 router 198.51.100.1 ─── 198.51.100.2 server

Addresses are those kept for documentation; nothing leads out of the three.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from support.netns import Namespace, namespace

CLIENT, ROUTER, SERVER = "192.0.2.2", "192.0.2.1", "198.51.100.2"


@dataclass(frozen=True, slots=True)
class Routed:
    client: Namespace
    router: Namespace
    server: Namespace


@contextmanager
def routed() -> Iterator[Routed]:
    """Skips the test where namespaces cannot be had, fails it under CI."""
    with ExitStack() as stack:
        path = Routed(*(stack.enter_context(namespace()) for _ in range(3)))
        _cable(path.client, "192.0.2.2/24", path.router, "192.0.2.1/24")
        _cable(path.server, "198.51.100.2/24", path.router, "198.51.100.1/24")
        path.client.run("ip", "route", "add", "default", "via", ROUTER)
        path.server.run("ip", "route", "add", "default", "via", "198.51.100.1")
        path.router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        yield path


@contextmanager
def listening(space: Namespace, port: int) -> Iterator[None]:
    """A program inside `space` that accepts on every address."""
    script = (
        "import socket, sys\n"
        f"s = socket.create_server(('0.0.0.0', {port}))\n"
        "print('ready', flush=True)\nsys.stdin.read()\n"
    )
    process = _start(space.command(["python3", "-c", script]))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(timeout=10)


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _cable(end: Namespace, end_address: str, router: Namespace, router_address: str) -> None:
    here, there = f"h{end.name[-6:]}", f"r{end.name[-6:]}"
    end.run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
    end.run("ip", "link", "set", there, "netns", router.name)
    for space, name, address in ((end, here, end_address), (router, there, router_address)):
        space.run("ip", "address", "add", address, "dev", name)
        space.run("ip", "link", "set", name, "up")
