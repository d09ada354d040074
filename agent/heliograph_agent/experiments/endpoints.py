"""Visit the endpoints of a service, step by step, to the last step of their kind."""

import asyncio
import base64
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlsplit

from heliograph.host_name import encode_host
from heliograph.plan import TLS_KINDS, UDP_KINDS, Endpoint, EndpointKind, Service
from heliograph_agent.experiments.experiment import BadTarget, CannotRun
from heliograph_agent.net import BROWSER_ALPN, HTTP1_ALPN, ByteStream, Net, ProbeMessage, StepResult
from heliograph_agent.protocols.messengers import (
    MTPROTO_RANDOM_BYTES,
    NOISE_RANDOM_BYTES,
    STUN_RANDOM_BYTES,
    BindingRequest,
    MtprotoHello,
    NoiseHello,
)

IPV4_TRIED = 2  # addresses of one name to connect to, in the order of the answers
IPV6_TRIED = 1
BODY_LIMIT = 4_096  # the answer matters, not its page
PORTS = {"http": 80, "https": 443}
_MESSAGES: Mapping[EndpointKind, Callable[[Net], ProbeMessage]] = {  # a new one each time
    EndpointKind.MTPROTO: lambda net: MtprotoHello(net.random(MTPROTO_RANDOM_BYTES), net.wall_us()),
    EndpointKind.NOISE: lambda net: NoiseHello(net.random(NOISE_RANDOM_BYTES)),
    EndpointKind.STUN: lambda net: BindingRequest(net.random(STUN_RANDOM_BYTES)),
}


@dataclass(frozen=True, slots=True)
class Address:
    """Hold an address literal and its lookup, None when the spec gave the address."""

    literal: str
    lookup: StepResult | None = None


def select_endpoints(service: Service, net: Net, *, light: bool) -> tuple[Endpoint, ...]:
    """Return the endpoints to visit: all, or one drawn by chance for a light check.

    Those that only the app's own order leads to are none (messengers.py).
    """
    if not light:
        return service.list_planned_endpoints()
    drawable = service.list_light_endpoints()
    index = int.from_bytes(net.random(4), "big") % max(1, len(drawable))
    return drawable[index : index + 1]


async def visit_endpoints(
    endpoints: Iterable[Endpoint],
    net: Net,
    concurrency: int,
    *,
    ipv4: int = IPV4_TRIED,
    until_answered: bool = False,
) -> frozenset[str]:
    """Visit each endpoint once, `concurrency` at a time; return ids that answered.

    No visit waits for another's success. Up to `ipv4` IPv4 addresses of a name are tried, and
    one of IPv6, with `until_answered` none after one that answers. An endpoint that this agent does
    not understand is skipped. Raises CannotRun when all are skipped.
    """
    semaphore = asyncio.Semaphore(concurrency)
    skipped: list[CannotRun] = []

    answered_ids: set[str] = set()

    async def visit_limited(endpoint: Endpoint) -> bool:
        async with semaphore:
            try:
                has_answered = await visit_endpoint(
                    endpoint, net, ipv4=ipv4, until_answered=until_answered
                )
            except CannotRun as error:
                skipped.append(error)
                return False
            if has_answered:
                answered_ids.add(endpoint.id)
            return True

    async with asyncio.TaskGroup() as group:
        visits = [group.create_task(visit_limited(e), name=f"visit {e.id}") for e in endpoints]
    if skipped and not any(task.result() for task in visits):
        raise skipped[0]
    return frozenset(answered_ids)


