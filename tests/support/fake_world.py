"""The answers of a FakeNet's world, and the facts that a step gets from them."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Arrival,
    Dns,
    DnsAnswer,
    DnsReply,
    Exchange,
    Hop,
    Http,
    Tls,
)

_DNS_RCODES = {
    Failure.DNS_NXDOMAIN_ERROR: 3, Failure.DNS_REFUSED_ERROR: 5, Failure.DNS_SERVFAIL_ERROR: 2,
    Failure.DNS_NO_ANSWER: 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A reply; `failure` is that of the body (http_truncated_body, …)."""

    status: int = 200
    title: str = ""
    server: str = "fake"
    location: str = ""
    body_bytes: int = 100
    body_sha256: str = "00" * 32
    truncated: bool = False
    failure: Failure | None = None
    text: str = ""
    header_names: tuple[str, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    cookies: tuple[str, ...] = ()  # Set-Cookie lines


@dataclass(slots=True, kw_only=True)
class World:
    """Scripted answers; keys of `names` are a name or engine:name (doh:x.test)."""

    names: dict[str, tuple[str, ...] | Failure] = field(default_factory=dict)
    ports: dict[tuple[str, int], Failure | None] = field(default_factory=dict)
    handshakes: dict[str, Failure | Tls | None] = field(default_factory=dict)
    pages: dict[str, Failure | Page] = field(default_factory=dict)
    trusts: frozenset[str] = frozenset({"", "signal", "any"})
    # by (address, port): the reply, or a failure; without an entry there is silence
    speeches: dict[tuple[str, int], str | Exchange | Failure] = field(default_factory=dict)
    quic: dict[str, Failure | None] = field(default_factory=dict)  # by server name
    hops: dict[tuple[str, int], Hop | Failure] = field(default_factory=dict)  # by (sent name, ttl)
    tor: Failure | None = None
    without: frozenset[str] = frozenset()  # quic, raw, tor: what this machine does not have
    later: dict[str, tuple[DnsReply, ...]] = field(default_factory=dict)  # by name
    forbidden: frozenset[str] = frozenset()  # addresses of this machine's networks
    closed: int = 0  # nets that were closed
    asked: list[Hop] = field(default_factory=list)
    hangs: frozenset[Operation] = frozenset()  # steps that never end: for cancellation
    requests: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    def lookup(self, name: str, query_type: str, engine: str) -> tuple[str, ...] | Failure:
        if is_address(name):
            return (name,)
        fallback = self.names.get(name, Failure.DNS_NXDOMAIN_ERROR)
        found = self.names.get(f"{engine}:{name}", fallback)
        if isinstance(found, Failure):
            return found
        fitting = tuple(a for a in found if (":" in a) == (query_type == "AAAA"))
        return fitting or Failure.DNS_NO_ANSWER


def coarse_of(address: str) -> str:
    size = 48 if ":" in address else 24
    return str(ipaddress.ip_network(f"{address}/{size}", strict=False))


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def dns_of(
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


def tls_of(sent: str, alpn: tuple[str, ...], failure: Failure | None) -> Tls:
    if failure is not None:
        return Tls(server_name=sent)
    return Tls(
        server_name=sent, version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384",
        alpn=alpn[0] if alpn else "",
    )  # fmt: skip


def head(method: str, url: str, page: Page, version: str = "1.1") -> Http:
    return Http(
        method=method, url=url, status=page.status, server=page.server, location=page.location,
        version=version, header_names=page.header_names,
    )  # fmt: skip


def body(url: str, page: Page, head: Http, limit: int, *, watch: bool = False) -> Http:
    """Return the facts of the whole page, based on those of its head."""
    return replace(
        head, title=page.title, body_bytes=min(page.body_bytes, limit),
        body_sha256=page.body_sha256, truncated=page.truncated or page.body_bytes > limit,
        text="" if url.startswith("https:") else page.text, arrivals=page.arrivals if watch else (),
    )  # fmt: skip
