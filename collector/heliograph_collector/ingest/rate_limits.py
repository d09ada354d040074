"""Limit rate, size and simultaneous work of strangers, agents and connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from heliograph.clock import Clock
from heliograph.network_shares import NetworkKey
from heliograph.token_bucket import TokenBucket, TokenBuckets
from heliograph.units import HOUR_S
from heliograph.upload import REQUEST_S
from heliograph_collector.ingest.geo.lookup import GeoLookup


def raise_file_limit(files: int) -> bool:
    """Raise the limit of open files as far as possible; return whether it is enough."""
    try:
        import resource
    except ImportError:  # this system has no such limit
        return True
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit != hard_limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    return hard_limit == resource.RLIM_INFINITY or hard_limit >= files


MAX_MESSAGE_BYTES = 262_144
HELLO_S = 10.0  # from the challenge to the hello; for a health or reflection stream, in all
MAX_HELLO_BYTES = 1_024  # the journal stores it with every arrival
MAX_LAG_S = 2.0  # assumed; a later event loop refuses new sessions with random retry times
RPC_S = REQUEST_S  # for the request of a call, and for one write to a slow reader
MAX_IN_FLIGHT = 32  # envelopes of one session in work; agents keep 16 in flight
MAX_UNARY_RPCS = 200
MAX_WAITING_RPCS = 1_000  # requests that wait for one of those places; assumed
MAX_ENVELOPES_IN_WORK = 256  # of all carriers; about 64 MiB
MAX_BAD_ENVELOPES = 16  # per session, which then ends
MAX_MEASUREMENTS = 2_000  # per envelope
MAX_EPOCHS = 64
MAX_SESSION_S = (
    24 * 60.0
)  # ±10 %: the collector ends it with advice before gRPC's 30 min (±10 %) would
CREDIT_S = 90 * 86_400  # silence that counts as credit for a backlog
NEWCOMERS_PER_HOUR = 60  # per network, without invite: at once, and again per hour
_WIDTH_FACTORS = {"24": 1, "48": 1, "32": 2, "asn": 4}  # for wider networks; assumed
# Sessions without hello, with the health and reflection streams; as many requests of known agents,
# and twice as many others.
MAX_PENDING = 1_000  # assumed
STRANGER_SESSIONS = 0.25  # share of the sessions for agents in quarantine; assumed
GRPC_FILES = 0.75  # share of the open files for gRPC's connections; assumed
MAX_RATE_KEYS = 65_536  # keys per rate table of strangers, who could make up any number
# Enrolled agents only. One that is dropped gets an hour's batches again, so the limit is the
# largest fleet of the design. Each agent that sends takes some 300 bytes.
MAX_AGENT_KEYS = 1_000_000


def max_concurrent_rpcs(sessions: int) -> int:
    """Return the limit of RPCs: MAX_UNARY_RPCS beside the sessions.

    The design's limit of 200 is for work. A session is an RPC that idles for up to 24 minutes, so
    it is not counted there, or the 201st agent would be refused.
    """
    return sessions + MAX_UNARY_RPCS


def max_open_rpcs(sessions: int) -> int:
    """Return the limit of RPCs with those that wait for their request or for a place."""
    at_work = MAX_UNARY_RPCS + 2 * MAX_WAITING_RPCS  # known agents have separate places
    return max_concurrent_rpcs(sessions) + at_work + 4 * MAX_PENDING


def max_connections(sessions: int) -> int:
    """Return the limit of gRPC's connections, which the limit of open files may lower."""
    try:
        import resource
    except ImportError:  # this system has no such limit
        return max_open_rpcs(sessions)
    file_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if file_limit == resource.RLIM_INFINITY:
        return max_open_rpcs(sessions)
    return min(max_open_rpcs(sessions), int(file_limit * GRPC_FILES))


def max_strangers(sessions: int) -> int:
    """Return how many connections without a proven key may stay (`grpc.strangers`)."""
    connections = max_connections(sessions)
    return max(connections - sessions, connections // 2) // 2


def build_server_options(sessions: int) -> list[tuple[str, int]]:
    """Return gRPC's own limits (security design, section 10)."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", 8_192),
        ("grpc.max_concurrent_streams", 8),
        ("grpc.max_allowed_incoming_connections", max_connections(sessions)),
        ("grpc.server_handshake_timeout_ms", 5_000),
        ("grpc.max_connection_idle_ms", 20_000),  # for connections without session
        ("grpc.max_connection_age_ms", 1_800_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 300_000),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.so_reuseport", 0),
        # gRPC measures each line after what it reads, by a ping; a heartbeat fills no line.
        ("grpc.http2.bdp_probe", 0),
    ]


def build_agent_rates(batches_per_hour: int) -> TokenBuckets[bytes]:
    """Build batch rates, with 90 days of credit so that a backlog is accepted."""
    per_s = batches_per_hour / HOUR_S
    capacity = per_s * (HOUR_S + CREDIT_S)
    return TokenBuckets(per_s=per_s, capacity=capacity, max_keys=MAX_AGENT_KEYS)


def build_stranger_rates() -> TokenBuckets[str]:
    """Build the rates of enrollments and envelopes before authentication, by prefix.

    One prefix may be the carrier-grade NAT of a whole country, so it slows and never bans.
    """
    return TokenBuckets(per_s=50.0, capacity=2_000.0, max_keys=MAX_RATE_KEYS)


def build_newcomer_rates() -> dict[str, TokenBuckets[str]]:
    """Build the rates of enrollments in quarantine, by width of network.

    They are low, because the number of agents in quarantine is limited for everybody.
    """
    rates = {}
    for width, factor in _WIDTH_FACTORS.items():
        count = NEWCOMERS_PER_HOUR * factor
        rates[width] = TokenBuckets[str](
            per_s=count / HOUR_S, capacity=count, max_keys=MAX_RATE_KEYS
        )
    return rates


# Assumed, all three.
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

    def list_networks(self, address: str) -> tuple[NetworkKey, ...]:
        """List the networks whose share of the connections an address uses."""
        return self._geo.locate(address, self._clock.wall_us()).networks

    def allows(self, address: str) -> bool:
        now_us = self._clock.monotonic_us()
        prefix = self._geo.locate(address, self._clock.wall_us()).prefix
        return not self._prefix_rates.take(prefix, now_us) and not self._total_rate.take(1, now_us)


class WorkSlots:
    """Places for requests at work, and a bounded queue of those that wait for one."""

    def __init__(self, capacity: int, max_waiting: int) -> None:
        self._slots = asyncio.Semaphore(capacity)
        self._max_waiting = max_waiting
        self._waiting_count = 0

    @property
    def is_full(self) -> bool:
        """Return whether as many wait as may."""
        return self._waiting_count >= self._max_waiting

    @asynccontextmanager
    async def hold_slot(self, timeout_s: float) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises TimeoutError, also inside the block."""
        async with asyncio.timeout(max(0.0, timeout_s)):
            self._waiting_count += 1
            try:
                await self._slots.acquire()
            finally:
                self._waiting_count -= 1
            try:
                yield
            finally:
                self._slots.release()
