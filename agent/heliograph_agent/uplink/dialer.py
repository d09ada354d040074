"""Finds an open, pinned connection to an entrance: by whatever resolver and name leads there.

A resolver may lie or keep silent, and a name in a ClientHello may bring a reset. So the system's
answer is tried first, then those of DNS over HTTPS, then the addresses that the plan lists; each
with the name, then without. Every step is written into the trace, and the pin alone is believed.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from heliograph.address import literal
from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange
from heliograph.plan import Entrance
from heliograph_agent.net import Net, Seen, Stream, Trace
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import Facts, Step
from heliograph_agent.net.tcp import Wire, open_wire
from heliograph_agent.net.tls.openssl import TlsSession
from heliograph_agent.uplink import proxy as proxies
from heliograph_agent.uplink.channel import DoorError, Reason
from heliograph_agent.uplink.proxy import Proxy

MAX_PLACES = 6  # addresses that are tried for one entrance
MAX_DOH = 2  # resolvers that are asked
PROXY_S = 20.0  # for a proxy to lead on: Tor takes its time
_SPOKEN = {"socks5": "socks5", "http": "http_connect"}


@dataclass(frozen=True, slots=True)
class Found:
    """An open connection behind which the pinned key stands."""

    stream: Stream
    place: str  # the address, or by a proxy whatever the proxy was asked for
    name: str  # what was said in the ClientHello, "" for nothing
    certificate: bytes  # DER
    plain: bool  # where and as anybody would have gone


@dataclass(frozen=True, slots=True)
class Finder:
    """`net` writes into `trace`. With a `proxy`, nothing is looked up or dialled past it."""

    net: Net
    trace: Trace
    scrub: Scrubber
    pin: bytes  # SHA-256 of the SubjectPublicKeyInfo
    doh: Sequence[str] = ()
    proxy: Proxy | None = None
    barred: Callable[[str], bool] = lambda _: False  # where it may not lead

    async def find(self, entrance: Entrance) -> Found:
        """The first that shows the pin; the caller closes its stream.

        Raises DoorError: unreachable, or pin_mismatch when somebody else answered.
        """
        reason, tried, names = Reason.UNREACHABLE, 0, _names(entrance)
        async for place, plain in self._places(entrance):
            if self.barred(place):
                continue
            for name in names:
                stream, strange = await self._knock(place, entrance.port, name)
                if stream is not None:
                    return Found(stream, place, name, _leaf(stream), plain and name == names[0])
                if strange is None:
                    break  # nobody at this address: a name more or less changes nothing
                reason = Reason.PIN_MISMATCH if strange else reason
            tried += 1
            if tried >= MAX_PLACES:
                break
        raise DoorError(reason)

    async def lead(self, host: str, port: int) -> tuple[Seen, Wire | None]:
        """A wire to `host` by the proxy, in two steps; the last one."""
        if self.proxy is None:
            raise RuntimeError("there is no proxy")
        wire: Wire | None = None
        proxy, said = self.proxy, Exchange(protocol=_SPOKEN[self.proxy.scheme])

        async def dial() -> None:
            nonlocal wire
            wire = await open_wire(proxy.address, proxy.port, self._count)

        async def ask() -> None:
            if wire is not None:
                await proxies.ask(proxy, wire, host, port)

        seen = await self._step(Operation.CONNECT, None).take(dial, PROXY_S, Facts)
        if seen.ok and wire is not None:
            step = self._step(Operation.EXCHANGE, seen)
            seen = await step.take(ask, PROXY_S, lambda: {"exchange": said})
        if wire is not None and not seen.ok:
            wire.transport.abort()
            wire = None
        return seen, wire

    async def _places(self, entrance: Entrance) -> AsyncIterator[tuple[str, bool]]:
        """Each once, as late as possible: whoever gets in asks no further resolver. With each,
        whether it is what everybody is told."""
        seen: set[str] = set()
        if self.proxy is not None or literal(entrance.host):
            seen.add(entrance.host)
            yield entrance.host, True
        else:
            async for address, plain in self._resolved(entrance.host):
                if address not in seen:
                    seen.add(address)
                    yield address, plain
        for address in entrance.addresses:
            if literal(address) and address not in seen:
                yield address, False

    async def _resolved(self, name: str) -> AsyncIterator[tuple[str, bool]]:
        doh = self.doh[:MAX_DOH] if "." in name else ()  # localhost is nobody else's affair
        for engine, resolver in [("system", ""), *(("doh", url) for url in doh)]:
            for query_type in ("A", "AAAA"):
                seen = await self.net.resolve(
                    name, query_type=query_type, engine=engine, resolver=resolver
                )
                answers = seen.observation.dns.addresses if seen.observation.dns else ()
                for address in answers:
                    yield address, engine == "system"
                if answers or seen.observation.failure not in _NONE_OF_A_KIND:
                    break

    async def _knock(self, place: str, port: int, name: str) -> tuple[Stream | None, bool | None]:
        """The stream, or whether somebody else answered; None for nobody at all."""
        stream = await self._connect(place, port)
        if stream is None:
            return None, None
        seen, secured = await self.net.handshake(
            stream, name or place, send_sni=bool(name), trust="any"
        )
        if secured is None:
            return None, False
        chain = seen.observation.tls.chain if seen.observation.tls else ()
        if chain and chain[0].spki_sha256 == self.pin.hex():
            return secured, None
        secured.close()
        self.trace.observations[seen.index] = replace(
            seen.observation, failure=Failure.SSL_UNKNOWN_AUTHORITY
        )
        return None, True

    async def _connect(self, place: str, port: int) -> Stream | None:
        if self.proxy is None:
            return (await self.net.connect(place, port))[1]
        seen, wire = await self.lead(place, port)
        return None if wire is None else Stream(seen, wire.inbox, wire)

    def _step(self, operation: Operation, on: Seen | None) -> Step:
        return Step(self.trace, self.scrub, operation, on, "proxy")

    def _count(self, size: int) -> None:
        self.trace.bytes_moved += size


_NONE_OF_A_KIND = (Failure.DNS_NO_ANSWER,)  # no A record: there may be AAAA


def _names(entrance: Entrance) -> tuple[str, ...]:
    """What is said in clear: the name, and where that brings nothing, none."""
    name = entrance.server_name or ("" if literal(entrance.host) else entrance.host)
    return (name, "") if name else ("",)


def _leaf(stream: Stream) -> bytes:
    if not isinstance(stream.writer, TlsSession):
        raise TypeError("a stream that is not encrypted")
    return stream.writer.chain()[0]
