"""Visits the endpoints of a service: each from the bottom up, to the last step its kind names."""

import asyncio
import base64
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from heliograph.plan import Endpoint, EndpointKind
from heliograph.services import TRUSTS
from heliograph_agent.experiments.experiment import CannotRun
from heliograph_agent.net import Net, Seen, Speech, Stream
from heliograph_agent.protocols import mtproto, noise, stun

IPV4_TRIED = 2  # addresses of one name that are connected to, in the order answered
IPV6_TRIED = 1
BODY_LIMIT = 4_096  # that an endpoint answers is the fact; its page is not read
PORTS = {"http": 80, "https": 443}
MAX_URL = 2_048  # characters
_IN_TLS = (EndpointKind.TLS, EndpointKind.HTTPS, EndpointKind.WEBSOCKET)
_SAFE = "%!$&'()*+,-./:;=?@_~[]"  # stands in a URL as it is
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """An address literal and the lookup that gave it, None when it was given by the spec."""

    literal: str
    on: Seen | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A URL taken apart, as it is sent, and the label of the steps that it takes."""

    url: str
    scheme: str
    host: str
    port: int
    label: str = ""


async def visit_all(
    endpoints: Iterable[Endpoint], net: Net, concurrency: int, *, ipv4: int = IPV4_TRIED
) -> None:
    """Each endpoint once, at most `concurrency` at a time; none waits for another's success.

    Up to `ipv4` IPv4 addresses of a name are tried, and one of IPv6.
    An endpoint that this agent does not understand is left out. Raises CannotRun when all are.
    """
    gate = asyncio.Semaphore(concurrency)
    left_out: list[CannotRun] = []

    async def one(endpoint: Endpoint) -> bool:
        async with gate:
            try:
                await visit(endpoint, net, ipv4=ipv4)
            except CannotRun as problem:
                left_out.append(problem)
                return False
            return True

    async with asyncio.TaskGroup() as group:
        visits = [group.create_task(one(e), name=f"visit {e.id}") for e in endpoints]
    if left_out and not any(visit.result() for visit in visits):
        raise left_out[0]


async def visit(endpoint: Endpoint, net: Net, *, ipv4: int = IPV4_TRIED) -> None:
    """Resolve (A and AAAA, where the host is a name), then every address up to a small cap.

    Raises CannotRun when the endpoint, which a collector may have written, cannot be asked.
    """
    if endpoint.trust not in TRUSTS:
        raise CannotRun(f"{endpoint.id}: this agent ships no CA set {endpoint.trust!r}.")
    if host_of(endpoint.host) is None:
        raise CannotRun(f"{endpoint.id}: {endpoint.host!r} is no host name and no address.")
    addresses = await find(endpoint.host, net, label=endpoint.id, ipv4=ipv4)
    if endpoint.kind is EndpointKind.DNS:
        return
    for address in addresses:
        try:
            await _climb(endpoint, address, net)
        except ValueError as error:  # what HTTP has no way to say, or a protocol not installed
            raise CannotRun(f"{endpoint.id}: {error}") from error


async def find(
    host: str, net: Net, *, label: str = "", ipv4: int = IPV4_TRIED
) -> tuple[Address, ...]:
    """The addresses to try: `host` itself when it is a literal, else what the system resolves."""
    if is_literal(host):
        return (Address(host),)
    async with asyncio.TaskGroup() as group:
        four = group.create_task(net.resolve(host, query_type="A", endpoint=label))
        six = group.create_task(net.resolve(host, query_type="AAAA", endpoint=label))
    return (*addresses_of(four.result(), ipv4), *addresses_of(six.result(), IPV6_TRIED))


def addresses_of(seen: Seen, limit: int) -> tuple[Address, ...]:
    """The first `limit` addresses that a lookup gave."""
    dns = seen.observation.dns
    return tuple(Address(literal, seen) for literal in (dns.addresses if dns else ())[:limit])


class connected:  # noqa: N801 - it is used as the function that it could be, at twice the price
    """`async with connected(…) as stream`: one TCP connection, None when it failed, dropped at the
    end of the block."""

    __slots__ = ("_address", "_label", "_net", "_port", "_stream")

    def __init__(self, net: Net, address: Address, port: int, *, label: str = "") -> None:
        self._net, self._address, self._port, self._label = net, address, port, label
        self._stream: Stream | None = None

    async def __aenter__(self) -> Stream | None:
        _, self._stream = await self._net.connect(
            self._address.literal, self._port, on=self._address.on, endpoint=self._label
        )
        return self._stream

    async def __aexit__(self, *error: object) -> None:
        if self._stream is not None:
            self._stream.close()


def url_of(endpoint: Endpoint) -> str:
    """The URL that an endpoint is asked for by HTTP; the usual port is left out, as browsers do."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    scheme = "http" if endpoint.kind is EndpointKind.HTTP else "https"
    port = "" if endpoint.port == PORTS[scheme] else f":{endpoint.port}"
    return f"{scheme}://{host}{port}{endpoint.path}"