async def visit_endpoint(
    endpoint: Endpoint,
    net: Net,
    *,
    ipv4: int = IPV4_TRIED,
    until_answered: bool = False,
    is_resolved: asyncio.Event | None = None,
) -> bool:
    """Resolve the host (A and AAAA) unless addresses are given, and visit addresses.

    Return whether the last step of the kind worked at one. `is_resolved` is set before the first.
    At most `ipv4` IPv4 addresses and one IPv6 address are visited, with `until_answered` none after
    one that answers. Raises CannotRun when the endpoint, which comes from a collector, cannot be
    visited.
    """
    if not net.has_trust(endpoint.trust):
        raise CannotRun(f"{endpoint.id}: this agent has no CA set {endpoint.trust!r}.")
    host = parse_host(endpoint.host)
    if host is None:
        raise CannotRun(f"{endpoint.id}: {endpoint.host!r} is no host name and no address.")
    endpoint = endpoint if host == endpoint.host else replace(endpoint, host=host)
    addresses = tuple(map(Address, endpoint.addresses))
    if not addresses or net.list_visit_labels() is not None:
        addresses = await find_addresses(
            host, net, label=endpoint.id, ipv4=ipv4, resolver=endpoint.resolver
        )
    if is_resolved is not None and addresses:
        is_resolved.set()
    if endpoint.kind is EndpointKind.DNS:
        return bool(addresses)
    try:
        return await _visit_addresses(endpoint, addresses, net, until_answered=until_answered)
    except ValueError as error:  # a URL that HTTP cannot send, or a protocol not installed
        raise CannotRun(f"{endpoint.id}: {error}") from error


async def _visit_addresses(
    endpoint: Endpoint, addresses: Iterable[Address], net: Net, *, until_answered: bool
) -> bool:
    has_answered = False
    for address in addresses:
        has_answered |= await _run_steps(endpoint, address, net)
        if has_answered and until_answered:
            break
    return has_answered


async def find_addresses(
    host: str, net: Net, *, label: str = "", ipv4: int = IPV4_TRIED, resolver: str = ""
) -> tuple[Address, ...]:
    """Return a visit's addresses, `host` itself if it is one, or a resolver's answer.

    Without `resolver`, the URL of a DoH resolver, the system is asked.
    """
    visit_addresses = list_visit_addresses(net, label)
    if visit_addresses is not None:
        return visit_addresses
    if is_literal(host):
        return (Address(host),)
    engine = "doh" if resolver else "system"
    async with asyncio.TaskGroup() as group:
        a, aaaa = (
            group.create_task(
                net.resolve(
                    host, query_type=query_type, engine=engine, resolver=resolver, endpoint=label
                )
            )
            for query_type in ("A", "AAAA")
        )
    return (
        *extract_addresses(a.result(), ipv4),
        *extract_addresses(aaaa.result(), IPV6_TRIED),
    )


def list_visit_addresses(net: Net, label: str) -> tuple[Address, ...] | None:
    """Return the addresses of a visit, which looks nothing up; None outside visits."""
    literals = net.list_visit_addresses(label)
    return None if literals is None else tuple(Address(literal) for literal in literals)


def extract_addresses(result: StepResult, limit: int) -> tuple[Address, ...]:
    dns = result.observation.dns
    return tuple(Address(literal, result) for literal in (dns.addresses if dns else ())[:limit])


class open_stream:  # noqa: N801 - used like a function; a generator costs twice as much
    """Open one TCP connection for a block: `async with open_stream(…) as stream`.

    `stream` is None when the connection failed. It is closed at the end of the block.
    """

    __slots__ = ("_address", "_label", "_net", "_port", "_stream")

    def __init__(self, net: Net, address: Address, port: int, *, label: str = "") -> None:
        self._net = net
        self._address = address
        self._port = port
        self._label = label
        self._stream: ByteStream | None = None

    async def __aenter__(self) -> ByteStream | None:
        _, self._stream = await self._net.connect(
            self._address.literal, self._port, on=self._address.lookup, endpoint=self._label
        )
        return self._stream

    async def __aexit__(self, *error: object) -> None:
        if self._stream is not None:
            self._stream.close()


async def try_exchange(
    net: Net, address: Address, port: int, message: ProbeMessage, *, label: str
) -> None:
    """Connect by TCP, send one message and read its reply, and close."""
    async with open_stream(net, address, port, label=label) as stream:
        if stream is not None:
            await net.exchange(stream, message)


async def try_handshake(
    net: Net,
    address: Address,
    port: int,
    server_name: str,
    *,
    label: str = "",
    send_sni: bool = True,
    alpn: tuple[str, ...] = BROWSER_ALPN,
    trust: str = "",
) -> None:
    """Connect by TCP, make one TLS handshake, and close."""
    async with open_stream(net, address, port, label=label) as stream:
        if stream is not None:
            _, tls_stream = await net.handshake(
                stream, server_name, send_sni=send_sni, alpn=alpn, trust=trust
            )
            if tls_stream is not None:
                tls_stream.close()


