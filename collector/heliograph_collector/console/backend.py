"""What the console needs from the rest of the collector, as callables that `serve` fills in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.services import Services
from heliograph_collector.fleet.audit_log import Trail
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.registry import Fleet


class NotSoError(Exception):
    """What was typed cannot be; the text is a sentence that names place and cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What a connected agent says of itself, beside what the registry knows."""

    country: str
    region: str
    access: str
    link: str
    queued: int  # envelopes in its spool
    leave: int | None  # batches more that it may send now; None when it has sent none


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """How what comes in is kept. `behind` is None until the store has answered."""

    position: int  # of the journal
    behind: int | None
    received_us: int | None  # when the newest result in the store came
    free_bytes: int  # on the disk of the data directory
    problems: Sequence[str]
    envelopes: Sequence[tuple[str, str, str, int]]  # carrier, status, reason, how many
    measurements: Mapping[str, int]  # by outcome: kept, bad, time_bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """So many verdicts that today's rules give otherwise; "" for none."""

    country: str
    service: str
    before: str
    after: str
    state_before: str
    state_after: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What judging again would change. `whole` is false when it was cut off."""

    since_us: int
    until_us: int
    looked_at: int
    changed: int
    whole: bool
    moves: Sequence[Moved]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A code that was read out, proven."""

    agent: str  # hex
    made: str
    lines: Sequence[str]
    known: bool  # it was taken in before


@dataclass(frozen=True, kw_only=True)
class Office:
    """Everything that the console stands on.

    `place` takes the addresses on a request's way (as in X-Forwarded-For, the peer last) and gives
    a name for where it came from that says nothing by itself. `secret` proves to us what we gave a
    browser to keep, also after a restart. `fleet` is a connection of the console's own.

    `invite` takes (role, uses, life in seconds) and gives the line. `read_plan` takes YAML and what
    it is called in errors. `rehearse` judges the last day again and keeps nothing. `hear` proves a
    code, with `True` keeps it too. All four raise NotSoError. `issue` signs a plan as the next.
    """

    clock: Clock
    operators: Operators
    trail: Trail
    secret: bytes
    place: Callable[[str], str]
    fleet: Fleet
    services: Services  # of the running collector
    services_place: str  # where they come from, in words
    here: Callable[[], Mapping[bytes, Here]]
    invite: Callable[[str, int, int], str]
    read_plan: Callable[[str, str], Plan]
    write_plan: Callable[[Plan], str]
    issue: Callable[[Plan], Plan]
    ingest: Callable[[], Ingest]
    rehearse: Callable[[], Awaitable[Rehearsal]]
    rules: str  # which edition judges
    hear: Callable[[str, bool], Spoken]
    pulse: Callable[[], Mapping[str, object]]  # by topic: something that differs after a change
    standing: Callable[[], Mapping[str, int]] | None = None  # open incidents, by their state
