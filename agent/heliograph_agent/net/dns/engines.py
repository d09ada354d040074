"""Look up one name by the system, or by a server over UDP, TCP, TLS or HTTPS.

DNS over TLS follows RFC 7858, DNS over HTTPS RFC 8484 (POST over a separate connection). The
system resolver looks up the name of an encrypted resolver; a literal address avoids that lookup.
A failure on the way to such a resolver (a reset, a certificate) is the failure of the lookup. But
the system's answer for the resolver's own name is no answer to the question: where it denies that
name, or gives an address that is not public, the resolver is misbehaving, since nobody answered.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Protocol

from heliograph.address import (
    parse_host_port,
    parse_https_host_port,
    parse_literal,
    parse_name_port,
)
from heliograph.clock import Clock
from heliograph.failure import Failure
from heliograph_agent.net.address_policy import ForbiddenAddressError
from heliograph_agent.net.dns.message import DnsQuestion, DnsResponse
from heliograph_agent.net.dns.system_resolver import Lookup, SystemResolver, resolve_address
from heliograph_agent.net.dns.transport import Linger, ask_server, ask_stream, ask_tcp
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.http1 import Http1Exchange
from heliograph_agent.net.http.version_choice import choose_exchange
from heliograph_agent.net.tcp import TrafficMeter, open_tcp
from heliograph_agent.net.tls.openssl import TlsSession
from heliograph_agent.net.tls.step import TlsHandshake
from heliograph_agent.net.tls.trust_store import TrustStore
from heliograph_agent.net.trace import ByteReader

ENGINES = ("system", "udp", "tcp", "dot", "doh")
DOH_ALPN = ("h2", "http/1.1")  # RFC 8484 section 5.2 wants HTTP/2
_MAX_REPLY = 65_535
_DENIALS = (  # possible results of a lookup of the question itself
    Failure.DNS_NXDOMAIN_ERROR,
    Failure.DNS_NO_ANSWER,
    Failure.DNS_REFUSED_ERROR,
    Failure.DNS_SERVFAIL_ERROR,
    Failure.DNS_BOGON_ERROR,
)
_TYPE = "application/dns-message"
_HEADERS = {"Accept": _TYPE, "Content-Type": _TYPE}


class AddressPolicy(Protocol):
    """Declare which addresses no test may contact."""

    def is_forbidden(self, literal: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsEngines:
    """Prepare lookups by engine; hold what all lookups share."""

    query_timeout_s: float
    clock: Clock
    rng: Random
    system_resolver: SystemResolver
    trust_store: TrustStore
    policy: AddressPolicy

    def prepare_lookup(self, lookup: Lookup) -> "PreparedLookup":
        """Prepare a lookup, and load the library for it before the step's clock starts.

        Raises ValueError before anything is sent: an unknown engine or resolver, a bad name.
        """
        if lookup.engine not in ENGINES:
            raise ValueError(f"engine: {lookup.engine!r} is none of {', '.join(ENGINES)}")
        question = DnsQuestion(lookup.name, lookup.query_type, self.rng)
        server = ("", 0)
        if lookup.engine == "dot":
            server = parse_name_port(lookup.resolver, "resolver")
        elif lookup.engine in ("udp", "tcp"):
            server = parse_host_port(lookup.resolver, "resolver")
            if self.policy.is_forbidden(server[0]):
                raise ForbiddenAddressError
        return PreparedLookup(self, lookup, question, server)

    @asynccontextmanager
    async def open_tls(
        self, host: str, port: int, alpn: tuple[str, ...], meter: TrafficMeter
    ) -> AsyncIterator[tuple[ByteReader, TlsSession]]:
        """Connect to a resolver, whose certificate must match `host` as given.

        That is its name, which the system resolver looks up, or its address; with an address the
        ClientHello has no server name. Raises OSError, EOFError or StepError;
        ForbiddenAddressError for a resolver given by an address that no test may contact.
        """
        roots = self.trust_store.load_roots("")
        address = parse_literal(host)
        if address and self.policy.is_forbidden(address):
            raise ForbiddenAddressError
        address = address or await self._find_resolver(host, meter)
        connection = await open_tcp(address, port, meter)
        try:
            tls_handshake = TlsHandshake(server_name=host, alpn=alpn)
            now_s = self.clock.wall_us() // 1_000_000
            reader = await tls_handshake.run(connection, roots, now_s)
            yield reader, tls_handshake.writer
        finally:
            connection.transport.abort()

    async def _find_resolver(self, host: str, meter: TrafficMeter) -> str:
        try:
            address = await resolve_address(host, self.system_resolver, meter)
        except StepError as error:
            if error.failure not in _DENIALS:
                raise
            raise StepError(Failure.DNS_SERVER_MISBEHAVING) from error
        if self.policy.is_forbidden(address):
            raise StepError(Failure.DNS_SERVER_MISBEHAVING)
        return address


@dataclass(frozen=True, slots=True)
class PreparedLookup:
    """Perform one prepared lookup by its engine."""

    engines: DnsEngines
    lookup: Lookup
    question: DnsQuestion
    server: tuple[str, int]  # for udp, tcp and dot

    async def run(self, meter: TrafficMeter, linger: Linger) -> None:
        """Fill the lookup. The caller bounds the wait.

        Raises OSError, EOFError or StepError, and ValueError if the URL of a DoH resolver is not
        https.
        """
        lookup = self.lookup
        timeout_s = self.engines.query_timeout_s
        match lookup.engine:
            case "system":
                await self.engines.system_resolver.resolve(lookup, timeout_s, meter)
                return
            case "udp":
                reply = await ask_server(self.question, self.server, timeout_s, meter, linger)
            case "tcp":
                reply = await ask_tcp(self.question, self.server, timeout_s, meter)
            case "dot":
                async with self.engines.open_tls(*self.server, (), meter) as (reader, writer):
                    reply = await ask_stream(self.question, reader, writer)
            case _:
                host, port = parse_https_host_port(lookup.resolver, "resolver")
                async with self.engines.open_tls(host, port, DOH_ALPN, meter) as (reader, writer):
                    exchange = choose_exchange(writer.alpn)(
                        reader,
                        writer,
                        lookup.resolver,
                        method="POST",
                        headers=_HEADERS,
                        content=self.question.with_id(0),
                        keep_bytes=_MAX_REPLY,
                    )
                    reply = await _post_question(self.question, exchange)
        lookup.set_reply(reply)


async def _post_question(question: DnsQuestion, exchange: Http1Exchange) -> DnsResponse:
    await exchange.run_round_trip()
    await exchange.read_body(_MAX_REPLY)
    reply = question.parse_reply(bytes(exchange.body)) if exchange.status == 200 else None
    if reply is None:
        raise StepError(Failure.DNS_SERVER_MISBEHAVING)
    return reply
