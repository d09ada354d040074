"""The Net that goes out: each method one step, its deadline, its facts, its observation."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from random import Random

from heliograph.address import host_port, name_port
from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import Observation, Tcp, Udp
from heliograph_agent.net import MAX_BODY, QuicConnection
from heliograph_agent.net.address_policy import BarredError, Bars
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.dns.encrypted import ask_doh, ask_dot
from heliograph_agent.net.dns.message import Question
from heliograph_agent.net.dns.system_resolver import Lookup, System
from heliograph_agent.net.dns.transport import Linger, ask, ask_tcp
from heliograph_agent.net.http.http1 import Exchange
from heliograph_agent.net.http.http3 import Http3Exchange
from heliograph_agent.net.local_addresses import OwnAddresses, own_networks
from heliograph_agent.net.probe_message import Speech
from heliograph_agent.net.protocol_exchange import Talk
from heliograph_agent.net.quic.handshake import QuicShake, RealQuic, require_aioquic
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import Facts, Step
from heliograph_agent.net.tcp import Wire, open_wire
from heliograph_agent.net.tls.step import Securing
from heliograph_agent.net.tls.trust_store import TrustStore
from heliograph_agent.net.tor import bootstrap
from heliograph_agent.net.trace import Reader, Seen, Stream, Trace, Writer
from heliograph_agent.net.traceroute.hop import HopProbe, RawLine, Start, payload_of
from heliograph_agent.net.traceroute.raw_helper import raw_helper

__all__ = ["Door", "NetConfig", "RealNet"]

_GRACE_S = 1.0  # for what bounds its own wait to say what it made of it
ENGINES = ("system", "udp", "tcp", "dot", "doh")


class Door:
    """What all traces share: settings, trust anchors, chance."""

    def __init__(self, config: NetConfig, clock: Clock, rng: Random) -> None:
        """Raises ValueError, naming the key, when a setting cannot be used."""
        self.config = config
        self.clock = clock
        self.rng = rng
        self.trust = TrustStore(config.ca_file)
        self.raw: Start = raw_helper
        self.system = System(
            hosts_file=config.hosts_file,
            resolv_conf=config.resolv_conf,
            resolver=host_port(config.resolver, "net.resolver") if config.resolver else None,
            rng=rng,
        )

        self._own = OwnAddresses(clock)
        self._bars = Bars(clock, own_networks)

    def bars(self, literal: str) -> bool:
        """Whether no test may go there."""
        return not self.config.local_targets and self._bars(literal)

    def bind(self, trace: Trace) -> "RealNet":
        return RealNet(self, trace, self._own.scrubber())


class RealNet:
    """Keeps the promises of `Net`."""

    def __init__(self, door: Door, trace: Trace, scrub: Scrubber) -> None:
        self._door = door
        self._trace = trace
        self._scrub = scrub
        self._raw: RawLine | None = None

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
        """Also raises ValueError: an unknown engine, no such resolver, no such name."""
        if not name:
            raise ValueError("an empty name cannot be asked for")
        if engine == "doh":
            resolver = resolver or next(iter(self._door.config.doh), "")
        lookup = Lookup(
            name=name, query_type=query_type, engine=engine, resolver=resolver, coarse=coarse
        )
        linger = Linger(seconds=linger_s, elapsed_us=self._trace.elapsed_us, later=lookup.later)
        return await self._step(Operation.RESOLVE, None, endpoint).take(
            self._asking(lookup, linger),
            self._door.config.resolve_s + linger_s,
            lambda: {"dns": lookup.facts()},
            lambda: linger.listened_us,
        )

    async def connect(
        self, address: str, port: int, *, on: Seen | None = None, endpoint: str = ""
    ) -> tuple[Seen, Stream | None]:
        """Also raises ValueError when `address` is a name."""
        wire: Wire | None = None

        async def work() -> None:
            nonlocal wire
            wire = await open_wire(address, port, self._count)

        barred = self._barred(address, on, Operation.CONNECT)
        if barred is not None:
            return barred, None
        facts: Facts = {"tcp": Tcp(address=address, port=port)}
        step = self._step(Operation.CONNECT, on, endpoint)
        seen = await step.take(work, self._door.config.connect_s, lambda: facts)
        return seen, _stream(seen, None if wire is None else wire.inbox, wire)

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
        roots = self._door.trust.chosen(trust)
        securing = Securing(server_name=server_name, send_sni=send_sni, alpn=alpn)
        wire, clear = stream.writer, None
        if not isinstance(wire, Wire):
            raise TypeError("a stream that this net did not open, or that is encrypted already")

        async def work() -> None:
            nonlocal clear
            now_s = self._door.clock.wall_us() // 1_000_000
            clear = await securing.run(wire, roots, now_s)

        step = self._step(Operation.TLS_HANDSHAKE, stream.seen, stream.seen.observation.endpoint)
        try:
            seen = await step.take(work, self._door.config.tls_s, lambda: {"tls": securing.facts()})
        finally:
            if clear is None:
                stream.close()
        return seen, _stream(seen, clear, securing.session)

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
        """Also raises ValueError when `url` or a header cannot be sent."""
        try:
            exchange = Exchange(
                stream.reader,
                stream.writer,
                url,
                method=method,
                headers=headers,
                in_clear=stream.seen.observation.tls is None,
                watch=self._trace.elapsed_us if watch else None,
            )
            seen = await self._page(exchange, stream.seen, body_limit)
            return replace(seen, cookies=exchange.cookies) if exchange.cookies else seen
        finally:
            stream.close()

    async def exchange(self, stream: Stream, speech: Speech) -> Seen:
        talk = Talk(speech)
        step = self._step(talk.operation, stream.seen, stream.seen.observation.endpoint)
        try:
            return await step.take(
                lambda: talk.over(stream.reader, stream.writer),
                self._door.config.exchange_s,
                talk.observed,
            )
        finally:
            stream.close()

    async def datagram(
        self,
        address: str,
        port: int,
        speech: Speech,
        *,
        on: Seen | None = None,
        endpoint: str = "",
    ) -> Seen:
        """Also raises ValueError when `address` is a name."""
        barred = self._barred(address, on, Operation.EXCHANGE)
        if barred is not None:
            return barred
        talk, deadline_s = Talk(speech), self._door.config.udp_s
        return await self._step(Operation.EXCHANGE, on, endpoint).take(
            lambda: talk.in_datagram(address, port, deadline_s, self._count),
            deadline_s + _GRACE_S,
            lambda: {"udp": Udp(address=address, port=port), "exchange": talk.facts()},
        )

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
        """Also raises ValueError when `address` is a name or no CA set is named `trust`."""
        require_aioquic()
        barred = self._barred(address, on, Operation.QUIC_HANDSHAKE)
        if barred is not None:
            return barred, None
        roots = self._door.trust.chosen(trust)
        shake = QuicShake(server_name=server_name, alpn=alpn)

        async def work() -> None:
            now_s = self._door.clock.wall_us() // 1_000_000
            await shake.run(address, port, roots, now_s, self._count)

        seen: Seen | None = None
        try:
            seen = await self._step(Operation.QUIC_HANDSHAKE, on, endpoint).take(
                work,
                self._door.config.quic_s,
                lambda: {"udp": Udp(address=address, port=port), "tls": shake.facts()},
            )
        finally:
            if shake.wire is not None and (seen is None or not seen.ok):
                shake.wire.close()
        return seen, RealQuic(seen, shake.wire) if seen.ok and shake.wire else None

    async def http3(
        self, connection: QuicConnection, url: str, *, body_limit: int = MAX_BODY
    ) -> Seen:
        """Also raises ValueError when `url` cannot be asked for."""
        if not isinstance(connection, RealQuic):
            raise TypeError("a connection that this net did not open")
        try:
            exchange = Http3Exchange(connection.wire, url)
            return await self._page(exchange, connection.seen, body_limit)
        finally:
            connection.close()

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
        """Also raises ValueError when `address` is a name, or `send` unknown."""
        ipaddress.ip_address(address)
        barred = self._barred(address, on, Operation.HOP)
        if barred is not None:
            return barred
        probe = HopProbe(
            ttl=ttl,
            send=send,
            payload=payload_of(send, name, self._door.rng),
            own=self._scrub.addresses,
        )
        self._raw = self._raw or RawLine(self._door.raw)
        helper, timeout_s = await self._raw.helper(), self._door.config.hop_s
        where: Facts = (
            {"udp": Udp(address=address, port=port)}
            if send == "dns"
            else {"tcp": Tcp(address=address, port=port)}
        )
        return await self._step(Operation.HOP, on, endpoint).take(
            lambda: probe.run(helper, address, port, timeout_s),
            3 * timeout_s + _GRACE_S,
            lambda: {**where, "hop": probe.facts()},
        )

    async def tor(self, bridges: tuple[str, ...] = (), *, endpoint: str = "") -> Seen:
        start = bootstrap(bridges)
        return await self._step(Operation.EXCHANGE, None, endpoint).take(
            lambda: start.run(self._count),
            self._door.config.tor_s,
            lambda: {"exchange": start.facts()},
        )

    def random(self, size: int) -> bytes:
        return self._door.rng.randbytes(size)

    def wall_us(self) -> int:
        return self._door.clock.wall_us()

    async def close(self) -> None:
        if self._raw is not None:
            await self._raw.close()

    async def _page(self, exchange: Exchange | Http3Exchange, on: Seen, body_limit: int) -> Seen:
        """Head and body, an observation each."""
        config, endpoint = self._door.config, on.observation.endpoint
        trip = await self._step(Operation.HTTP_ROUND_TRIP, on, endpoint).take(
            exchange.round_trip, config.http_s, lambda: {"http": exchange.head()}
        )
        if not trip.ok or not exchange.has_body:
            return trip
        return await self._step(Operation.READ_BODY, trip, endpoint).take(
            lambda: exchange.read_body(body_limit),
            config.body_s,
            lambda: {"http": exchange.whole(body_limit)},
        )

    def _asking(self, lookup: Lookup, linger: Linger) -> Callable[[], Awaitable[None]]:
        """How `lookup` is to be made. Raises ValueError before anything is sent."""
        door, config = self._door, self._door.config
        if lookup.engine not in ENGINES:
            raise ValueError(f"engine: {lookup.engine!r} is none of {', '.join(ENGINES)}")
        # Made here for every engine, so that the library is loaded before the step's clock runs.
        question = Question(lookup.name, lookup.query_type, door.rng)
        if lookup.engine == "system":
            return lambda: door.system.look_up(lookup, config.dns_s, self._count)

        if lookup.engine in ("dot", "doh"):
            return self._asking_in_private(lookup, question)
        server = host_port(lookup.resolver, "resolver")
        if door.bars(server[0]):
            raise BarredError

        async def by_server() -> None:
            if lookup.engine == "udp":
                reply = await ask(question, server, config.dns_s, self._count, linger)
            else:
                reply = await ask_tcp(question, server, config.dns_s, self._count)
            lookup.settle(reply)

        return by_server

    def _asking_in_private(
        self, lookup: Lookup, question: Question
    ) -> Callable[[], Awaitable[None]]:
        """DNS over TLS or HTTPS. Raises ValueError when there can be no such resolver."""
        door, url = self._door, lookup.resolver
        server = name_port(url, "resolver") if lookup.engine == "dot" else None

        async def work() -> None:
            roots, now_s = door.trust.roots(""), door.clock.wall_us() // 1_000_000
            rest = (door.system, roots, now_s, self._count, door.bars)
            if server is None:
                reply = await ask_doh(question, url, *rest)
            else:
                reply = await ask_dot(question, server, *rest)
            lookup.settle(reply)

        return work

    def _barred(self, address: str, on: Seen | None, operation: Operation) -> Seen | None:
        """What stands for a step to an address where none may go: no observation, for none was
        made. Where a lookup led there, that lookup says so; else raises BarredError."""
        if not self._door.bars(address):
            return None
        if on is None:
            raise BarredError
        seen = Observation(
            operation=operation,
            started_us=self._trace.elapsed_us(),
            duration_us=0,
            failure=Failure.DNS_BOGON_ERROR,
        )
        return Seen(on.index, seen)

    def _step(self, operation: Operation, on: Seen | None, endpoint: str) -> Step:
        return Step(self._trace, self._scrub, operation, on, endpoint)

    def _count(self, size: int) -> None:
        self._trace.bytes_moved += size


def _stream(seen: Seen, reader: Reader | None, writer: Writer | None) -> Stream | None:
    """A handle only for a step that went well: what opened as its deadline struck is dropped."""
    if reader is None or writer is None:
        return None
    stream = Stream(seen, reader, writer)
    if seen.ok:
        return stream
    stream.close()
    return None
