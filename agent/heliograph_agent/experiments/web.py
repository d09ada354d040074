"""What a browser would get for a URL, step by step, redirects included. See web.md."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import zip_longest
from urllib.parse import urljoin

from heliograph.experiments.web import WebConfig
from heliograph_agent.experiments.endpoints import (
    PORTS,
    Address,
    Page,
    addresses_of,
    connected,
    is_literal,
    is_public,
    page_of,
)
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, Seen, Stream
from heliograph_agent.protocols.cookies import Jar

Answer = asyncio.Task[Seen | None]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
WAYS = ("system", "udp", "doh")  # whose address is asked for the page before whose
HELD_S = 2.0  # that an idle connection is kept ready: servers close those that say nothing
LATE_US = 35_000_000  # no redirect is followed later, so that the last one still has its time


async def web(target: Target, config: WebConfig, net: Net) -> None:
    page = page_of(target.text)
    if page is None:
        raise CannotRun(f"{target.text!r} is no URL of a web page: give http://… or https://….")
    jar = Jar()
    asked: set[tuple[str, str]] = set()
    at_home = False  # the URL itself leads to this network, as in tests and on intranets
    for depth in range(config.redirects + 1):
        cookies = jar.header(page.url)
        asked.add((page.url, cookies))
        addresses = await _addresses(page, config, net)
        if depth == 0:
            at_home = not public(addresses)
        elif not at_home:
            addresses = public(addresses)
        answer = await _load(page, addresses, cookies, config, net)
        if answer is None or _ended_us(answer) > LATE_US:
            return
        jar.take(page.url, answer.cookies)
        following = redirect_of(answer, page, f"redirect-{depth + 1}")
        if following is None or (following.url, jar.header(following.url)) in asked:
            return
        page = following


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


def _ended_us(seen: Seen) -> int:
    return seen.observation.started_us + seen.observation.duration_us


async def _load(
    page: Page, addresses: Sequence[Address], cookies: str, config: WebConfig, net: Net
) -> Seen | None:
    """All addresses at once; the first of them that lets us in is asked for the page."""
    visit = _Visit(page, {"Cookie": cookies} if cookies else {}, config.body_limit, net)
    last: Answer | None = None
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            last = group.create_task(visit.pay(address, last))
        if config.validate and page.port == PORTS["http"] and page.scheme == "http":
            for address in addresses:
                group.create_task(_validate(page, address, net))
    return last.result() if last else None


async def _validate(page: Page, address: Address, net: Net) -> None:
    """Who holds the certificate of the name owns the address; the page itself comes in clear."""
    if is_literal(page.host):
        return
    async with connected(net, address, PORTS["https"], label=page.label) as plain:
        if plain is not None:
            _, secured = await net.handshake(plain, page.host)
            if secured is not None:
                secured.close()


@dataclass(frozen=True, slots=True)
class _Visit:
    """How one page is asked for, at whichever address."""

    page: Page
    headers: Mapping[str, str]
    body_limit: int
    net: Net

    async def pay(self, address: Address, before: Answer | None) -> Seen | None:
        """The reply for the page: of an address `before` this one, else of this, else None."""
        async with self._opened(address) as stream:
            let_in = stream is not None
            if before is None:
                return await self._ask(stream)
            await asyncio.wait({before}, timeout=HELD_S)
            if before.done():
                return before.result() or await self._ask(stream)
        answer = await before
        if answer is not None or not let_in:
            return answer
        async with self._opened(address) as stream:
            return await self._ask(stream)

    @asynccontextmanager
    async def _opened(self, address: Address) -> AsyncIterator[Stream | None]:
        """A connection over which the page can be asked for, None when there is none."""
        page = self.page
        async with connected(self.net, address, page.port, label=page.label) as plain:
            stream = plain
            if plain is not None and page.scheme == "https":
                _, stream = await self.net.handshake(plain, page.host)
            try:
                yield stream
            finally:
                if stream is not None:
                    stream.close()

    async def _ask(self, stream: Stream | None) -> Seen | None:
        if stream is None:
            return None
        return await self.net.http(
            stream, self.page.url, headers=self.headers, body_limit=self.body_limit, watch=True
        )


async def _addresses(page: Page, config: WebConfig, net: Net) -> tuple[Address, ...]:
    if is_literal(page.host):
        return (Address(page.host),)
    resolvers = {"system": "", "udp": config.resolver, "doh": config.doh}
    async with asyncio.TaskGroup() as group:
        lookups = [
            group.create_task(
                net.resolve(
                    page.host,
                    query_type=query_type,
                    engine=way,
                    resolver=resolvers[way],
                    linger_s=config.linger_ms / 1_000 if way == "udp" else 0.0,
                    endpoint=page.label,
                )
            )
            for query_type in ("A", "AAAA")
            for way in WAYS
            if resolvers[way] or way == "system"
        ]
    return chosen([lookup.result() for lookup in lookups], config.addresses)


def chosen(lookups: Sequence[Seen], limit: int) -> tuple[Address, ...]:
    """Up to `limit` addresses, the system's first, each address once.

    They are the first of every lookup, then every second one …, so that the resolvers' differing
    answers are all tried before a second address of one of them.
    """
    by_literal: dict[str, Address] = {}
    for rank in zip_longest(*(addresses_of(seen, limit) for seen in lookups)):
        for address in rank:
            if address is not None:
                known = by_literal.get(address.literal, address)
                by_literal[address.literal] = min(known, address, key=_turn)
    return tuple(sorted(tuple(by_literal.values())[:limit], key=_turn))


def _turn(address: Address) -> int:
    dns = address.on.observation.dns if address.on else None
    return WAYS.index(dns.engine) if dns and dns.engine in WAYS else 0
