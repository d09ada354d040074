"""Find an open connection to an entrance whose server proves the pinned key.

A resolver may lie or keep silent, and a name in a ClientHello may bring a reset. So the addresses
of the system's resolver come first, then those of DNS over HTTPS, then those in the plan; each is
tried with the server name, then without. The trace records every step. Only the pin is trusted.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.address import parse_literal
from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange
from heliograph.plan import Entrance
from heliograph_agent.net import ByteStream, Net, StepResult, StepTrace
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import Step, StepFacts
from heliograph_agent.net.tcp import TcpConnection, open_tcp
from heliograph_agent.net.tls.openssl import TlsSession
from heliograph_agent.uplink import proxy as proxies
from heliograph_agent.uplink.proxy import Proxy
from heliograph_agent.uplink.transports import Reason, UplinkError

MAX_ADDRESSES = 6  # addresses that are tried for one entrance
MAX_DOH = 2  # resolvers that are queried
PROXY_S = 20.0  # for a proxy to connect, because Tor is slow
_PROXY_PROTOCOLS = {"socks5": "socks5", "http": "http_connect"}


@dataclass(frozen=True, slots=True)
class PinnedConnection:
    """Hold an open connection to a server that proved the pinned key."""

    stream: ByteStream
    address: str  # the IP address, or the destination requested from the proxy
    name: str  # in the ClientHello, "" for none
    certificate: bytes  # DER
    is_default: bool  # by the system's address and the first name


class AddressGuard(Protocol):
    """Declare which addresses may not be dialed."""

    def is_local_address(self, host: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Dialer:
    """Dial entrances and record steps in `trace`; a `proxy` also looks names up."""

    net: Net
    trace: StepTrace
    scrubber: Scrubber
    pin: bytes  # SHA-256 of the SubjectPublicKeyInfo
    doh: Sequence[str] = ()
    proxy: Proxy | None = None
    guard: AddressGuard | None = None

    async def connect(self, entrance: Entrance) -> PinnedConnection:
        """Return the first connection with the pinned key; the caller closes its stream.

        Raises UplinkError: `unreachable`, or `pin_mismatch` when another server answered.
        """
        reason = Reason.UNREACHABLE
        attempts = 0
        names = _candidate_names(entrance)
        async for address, is_default in self._iter_addresses(entrance):
            if self.guard is not None and self.guard.is_local_address(address):
                continue
            for name in names:
                stream, is_stranger = await self._try_handshake(address, entrance.port, name)
                if stream is not None:
                    is_plain = is_default and name == names[0]
                    certificate = _leaf_certificate(stream)
                    return PinnedConnection(stream, address, name, certificate, is_plain)
                if is_stranger is None:
                    break  # nothing answers at this address, so no name can help
                reason = Reason.PIN_MISMATCH if is_stranger else reason
            attempts += 1
            if attempts >= MAX_ADDRESSES:
                break
        raise UplinkError(reason)

    async def dial_proxy(self, host: str, port: int) -> tuple[StepResult, TcpConnection | None]:
        """Connect to `host` through the proxy in two steps, and return the last step."""
        proxy = self.proxy
        if proxy is None:
            raise RuntimeError("there is no proxy")
        connection: TcpConnection | None = None
        with self._make_step(Operation.CONNECT, None) as step:
            connection = await open_tcp(proxy.address, proxy.port, self.trace)
        if step.result.is_success and connection is not None:
            facts: StepFacts = {"exchange": Exchange(protocol=_PROXY_PROTOCOLS[proxy.scheme])}
            with self._make_step(Operation.EXCHANGE, step.result, facts) as step:
                await proxies.open_tunnel(proxy, connection, host, port)
        if connection is not None and not step.result.is_success:
            connection.transport.abort()
            connection = None
        return step.result, connection

    async def _iter_addresses(self, entrance: Entrance) -> AsyncIterator[tuple[str, bool]]:
        """Yield each address once, and whether the system's resolver gave it.

        Resolvers are queried as late as possible, because a connection that works needs no further
        one.
        """
        yielded: set[str] = set()
        if self.proxy is not None or parse_literal(entrance.host):
            yielded.add(entrance.host)
            yield entrance.host, True
        else:
            async for address, is_default in self._resolve_addresses(entrance.host):
                if address not in yielded:
                    yielded.add(address)
                    yield address, is_default
        for address in entrance.addresses:
            if parse_literal(address) and address not in yielded:
                yield address, False

    async def _resolve_addresses(self, name: str) -> AsyncIterator[tuple[str, bool]]:
        doh = self.doh[:MAX_DOH] if "." in name else ()  # localhost goes to no remote resolver
        for engine, resolver in [("system", ""), *(("doh", url) for url in doh)]:
            for query_type in ("A", "AAAA"):
                result = await self.net.resolve(
                    name, query_type=query_type, engine=engine, resolver=resolver
                )
                answers = result.observation.dns.addresses if result.observation.dns else ()
                for address in answers:
                    yield address, engine == "system"
                if answers or result.observation.failure not in _NO_RECORD:
                    break

    async def _try_handshake(
        self, address: str, port: int, name: str
    ) -> tuple[ByteStream | None, bool | None]:
        """Return a pinned stream, or whether another server answered.

        The second value is None when nothing answered at all.
        """
        stream = await self._open_stream(address, port)
        if stream is None:
            return None, None
        result, tls_stream = await self.net.handshake(
            stream, name or address, send_sni=bool(name), trust="any"
        )
        if tls_stream is None:
            return None, False
        chain = result.observation.tls.chain if result.observation.tls else ()
        if chain and chain[0].spki_sha256 == self.pin.hex():
            return tls_stream, None
        tls_stream.close()
        self.trace.observations[result.index] = replace(
            result.observation, failure=Failure.SSL_UNKNOWN_AUTHORITY
        )
        return None, True

    async def _open_stream(self, address: str, port: int) -> ByteStream | None:
        if self.proxy is None:
            return (await self.net.connect(address, port))[1]
        result, connection = await self.dial_proxy(address, port)
        if connection is None:
            return None
        return ByteStream(result, connection.receive_buffer, connection)

    def _make_step(
        self, operation: Operation, on: StepResult | None, facts: StepFacts | None = None
    ) -> Step:
        return Step(self.trace, self.scrubber, operation, PROXY_S, on, "proxy", facts=facts or {})


_NO_RECORD = (Failure.DNS_NO_ANSWER,)  # without an A record there may be an AAAA record


def _candidate_names(entrance: Entrance) -> tuple[str, ...]:
    """Return the server names to try: the name if there is one, then none."""
    name = entrance.server_name or ("" if parse_literal(entrance.host) else entrance.host)
    return (name, "") if name else ("",)


def _leaf_certificate(stream: ByteStream) -> bytes:
    if not isinstance(stream.writer, TlsSession):
        raise TypeError("a stream that is not encrypted")
    return stream.writer.chain()[0]
