"""A Net without a network: a scripted World answers, as SystemNet would.

    world = World(
        names={"www.example.test": ("192.0.2.1",)},
        ports={("192.0.2.1", 443): None},
        handshakes={"www.example.test": Failure.CONNECTION_RESET},
        pages={"https://www.example.test/": Page(title="It works")},
    )
    trace = StepTrace(clock); net = FakeDoor(world, clock).bind(trace)

What the world does not know fails as it would outside: a name NXDOMAIN, a port refused, a page 404;
a handshake nobody scripted succeeds. tests/agent/net/test_contract.py holds it to the real one.
"""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from heliograph.failure import Failure, Operation
from heliograph.hello_profiles import load_shipped_profiles
from heliograph.observation import Exchange, Hop, Http, Observation, Tcp, Tls, Udp
from heliograph_agent.net import (
    MAX_BODY,
    ByteStream,
    ProbeMessage,
    QuicConnection,
    StepResult,
    StepTrace,
)
from heliograph_agent.net.probe_message import TlsProbeMessage
from heliograph_agent.net.protocol_exchange import MessageExchange
from support.fake_world import Page, World, body, coarse_of, dns_of, head, tls_of
from support.hand_clock import HandClock

__all__ = ["FakeDoor", "FakeNet", "FakeQuic", "Page", "World"]

STEP_US = 10_000


class FakeDoor:
    """The factory of fake Nets that a runner binds a trace to."""

    def __init__(self, world: World, clock: HandClock) -> None:
        self._world = world
        self._clock = clock

    def bind(
        self, trace: StepTrace, addresses: Mapping[str, tuple[str, ...]] | None = None
    ) -> "FakeNet":
        return FakeNet(self._world, self._clock, trace, addresses)

    def is_forbidden(self, literal: str) -> bool:
        return literal in self._world.forbidden


