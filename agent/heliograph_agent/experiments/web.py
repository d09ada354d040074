"""Load a URL as a browser would, with redirects and their cookies. See web.md.

`CookieJar` keeps the cookies of one visit as far as redirects need them (RFC 6265). Dates are not
read: a visit is over before anything expires that was not to be deleted. There is no list of public
suffixes either: a jar serves one visit, and no secret is ever in it.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import zip_longest
from urllib.parse import SplitResult, urljoin, urlsplit

from heliograph.experiments.web import WebConfig
from heliograph_agent.experiments.endpoints import (
    PORTS,
    Address,
    Page,
    extract_addresses,
    is_literal,
    is_public,
    open_stream,
    parse_page,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import ByteStream, Net, StepResult

# Cookies of one jar: as many as RFC 6265 section 6.1 asks of a browser for a domain.
MAX_COOKIES = 50
MAX_LINE = 4_096  # characters of one Set-Cookie that is heeded
MAX_HEADER = 8_192  # characters that are sent back


@dataclass(frozen=True, slots=True)
class Cookie:
    name: str
    value: str
    host: str
    path: str
    has_subdomains: bool  # whether hosts below `host` get it too
    is_secure: bool

    def is_sent_to(self, host: str, path: str, *, is_secure: bool) -> bool:
        """Whether a request for this place takes it along (section 5.4)."""
        is_host_match = host == self.host or (
            self.has_subdomains and _is_subdomain(host, self.host)
        )
        return (
            is_host_match and _is_path_match(path, self.path) and (is_secure or not self.is_secure)
        )


class CookieJar:
    """Made empty for one visit."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], Cookie] = {}

    def add(self, url: str, lines: Iterable[str]) -> None:
        """Heed the Set-Cookie lines of the reply for `url`; bad ones are passed over."""
        parts = urlsplit(url)
        for line in lines:
            cookie, is_expired = parse_cookie(line, parts)
            if cookie is None:
                continue
            key = (cookie.name, cookie.host, cookie.path)
            self._cookies.pop(key, None)
            if not is_expired and len(self._cookies) < MAX_COOKIES:
                self._cookies[key] = cookie

    def format_header(self, url: str) -> str:
        """The Cookie header of a request for `url`, "" for none; longer paths come first."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        path = parts.path or "/"
        is_secure = parts.scheme == "https"
        fitting = [
            c for c in self._cookies.values() if c.is_sent_to(host, path, is_secure=is_secure)
        ]
        fitting.sort(key=lambda cookie: -len(cookie.path))
        header_value = ""
        for cookie in fitting:
            longer = (
                f"{header_value}; {cookie.name}={cookie.value}"
                if header_value
                else _format_pair(cookie)
            )
            header_value = longer if len(longer) <= MAX_HEADER else header_value
        return header_value


def parse_cookie(line: str, url: SplitResult) -> tuple[Cookie | None, bool]:
    """What one Set-Cookie line says (section 5.2), and whether it says to forget it."""
    pair, *attributes = line.split(";")
    name, equals, value = (part.strip() for part in pair.partition("="))
    host = (url.hostname or "").lower()
    if not (name and equals) or len(line) > MAX_LINE or not _is_sendable(f"{name}={value}"):
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
        path=path if path.startswith("/") else _default_path(url.path),
        has_subdomains=bool(domain),
        is_secure="secure" in attributes_by_name,
    )
    age = attributes_by_name.get("max-age", "1")
    return cookie, age.startswith("-") or age.strip("0") == ""


def _format_pair(cookie: Cookie) -> str:
    return f"{cookie.name}={cookie.value}"


def _is_sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _is_subdomain(host: str, domain: str) -> bool:
    """Section 5.1.3; an address has nothing below it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == domain or host.endswith(f".{domain}")
    return False


def _is_path_match(path: str, folder: str) -> bool:
    """Section 5.1.4."""
    is_below = path.startswith(folder) and (folder.endswith("/") or path[len(folder) :][:1] == "/")
    return path == folder or is_below


def _default_path(path: str) -> str:
    """The default path of section 5.1.4: all but the last part."""
    return path.rpartition("/")[0] or "/"


