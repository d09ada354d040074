"""Look up one name by the system, or by a server over UDP, TCP, TLS or HTTPS.

DNS over TLS follows RFC 7858, DNS over HTTPS RFC 8484 (POST over a separate connection). The
system resolver looks up the name of an encrypted resolver; a literal address avoids that lookup.
A failure on the way to such a resolver (a reset, a certificate) is the failure of the lookup.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

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
from heliograph_agent.net.tcp import CountBytes, open_tcp
from heliograph_agent.net.tls.step import TlsHandshake
from heliograph_agent.net.tls.trust_store import Roots
from heliograph_agent.net.trace import ByteReader, ByteWriter

ENGINES = ("system", "udp", "tcp", "dot", "doh")
_MAX_REPLY = 65_535
_TYPE = "application/dns-message"
_HEADERS = {"Accept": _TYPE, "Content-Type": _TYPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsEngines:
    """Create lookups by engine; hold what all lookups share."""

    query_timeout_s: float
    clock: Clock
    rng: Random
    system_resolver: SystemResolver
    load_roots: Callable[[], Roots]
    is_forbidden: Callable[[str], bool]

    def make_lookup_work(
        self, lookup: Lookup, linger: Linger, count_bytes: CountBytes
    ) -> Callable[[], Awaitable[None]]:
        """Return the coroutine function that performs `lookup`.

        Raises ValueError before anything is sent: an unknown engine or resolver, a bad name.
        """
        if lookup.engine not in ENGINES:
            raise ValueError(f"engine: {lookup.engine!r} is none of {', '.join(ENGINES)}")
        # Created here for every engine, so that the library is loaded before the step's clock
        # starts.
        question = DnsQuestion(lookup.name, lookup.query_type, self.rng)
        if lookup.engine == "system":
            return lambda: self.system_resolver.resolve(lookup, self.query_timeout_s, count_bytes)
        if lookup.engine in ("dot", "doh"):
            return self._make_encrypted_work(lookup, question, count_bytes)
        server = parse_host_port(lookup.resolver, "resolver")
        if self.is_forbidden(server[0]):
            raise ForbiddenAddressError

        async def query_server() -> None:
            timeout_s = self.query_timeout_s
            if lookup.engine == "udp":
                reply = await ask_server(question, server, timeout_s, count_bytes, linger)
            else:
                reply = await ask_tcp(question, server, timeout_s, count_bytes)
            lookup.set_reply(reply)

        return query_server

    def _make_encrypted_work(
        self, lookup: Lookup, question: DnsQuestion, count_bytes: CountBytes
    ) -> Callable[[], Awaitable[None]]:
        """Create a lookup over TLS or HTTPS. Raises ValueError for a bad resolver."""
        url = lookup.resolver
        server = parse_name_port(url, "resolver") if lookup.engine == "dot" else None

        async def query_resolver() -> None:
            roots = self.load_roots()
            now_s = self.clock.wall_us() // 1_000_000
            common_args = (self.system_resolver, roots, now_s, count_bytes, self.is_forbidden)
            if server is None:
                reply = await ask_doh(question, url, *common_args)
            else:
                reply = await ask_dot(question, server, *common_args)
            lookup.set_reply(reply)

        return query_resolver


async def ask_dot(
    question: DnsQuestion,
    server: tuple[str, int],
    system_resolver: SystemResolver,
    roots: Roots,
    now_s: int,
    count: CountBytes,
    is_forbidden: Callable[[str], bool] = lambda _: False,
) -> DnsResponse:
    """Send a question over DNS over TLS.

    The certificate must match `server` as given: its name, which the system resolver looks up,
    or its address. With an address the ClientHello has no server name. The caller bounds the
    wait. Raises OSError, EOFError or StepError; ForbiddenAddressError for a resolver whose
    address no test may contact.
    """
    host, port = server
    address = parse_literal(host) or await resolve_address(host, system_resolver, count)
    if is_forbidden(address):
        raise ForbiddenAddressError
    connection = await open_tcp(address, port, count)
    try:
        tls_handshake = TlsHandshake(server_name=host, alpn=())
        reader = await tls_handshake.run(connection, roots, now_s)
        return await ask_stream(question, reader, tls_handshake.writer)
    finally:
        connection.transport.abort()


async def ask_doh(
    question: DnsQuestion,
    url: str,
    system_resolver: SystemResolver,
    roots: Roots,
    now_s: int,
    count: CountBytes,
    is_forbidden: Callable[[str], bool] = lambda _: False,
) -> DnsResponse:
    """Send a question over DNS over HTTPS. The caller bounds the wait.

    Raises OSError, EOFError or StepError; ValueError when `url` is not an https URL;
    ForbiddenAddressError for a resolver whose address no test may contact.
    """
    host, port = parse_https_host_port(url, "resolver")
    address = parse_literal(host) or await resolve_address(host, system_resolver, count)
    if is_forbidden(address):
        raise ForbiddenAddressError
    connection = await open_tcp(address, port, count)
    try:
        tls_handshake = TlsHandshake(server_name=host)
        reader = await tls_handshake.run(connection, roots, now_s)
        return await _post_question(question, url, reader, tls_handshake.writer)
    finally:
        connection.transport.abort()


async def _post_question(
    question: DnsQuestion, url: str, reader: ByteReader, writer: ByteWriter
) -> DnsResponse:
    exchange = Http1Exchange(
        reader,
        writer,
        url,
        method="POST",
        headers=_HEADERS,
        content=question.with_id(0),
        keep_bytes=_MAX_REPLY,
    )
    await exchange.run_round_trip()
    await exchange.read_body(_MAX_REPLY)
    reply = question.parse_reply(bytes(exchange.body)) if exchange.status == 200 else None
    if reply is None:
        raise StepError(Failure.DNS_SERVER_MISBEHAVING)
    return reply