def upgrade(origin: str, chance: bytes) -> Mapping[str, str]:
    """The headers that ask for a WebSocket (RFC 6455 section 4.1), from a page of `origin`."""
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Origin": origin,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(chance).decode("ascii"),
    }


@lru_cache(maxsize=1_024)
def page_of(url: str, label: str = "") -> Page | None:
    """None when it is not an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        host, port = host_of(parts.hostname or ""), parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not host or len(url) > MAX_URL:
        return None
    port = port or PORTS[parts.scheme]
    return Page(_sendable(parts, host, port), parts.scheme, host, port, label)


def _sendable(parts: SplitResult, host: str, port: int) -> str:
    """The URL with its host in IDNA, its odd characters escaped, and no fragment or login."""
    place = f"[{host}]" if ":" in host else host
    return urlunsplit(
        (
            parts.scheme,
            place if port == PORTS[parts.scheme] else f"{place}:{port}",
            quote(parts.path, safe=_SAFE) or "/",
            quote(parts.query, safe=_SAFE),
            "",
        )
    )


@lru_cache(maxsize=1_024)
def is_literal(host: str) -> bool:
    """Whether `host` is an IPv4 or IPv6 address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1_024)
def is_public(literal: str) -> bool:
    """Whether the address belongs to the Internet, and to no network of this place."""
    return ipaddress.ip_address(literal).is_global


@lru_cache(maxsize=1_024)
def host_of(text: str) -> str | None:
    """`text` as it is asked for, IDNA included; None when it is neither a name nor an address."""
    if is_literal(text):
        return text
    try:
        name = text.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        return None
    return name if _NAME.fullmatch(name) else None


@lru_cache(maxsize=1_024)
def host_and_port(text: str, *, default_port: int | None = None) -> tuple[str, int]:
    """`host:port`, `[address]:port` or a URL taken apart. Raises CannotRun."""
    if is_literal(text) and default_port is not None:
        return text, default_port
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, default_port)
    except ValueError:
        host = port = None
    host = host_of(host or "")
    if not host or not port:
        raise CannotRun(f"{text!r} does not say where to: give HOST:PORT or [ADDRESS]:PORT.")
    return host, port


async def _climb(endpoint: Endpoint, address: Address, net: Net) -> None:
    """From the bottom to the last step that the kind names, or to the one that failed."""
    where = (address.literal, endpoint.port)
    if endpoint.kind is EndpointKind.STUN:
        speech = stun.Binding(net.random(stun.CHANCE))
        await net.datagram(*where, speech, on=address.on, endpoint=endpoint.id)
    elif endpoint.kind is EndpointKind.QUIC:
        _, connection = await net.quic(
            *where, endpoint.host, trust=endpoint.trust, on=address.on, endpoint=endpoint.id
        )
        if connection is not None:
            connection.close()
    else:
        await _climb_tcp(endpoint, address, net)


async def _climb_tcp(endpoint: Endpoint, address: Address, net: Net) -> None:
    async with connected(net, address, endpoint.port, label=endpoint.id) as plain:
        stream = plain
        if stream is not None and endpoint.kind in _IN_TLS:
            _, stream = await net.handshake(stream, endpoint.host, trust=endpoint.trust)
        if stream is None:
            return
        try:
            await _ask(endpoint, stream, net)
        finally:
            stream.close()


async def _ask(endpoint: Endpoint, stream: Stream, net: Net) -> None:
    """The last step, where there is one above the connection."""
    if endpoint.kind in (EndpointKind.HTTP, EndpointKind.HTTPS):
        url = url_of(endpoint)
        await net.http(stream, url, method=endpoint.method, body_limit=BODY_LIMIT)
    elif endpoint.kind is EndpointKind.WEBSOCKET:
        headers = upgrade(f"https://{endpoint.host}", net.random(16))
        await net.http(stream, url_of(endpoint), headers=headers, body_limit=BODY_LIMIT)
    elif (speech := _speech(endpoint.kind, net)) is not None:
        await net.exchange(stream, speech)


def _speech(kind: EndpointKind, net: Net) -> Speech | None:
    if kind is EndpointKind.MTPROTO:
        return mtproto.Hello(net.random(mtproto.CHANCE), net.wall_us())
    if kind is EndpointKind.NOISE:
        return noise.ClientHello(net.random(noise.CHANCE))
    return None