PageTask = asyncio.Task[StepResult | None]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
ENGINES = ("system", "udp", "doh")  # whose address is asked for the page before whose
IDLE_S = 2.0  # that an idle connection is kept ready: servers close those that say nothing
LATE_US = 35_000_000  # no redirect is followed later, so that the last one still has its time


async def web(target: Target, config: WebConfig, net: Net) -> None:
    page = parse_page(target.value)
    if page is None:
        raise CannotRun(f"{target.value!r} is no URL of a web page: give http://… or https://….")
    jar = CookieJar()
    visited: set[tuple[str, str]] = set()
    is_local = False  # the URL itself leads to this network, as in tests and on intranets
    for depth in range(config.redirects + 1):
        cookies = jar.format_header(page.url)
        visited.add((page.url, cookies))
        addresses = await _look_up(page, config, net)
        if depth == 0:
            is_local = not keep_public(addresses)
        elif not is_local:
            addresses = keep_public(addresses)
        answer = await _load_page(page, addresses, cookies, config, net)
        if answer is None or _ended_us(answer) > LATE_US:
            return
        jar.add(page.url, answer.cookies)
        next_page = find_redirect(answer, page, f"redirect-{depth + 1}")
        if next_page is None or (next_page.url, jar.format_header(next_page.url)) in visited:
            return
        page = next_page


def find_redirect(result: StepResult, page: Page, label: str) -> Page | None:
    """Where the answer sends a browser, None when it ends here."""
    http = result.observation.http
    if http is None or http.status not in REDIRECTS or not http.location:
        return None
    try:
        return parse_page(urljoin(page.url, http.location), label)
    except ValueError:
        return None


def keep_public(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Those that a redirect may send us to: a stranger's page has no business with the router."""
    return tuple(address for address in addresses if is_public(address.literal))


def _ended_us(result: StepResult) -> int:
    return result.observation.started_us + result.observation.duration_us


async def _load_page(
    page: Page, addresses: Sequence[Address], cookies: str, config: WebConfig, net: Net
) -> StepResult | None:
    """All addresses at once; the first of them that lets us in is asked for the page."""
    page_visit = _PageVisit(page, {"Cookie": cookies} if cookies else {}, config.body_limit, net)
    last_task: PageTask | None = None
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            last_task = group.create_task(page_visit.load(address, last_task))
        if config.validate and page.port == PORTS["http"] and page.scheme == "http":
            for address in addresses:
                group.create_task(_validate_address(page, address, net))
    return last_task.result() if last_task else None


async def _validate_address(page: Page, address: Address, net: Net) -> None:
    """Who holds the certificate of the name owns the address; the page itself comes in clear."""
    if is_literal(page.host):
        return
    async with open_stream(net, address, PORTS["https"], label=page.label) as connection:
        if connection is not None:
            _, tls_stream = await net.handshake(connection, page.host)
            if tls_stream is not None:
                tls_stream.close()


@dataclass(frozen=True, slots=True)
class _PageVisit:
    """How one page is asked for, at whichever address."""

    page: Page
    headers: Mapping[str, str]
    body_limit: int
    net: Net

    async def load(self, address: Address, previous: PageTask | None) -> StepResult | None:
        """The reply for the page: of an address `before` this one, else of this, else None."""
        async with self._open_stream(address) as stream:
            is_connected = stream is not None
            if previous is None:
                return await self._request_page(stream)
            await asyncio.wait({previous}, timeout=IDLE_S)
            if previous.done():
                return previous.result() or await self._request_page(stream)
        answer = await previous
        if answer is not None or not is_connected:
            return answer
        async with self._open_stream(address) as stream:
            return await self._request_page(stream)

    @asynccontextmanager
    async def _open_stream(self, address: Address) -> AsyncIterator[ByteStream | None]:
        """A connection over which the page can be asked for, None when there is none."""
        page = self.page
        async with open_stream(self.net, address, page.port, label=page.label) as connection:
            stream = connection
            if connection is not None and page.scheme == "https":
                _, stream = await self.net.handshake(connection, page.host)
            try:
                yield stream
            finally:
                if stream is not None:
                    stream.close()

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
    """Up to `limit` addresses, the system's first, each address once.

    They are the first of every lookup, then every second one …, so that the resolvers' differing
    answers are all tried before a second address of one of them.
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
