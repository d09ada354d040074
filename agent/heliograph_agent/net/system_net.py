"""Implement Net on this machine: each method runs one step and records it."""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from random import Random

from heliograph.address import parse_host_port
from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import Observation, Tcp, Udp
from heliograph_agent.net import MAX_BODY, QuicConnection
from heliograph_agent.net.address_policy import AddressPolicy, ForbiddenAddressError
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.dns.engines import DnsEngines
from heliograph_agent.net.dns.system_resolver import Lookup, SystemResolver
from heliograph_agent.net.dns.transport import Linger
from heliograph_agent.net.http.http1 import Http1Exchange
from heliograph_agent.net.http.http3 import Http3Exchange
from heliograph_agent.net.local_addresses import OwnAddresses, own_networks
from heliograph_agent.net.probe_message import ProbeMessage
from heliograph_agent.net.protocol_exchange import MessageExchange
from heliograph_agent.net.quic.connection import (
    QuicHandshake,
    SystemQuicConnection,
    require_aioquic,
)
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import StepFacts, StepRecorder
from heliograph_agent.net.tcp import TcpConnection, open_tcp
from heliograph_agent.net.tls.step import TlsHandshake
from heliograph_agent.net.tls.trust_store import TrustStore
from heliograph_agent.net.tor import make_bootstrap
from heliograph_agent.net.trace import ByteReader, ByteStream, ByteWriter, StepResult, StepTrace
from heliograph_agent.net.traceroute.hop import HopProbe, SharedRawHelper, StartHelper, make_payload
from heliograph_agent.net.traceroute.raw_helper import start_raw_helper

__all__ = ["NetConfig", "SystemNet", "SystemNetFactory"]

_GRACE_S = 1.0  # for work with its own deadline to report its result


class SystemNetFactory:
    """Create nets that share settings, trust anchors and the random source."""

    def __init__(self, config: NetConfig, clock: Clock, rng: Random) -> None:
        """Create the shared parts. Raises ValueError, naming the key, for a bad setting."""
        self.config = config
        self.clock = clock
        self.rng = rng
        self.trust_store = TrustStore(config.ca_file)
        self.start_raw_helper: StartHelper = start_raw_helper
        self.system_resolver = SystemResolver(
            hosts_file=config.hosts_file,
            resolv_conf=config.resolv_conf,
            resolver=parse_host_port(config.resolver, "net.resolver") if config.resolver else None,
            rng=rng,
        )
        self._own_addresses = OwnAddresses(clock)
        self._address_policy = AddressPolicy(clock, own_networks)
        self.dns_engines = DnsEngines(
            query_timeout_s=config.dns_s,
            clock=clock,
            rng=rng,
            system_resolver=self.system_resolver,
            load_roots=lambda: self.trust_store.load_roots(""),
            is_forbidden=self.is_forbidden,
        )

    def is_forbidden(self, literal: str) -> bool:
        """Tell whether no test may contact this address."""
        return not self.config.local_targets and self._address_policy(literal)

    def bind(self, trace: StepTrace) -> "SystemNet":
        return SystemNet(self, trace, self._own_addresses.get_scrubber())