class FakeNet:
    def __init__(
        self,
        world: World,
        clock: HandClock,
        trace: StepTrace,
        addresses: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.hello_profiles = load_shipped_profiles()
        self._addresses = addresses
        self._world = world
        self._clock = clock
        self._trace = trace

    async def resolve(
        self,
        name: str,
        *,
        query_type: str = "A",
        engine: str = "system",
        resolver: str = "",
        linger_s: float = 0.0,
        coarse: bool = False,
        endpoint: str = "",
    ) -> StepResult:
        scripted = self._world.lookup(name, query_type, engine)
        if coarse and not isinstance(scripted, Failure):
            scripted = tuple(coarse_of(address) for address in scripted)
        later = self._world.later.get(name, ()) if linger_s and engine == "udp" else ()
        failure = scripted if isinstance(scripted, Failure) else None
        dns = replace(dns_of(scripted, name, query_type, engine, resolver), later=later)
        return await self._step(Operation.RESOLVE, None, endpoint, failure, dns=dns)

    async def connect(
        self, address: str, port: int, *, on: StepResult | None = None, endpoint: str = ""
    ) -> tuple[StepResult, ByteStream | None]:
        failure = self._world.ports.get((address, port), Failure.CONNECTION_REFUSED)
        seen = await self._step(
            Operation.CONNECT, on, endpoint, failure, tcp=Tcp(address=address, port=port)
        )
        return seen, _stream(seen) if seen.is_success else None

    async def handshake(
        self,
        stream: ByteStream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = ("http/1.1",),
        trust: str = "",
    ) -> tuple[StepResult, ByteStream | None]:
        self._trusts(trust)
        scripted = self._world.handshakes.get(server_name)
        failure = scripted if isinstance(scripted, Failure) else None
        sent = server_name if send_sni else ""
        facts = scripted if isinstance(scripted, Tls) else tls_of(sent, alpn, failure)
        on = stream.step_result
        seen = await self._step(
            Operation.TLS_HANDSHAKE, on, on.observation.endpoint, failure, tls=facts
        )
        if seen.is_success:
            return seen, ByteStream(seen, stream.reader, stream.writer)
        stream.close()
        return seen, None

    async def http(
        self,
        stream: ByteStream,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body_limit: int = MAX_BODY,
        watch: bool = False,
    ) -> StepResult:
        self._world.requests.append((method, url, dict(headers or {})))
        stream.close()
        return await self._page(stream.step_result, method, url, body_limit, watch=watch)

    async def _page(
        self,
        on: StepResult,
        method: str,
        url: str,
        limit: int,
        *,
        watch: bool = False,
        version: str = "1.1",
    ) -> StepResult:
        page, endpoint = self._world.pages.get(url, Page(status=404)), on.observation.endpoint
        if isinstance(page, Failure):
            facts = Http(method=method, url=url)
            return await self._step(Operation.HTTP_ROUND_TRIP, on, endpoint, page, http=facts)
        begun = head(method, url, page, version)
        trip = await self._step(Operation.HTTP_ROUND_TRIP, on, endpoint, None, http=begun)
        if page.status == 101:
            return trip
        whole = body(url, page, begun, limit, watch=watch)
        seen = await self._step(Operation.READ_BODY, trip, endpoint, page.failure, http=whole)
        return replace(seen, cookies=page.cookies)

    async def browse(
        self, stream: ByteStream, url: str, *, browser: str, body_limit: int = MAX_BODY
    ) -> StepResult:
        self._have("browser")
        name = urlsplit(url).hostname or ""
        seen, handle = await self.handshake(stream, name)
        self._world.requests.append(("GET", url, {"browser": browser}))
        stream.close()
        return await self._page(seen, "GET", url, body_limit) if handle else seen

    async def exchange(self, stream: ByteStream, message: ProbeMessage) -> StepResult:
        stream.close()
        on = stream.step_result
        address, port = self._peer(on)
        return await self._speak(address, port, message, on, on.observation.endpoint, None)

    async def datagram(
        self,
        address: str,
        port: int,
        message: ProbeMessage,
        *,
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> StepResult:
        ipaddress.ip_address(address)
        udp = Udp(address=address, port=port)
        return await self._speak(address, port, message, on, endpoint, udp)

    async def quic(
        self,
        address: str,
        port: int,
        server_name: str,
        *,
        alpn: tuple[str, ...] = ("h3",),
        trust: str = "",
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> tuple[StepResult, QuicConnection | None]:
        self._have("quic")
        self._trusts(trust)
        ipaddress.ip_address(address)
        failure = self._world.quic.get(server_name, Failure.GENERIC_TIMEOUT_ERROR)
        udp = Udp(address=address, port=port)
        tls = tls_of(server_name, alpn, failure)
        seen = await self._step(Operation.QUIC_HANDSHAKE, on, endpoint, failure, udp=udp, tls=tls)
        return seen, FakeQuic(seen) if seen.is_success else None

    async def http3(
        self, connection: QuicConnection, url: str, *, body_limit: int = MAX_BODY
    ) -> StepResult:
        self._world.requests.append(("GET", url, {}))
        return await self._page(connection.step_result, "GET", url, body_limit, version="3")

    async def hop(
        self,
        address: str,
        port: int,
        *,
        ttl: int,
        send: str,
        name: str = "",
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> StepResult:
        self._have("raw")
        scripted = self._world.hops.get((name, ttl), Failure.GENERIC_TIMEOUT_ERROR)
        failure = scripted if isinstance(scripted, Failure) else None
        hop = Hop(ttl=ttl, sent=send) if isinstance(scripted, Failure) else scripted
        self._world.asked.append(hop)
        address_facts = (Udp if send == "dns" else Tcp)(address=address, port=port)
        where = {"udp" if send == "dns" else "tcp": address_facts}
        return await self._step(Operation.HOP, on, endpoint, failure, hop=hop, **where)

    async def tor(self, bridges: tuple[str, ...] = (), *, endpoint: str = "") -> StepResult:
        del bridges
        self._have("tor")
        failure = self._world.tor
        reply = "progress_10" if failure else "progress_100"
        facts = Exchange(protocol="tor_bootstrap", reply=reply)
        return await self._step(Operation.EXCHANGE, None, endpoint, failure, exchange=facts)

    def list_visit_labels(self) -> tuple[str, ...] | None:
        return None if self._addresses is None else tuple(self._addresses)

    def list_visit_addresses(self, endpoint: str) -> tuple[str, ...] | None:
        return None if self._addresses is None else self._addresses.get(endpoint, ())

    def random(self, size: int) -> bytes:
        return bytes(index % 251 for index in range(size))

    def wall_us(self) -> int:
        return self._clock.wall_us()

    async def close(self) -> None:
        self._world.closed += 1

    def has_trust(self, trust: str) -> bool:
        return trust in self._world.trusts

    def _trusts(self, trust: str) -> None:
        if not self.has_trust(trust):
            raise ValueError(f"trust: no CA set is named {trust!r}")

    def _have(self, what: str) -> None:
        if what in self._world.without:
            raise ValueError(f"this machine has no {what}")

    def _peer(self, on: StepResult) -> tuple[str, int]:
        """Return the address of the connection below a step."""
        at: int | None = on.index
        while at is not None:
            below = self._trace.observations[at]
            if below.tcp is not None:
                return below.tcp.address, below.tcp.port
            at = below.parent
        return "", 0

    async def _speak(
        self,
        address: str,
        port: int,
        speech: ProbeMessage,
        on: StepResult | None,
        endpoint: str,
        udp: Udp | None,
    ) -> StepResult:
        scripted = self._world.speeches.get((address, port), Failure.GENERIC_TIMEOUT_ERROR)
        failure = scripted if isinstance(scripted, Failure) else None
        word = scripted if isinstance(scripted, str) and failure is None else ""
        facts = Exchange(protocol=speech.name, reply=word, sent_bytes=len(speech.make_request()))
        if isinstance(scripted, Exchange):
            facts = replace(scripted, protocol=speech.name)
        tls = speech.tls_facts() if isinstance(speech, TlsProbeMessage) else None
        if tls is not None and facts.reply.startswith("alert_"):
            failure = Failure.SSL_FAILED_HANDSHAKE
            tls = replace(tls, alert=int(facts.reply.removeprefix("alert_")))
        operation = MessageExchange(speech).operation
        return await self._step(operation, on, endpoint, failure, udp=udp, tls=tls, exchange=facts)

    async def _step(
        self,
        operation: Operation,
        on: StepResult | None,
        endpoint: str,
        failure: Failure | None,
        **facts: Any,
    ) -> StepResult:
        started = self._trace.elapsed_us()
        try:
            await self._pass(operation)
        except asyncio.CancelledError:
            failure = Failure.INTERRUPTED
            raise
        finally:
            seen = self._trace.add(
                Observation(
                    operation=operation, started_us=started,
                    duration_us=self._trace.elapsed_us() - started, failure=failure,
                    parent=on.index if on else None, endpoint=endpoint, **facts,
                ),
            )  # fmt: skip
        return seen

    async def _pass(self, operation: Operation) -> None:
        if operation in self._world.hangs:
            await asyncio.Event().wait()
        self._clock.advance_us(STEP_US)
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class FakeQuic:
    step_result: StepResult

    def close(self) -> None:
        return


class _Nowhere(asyncio.Transport):
    """A transport that takes everything and carries nothing."""

    _closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        del data

    def abort(self) -> None:
        self._closed = True

    def close(self) -> None:
        self._closed = True

    def is_closing(self) -> bool:
        return self._closed


def _stream(seen: StepResult) -> ByteStream:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    return ByteStream(seen, reader, asyncio.StreamWriter(_Nowhere(), protocol, reader, loop))
