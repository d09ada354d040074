"""One packet that may go so many routers far: what is sent, and what its answer says."""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random

from heliograph.failure import Failure
from heliograph.observation import Hop
from heliograph_agent.net.dns.message import Question
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tls.openssl import client_context
from heliograph_agent.net.traceroute.raw_helper import RawHelper, RawKind, RawReply

Start = Callable[[], AbstractAsyncContextManager[RawHelper]]

_OPS = {"syn": "ttl_syn", "client_hello": "ttl_stream", "dns": "ttl_datagram"}
_SERVER_HELLO = (22, 2)  # record type, and the message's six bytes on (RFC 8446)
_WORDS = {
    RawKind.ICMP_TIME_EXCEEDED: "time_exceeded",
    RawKind.ICMP_UNREACHABLE: "unreachable",
    RawKind.NONE: "",
}
_NOTHING = RawReply(kind=RawKind.NONE)
# Networks that say where a volunteer is, and no more about the path.
_PRIVATE = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip


class RawLine:
    """The helper, started when it is first asked for and kept until `close`: scapy takes a second
    to load, and a path has thirty hops."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._starting = asyncio.Lock()
        self._held = AsyncExitStack()
        self._helper: RawHelper | None = None

    async def helper(self) -> RawHelper:
        """Raises RawUnavailable."""
        async with self._starting:
            if self._helper is None:
                self._helper = await self._held.enter_async_context(self._start())
            return self._helper

    async def close(self) -> None:
        self._helper = None
        await self._held.aclose()


@dataclass(slots=True, kw_only=True)
class HopProbe:
    """One packet; `facts` hold whatever it has come to."""

    ttl: int
    send: str
    payload: bytes
    own: Sequence[str]
    reply: RawReply = _NOTHING

    async def run(self, helper: RawHelper, address: str, port: int, timeout_s: float) -> None:
        """Raises OSError, RawUnavailable, or StepError when nothing came back."""
        self.reply = await helper.ask(
            _OPS[self.send], address, port, ttl=self.ttl, timeout_s=timeout_s, payload=self.payload
        )
        if self.reply.kind is RawKind.NONE:
            raise StepError(Failure.GENERIC_TIMEOUT_ERROR)

    def facts(self) -> Hop:
        return Hop(
            ttl=self.ttl,
            sent=self.send,
            reply=self._word(),
            network=network_of(self.reply.source, self.own),
            reply_ttl=self.reply.ttl,
            reply_ipid=self.reply.ipid,
        )

    def _word(self) -> str:
        head = self.reply.head
        if self.reply.kind is not RawKind.DATA:
            return _WORDS.get(self.reply.kind, self.reply.kind.value)
        if self.send == "dns":
            return "dns" if head[:2] == self.payload[:2] else "data"
        return "server_hello" if (head[:1] + head[5:6]) == bytes(_SERVER_HELLO) else "data"


def payload_of(send: str, name: str, rng: Random) -> bytes:
    """What is sent. Raises ValueError when it is none of syn, client_hello, dns."""
    if send not in _OPS:
        raise ValueError(f"send: {send!r} is none of {', '.join(_OPS)}")
    if send == "syn":
        return b""
    return client_hello(name) if send == "client_hello" else Question(name, "A", rng).wire


def client_hello(name: str) -> bytes:
    """OpenSSL's own, as every handshake here sends it; without SNI when `name` is empty."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = client_context(("http/1.1",)).wrap_bio(
        incoming, outgoing, server_hostname=name or None
    )
    with suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def network_of(address: str, own: Sequence[str]) -> str:
    """The /24 or /48 around a router; "" when it is private or one of our own networks."""
    if not address:
        return ""
    router = ipaddress.ip_address(address)
    network = _around(router)
    private = any(router in each for each in _PRIVATE if each.version == router.version)
    ours = any(network == _around(ipaddress.ip_address(each)) for each in own)
    return "" if private or ours else str(network)


def _around(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)
