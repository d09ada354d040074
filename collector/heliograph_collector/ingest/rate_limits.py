"""What a stranger, an agent and a connection may ask of this process: figures, and pure rules."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil


def raise_file_limit(files: int) -> bool:
    """Raise the limit as far as the system lets a process do by itself; whether that is enough."""
    try:
        import resource
    except ImportError:  # no such limit there
        return True
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit != hard_limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    return hard_limit == resource.RLIM_INFINITY or hard_limit >= files


MAX_MESSAGE_BYTES = 262_144
HELLO_S = 10.0  # from the challenge to a hello
MAX_HELLO_BYTES = 1_024  # it is kept with every arrival
MAX_LAG_S = 2.0  # so far behind, who comes anew is asked to come again, each at a moment of its own
RPC_S = 30.0  # Enrol and Submit, and any one write to a slow reader
MAX_IN_FLIGHT = 32  # envelopes of one session in work at once; agents keep 16 in flight
MAX_UNARY_RPCS = 200
MAX_ENVELOPES_IN_WORK = 256  # in work, of all carriers together: some 64 MiB
MAX_BAD_ENVELOPES = 16  # of one session, then it ends
MAX_MEASUREMENTS = 2_000  # of one envelope
MAX_EPOCHS = 64
MAX_SESSION_S = (
    24 * 60.0
)  # ±10 %: ended by us, with word, before gRPC's 30 min (±10 %) would cut it
HOUR_S = 3_600
CREDIT_S = 90 * 86_400  # silence that is saved up as leave to catch up
NEWCOMERS_PER_HOUR = 60  # without an invite, of one network at once, and so many an hour after that
MAX_RATE_KEYS = 65_536  # keys a rate table remembers


def max_concurrent_rpcs(sessions: int) -> int:
    """The 200 of the design bound work. A session is an RPC that idles for 24 minutes, so a bound
    of 200 on all RPCs would turn the 201st agent away: sessions are counted by themselves."""
    return sessions + MAX_UNARY_RPCS


def build_server_options(sessions: int) -> list[tuple[str, int]]:
    """gRPC's own limits (security design, section 10)."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", 8_192),
        ("grpc.max_concurrent_streams", 8),
        ("grpc.max_allowed_incoming_connections", sessions),
        ("grpc.server_handshake_timeout_ms", 5_000),
        ("grpc.max_connection_idle_ms", 20_000),  # an agent's has its session; others hold a place
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
    """One leaking bucket per key, the longest unused forgotten first."""

    def __init__(self, *, per_s: float, burst: float, max_keys: int = MAX_RATE_KEYS) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[object, _Bucket] = OrderedDict()

    def take_or_wait_s(self, key: object, now_us: int, *, absent_s: int = 0) -> int:
        """0 and one unit taken, or the seconds until there is one.

        `absent_s` is how long a key not yet known here has been silent.
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
        """Whole units there are now; None for a key that is not known here."""
        bucket = self._buckets.get(key)
        return None if bucket is None else int(self._level_at(bucket, now_us))

    def _level_at(self, bucket: _Bucket, now_us: int) -> float:
        refilled = (now_us - bucket.at_us) / 1_000_000 * self._per_s
        return min(self._burst, bucket.level + max(0.0, refilled))


def build_agent_rates(batches_per_hour: int) -> LeakyBuckets:
    """Batches of one agent. Leave not used is kept 90 days: a backlog after a cut is no flood."""
    per_s = batches_per_hour / HOUR_S
    return LeakyBuckets(per_s=per_s, burst=per_s * (HOUR_S + CREDIT_S))


def build_stranger_rates() -> LeakyBuckets:
    """Enrolments and envelopes from a network whose agent is not yet proven, by prefix.

    One prefix may be a whole country's carrier-grade NAT, so this slows and never bans.
    """
    return LeakyBuckets(per_s=50.0, burst=2_000.0)


def build_newcomer_rates() -> LeakyBuckets:
    """Who asks for a place in quarantine, by prefix: there are few, and they are for the world."""
    return LeakyBuckets(per_s=NEWCOMERS_PER_HOUR / HOUR_S, burst=NEWCOMERS_PER_HOUR)
