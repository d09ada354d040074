"""The interface of the console; `app/console_backend.py` implements it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.services import Services
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.registry import Fleet


class InvalidInputError(Exception):
    """The input is invalid; the text is a sentence with place and correction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAgent:
    """Session data of a connected agent, beside its registry data."""

    country: str
    region: str
    access: str
    link: str
    queued_envelopes: int  # envelopes in its spool
    remaining_batches: int | None  # batches that it may still send now; None if it has sent none


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestStatus:
    """State of ingest; `lag_entries` is None until the store has answered."""

    position: int  # position in the journal
    lag_entries: int | None
    received_us: int | None  # arrival of the newest result in the store
    free_bytes: int  # on the disk of the data directory
    problems: Sequence[str]
    envelopes: Sequence[tuple[str, str, str, int]]  # carrier, status, reason, count
    measurements: Mapping[str, int]  # by outcome: kept, bad, time_bad


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChangeCount:
    """The number of verdicts that the current rules change; "" for no verdict."""

    country: str
    service: str
    before: str
    after: str
    state_before: str
    state_after: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The changes if the current rules judged again; `is_complete` false: cut off."""

    since_us: int
    until_us: int
    judged_count: int
    changed_count: int
    is_complete: bool
    changes: Sequence[VerdictChangeCount]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceReport:
    """A code by telephone whose proof is valid."""

    agent: str  # hex
    created: str
    lines: Sequence[str]
    is_stored: bool  # it was stored before


@dataclass(frozen=True, kw_only=True)
class ConsoleBackend:
    """The data and callables that the console is built from.

    `name_origin` takes the addresses of a request's path (as in X-Forwarded-For, the peer last) and
    returns an opaque name of its origin. `secret` authenticates what a browser stores, also after a
    restart. `fleet` is a connection that only the console uses.

    `create_invite` takes (role, uses, lifetime in seconds) and returns the line. `read_plan` takes
    YAML and its name in error messages. `dry_run` judges the last day again and stores nothing.
    `prove_voice_code` verifies a code, and with `True` stores it. All four raise InvalidInputError.
    `issue_plan` signs a plan as the next version.
    """

    clock: Clock
    operators: Operators
    trail: AuditLog
    secret: bytes
    name_origin: Callable[[str], str]
    fleet: Fleet
    services: Services  # of the running collector
    services_source: str  # their origin, in words
    list_live_agents: Callable[[], Mapping[bytes, LiveAgent]]
    create_invite: Callable[[str, int, int], str]
    read_plan: Callable[[str, str], Plan]
    write_plan: Callable[[Plan], str]
    issue_plan: Callable[[Plan], Plan]
    read_ingest_status: Callable[[], IngestStatus]
    dry_run: Callable[[], Awaitable[DryRun]]
    rules_version: str  # version of the rules that judge
    prove_voice_code: Callable[[str, bool], VoiceReport]
    # by topic: a value that changes with the data
    read_change_markers: Callable[[], Mapping[str, object]]
    count_incidents: Callable[[], Mapping[str, int]] | None = None  # open incidents by state
