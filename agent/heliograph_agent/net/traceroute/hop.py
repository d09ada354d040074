"""Send one packet with a limited TTL and classify its reply."""

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol

from heliograph.address import enclosing_network
from heliograph.failure import Failure
from heliograph.observation import Hop
from heliograph_agent.net import BROWSER_ALPN
from heliograph_agent.net.dns.message import DnsQuestion
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.tls.openssl import make_client_context
from heliograph_agent.net.traceroute.raw_helper import RawHelper, RawKind, RawReply

_OPS = {"syn": "ttl_syn", "client_hello": "ttl_stream", "dns": "ttl_datagram"}
_SERVER_HELLO = (22, 2)  # byte 0, the record type, and byte 5, the message type (RFC 8446)
_REPLY_NAMES = {
    RawKind.ICMP_TIME_EXCEEDED: "time_exceeded",
    RawKind.ICMP_UNREACHABLE: "unreachable",
    RawKind.NONE: "",
}
_NO_REPLY = RawReply(kind=RawKind.NONE)
# Networks that reveal a volunteer's location and nothing about the path.
_PRIVATE = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip


class RawHelperSource(Protocol):
    """Declare what starts the raw-packet helper."""

    def start_raw_helper(self) -> AbstractAsyncContextManager[RawHelper]: ...


class SharedRawHelper:
    """Start the helper on first use and keep it until `close`.

    scapy takes a second to load, and a path has thirty hops.
    """

    def __init__(self, source: RawHelperSource) -> None:
        self._source = source
        self._start_lock = asyncio.Lock()
        self._exit_stack: AsyncExitStack | None = None  # few tasks need a helper
        self._helper: RawHelper | None = None

    async def get_helper(self) -> RawHelper:
        """Return the running helper. Raises RawUnavailable."""
        async with self._start_lock:
            if self._helper is None:
                self._exit_stack = self._exit_stack or AsyncExitStack()
                starting = self._source.start_raw_helper()
                self._helper = await self._exit_stack.enter_async_context(starting)
            return self._helper

    async def close(self) -> None:
        self._helper = None
        if self._exit_stack is not None:
            await self._exit_stack.aclose()


@dataclass(slots=True, kw_only=True)
class HopProbe:
    """Send one packet; `step_facts` returns the facts so far."""

    ttl: int
    send: str
    payload: bytes
    own_addresses: Sequence[str]
    reply: RawReply = _NO_REPLY

    async def run(self, helper: RawHelper, address: str, port: int, timeout_s: float) -> None:
        """Send the packet. Raises OSError, RawUnavailable, or StepError without a reply."""
        self.reply = await helper.ask(
            _OPS[self.send], address, port, ttl=self.ttl, timeout_s=timeout_s, payload=self.payload
        )
        if self.reply.kind is RawKind.NONE:
            raise StepError(Failure.GENERIC_TIMEOUT_ERROR)

    def step_facts(self) -> StepFacts:
        hop = Hop(
            ttl=self.ttl,
            sent=self.send,
            reply=self._classify_reply(),
            network=router_network(self.reply.source, self.own_addresses),
            reply_ttl=self.reply.ttl,
            reply_ipid=self.reply.ipid,
        )
        return {"hop": hop}

    def _classify_reply(self) -> str:
        head = self.reply.head
        if self.reply.kind is not RawKind.DATA:
            return _REPLY_NAMES.get(self.reply.kind, self.reply.kind.value)
        if self.send == "dns":
            return "dns" if head[:2] == self.payload[:2] else "data"
        return "server_hello" if (head[:1] + head[5:6]) == bytes(_SERVER_HELLO) else "data"


def make_payload(send: str, name: str, rng: Random) -> bytes:
    """Build the payload. Raises ValueError unless `send` is syn, client_hello or dns."""
    if send not in _OPS:
        raise ValueError(f"send: {send!r} is none of {', '.join(_OPS)}")
    if send == "syn":
        return b""
    return make_client_hello(name) if send == "client_hello" else DnsQuestion(name, "A", rng).wire


def make_client_hello(name: str) -> bytes:
    """Build OpenSSL's own ClientHello, without SNI when `name` is empty."""
    incoming = ssl.MemoryBIO()
    outgoing = ssl.MemoryBIO()
    connection = make_client_context(BROWSER_ALPN).wrap_bio(
        incoming, outgoing, server_hostname=name or None
    )
    with suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def router_network(address: str, own_addresses: Sequence[str]) -> str:
    """Return the /24 or /48 of a router; "" when it is private or one of our own."""
    if not address:
        return ""
    router = ipaddress.ip_address(address)
    network = enclosing_network(address)
    is_private = any(router in private for private in _PRIVATE)
    is_own = network in map(enclosing_network, own_addresses)
    return "" if is_private or is_own else network
