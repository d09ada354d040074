"""How much each client may ask: a token bucket for each network, and what answers say about it.

A client is a /24 or /48, kept in memory only and as a keyed hash, for a minute at most. Headers are
those of draft-ietf-httpapi-ratelimit-headers-09: `RateLimit-Policy` and `RateLimit`.
"""

import hashlib
import ipaddress
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from heliograph.clock import Clock
from heliograph_collector.http.problem import Handler, Problem, respond

WINDOW_S = 60
MOST_CLIENTS = 20_000

Who = Callable[[web.Request], str]  # the address that asks, "" for one that is not counted


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client has left, and in how many seconds it has `quota` again."""

    quota: int
    left: int
    full_in_s: int
    wait_s: int  # until the refused request may come again; 0 when it was not refused

    @property
    def headers(self) -> Mapping[str, str]:
        told = {
            "RateLimit-Policy": f'"reader";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"reader";r={self.left};t={self.full_in_s}',
        }
        return told | ({"Retry-After": str(self.wait_s)} if self.wait_s else {})


class Allowance:
    """`quota` requests a minute for each client, all at once if need be."""

    def __init__(self, quota: int, clock: Clock) -> None:
        self._quota, self._clock = quota, clock
        self._key = os.urandom(16)
        self._spent: dict[bytes, tuple[float, int]] = {}  # client → (spent, when), oldest first

    def take(self, address: str, cost: int = 1) -> Standing:
        """Spend `cost`, if there is so much."""
        name = hashlib.blake2b(network(address).encode(), key=self._key, digest_size=12).digest()
        now_us = self._clock.monotonic_us()
        before, at_us = self._spent.pop(name, (0.0, now_us))
        spent = max(0.0, before - (now_us - at_us) / 1e6 * self._quota / WINDOW_S)
        over = spent + cost - self._quota
        if over <= 0:
            spent += cost
        self._spent[name] = (spent, now_us)
        self._forget(now_us)
        return Standing(
            quota=self._quota,
            left=int(self._quota - spent),
            full_in_s=math.ceil(spent * WINDOW_S / self._quota),
            wait_s=math.ceil(over * WINDOW_S / self._quota) if over > 0 else 0,
        )

    def _forget(self, now_us: int) -> None:
        """Whoever did not ask for a minute has all again. Of too many, who asked longest ago."""
        while self._spent:
            name = next(iter(self._spent))
            old = now_us - self._spent[name][1] >= WINDOW_S * 1_000_000
            if not old and len(self._spent) <= MOST_CLIENTS:
                return
            del self._spent[name]


def network(address: str) -> str:
    """Its /24 or /48; "-" for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "-"
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def limiting(allowance: Allowance, who: Who, costs: Mapping[str, int]) -> Middleware:
    """`costs` of a route by its name or path: 1 if it is not in it, 0 for what is not counted."""

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route
        path = route.resource.canonical if route.resource else request.path
        cost = costs.get(route.name or "", costs.get(path, 1))
        address = who(request)
        if not cost or not address or path.startswith(("/console", "/static/")):
            return await handler(request)
        standing = allowance.take(address, cost)
        response = respond(_too_many(standing)) if standing.wait_s else await handler(request)
        if not response.prepared:
            response.headers.update(standing.headers)
        return response

    return limit


def _too_many(standing: Standing) -> Problem:
    return Problem(
        429,
        "Too many requests",
        f"From your network came more than {standing.quota} requests a minute; "
        f"try again in {standing.wait_s} s. Live events cost one: /api/v1/stream.",
    )
