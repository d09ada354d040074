"""What a browser would get for a URL, step by step, redirects included. See web.md."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from heliograph_agent.endpoints import (
    PORTS,
    Address,
    addresses_of,
    connected,
    host_of,
    is_literal,
    is_public,
)
from heliograph_agent.experiment import CannotRun, Experiment, Target, option
from heliograph_agent.net import Net, Seen, Stream

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = "%!$&'()*+,-./:;=?@_~[]"  # stands in a URL as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    resolver: str = option(
        "9.9.9.9:53", "second resolver, over UDP, empty for none", form="address:port"
    )
    doh: str = option("", "third resolver, empty for none", form="https URL")
    addresses: int = option(3, "addresses connected to", low=1, high=8)
    redirects: int = option(10, "redirects followed", low=0, high=10)
    body_limit: int = option(524_288, "bytes of body read", low=0, high=4_194_304)


@dataclass(frozen=True, slots=True)
class Page:
    """A URL taken apart, and the label of its chain of steps: "", redirect-1, redirect-2 …"""

    url: str
    scheme: str
    host: str
    port: int
    label: str = ""


async def web(target: Target, config: Config, net: Net) -> None:
    page = page_of(target.text)
    if page is None:
        raise CannotRun(f"{target.text!r} is no URL of a web page: give http://… or https://….")
    asked: set[str] = set()
    at_home = False  # the URL itself leads to this network, as in tests and on intranets
    for depth in range(config.redirects + 1):
        asked.add(page.url)
        addresses = await _addresses(page, config, net)
        if depth == 0:
            at_home = not public(addresses)
        elif not at_home:
            addresses = public(addresses)
        answer = await _load(page, addresses, config, net)
        following = redirect_of(answer, page, f"redirect-{depth + 1}") if answer else None
        if following is None or following.url in asked:
            return
        page = following


def page_of(url: str, label: str = "") -> Page | None:
    """None when it is not an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        host, port = host_of(parts.hostname or ""), parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not host or len(url) > 2_048:
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


def redirect_of(answer: Seen, page: Page, label: str) -> Page | None:
    """Where the answer sends a browser, None when it ends here."""
    http = answer.observation.http
    if http is None or http.status not in REDIRECTS or not http.location:
        return None
    try:
        return page_of(urljoin(page.url, http.location), label)
    except ValueError:
        return None


def public(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Those that a redirect may send us to: a stranger's page has no business with the router."""
    return tuple(address for address in addresses if is_public(address.literal))


async def _load(page: Page, addresses: Sequence[Address], config: Config, net: Net) -> Seen | None:
    """Connect to each address and shake hands; ask the first that lets us for the page."""
    answer: Seen | None = None
    for address in addresses:
        async with connected(net, address, page.port, label=page.label) as plain:
            stream = await _secured(plain, page, net)
            if stream is None:
                continue
            try:
                if answer is None:
                    answer = await net.http(stream, page.url, body_limit=config.body_limit)
            finally:
                stream.close()
    return answer


async def _secured(stream: Stream | None, page: Page, net: Net) -> Stream | None:
    if stream is None or page.scheme == "http":
        return stream
    _, secured = await net.handshake(stream, page.host)
    return secured


async def _addresses(page: Page, config: Config, net: Net) -> tuple[Address, ...]:
    if is_literal(page.host):
        return (Address(page.host),)
    ways = [("system", ""), ("udp", config.resolver), ("doh", config.doh)]
    async with asyncio.TaskGroup() as group:
        lookups = [
            group.create_task(
                net.resolve(
                    page.host,
                    query_type=query_type,
                    engine=engine,
                    resolver=resolver,
                    endpoint=page.label,
                )
            )
            for query_type in ("A", "AAAA")
            for engine, resolver in ways
            if resolver or engine == "system"
        ]
    return chosen([lookup.result() for lookup in lookups], config.addresses)


def chosen(lookups: Sequence[Seen], limit: int) -> tuple[Address, ...]:
    """The first address of every lookup, then every second one …, each address once.

    So the resolvers' differing answers are all tried before a second address of one of them.
    """
    by_literal: dict[str, Address] = {}
    for rank in zip_longest(*(addresses_of(seen, limit) for seen in lookups)):
        for address in rank:
            if address is not None:
                by_literal.setdefault(address.literal, address)
    return tuple(by_literal.values())[:limit]


EXPERIMENT = Experiment(
    name="web",
    version=1,
    title="Web: lookup, connection, handshake, page and redirects of one URL",
    config=Config,
    run=web,
    wants="url",
)
