"""Implement Net on this machine: each method runs one step and records it."""

import ipaddress
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from random import Random

from heliograph.address import parse_host_port
from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.hello_profiles import HelloProfiles, get_requests, load_shipped_profiles
from heliograph.observation import Tcp, Udp
from heliograph_agent.net import BROWSER_ALPN, MAX_BODY, QuicConnection
from heliograph_agent.net.address_policy import ForbiddenAddressError
from heliograph_agent.net.browser.page import BrowserVisit
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.dns.engines import DnsEngines
from heliograph_agent.net.dns.system_resolver import Lookup, SystemResolver
from heliograph_agent.net.dns.transport import Linger
from heliograph_agent.net.http.http1 import Http1Exchange
from heliograph_agent.net.http.http3 import Http3Exchange
from heliograph_agent.net.http.version_choice import choose_exchange
from heliograph_agent.net.local_addresses import LocalMachine
from heliograph_agent.net.probe_message import ProbeMessage
from heliograph_agent.net.protocol_exchange import MessageExchange
from heliograph_agent.net.quic.connection import (
    QuicHandshake,
    SystemQuicConnection,
    require_aioquic,
)
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import FactSource, Step, StepFacts
from heliograph_agent.net.tcp import TcpConnection, open_tcp
from heliograph_agent.net.tls.step import TlsHandshake
from heliograph_agent.net.tls.trust_store import TrustStore
from heliograph_agent.net.tor import make_bootstrap
from heliograph_agent.net.trace import ByteStream, StepResult, StepTrace, make_stream
from heliograph_agent.net.traceroute.hop import HopProbe, SharedRawHelper, make_payload
from heliograph_agent.net.traceroute.raw_helper import COMMAND, RawHelper, start_raw_helper

__all__ = ["NetConfig", "SystemNet", "SystemNetFactory"]

Visited = Mapping[str, tuple[str, ...]] | None  # addresses of a visit, by endpoint
_GRACE_S = 1.0  # for work with its own deadline to report its result


class SystemNetFactory:
    """Create nets that share settings, trust anchors and the random source."""

    def __init__(self, config: NetConfig, clock: Clock, rng: Random) -> None:
        """Create the shared parts. Raises ValueError, naming the key, for a bad setting."""
        self.config = config
        self.clock = clock
        self.rng = rng
        self.trust_store = TrustStore(config.ca_file, config.roots)
        self.raw_command: Sequence[str] = COMMAND
        self.local_machine = LocalMachine(clock)
        self.hello_profiles: HelloProfiles | None = None  # None for the shipped edition
        self.dns_engines = DnsEngines(
            query_timeout_s=config.dns_s,
            clock=clock,
            rng=rng,
            system_resolver=SystemResolver(
                hosts_file=config.hosts_file,
                resolv_conf=config.resolv_conf,
                resolver=parse_host_port(config.resolver, "net.resolver")
                if config.resolver
                else None,
                rng=rng,
            ),
            trust_store=self.trust_store,
            policy=self,
        )

    def is_forbidden(self, literal: str) -> bool:
        """Tell whether no test may contact this address."""
        return not self.config.local_targets and self.local_machine.is_forbidden(literal)

    def start_raw_helper(self) -> AbstractAsyncContextManager[RawHelper]:
        return start_raw_helper(self.raw_command)

    def bind(self, trace: StepTrace, addresses: Visited = None) -> "SystemNet":
        """Make the net of one task; `addresses` are those of a visit, by endpoint."""
        return SystemNet(self, trace, self.local_machine.get_scrubber(), addresses)


