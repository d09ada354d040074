"""Rate limits: a token bucket per client network, and the login throttle.

A client is a /24 or /48. Its state is in memory only, under a keyed hash, for a minute at most.
Headers follow draft-ietf-httpapi-ratelimit-headers-09: `RateLimit-Policy` and `RateLimit`.

Logins have a separate throttle, whose wait doubles after each wrong try.
"""

import hashlib
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from heliograph.address import enclosing_network
from heliograph.clock import Clock
from heliograph.token_bucket import TokenBuckets
from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.http.problem import Handler, Problem, build_response

WINDOW_S = 60
MAX_CLIENTS = 20_000

# returns the client address, "" for one that is not counted
AddressResolver = Callable[[web.Request], str]
FREE_TRIES = 5  # tries without a wait
# the wait doubles between these limits
_FIRST_WAIT_US = 2_000_000
_MAX_WAIT_US = 900_000_000
_EXPIRY_US = HOUR_US
_TRIES_PER_NAME = 60  # tries an hour for one name by all unknown browsers together
# Names share counters, so that unknown names are counted as known ones are, in bounded memory; 64
# counters allow 3,840 tries an hour at 75 ms each, which is 8 % of a core.
_NAME_COUNTERS = 64
TRIES_PER_CODE = 3  # passwords for one right second factor while its account is locked; assumed
_MAX_CODES = 256  # second factors with tries; the oldest is dropped
_MAX_ORIGINS = 4_096
LOCAL_ORIGIN = "here"  # the collector's own machine, without a proxy


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """A client's remaining requests, and the seconds until it has `quota` again."""

    quota: int
    remaining: int
    reset_s: int
    wait_s: int  # until the refused request is allowed; 0 if it was not refused

    @property
    def headers(self) -> Mapping[str, str]:
        rate_limit_headers = {
            "RateLimit-Policy": f'"reader";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"reader";r={self.remaining};t={self.reset_s}',
        }
        return rate_limit_headers | ({"Retry-After": str(self.wait_s)} if self.wait_s else {})


class RateLimiter:
    """Allow `quota` requests a minute to each client, with bursts up to the quota."""

    def __init__(self, quota: int, clock: Clock) -> None:
        self._quota = quota
        self._clock = clock
        self._key = os.urandom(16)
        self._clients: TokenBuckets[bytes] = TokenBuckets(
            per_s=quota / WINDOW_S, capacity=quota, max_keys=MAX_CLIENTS
        )

    def spend(self, address: str, cost: int = 1) -> RateLimitState:
        """Spend `cost` if the client has that much left."""
        client_key = hashlib.blake2b(
            client_prefix(address).encode(), key=self._key, digest_size=12
        ).digest()
        now_us = self._clock.monotonic_us()
        wait_s = self._clients.take(client_key, now_us, cost)
        remaining = self._clients.level(client_key, now_us) or 0.0
        self._clients.drop_unused(now_us - WINDOW_S * SECOND_US)  # their quota is full again
        return RateLimitState(
            quota=self._quota,
            remaining=int(remaining),
            reset_s=math.ceil((self._quota - remaining) * WINDOW_S / self._quota),
            wait_s=math.ceil(wait_s),
        )


def client_prefix(address: str) -> str:
    """Return the /24 or /48 of an address; "-" if it is invalid."""
    return enclosing_network(address) or "-"


def build_limiter(
    rate_limiter: RateLimiter, find_address: AddressResolver, costs: Mapping[str, int]
) -> Middleware:
    """Build the middleware; `costs` by route name or path: default 1, 0 for free."""

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route
        path = route.resource.canonical if route.resource else request.path
        cost = costs.get(route.name or "", costs.get(path, 1))
        address = find_address(request)
        if not cost or not address or path.startswith(("/console", "/static/")):
            return await handler(request)
        state = rate_limiter.spend(address, cost)
        response = (
            build_response(_too_many_requests(state)) if state.wait_s else await handler(request)
        )
        if not response.prepared:
            response.headers.update(state.headers)
        return response

    return limit


def _too_many_requests(state: RateLimitState) -> Problem:
    return Problem(
        429,
        "Too many requests",
        f"From your network came more than {state.quota} requests a minute; "
        f"try again in {state.wait_s} s. Live events cost one: /api/v1/stream.",
    )


@dataclass(slots=True)
class _TryCount:
    tries: int = 0
    last_us: int = 0


class LoginThrottle:
    """Count tries before they are checked, and forget them after a right one."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], _TryCount] = OrderedDict()
        self._code_tries: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._key = os.urandom(16)

    def count_try(self, name: str, origin: str, browser: str, now_us: int) -> int:
        """Count a try and return 0, or return the wait in seconds.

        `browser` proves an earlier login of this browser; "" without one.
        """
        keys = self._count_keys(name, origin, browser)
        wait_us = max(self._wait_us(key, now_us) for key in keys)
        if wait_us > 0:
            return wait_us // 1_000_000 + 1
        for key in keys:
            count = self._find_count(key, now_us)
            count.tries = count.tries + 1
            count.last_us = now_us
        return 0

    def count_code(self, name: str, step: int) -> bool:
        """Count a try with a right second factor, which passes a lock; False after some.

        A guessed or overheard code is therefore worth few passwords.
        """
        tries = self._code_tries.get((name, step), 0)
        self._code_tries[name, step] = tries + 1
        if len(self._code_tries) > _MAX_CODES:
            self._code_tries.popitem(last=False)
        return tries < TRIES_PER_CODE

    def forget_tries(self, name: str, origin: str, browser: str) -> None:
        """Forget the tries before a right one; of a name that one alone."""
        for key in self._count_keys(name, origin, browser):
            if key[0] != "name":
                self._counts.pop(key, None)
            elif key in self._counts:
                self._counts[key].tries -= 1

    def _wait_us(self, key: tuple[str, str], now_us: int) -> int:
        count = self._find_count(key, now_us)
        free_tries = _TRIES_PER_NAME if key[0] == "name" else FREE_TRIES
        if count.tries < free_tries:
            return 0
        wait_us = min(_MAX_WAIT_US, _FIRST_WAIT_US << min(count.tries - free_tries, 16))
        return count.last_us + wait_us - now_us

    def _find_count(self, key: tuple[str, str], now_us: int) -> _TryCount:
        count = self._counts.setdefault(key, _TryCount())
        self._counts.move_to_end(key)
        if now_us - count.last_us > _EXPIRY_US:
            count.tries = 0
        if len(self._counts) > _MAX_ORIGINS:  # a crowd must not evict names
            del self._counts[
                next(other_key for other_key in self._counts if other_key[0] != "name")
            ]
        return count

    def _count_keys(self, name: str, origin: str, browser: str) -> tuple[tuple[str, str], ...]:
        if browser:
            return (("browser", browser),)
        if origin == LOCAL_ORIGIN:  # by name: a right login must not reset that of another name
            return ((origin, name[:64]),)
        return (("place", origin), ("name", self._name_counter(name)))

    def _name_counter(self, name: str) -> str:
        digest = hashlib.blake2b(
            name.encode("utf-8", "surrogateescape"), key=self._key, digest_size=8
        ).digest()
        return str(int.from_bytes(digest) % _NAME_COUNTERS)
