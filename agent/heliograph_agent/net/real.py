"""The Net that goes out: each method one step, its deadline, its facts, its observation."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random

from heliograph.clock import Clock
from heliograph.failure import Operation
from heliograph.observation import Tcp
from heliograph_agent.net.address import host_port
from heliograph_agent.net.dns_exchange import ask, ask_tcp
from heliograph_agent.net.dns_message import Question
from heliograph_agent.net.doh import ask_doh
from heliograph_agent.net.http import Exchange
from heliograph_agent.net.local import own_addresses
from heliograph_agent.net.resolve import Lookup, System
from heliograph_agent.net.roots import TrustStore
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.secure import Securing, Streams
from heliograph_agent.net.step import Facts, Step
from heliograph_agent.net.tcp import open_wire
from heliograph_agent.net.trace import Seen, Stream, Trace

ENGINES = ("system", "udp", "tcp", "doh")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetConfig:
    """Where to ask and how long to wait, in seconds."""

    resolver: str = ""  # host:port asked in place of the servers in resolv.conf
    doh: tuple[str, ...] = ("https://cloudflare-dns.com/dns-query", "https://dns.google/dns-query")
    ca_file: str = ""  # PEM; added to every trust set
    connect_s: float = 10
    tls_s: float = 10
    http_s: float = 10  # to the end of the reply's head
    body_s: float = 20
    dns_s: float = 5  # for one server
    resolve_s: float = 15  # for a whole lookup
    hosts_file: str = "/etc/hosts"
    resolv_conf: str = "/etc/resolv.conf"


class Door:
    """What all traces share: settings, trust anchors, chance."""

    def __init__(self, config: NetConfig, clock: Clock, rng: Random) -> None:
        """Raises ValueError, naming the key, when a setting cannot be used."""
        self.config = config
        self.clock = clock
        self.rng = rng
        self.trust = TrustStore(config.ca_file)
        self.system = System(
            hosts_file=config.hosts_file,
            resolv_conf=config.resolv_conf,
            resolver=host_port(config.resolver, "net.resolver") if config.resolver else None,
            rng=rng,
        )

    def bind(self, trace: Trace) -> "RealNet":
        return RealNet(self, trace)


class RealNet:
    """Keeps the promises of `Net`."""

    def __init__(self, door: Door, trace: Trace) -> None:
        self._door = door
        self._trace = trace
        self._scrub = Scrubber(own_addresses())

    async def resolve(
        self,
        name: str,
        *,
        query_type: str = "A",
        engine: str = "system",
        resolver: str = "",
        endpoint: str = "",
    ) -> Seen:
        """Also raises ValueError: an unknown engine, no such resolver, no such name."""
        if not name:
            raise ValueError("an empty name cannot be asked for")
        if engine == "doh":
            resolver = resolver or next(iter(self._door.config.doh), "")
        lookup = Lookup(name=name, query_type=query_type, engine=engine, resolver=resolver)
        step = self._step(Operation.RESOLVE, None, endpoint)
        ask_it = self._asking(lookup)
        return await step.take(ask_it, self._door.config.resolve_s, lambda: {"dns": lookup.facts()})

    async def connect(
        self, address: str, port: int, *, on: Seen | None = None, endpoint: str = ""
    ) -> tuple[Seen, Stream | None]:
        """Also raises ValueError when `address` is a name."""
        opened: list[Streams] = []

        async def work() -> None:
            opened.append(await open_wire(address, port, self._count))

        facts: Facts = {"tcp": Tcp(address=address, port=port)}
        step = self._step(Operation.CONNECT, on, endpoint)
        seen = await step.take(work, self._door.config.connect_s, lambda: facts)
        return seen, _stream(seen, opened)

    async def handshake(
        self,
        stream: Stream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = ("http/1.1",),
        trust: str = "",
    ) -> tuple[Seen, Stream | None]:
        """Also raises ValueError when no CA set is named `trust`. Closes `stream` on failure."""
        roots = self._door.trust.roots(trust)
        securing = Securing(server_name=server_name, send_sni=send_sni, alpn=alpn)
        opened: list[Streams] = []

        async def work() -> None:
            now_s = self._door.clock.wall_us() // 1_000_000
            opened.append(await securing.run((stream.reader, stream.writer), roots, now_s))

        step = self._step(Operation.TLS_HANDSHAKE, stream.seen, stream.seen.observation.endpoint)
        try:
            seen = await step.take(work, self._door.config.tls_s, lambda: {"tls": securing.facts()})
        finally:
            if not opened:
                stream.close()
        return seen, _stream(seen, opened)

    async def http(
        self,
        stream: Stream,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body_limit: int = 524_288,
    ) -> Seen:
        """Also raises ValueError when `url` or a header cannot be sent."""
        config, endpoint = self._door.config, stream.seen.observation.endpoint
        try:
            exchange = Exchange(stream.reader, stream.writer, url, method=method, headers=headers)
            trip = await self._step(Operation.HTTP_ROUND_TRIP, stream.seen, endpoint).take(
                exchange.round_trip, config.http_s, lambda: {"http": exchange.head()}
            )
            if not trip.ok:
                return trip
            return await self._step(Operation.READ_BODY, trip, endpoint).take(
                lambda: exchange.read_body(body_limit),
                config.body_s,
                lambda: {"http": exchange.whole(body_limit)},
            )
        finally:
            stream.close()

    def _asking(self, lookup: Lookup) -> Callable[[], Awaitable[None]]:
        """How `lookup` is to be made. Raises ValueError before anything is sent."""
        door, config = self._door, self._door.config
        if lookup.engine not in ENGINES:
            raise ValueError(f"engine: {lookup.engine!r} is none of {', '.join(ENGINES)}")
        # Made here for every engine, so that the library is loaded before the step's clock runs.
        question = Question(lookup.name, lookup.query_type, door.rng)
        if lookup.engine == "system":
            return lambda: door.system.look_up(lookup, config.dns_s, self._count)

        async def by_https() -> None:
            roots, now_s = door.trust.roots(""), door.clock.wall_us() // 1_000_000
            url = lookup.resolver
            lookup.settle(await ask_doh(question, url, door.system, roots, now_s, self._count))

        if lookup.engine == "doh":
            return by_https
        server = host_port(lookup.resolver, "resolver")
        way = ask if lookup.engine == "udp" else ask_tcp

        async def by_server() -> None:
            lookup.settle(await way(question, server, config.dns_s, self._count))

        return by_server

    def _step(self, operation: Operation, on: Seen | None, endpoint: str) -> Step:
        return Step(self._trace, self._scrub, operation, on, endpoint)

    def _count(self, size: int) -> None:
        self._trace.bytes_moved += size


def _stream(seen: Seen, opened: list[Streams]) -> Stream | None:
    """A handle only for a step that went well: what opened as its deadline struck is dropped."""
    if not opened:
        return None
    stream = Stream(seen, *opened[0])
    if seen.ok:
        return stream
    stream.close()
    return None
