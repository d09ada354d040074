"""Rate and size limits for strangers, agents and connections; pure."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

from heliograph.units import HOUR_S


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
HELLO_S = 10.0  # from the challenge to the hello
MAX_HELLO_BYTES = 1_024  # the journal stores it with every arrival
MAX_LAG_S = 2.0  # assumed; a later event loop refuses new sessions with random retry times
RPC_S = 30.0  # for Enrol and Submit, and for one write to a slow reader
MAX_IN_FLIGHT = 32  # envelopes of one session in work; agents keep 16 in flight
MAX_UNARY_RPCS = 200
MAX_ENVELOPES_IN_WORK = 256  # of all carriers; about 64 MiB
MAX_BAD_ENVELOPES = 16  # per session, which then ends
MAX_MEASUREMENTS = 2_000  # per envelope
MAX_EPOCHS = 64
MAX_SESSION_S = (
    24 * 60.0
)  # ±10 %: the collector ends it with advice before gRPC's 30 min (±10 %) would
CREDIT_S = 90 * 86_400  # silence that counts as credit for a backlog
NEWCOMERS_PER_HOUR = 60  # per network, without invite: at once, and again per hour
MAX_RATE_KEYS = 65_536  # keys per rate table


def max_concurrent_rpcs(sessions: int) -> int:
    """Return the limit of RPCs: MAX_UNARY_RPCS beside the sessions.

    The design's limit of 200 is for work. A session is an RPC that idles for up to 24 minutes, so
    it is not counted there, or the 201st agent would be refused.
    """
    return sessions + MAX_UNARY_RPCS


def build_server_options(sessions: int) -> list[tuple[str, int]]:
    """Return gRPC's own limits (security design, section 10)."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", 8_192),
        ("grpc.max_concurrent_streams", 8),
        ("grpc.max_allowed_incoming_connections", sessions),
        ("grpc.server_handshake_timeout_ms", 5_000),
        ("grpc.max_connection_idle_ms", 20_000),  # for connections without session
        ("grpc.max_connection_age_ms", 1_800_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 300_000),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.so_reuseport", 0),
    ]


@dataclass(slots=True)
class _Bucket:
    level: float
    at_us: int


class LeakyBuckets:
    """One leaky bucket per key; the longest unused is dropped first."""

    def __init__(self, *, per_s: float, burst: float, max_keys: int = MAX_RATE_KEYS) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[object, _Bucket] = OrderedDict()

    def take_or_wait_s(self, key: object, now_us: int, *, absent_s: int = 0) -> int:
        """Take a unit and return 0, or return the seconds until there is one.

        `absent_s` is how long a key without bucket has been silent.
        """
        bucket = self._buckets.get(key)
        if bucket is None:
            initial_level = HOUR_S * self._per_s + absent_s * self._per_s
            bucket = self._buckets[key] = _Bucket(min(self._burst, initial_level), now_us)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.level = self._level_at(bucket, now_us)
        bucket.at_us = now_us
        if bucket.level >= 1:
            bucket.level -= 1
            return 0
        return ceil((1 - bucket.level) / self._per_s)

    def units_left(self, key: object, now_us: int) -> int | None:
        """Return the whole units left, None for an unknown key."""
        bucket = self._buckets.get(key)
        return None if bucket is None else int(self._level_at(bucket, now_us))

    def _level_at(self, bucket: _Bucket, now_us: int) -> float:
        refilled = (now_us - bucket.at_us) / 1_000_000 * self._per_s
        return min(self._burst, bucket.level + max(0.0, refilled))


def build_agent_rates(batches_per_hour: int) -> LeakyBuckets:
    """Build batch rates, with 90 days of credit so that a backlog is accepted."""
    per_s = batches_per_hour / HOUR_S
    return LeakyBuckets(per_s=per_s, burst=per_s * (HOUR_S + CREDIT_S))


def build_stranger_rates() -> LeakyBuckets:
    """Build the rates of enrollments and envelopes before authentication, by prefix.

    One prefix may be the carrier-grade NAT of a whole country, so it slows and never bans.
    """
    return LeakyBuckets(per_s=50.0, burst=2_000.0)


def build_newcomer_rates() -> LeakyBuckets:
    """Build the rates of enrollments in quarantine, by prefix.

    They are low, because the number of agents in quarantine is limited for everybody.
    """
    return LeakyBuckets(per_s=NEWCOMERS_PER_HOUR / HOUR_S, burst=NEWCOMERS_PER_HOUR)
