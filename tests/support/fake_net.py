"""A Net without a network: a scripted World answers, by the promises RealNet keeps.

    world = World(
        names={"www.example.test": ("192.0.2.1",)},
        ports={("192.0.2.1", 443): None},
        handshakes={"www.example.test": Failure.CONNECTION_RESET},
        pages={"https://www.example.test/": Page(title="It works")},
    )
    trace = Trace(clock); net = FakeDoor(world, clock).bind(trace)

What the world does not know fails as it would outside: a name NXDOMAIN, a port refused, a page 404;
a handshake nobody scripted succeeds. tests/agent/net/test_contract.py holds it to the real one.
"""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Arrival,
    Dns,
    DnsAnswer,
    DnsReply,
    Exchange,
    Hop,
    Http,
    Observation,
    Tcp,
    Tls,
    Udp,
)
from heliograph_agent.net import MAX_BODY, QuicConnection, Seen, Speech, Stream, Trace
from heliograph_agent.net.speech import TlsSpeech
from support.hand_clock import HandClock

STEP_US = 10_000
_DNS_RCODES = {
    Failure.DNS_NXDOMAIN_ERROR: 3,
    Failure.DNS_REFUSED_ERROR: 5,
    Failure.DNS_SERVFAIL_ERROR: 2,
    Failure.DNS_NO_ANSWER: 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A reply. `failure` belongs to the body: http_truncated_body, generic_timeout_error …"""

    status: int = 200
    title: str = ""
    server: str = "fake"
    location: str = ""
    body_bytes: int = 100
    body_sha256: str = "00" * 32
    truncated: bool = False
    failure: Failure | None = None
    text: str = ""
    header_names: tuple[str, ...] = ()
    arrivals: tuple[Arrival, ...] = ()


@dataclass(slots=True, kw_only=True)
class World:
    """What answers. `names` keys are a name, or engine:name for one engine alone (doh:x.test)."""

    names: dict[str, tuple[str, ...] | Failure] = field(default_factory=dict)
    ports: dict[tuple[str, int], Failure | None] = field(default_factory=dict)
    handshakes: dict[str, Failure | Tls | None] = field(default_factory=dict)
    pages: dict[str, Failure | Page] = field(default_factory=dict)
    trusts: frozenset[str] = frozenset({"", "signal", "any"})
    # by (address, port): the word that is answered, or a failure; silence is what nobody scripted
    speeches: dict[tuple[str, int], str | Exchange | Failure] = field(default_factory=dict)
    quic: dict[str, Failure | None] = field(default_factory=dict)  # by server name
    hops: dict[tuple[str, int], Hop | Failure] = field(default_factory=dict)  # by (sent name, ttl)
    tor: Failure | None = None
    without: frozenset[str] = frozenset()  # quic, raw, tor: what this machine does not have
    later: dict[str, tuple[DnsReply, ...]] = field(default_factory=dict)  # by name
    closed: int = 0  # nets that were closed
    asked: list[Hop] = field(default_factory=list)
    hangs: frozenset[Operation] = frozenset()  # steps that never end: for cancellation
    requests: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    def lookup(self, name: str, query_type: str, engine: str) -> tuple[str, ...] | Failure:
        if _is_address(name):
            return (name,)
        fallback = self.names.get(name, Failure.DNS_NXDOMAIN_ERROR)
        found = self.names.get(f"{engine}:{name}", fallback)
        if isinstance(found, Failure):
            return found
        fitting = tuple(a for a in found if (":" in a) == (query_type == "AAAA"))
        return fitting or Failure.DNS_NO_ANSWER


class FakeDoor:
    """What a runner binds a trace to."""

    def __init__(self, world: World, clock: HandClock) -> None:
        self._world = world
        self._clock = clock

    def bind(self, trace: Trace) -> "FakeNet":
        return FakeNet(self._world, self._clock, trace)


class FakeNet:
    def __init__(self, world: World, clock: HandClock, trace: Trace) -> None:
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
    ) -> Seen:
        scripted = self._world.lookup(name, query_type, engine)
        if coarse and not isinstance(scripted, Failure):
            scripted = tuple(_coarse(address) for address in scripted)
        later = self._world.later.get(name, ()) if linger_s and engine == "udp" else ()
        return await self._step(
            Operation.RESOLVE,
            None,
            endpoint,
            scripted if isinstance(scripted, Failure) else None,
            dns=replace(_dns(scripted, name, query_type, engine, resolver), later=later),
        )

    async def connect(
        self, address: str, port: int, *, on: Seen | None = None, endpoint: str = ""
    ) -> tuple[Seen, Stream | None]:
        failure = self._world.ports.get((address, port), Failure.CONNECTION_REFUSED)
        seen = await self._step(
            Operation.CONNECT, on, endpoint, failure, tcp=Tcp(address=address, port=port)
        )
        return seen, _stream(seen) if seen.ok else None

    async def handshake(
        self,
        stream: Stream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = ("http/1.1",),
        trust: str = "",
    ) -> tuple[Seen, Stream | None]:
        if trust not in self._world.trusts:
            raise ValueError(f"trust: no CA set is named {trust!r}")
        scripted = self._world.handshakes.get(server_name)
        failure = scripted if isinstance(scripted, Failure) else None
        sent = server_name if send_sni else ""
        facts = scripted if isinstance(scripted, Tls) else _tls(sent, alpn, failure)
        on = stream.seen
        seen = await self._step(
            Operation.TLS_HANDSHAKE, on, on.observation.endpoint, failure, tls=facts
        )
        if seen.ok:
            return seen, Stream(seen, stream.reader, stream.writer)
        stream.close()
        return seen, None

    async def http(
        self,
        stream: Stream,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body_limit: int = MAX_BODY,
        watch: bool = False,
    ) -> Seen:
        self._world.requests.append((method, url, dict(headers or {})))
        stream.close()
        page = self._world.pages.get(url, Page(status=404))
        endpoint = stream.seen.observation.endpoint
        if isinstance(page, Failure):
            facts = Http(method=method, url=url)
            return await self._step(
                Operation.HTTP_ROUND_TRIP, stream.seen, endpoint, page, http=facts
            )
        trip = await self._step(
            Operation.HTTP_ROUND_TRIP, stream.seen, endpoint, None, http=_head(method, url, page)
        )
        if page.status == 101:
            return trip
        return await self._step(
            Operation.READ_BODY,
            trip,
            endpoint,
            page.failure,
            http=_body(method, url, page, body_limit, watch=watch),
        )

    async def exchange(self, stream: Stream, speech: Speech) -> Seen:
        stream.close()
        on = stream.seen
        address, port = self._peer(on)
        return await self._speak(address, port, speech, on, on.observation.endpoint, None)

    async def datagram(
        self,
        address: str,
        port: int,
        speech: Speech,
        *,
        on: Seen | None = None,
        endpoint: str = "",
    ) -> Seen:
        udp = Udp(address=address, port=port)
        return await self._speak(address, port, speech, on, endpoint, udp)

    async def quic(
        self,
        address: str,
        port: int,
        server_name: str,
        *,
        alpn: tuple[str, ...] = ("h3",),
        trust: str = "",
        on: Seen | None = None,
        endpoint: str = "",
    ) -> tuple[Seen, QuicConnection | None]:
        del trust
        self._have("quic")
        failure = self._world.quic.get(server_name, Failure.GENERIC_TIMEOUT_ERROR)
        seen = await self._step(
            Operation.QUIC_HANDSHAKE,
            on,
            endpoint,
            failure,
            udp=Udp(address=address, port=port),
            tls=_tls(server_name, alpn, failure),
        )
        return seen, FakeQuic(seen) if seen.ok else None

    async def http3(
        self, connection: QuicConnection, url: str, *, body_limit: int = MAX_BODY
    ) -> Seen:
        return await self.http(_stream(connection.seen), url, body_limit=body_limit)

    async def hop(
        self,
        address: str,
        port: int,
        *,
        ttl: int,
        send: str,
        name: str = "",
        on: Seen | None = None,
        endpoint: str = "",
    ) -> Seen:
        self._have("raw")
        scripted = self._world.hops.get((name, ttl), Failure.GENERIC_TIMEOUT_ERROR)
        failure = scripted if isinstance(scripted, Failure) else None
        hop = Hop(ttl=ttl, sent=send) if isinstance(scripted, Failure) else scripted
        self._world.asked.append(hop)
        where = {"udp": Udp(address=address, port=port)} if send == "dns" else {}
        tcp = None if send == "dns" else Tcp(address=address, port=port)
        return await self._step(
            Operation.HOP, on, endpoint, failure, hop=hop, tcp=tcp, udp=where.get("udp")
        )

    async def tor(self, bridges: tuple[str, ...] = (), *, endpoint: str = "") -> Seen:
        del bridges
        self._have("tor")
        reply = "progress_10" if self._world.tor else "progress_100"
        return await self._step(
            Operation.EXCHANGE,
            None,
            endpoint,
            self._world.tor,
            exchange=Exchange(protocol="tor_bootstrap", reply=reply),
        )

    def random(self, size: int) -> bytes:
        return bytes(index % 251 for index in range(size))

    async def close(self) -> None:
        self._world.closed += 1

    def _have(self, what: str) -> None:
        if what in self._world.without:
            raise ValueError(f"this machine has no {what}")

    def _peer(self, on: Seen) -> tuple[str, int]:
        """The address below a step."""
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
        speech: Speech,
        on: Seen | None,
        endpoint: str,
        udp: Udp | None,
    ) -> Seen:
        scripted = self._world.speeches.get((address, port), Failure.GENERIC_TIMEOUT_ERROR)
        failure = scripted if isinstance(scripted, Failure) else None
        word = scripted if isinstance(scripted, str) and failure is None else ""
        facts = Exchange(protocol=speech.name, reply=word, sent_bytes=len(speech.opening()))
        if isinstance(scripted, Exchange):
            facts = replace(scripted, protocol=speech.name)
        tls = speech.tls() if isinstance(speech, TlsSpeech) else None
        return await self._step(
            Operation.EXCHANGE, on, endpoint, failure, udp=udp, tls=tls, exchange=facts
        )

    async def _step(
        self,
        operation: Operation,
        on: Seen | None,
        endpoint: str,
        failure: Failure | None,
        *,
        dns: Dns | None = None,
        tcp: Tcp | None = None,
        udp: Udp | None = None,
        tls: Tls | None = None,
        http: Http | None = None,
        exchange: Exchange | None = None,
        hop: Hop | None = None,
    ) -> Seen:
        started = self._trace.elapsed_us()
        try:
            await self._pass(operation)
        except asyncio.CancelledError:
            failure = Failure.INTERRUPTED
            raise
        finally:
            seen = self._trace.add(
                Observation(
                    operation=operation,
                    started_us=started,
                    duration_us=self._trace.elapsed_us() - started,
                    failure=failure,
                    parent=on.index if on else None,
                    endpoint=endpoint,
                    dns=dns,
                    tcp=tcp,
                    udp=udp,
                    tls=tls,
                    http=http,
                    exchange=exchange,
                    hop=hop,
                )
            )
        return seen

    async def _pass(self, operation: Operation) -> None:
        if operation in self._world.hangs:
            await asyncio.Event().wait()
        self._clock.advance_us(STEP_US)
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class FakeQuic:
    """An open connection that carries nothing."""

    seen: Seen

    def close(self) -> None:
        return


def _coarse(address: str) -> str:
    size = 48 if ":" in address else 24
    return str(ipaddress.ip_network(f"{address}/{size}", strict=False))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _dns(
    scripted: tuple[str, ...] | Failure, name: str, query_type: str, engine: str, resolver: str
) -> Dns:
    failed = isinstance(scripted, Failure)
    return Dns(
        engine=engine,
        resolver=resolver,
        name=name,
        query_type=query_type,
        rcode=_DNS_RCODES.get(scripted) if isinstance(scripted, Failure) else 0,
        answers=()
        if failed
        else tuple(DnsAnswer(type=query_type, data=data, ttl_s=60) for data in scripted),
    )


def _tls(sent: str, alpn: tuple[str, ...], failure: Failure | None) -> Tls:
    if failure is not None:
        return Tls(server_name=sent)
    return Tls(
        server_name=sent,
        version="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        alpn=alpn[0] if alpn else "",
    )


def _head(method: str, url: str, page: Page) -> Http:
    return Http(
        method=method, url=url, status=page.status, server=page.server, location=page.location
    )


def _body(method: str, url: str, page: Page, limit: int, *, watch: bool = False) -> Http:
    return Http(
        method=method,
        url=url,
        status=page.status,
        server=page.server,
        location=page.location,
        title=page.title,
        body_bytes=min(page.body_bytes, limit),
        body_sha256=page.body_sha256,
        truncated=page.truncated or page.body_bytes > limit,
        header_names=page.header_names,
        text="" if url.startswith("https:") else page.text,
        arrivals=page.arrivals if watch else (),
    )


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


def _stream(seen: Seen) -> Stream:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    return Stream(seen, reader, asyncio.StreamWriter(_Nowhere(), protocol, reader, loop))
