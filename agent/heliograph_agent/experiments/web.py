"""Load a URL as a browser would, with redirects and their cookies. See web.md.

`CookieJar` keeps the cookies of one visit as far as redirects need them (RFC 6265). It ignores
Expires and reads Max-Age only for deletion, because a visit ends before any other cookie
expires. It has no list of public suffixes either, because a jar serves one visit and holds no
secret.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from urllib.parse import SplitResult, urlsplit

from heliograph.experiments.web import WebConfig
from heliograph_agent.experiments.endpoints import (
    PORTS,
    Address,
    extract_addresses,
    is_literal,
    is_public,
    list_visit_addresses,
    try_handshake,
)
from heliograph_agent.experiments.experiment import BadTarget, Target
from heliograph_agent.experiments.page_url import Page, parse_page, resolve_location
from heliograph_agent.net import ByteStream, Net, StepResult

# Cookies of one jar: RFC 6265 section 6.1 requires 50 for a domain.
MAX_COOKIES = 50
MAX_LINE = 4_096  # characters of one Set-Cookie; a longer one is ignored
MAX_HEADER = 8_192  # characters of the Cookie header


@dataclass(frozen=True, slots=True)
class Cookie:
    name: str
    value: str
    host: str
    path: str
    has_subdomains: bool  # whether subdomains of `host` get it too
    is_secure: bool

    def is_sent_to(self, host: str, path: str, *, is_secure: bool) -> bool:
        """Tell whether a request for this host and path carries it (section 5.4)."""
        is_host = host == self.host or (self.has_subdomains and _is_subdomain(host, self.host))
        return is_host and _is_path_match(path, self.path) and (is_secure or not self.is_secure)


class CookieJar:
    """Keep the cookies of one visit; it starts empty."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], Cookie] = {}

    def add(self, url: str, lines: Iterable[str]) -> None:
        """Add the Set-Cookie lines of the reply for `url`; ignore bad ones."""
        parts = urlsplit(url)
        for line in lines:
            cookie, is_expired = parse_cookie(line, parts)
            if cookie is not None:
                key = (cookie.name, cookie.host, cookie.path)
                self._cookies.pop(key, None)
                if not is_expired and len(self._cookies) < MAX_COOKIES:
                    self._cookies[key] = cookie

    def format_header(self, url: str) -> str:
        """Format the Cookie header for `url`, "" for none; longer paths come first."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        path = parts.path or "/"
        is_secure = parts.scheme == "https"
        fitting = [
            c for c in self._cookies.values() if c.is_sent_to(host, path, is_secure=is_secure)
        ]
        fitting.sort(key=_path_length, reverse=True)
        header_value = ""
        for cookie in fitting:
            separator = "; " if header_value else ""
            longer = f"{header_value}{separator}{cookie.name}={cookie.value}"
            header_value = longer if len(longer) <= MAX_HEADER else header_value
        return header_value


def parse_cookie(line: str, url: SplitResult) -> tuple[Cookie | None, bool]:
    """Parse a Set-Cookie line (section 5.2); return whether it deletes the cookie too."""
    pair, *attributes = line.split(";")
    name, equals, value = (part.strip() for part in pair.partition("="))
    host = (url.hostname or "").lower()
    is_sendable = f"{name}{value}".isascii() and f"{name}{value}".isprintable()
    if not (name and equals and is_sendable) or len(line) > MAX_LINE:
        return None, False
    attributes_by_name = {
        k.strip().lower(): v.strip() for k, _, v in (a.partition("=") for a in attributes)
    }
    domain = attributes_by_name.get("domain", "").lower().lstrip(".")
    if domain and domain != host and not ("." in domain and _is_subdomain(host, domain)):
        return None, False
    path = attributes_by_name.get("path", "")
    cookie = Cookie(
        name=name,
        value=value,
        host=domain or host,
        path=path if path.startswith("/") else url.path.rpartition("/")[0] or "/",  # section 5.1.4
        has_subdomains=bool(domain),
        is_secure="secure" in attributes_by_name,
    )
    age = attributes_by_name.get("max-age", "1")
    return cookie, age.startswith("-") or age.strip("0") == ""


def _path_length(cookie: Cookie) -> int:
    return len(cookie.path)


def _is_subdomain(host: str, domain: str) -> bool:
    """Match a domain (section 5.1.3); an address has no subdomains."""
    return not is_literal(host) and (host == domain or host.endswith(f".{domain}"))


def _is_path_match(path: str, folder: str) -> bool:
    is_below = path.startswith(folder) and (folder.endswith("/") or path[len(folder) :][:1] == "/")
    return path == folder or is_below


PageTask = asyncio.Task[StepResult | None]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
ENGINES = ("system", "udp", "doh")  # in the order in which their addresses are tried for the page
IDLE_S = 2.0  # for which an idle connection is kept: servers close idle ones
LATE_US = 35_000_000  # no redirect is followed later, so that the last one has enough time


async def web(target: Target, config: WebConfig, net: Net) -> None:
    page = parse_page(target.value)
    if page is None:
        raise BadTarget(f"{target.value!r} is no URL of a web page: give http://… or https://….")
    labels = net.list_visit_labels()
    if labels is not None:  # a visit, which goes nowhere that the plan does not name
        await _visit_pages(page, labels, config, net)
        return
    jar = CookieJar()
    visited: set[tuple[str, str]] = set()
    is_local = False  # the URL itself resolves to a private network, as in tests and on intranets
    for depth in range(config.redirects + 1):
        cookies = jar.format_header(page.url)
        visited.add((page.url, cookies))
        addresses = await _look_up(page, config, net)
        if depth == 0:
            is_local = not keep_public(addresses)
        elif not is_local:
            addresses = keep_public(addresses)
        answer = await _load_page(page, addresses, cookies, config, net)
        if answer is None or answer.ended_us > LATE_US:
            return
        jar.add(page.url, answer.cookies)
        next_page = find_redirect(answer, page, f"redirect-{depth + 1}")
        if next_page is None or (next_page.url, jar.format_header(next_page.url)) in visited:
            return
        page = next_page


async def _visit_pages(page: Page, labels: Sequence[str], config: WebConfig, net: Net) -> None:
    """Load the page, and those after its redirects, at the addresses of a visit.

    The label of a page after a redirect is its URL (`heliograph.visit_servers`).
    """
    for label in labels:
        visited = parse_page(label, label) if label else page
        if visited is not None:
            addresses = list_visit_addresses(net, label) or ()
            await _load_page(visited, addresses, "", replace(config, validate=False), net)


def find_redirect(result: StepResult, page: Page, label: str) -> Page | None:
    """Return the target of a redirect, None without one."""
    http = result.observation.http
    if http is None or http.status not in REDIRECTS or not http.location:
        return None
    try:
        return parse_page(resolve_location(page.url, http.location), label)
    except ValueError:
        return None


def keep_public(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Keep the public addresses, to which a redirect may lead.

    Another site's page must not send requests to the local network.
    """
    return tuple(address for address in addresses if is_public(address.literal))