class SystemNet:
    """Implement `Net` over the sockets of this machine."""

    def __init__(
        self, factory: SystemNetFactory, trace: StepTrace, scrubber: Scrubber, visited: Visited
    ) -> None:
        self._factory = factory
        self._config = factory.config
        self._trace = trace
        self._scrubber = scrubber
        self._addresses = visited
        self._shared_helper = SharedRawHelper(factory)

    @property
    def hello_profiles(self) -> HelloProfiles:
        return self._factory.hello_profiles or load_shipped_profiles()

    def has_trust(self, trust: str) -> bool:
        return self._factory.trust_store.has_set(trust)

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
        """Implement `Net.resolve`. Raises ValueError for a bad engine, resolver or name."""
        if not name:
            raise ValueError("an empty name cannot be asked for")
        if self._addresses is not None:
            raise ValueError("a visit looks nothing up")
        if engine == "doh":
            resolver = resolver or next(iter(self._config.doh), "")
        lookup = Lookup(
            name=name, query_type=query_type, engine=engine, resolver=resolver, coarse=coarse
        )
        prepared = self._factory.dns_engines.prepare_lookup(lookup)
        linger = Linger(seconds=linger_s, clock=self._factory.clock, later=lookup.later)
        deadline_s = self._config.resolve_s + linger_s
        with self.make_step(Operation.RESOLVE, deadline_s, None, endpoint, lookup) as step:
            try:
                await prepared.run(self._trace, linger)
            finally:
                step.idle_us = linger.listened_us
        return step.result

    async def connect(
        self, address: str, port: int, *, on: StepResult | None = None, endpoint: str = ""
    ) -> tuple[StepResult, ByteStream | None]:
        """Implement `Net.connect`. Also raises ValueError when `address` is a name."""
        forbidden = self._check_address(address, on, Operation.CONNECT)
        if forbidden is not None:
            return forbidden, None
        connection: TcpConnection | None = None
        facts: StepFacts = {"tcp": Tcp(address=address, port=port)}
        connect_s = self._config.connect_s
        with self.make_step(Operation.CONNECT, connect_s, on, endpoint, facts=facts) as step:
            connection = await open_tcp(address, port, self._trace)
        buffer = None if connection is None else connection.receive_buffer
        return step.result, make_stream(step.result, buffer, connection)

    async def handshake(
        self,
        stream: ByteStream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = BROWSER_ALPN,
        trust: str = "",
    ) -> tuple[StepResult, ByteStream | None]:
        """Implement `Net.handshake`; close `stream` on failure.

        Also raises ValueError when no CA set is named `trust`.
        """
        roots = self._factory.trust_store.select_roots(trust)
        tls_handshake = TlsHandshake(server_name=server_name, send_sni=send_sni, alpn=alpn)
        connection = stream.writer
        plaintext = None
        if not isinstance(connection, TcpConnection):
            raise TypeError("a stream that this net did not open, or that is encrypted already")
        step = self.make_step(
            Operation.TLS_HANDSHAKE, self._config.tls_s, stream.step_result, source=tls_handshake
        )
        try:
            with step:
                plaintext = await tls_handshake.run(connection, roots, self._now_s())
        finally:
            if plaintext is None:
                stream.close()
        return step.result, make_stream(step.result, plaintext, tls_handshake.session)

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
        """Implement `Net.http`. Also raises ValueError for a bad `url` or header."""
        tls = stream.step_result.observation.tls
        try:
            exchange = choose_exchange(tls.alpn if tls else "")(
                stream.reader,
                stream.writer,
                url,
                method=method,
                headers=headers,
                in_clear=tls is None,
                stopwatch=self._trace if watch else None,
                profile=get_requests(self.hello_profiles),
            )
            result = await self._read_page(exchange, stream.step_result, body_limit)
            return replace(result, cookies=exchange.cookies) if exchange.cookies else result
        finally:
            stream.close()

    async def browse(
        self, stream: ByteStream, url: str, *, browser: str, body_limit: int = MAX_BODY
    ) -> StepResult:
        visit = BrowserVisit(stream, url, browser, self.random(16))
        return await visit.run(self, self._config, body_limit)

    async def exchange(self, stream: ByteStream, message: ProbeMessage) -> StepResult:
        exchange = MessageExchange(message)
        step = self.make_step(
            exchange.operation, self._config.exchange_s, stream.step_result, source=exchange
        )
        try:
            with step:
                await exchange.run_over_stream(stream.reader, stream.writer)
        finally:
            stream.close()
        return step.result

    async def datagram(
        self,
        address: str,
        port: int,
        message: ProbeMessage,
        *,
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> StepResult:
        """Implement `Net.datagram`. Also raises ValueError when `address` is a name."""
        exchange = MessageExchange(message)
        operation = exchange.operation
        forbidden = self._check_address(address, on, operation)
        if forbidden is not None:
            return forbidden
        deadline_s = self._config.udp_s if operation is Operation.EXCHANGE else self._config.quic_s
        facts: StepFacts = {"udp": Udp(address=address, port=port)}
        whole_s = deadline_s + _GRACE_S
        with self.make_step(operation, whole_s, on, endpoint, exchange, facts) as step:
            await exchange.run_in_datagram(address, port, deadline_s, self._trace)
        return step.result

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
        """Implement `Net.quic`. Also raises ValueError for a name or an unknown CA set."""
        require_aioquic()
        forbidden = self._check_address(address, on, Operation.QUIC_HANDSHAKE)
        if forbidden is not None:
            return forbidden, None
        roots = self._factory.trust_store.select_roots(trust)
        handshake = QuicHandshake(server_name=server_name, alpn=alpn)
        facts: StepFacts = {"udp": Udp(address=address, port=port)}
        step = self.make_step(
            Operation.QUIC_HANDSHAKE, self._config.quic_s, on, endpoint, handshake, facts
        )
        is_open = False
        try:
            with step:
                await handshake.run(address, port, roots, self._now_s(), self._trace)
            is_open = step.result.is_success
        finally:
            if not is_open and handshake.transport is not None:
                handshake.transport.close()
        if is_open and handshake.transport is not None:
            return step.result, SystemQuicConnection(step.result, handshake.transport)
        return step.result, None

    async def http3(
        self, connection: QuicConnection, url: str, *, body_limit: int = MAX_BODY
    ) -> StepResult:
        """Implement `Net.http3`. Also raises ValueError for a bad `url`."""
        if not isinstance(connection, SystemQuicConnection):
            raise TypeError("a connection that this net did not open")
        try:
            exchange = Http3Exchange(connection.transport, url, get_requests(self.hello_profiles))
            return await self._read_page(exchange, connection.step_result, body_limit)
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
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> StepResult:
        """Implement `Net.hop`. Also raises ValueError for a name or an unknown `send`."""
        ipaddress.ip_address(address)
        if (forbidden := self._check_address(address, on, Operation.HOP)) is not None:
            return forbidden
        payload = make_payload(send, name, self._factory.rng)
        own_addresses = self._scrubber.addresses
        probe = HopProbe(ttl=ttl, send=send, payload=payload, own_addresses=own_addresses)
        helper = await self._shared_helper.get_helper()
        timeout_s = self._config.hop_s
        udp_facts: StepFacts = {"udp": Udp(address=address, port=port)}
        tcp_facts: StepFacts = {"tcp": Tcp(address=address, port=port)}
        facts = udp_facts if send == "dns" else tcp_facts
        with self.make_step(
            Operation.HOP, 3 * timeout_s + _GRACE_S, on, endpoint, probe, facts
        ) as step:
            await probe.run(helper, address, port, timeout_s)
        return step.result

    async def tor(self, bridges: tuple[str, ...] = (), *, endpoint: str = "") -> StepResult:
        bootstrap = make_bootstrap(bridges)
        deadline_s = self._config.tor_s
        with self.make_step(Operation.EXCHANGE, deadline_s, None, endpoint, bootstrap) as step:
            await bootstrap.run(self._trace)
        return step.result

    def list_visit_labels(self) -> tuple[str, ...] | None:
        return None if self._addresses is None else tuple(self._addresses)

    def list_visit_addresses(self, endpoint: str) -> tuple[str, ...] | None:
        return None if self._addresses is None else self._addresses.get(endpoint, ())

    def random(self, size: int) -> bytes:
        return self._factory.rng.randbytes(size)

    def wall_us(self) -> int:
        return self._factory.clock.wall_us()

    async def close(self) -> None:
        await self._shared_helper.close()

    async def _read_page(
        self, exchange: Http1Exchange | Http3Exchange, on: StepResult, body_limit: int
    ) -> StepResult:
        """Read headers and body as one observation each."""
        http_s = self._config.http_s
        with self.make_step(Operation.HTTP_ROUND_TRIP, http_s, on, source=exchange) as step:
            await exchange.run_round_trip()
        if not step.result.is_success or not exchange.has_body:
            return step.result
        body_s = self._config.body_s
        with self.make_step(Operation.READ_BODY, body_s, step.result, source=exchange) as step:
            await exchange.read_body(body_limit)
        return step.result

    def _check_address(
        self, address: str, on: StepResult | None, operation: Operation
    ) -> StepResult | None:
        """Return a failed result for a forbidden address, None for an allowed one.

        The result records no observation, because nothing was sent. After a lookup it refers to
        that lookup; without one, raises ForbiddenAddressError. A visit may contact its own
        addresses alone.
        """
        is_elsewhere = self._addresses is not None and not any(
            address in addresses for addresses in self._addresses.values()
        )
        if not is_elsewhere and not self._factory.is_forbidden(address):
            return None
        if on is None:
            raise ForbiddenAddressError
        return self._trace.make_unsent(on, operation, Failure.DNS_BOGON_ERROR)

    def make_step(
        self,
        operation: Operation,
        deadline_s: float,
        on: StepResult | None,
        endpoint: str | None = None,
        source: FactSource | None = None,
        facts: StepFacts | None = None,
    ) -> Step:
        """Make a step; without `endpoint` it has that of the step `on` which it depends."""
        if endpoint is None:
            endpoint = on.observation.endpoint if on is not None else ""
        return Step(
            self._trace, self._scrubber, operation, deadline_s, on, endpoint, source, facts or {}
        )

    def _now_s(self) -> int:
        return self._factory.clock.wall_us() // 1_000_000
