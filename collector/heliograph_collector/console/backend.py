"""What the console needs from the rest of the collector; `app/console_backend.py` fills it in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.services import Services
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.registry import Fleet


class InvalidInputError(Exception):
    """What was typed cannot be; the text is a sentence that names place and cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAgent:
    """What a connected agent says of itself, beside what the registry knows."""

    country: str
    region: str
    access: str
    link: str
    queued_envelopes: int  # envelopes in its spool
    remaining_batches: int | None  # batches more that it may send now; None when it has sent none


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestStatus:
    """State of ingest. `lag_entries` is None until the store has answered."""

    position: int  # of the journal
    lag_entries: int | None
    received_us: int | None  # when the newest result in the store came
    free_bytes: int  # on the disk of the data directory
    problems: Sequence[str]
    envelopes: Sequence[tuple[str, str, str, int]]  # carrier, status, reason, how many
    measurements: Mapping[str, int]  # by outcome: kept, bad, time_bad


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChangeCount:
    """So many verdicts that today's rules give otherwise; "" for none."""

    country: str
    service: str
    before: str
    after: str
    state_before: str
    state_after: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What judging again would change. `is_complete` is false when it was cut off."""

    since_us: int
    until_us: int
    judged_count: int
    changed_count: int
    is_complete: bool
    changes: Sequence[VerdictChangeCount]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceReport:
    """A code that was read out, proven."""

    agent: str  # hex
    created: str
    lines: Sequence[str]
    is_stored: bool  # it was taken in before


@dataclass(frozen=True, kw_only=True)
class ConsoleBackend:
    """The data and callables that the console is built from.

    `name_origin` takes the addresses on a request's way (as in X-Forwarded-For, the peer last) and
    returns an opaque name of its origin. `secret` authenticates what a browser keeps, also after a
    restart. `fleet` is a connection of the console's own.

    `create_invite` takes (role, uses, lifetime in seconds) and returns the line. `read_plan` takes
    YAML and the name it has in errors. `dry_run` judges the last day again and stores nothing.
    `prove_voice_code` verifies a code, and with `True` stores it. All four raise InvalidInputError.
    `issue_plan` signs a plan as the next.
    """

    clock: Clock
    operators: Operators
    trail: AuditLog
    secret: bytes
    name_origin: Callable[[str], str]
    fleet: Fleet
    services: Services  # of the running collector
    services_source: str  # where they come from, in words
    list_live_agents: Callable[[], Mapping[bytes, LiveAgent]]
    create_invite: Callable[[str, int, int], str]
    read_plan: Callable[[str, str], Plan]
    write_plan: Callable[[Plan], str]
    issue_plan: Callable[[Plan], Plan]
    read_ingest_status: Callable[[], IngestStatus]
    dry_run: Callable[[], Awaitable[DryRun]]
    rules_version: str  # which edition judges
    prove_voice_code: Callable[[str, bool], VoiceReport]
    # by topic: a value that differs after a change
    read_change_markers: Callable[[], Mapping[str, object]]
    count_incidents: Callable[[], Mapping[str, int]] | None = None  # open incidents, by their state