async def _load_page(
    page: Page, addresses: Sequence[Address], cookies: str, config: WebConfig, net: Net
) -> StepResult | None:
    """Connect to all addresses at once; request the page from the first that accepts."""
    page_visit = _PageVisit(page, {"Cookie": cookies} if cookies else {}, config.body_limit, net)
    is_validated = config.validate and page.port == PORTS["http"] and page.scheme == "http"
    if len(addresses) == 1 and not is_validated:
        return await page_visit.load(addresses[0], None)
    last_task: PageTask | None = None
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            last_task = group.create_task(page_visit.load(address, last_task))
        if is_validated:
            for address in addresses:
                group.create_task(_validate_address(page, address, net))
    return last_task.result() if last_task else None


async def _validate_address(page: Page, address: Address, net: Net) -> None:
    """Prove by TLS that the address belongs to the name; a page in clear cannot."""
    if not is_literal(page.host):
        await try_handshake(net, address, PORTS["https"], page.host, label=page.label)


@dataclass(frozen=True, slots=True)
class _PageVisit:
    page: Page
    headers: Mapping[str, str]
    body_limit: int
    net: Net

    async def load(self, address: Address, previous: PageTask | None) -> StepResult | None:
        """Return the page from an earlier address, else from this address, else None.

        `previous` is the task of the earlier address.
        """
        stream = await self._open_stream(address)
        try:
            if previous is None:
                return await self._request_page(stream)
            await asyncio.wait({previous}, timeout=IDLE_S)
            if previous.done():
                return previous.result() or await self._request_page(stream)
        finally:
            if stream is not None:
                stream.close()
        answer = await previous
        if answer is not None or stream is None:
            return answer
        return await self.load(address, None)

    async def _open_stream(self, address: Address) -> ByteStream | None:
        """Connect, by TLS for https; the caller closes the stream."""
        page = self.page
        _, connection = await self.net.connect(
            address.literal, page.port, on=address.lookup, endpoint=page.label
        )
        if connection is None or page.scheme != "https":
            return connection
        stream: ByteStream | None = None
        try:
            _, stream = await self.net.handshake(connection, page.host)
        finally:
            if stream is None:
                connection.close()
        return stream

    async def _request_page(self, stream: ByteStream | None) -> StepResult | None:
        if stream is None:
            return None
        return await self.net.http(
            stream, self.page.url, headers=self.headers, body_limit=self.body_limit, watch=True
        )


async def _look_up(page: Page, config: WebConfig, net: Net) -> tuple[Address, ...]:
    if is_literal(page.host):
        return (Address(page.host),)
    resolvers = {"system": "", "udp": config.resolver, "doh": config.doh}
    async with asyncio.TaskGroup() as group:
        lookups = [
            group.create_task(
                net.resolve(
                    page.host,
                    query_type=query_type,
                    engine=engine,
                    resolver=resolvers[engine],
                    linger_s=config.linger_ms / 1_000 if engine == "udp" else 0.0,
                    endpoint=page.label,
                )
            )
            for query_type in ("A", "AAAA")
            for engine in ENGINES
            if resolvers[engine] or engine == "system"
        ]
    return select_addresses([lookup.result() for lookup in lookups], config.addresses)


def select_addresses(lookups: Sequence[StepResult], limit: int) -> tuple[Address, ...]:
    """Select up to `limit` addresses, the system's first, each address once.

    The first address of every lookup comes before the second address of any. The resolvers'
    differing answers are therefore all tried.
    """
    by_literal: dict[str, Address] = {}
    for rank in zip_longest(*(extract_addresses(result, limit) for result in lookups)):
        for address in rank:
            if address is not None:
                previous = by_literal.get(address.literal, address)
                by_literal[address.literal] = min(previous, address, key=_engine_order)
    return tuple(sorted(tuple(by_literal.values())[:limit], key=_engine_order))


def _engine_order(address: Address) -> int:
    dns = address.lookup.observation.dns if address.lookup else None
    return ENGINES.index(dns.engine) if dns and dns.engine in ENGINES else 0