class SystemNet:
    """Implement `Net` over the sockets of this machine."""

    def __init__(self, factory: SystemNetFactory, trace: StepTrace, scrubber: Scrubber) -> None:
        self._factory = factory
        self._trace = trace
        self._scrubber = scrubber
        self._shared_helper: SharedRawHelper | None = None

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
        """Implement `Net.resolve`.

        Also raises ValueError for an unknown engine, a bad resolver or a bad name.
        """
        if not name:
            raise ValueError("an empty name cannot be asked for")
        if engine == "doh":
            resolver = resolver or next(iter(self._factory.config.doh), "")
        lookup = Lookup(
            name=name, query_type=query_type, engine=engine, resolver=resolver, coarse=coarse
        )
        linger = Linger(seconds=linger_s, elapsed_us=self._trace.elapsed_us, later=lookup.later)
        return await self._recorder(Operation.RESOLVE, None, endpoint).run(
            self._factory.dns_engines.make_lookup_work(lookup, linger, self._count_bytes),
            self._factory.config.resolve_s + linger_s,
            lambda: {"dns": lookup.facts()},
            lambda: linger.listened_us,
        )

    async def connect(
        self, address: str, port: int, *, on: StepResult | None = None, endpoint: str = ""
    ) -> tuple[StepResult, ByteStream | None]:
        """Implement `Net.connect`. Also raises ValueError when `address` is a name."""
        connection: TcpConnection | None = None

        async def work() -> None:
            nonlocal connection
            connection = await open_tcp(address, port, self._count_bytes)

        forbidden = self._check_address(address, on, Operation.CONNECT)
        if forbidden is not None:
            return forbidden, None
        facts: StepFacts = {"tcp": Tcp(address=address, port=port)}
        recorder = self._recorder(Operation.CONNECT, on, endpoint)
        result = await recorder.run(work, self._factory.config.connect_s, lambda: facts)
        return result, _make_stream(
            result, None if connection is None else connection.receive_buffer, connection
        )

    async def handshake(
        self,
        stream: ByteStream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = ("http/1.1",),
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

        async def work() -> None:
            nonlocal plaintext
            now_s = self._factory.clock.wall_us() // 1_000_000
            plaintext = await tls_handshake.run(connection, roots, now_s)

        recorder = self._recorder(
            Operation.TLS_HANDSHAKE, stream.step_result, stream.step_result.observation.endpoint
        )
        try:
            result = await recorder.run(
                work, self._factory.config.tls_s, lambda: {"tls": tls_handshake.facts()}
            )
        finally:
            if plaintext is None:
                stream.close()
        return result, _make_stream(result, plaintext, tls_handshake.session)

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
        try:
            exchange = Http1Exchange(
                stream.reader,
                stream.writer,
                url,
                method=method,
                headers=headers,
                in_clear=stream.step_result.observation.tls is None,
                elapsed_us=self._trace.elapsed_us if watch else None,
            )
            result = await self._read_page(exchange, stream.step_result, body_limit)
            return replace(result, cookies=exchange.cookies) if exchange.cookies else result
        finally:
            stream.close()

    async def exchange(self, stream: ByteStream, message: ProbeMessage) -> StepResult:
        message_exchange = MessageExchange(message)
        recorder = self._recorder(
            message_exchange.operation, stream.step_result, stream.step_result.observation.endpoint
        )
        try:
            return await recorder.run(
                lambda: message_exchange.run_over_stream(stream.reader, stream.writer),
                self._factory.config.exchange_s,
                message_exchange.step_facts,
            )
        finally:
            stream.close()

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
        forbidden = self._check_address(address, on, Operation.EXCHANGE)
        if forbidden is not None:
            return forbidden
        message_exchange = MessageExchange(message)
        deadline_s = self._factory.config.udp_s
        return await self._recorder(Operation.EXCHANGE, on, endpoint).run(
            lambda: message_exchange.run_in_datagram(address, port, deadline_s, self._count_bytes),
            deadline_s + _GRACE_S,
            lambda: {"udp": Udp(address=address, port=port), "exchange": message_exchange.facts()},
        )

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
        quic_handshake = QuicHandshake(server_name=server_name, alpn=alpn)

        async def work() -> None:
            now_s = self._factory.clock.wall_us() // 1_000_000
            await quic_handshake.run(address, port, roots, now_s, self._count_bytes)

        result: StepResult | None = None
        try:
            result = await self._recorder(Operation.QUIC_HANDSHAKE, on, endpoint).run(
                work,
                self._factory.config.quic_s,
                lambda: {"udp": Udp(address=address, port=port), "tls": quic_handshake.facts()},
            )
        finally:
            if quic_handshake.transport is not None and (result is None or not result.is_success):
                quic_handshake.transport.close()
        return result, SystemQuicConnection(
            result, quic_handshake.transport
        ) if result.is_success and quic_handshake.transport else None

    async def http3(
        self, connection: QuicConnection, url: str, *, body_limit: int = MAX_BODY
    ) -> StepResult:
        """Implement `Net.http3`. Also raises ValueError for a bad `url`."""
        if not isinstance(connection, SystemQuicConnection):
            raise TypeError("a connection that this net did not open")
        try:
            exchange = Http3Exchange(connection.transport, url)
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
        forbidden = self._check_address(address, on, Operation.HOP)
        if forbidden is not None:
            return forbidden
        probe = HopProbe(
            ttl=ttl,
            send=send,
            payload=make_payload(send, name, self._factory.rng),
            own_addresses=self._scrubber.addresses,
        )
        self._shared_helper = self._shared_helper or SharedRawHelper(self._factory.start_raw_helper)
        helper = await self._shared_helper.get_helper()
        timeout_s = self._factory.config.hop_s
        address_facts: StepFacts = (
            {"udp": Udp(address=address, port=port)}
            if send == "dns"
            else {"tcp": Tcp(address=address, port=port)}
        )
        return await self._recorder(Operation.HOP, on, endpoint).run(
            lambda: probe.run(helper, address, port, timeout_s),
            3 * timeout_s + _GRACE_S,
            lambda: {**address_facts, "hop": probe.facts()},
        )

    async def tor(self, bridges: tuple[str, ...] = (), *, endpoint: str = "") -> StepResult:
        tor_bootstrap = make_bootstrap(bridges)
        return await self._recorder(Operation.EXCHANGE, None, endpoint).run(
            lambda: tor_bootstrap.run(self._count_bytes),
            self._factory.config.tor_s,
            lambda: {"exchange": tor_bootstrap.facts()},
        )

    def random(self, size: int) -> bytes:
        return self._factory.rng.randbytes(size)

    def wall_us(self) -> int:
        return self._factory.clock.wall_us()

    async def close(self) -> None:
        if self._shared_helper is not None:
            await self._shared_helper.close()

    async def _read_page(
        self, exchange: Http1Exchange | Http3Exchange, on: StepResult, body_limit: int
    ) -> StepResult:
        """Read headers and body as one observation each."""
        config = self._factory.config
        endpoint = on.observation.endpoint
        round_trip = await self._recorder(Operation.HTTP_ROUND_TRIP, on, endpoint).run(
            exchange.run_round_trip, config.http_s, lambda: {"http": exchange.head_facts()}
        )
        if not round_trip.is_success or not exchange.has_body:
            return round_trip
        return await self._recorder(Operation.READ_BODY, round_trip, endpoint).run(
            lambda: exchange.read_body(body_limit),
            config.body_s,
            lambda: {"http": exchange.reply_facts(body_limit)},
        )

    def _check_address(
        self, address: str, on: StepResult | None, operation: Operation
    ) -> StepResult | None:
        """Return a failed result for a forbidden address, None for an allowed one.

        The result records no observation, because nothing was sent. After a lookup it refers to
        that lookup; without one, raises ForbiddenAddressError.
        """
        if not self._factory.is_forbidden(address):
            return None
        if on is None:
            raise ForbiddenAddressError
        observation = Observation(
            operation=operation,
            started_us=self._trace.elapsed_us(),
            duration_us=0,
            failure=Failure.DNS_BOGON_ERROR,
        )
        return StepResult(on.index, observation)

    def _recorder(self, operation: Operation, on: StepResult | None, endpoint: str) -> StepRecorder:
        return StepRecorder(self._trace, self._scrubber, operation, on, endpoint)

    def _count_bytes(self, size: int) -> None:
        self._trace.bytes_moved += size


def _make_stream(
    result: StepResult, reader: ByteReader | None, writer: ByteWriter | None
) -> ByteStream | None:
    """Create a handle for a successful step; close a connection that came too late."""
    if reader is None or writer is None:
        return None
    stream = ByteStream(result, reader, writer)
    if result.is_success:
        return stream
    stream.close()
    return None
