"""Rate limit of DNS queries."""

from heliograph.clock import Clock
from heliograph.token_bucket import TokenBucket, TokenBuckets
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.ingest.rate_limits import MAX_RATE_KEYS

PREFIX_PER_S = 20.0
ALL_PER_S = 200.0
BURST_S = 10.0


class QueryRateLimit:
    """Rate limit of DNS queries by network prefix and in total; stores no address."""

    def __init__(self, geo: GeoLookup, clock: Clock) -> None:
        self._geo = geo
        self._clock = clock
        self._prefix_rates: TokenBuckets[str] = TokenBuckets(
            per_s=PREFIX_PER_S, capacity=PREFIX_PER_S * BURST_S, max_keys=MAX_RATE_KEYS
        )
        burst = ALL_PER_S * BURST_S
        self._total_rate = TokenBucket(ALL_PER_S, burst, level=burst, at_us=clock.monotonic_us())

    def __call__(self, address: str) -> bool:
        now_us = self._clock.monotonic_us()
        prefix = self._geo.locate(address, self._clock.wall_us()).prefix
        return not self._prefix_rates.take(prefix, now_us) and not self._total_rate.take(1, now_us)
