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
from dataclasses import dataclass, field

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Observation, Tcp, Tls
from heliograph_agent.net import Seen, Stream, Trace
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


@dataclass(slots=True, kw_only=True)
class World:
    """What answers. `names` keys are a name, or engine:name for one engine alone (doh:x.test)."""

    names: dict[str, tuple[str, ...] | Failure] = field(default_factory=dict)
    ports: dict[tuple[str, int], Failure | None] = field(default_factory=dict)
    handshakes: dict[str, Failure | Tls | None] = field(default_factory=dict)
    pages: dict[str, Failure | Page] = field(default_factory=dict)
    trusts: frozenset[str] = frozenset({"", "signal"})
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
        endpoint: str = "",
    ) -> Seen:
        scripted = self._world.lookup(name, query_type, engine)
        return await self._step(
            Operation.RESOLVE,
            None,
            endpoint,
            scripted if isinstance(scripted, Failure) else None,
            dns=_dns(scripted, name, query_type, engine, resolver),
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
        body_limit: int = 524_288,
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
        return await self._step(
            Operation.READ_BODY,
            trip,
            endpoint,
            page.failure,
            http=_body(method, url, page, body_limit),
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
        tls: Tls | None = None,
        http: Http | None = None,
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
                    tls=tls,
                    http=http,
                )
            )
        return seen

    async def _pass(self, operation: Operation) -> None:
        if operation in self._world.hangs:
            await asyncio.Event().wait()
        self._clock.advance_us(STEP_US)
        await asyncio.sleep(0)


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


def _body(method: str, url: str, page: Page, limit: int) -> Http:
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