def make_url(endpoint: Endpoint) -> str:
    """Build the URL of an HTTP endpoint, without the default port, as browsers do."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    scheme = "http" if endpoint.kind is EndpointKind.HTTP else "https"
    port = "" if endpoint.port == PORTS[scheme] else f":{endpoint.port}"
    return f"{scheme}://{host}{port}{endpoint.path}"


def websocket_headers(origin: str, random_bytes: bytes) -> Mapping[str, str]:
    """Build the headers that request a WebSocket (RFC 6455 section 4.1)."""
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Origin": origin,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(random_bytes).decode("ascii"),
    }


@lru_cache(maxsize=1_024)
def is_literal(host: str) -> bool:
    """Tell whether `host` is an IPv4 or IPv6 address instead of a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1_024)
def is_public(literal: str) -> bool:
    """Tell whether the address is a global one."""
    return ipaddress.ip_address(literal).is_global


@lru_cache(maxsize=1_024)
def parse_host(value: str) -> str | None:
    """Encode a host as queried; None when it is no name or address."""
    return value if is_literal(value) else encode_host(value)


@lru_cache(maxsize=1_024)
def parse_host_port(value: str, *, default_port: int | None = None) -> tuple[str, int]:
    """Parse `host:port`, `[address]:port` or a URL. Raises CannotRun."""
    if is_literal(value) and default_port is not None:
        return value, default_port
    try:
        parts = urlsplit(value if "://" in value else f"//{value}")
        host = parts.hostname
        port = parts.port or PORTS.get(parts.scheme, default_port)
    except ValueError:
        host = port = None
    host = parse_host(host or "")
    if not host or not port:
        raise BadTarget(f"{value!r} does not say where to: give HOST:PORT or [ADDRESS]:PORT.")
    return host, port


async def _run_steps(endpoint: Endpoint, address: Address, net: Net) -> bool:
    """Run the steps of an endpoint's kind until one fails; return whether none did."""
    peer = (address.literal, endpoint.port)
    if endpoint.kind is EndpointKind.QUIC:
        result, connection = await net.quic(
            *peer, endpoint.host, trust=endpoint.trust, on=address.lookup, endpoint=endpoint.id
        )
        if connection is not None:
            connection.close()
        return result.is_success
    if endpoint.kind in UDP_KINDS:
        message = _MESSAGES[endpoint.kind](net)
        result = await net.datagram(*peer, message, on=address.lookup, endpoint=endpoint.id)
        return result.is_success
    return await _run_tcp_steps(endpoint, address, net)


async def _run_tcp_steps(endpoint: Endpoint, address: Address, net: Net) -> bool:
    async with open_stream(net, address, endpoint.port, label=endpoint.id) as connection:
        stream = connection
        if stream is not None and endpoint.kind in TLS_KINDS:
            is_websocket = endpoint.kind is EndpointKind.WEBSOCKET
            alpn = endpoint.alpn or (HTTP1_ALPN if is_websocket else BROWSER_ALPN)
            _, stream = await net.handshake(stream, endpoint.host, alpn=alpn, trust=endpoint.trust)
        if stream is None:
            return False
        try:
            return await _run_last_step(endpoint, stream, net)
        finally:
            stream.close()


async def _run_last_step(endpoint: Endpoint, stream: ByteStream, net: Net) -> bool:
    result = stream.step_result
    if endpoint.kind in (EndpointKind.HTTP, EndpointKind.HTTPS):
        url = make_url(endpoint)
        result = await net.http(stream, url, method=endpoint.method, body_limit=BODY_LIMIT)
    elif endpoint.kind is EndpointKind.WEBSOCKET:
        headers = websocket_headers(f"https://{endpoint.host}", net.random(16))
        result = await net.http(stream, make_url(endpoint), headers=headers, body_limit=BODY_LIMIT)
    elif endpoint.kind in _MESSAGES:
        result = await net.exchange(stream, _MESSAGES[endpoint.kind](net))
    return result.is_success
