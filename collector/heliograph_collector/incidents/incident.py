"""Incidents: a bracketed change in one or more cells, with phases and cause hints.

Hints never trigger an incident and never name one. From "Destination Unreachable" (SIGCOMM 2023):
85 % of shutdowns and 40 % of other outages begin on the hour or the half hour; 68 % of shutdowns
recur within four days.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.model.scope import AffectedCell, Scope, enclosing_scope, scope_label
from heliograph_collector.model.signals import OfflineReport

_RECURRENCE_US = 4 * DAY_US  # "Destination Unreachable"
CAUSE_HINTS = ("network_cut", "power_cut")
MOST_SERVICES = "most-services"  # stands for a service where tests of all fail by chance
ONE_WAY = "one_way"  # hint: a block of the collector would look the same
_CLEAR_SHARE = 0.6  # of the vantages with a report; assumed
_MIN_REPORTS = 3  # of vantages; assumed
_HOUR_SLACK_US = 2 * MINUTE_US


def tested_service(service: str) -> str:
    """Return the service whose tests show an incident, "" for tests of all services."""
    return "" if service == MOST_SERVICES else service


class IncidentKind(StrEnum):
    SILENCE = "network_silence"
    BLOCKING = "service_blocking"
    THROTTLING = "throttling"
    PARTIAL = "partial"
    ISOLATION = "isolation"  # connected to this collector, and nothing abroad answers
    COLLECTOR_BLOCKED = "collector_blocked"  # silent, but only towards this collector
    POWER = "power"

    @property
    def is_silence(self) -> bool:
        """Return whether it began as a silence of vantages, whatever explains it."""
        return self in _SILENCES


_SILENCES = frozenset((IncidentKind.SILENCE, IncidentKind.COLLECTOR_BLOCKED, IncidentKind.POWER))


class IncidentState(StrEnum):
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class HoldReason(StrEnum):
    """Reason why an incident is only suspected, or withdrawn; the pages label each."""

    FEW = "few_votes"
    YOUNG = "young_vantages"
    ONE_LINE = "one_line"  # one prefix, which may be one box
    COMMON = "common_mode"  # other countries fell silent too
    CARRIER = "carrier"  # others live by other carriers, or report working links
    UNSEEN = "entrance_unseen"  # nobody else used it: the fault may be ours
    POWER = "power"
    HABIT = "habit"  # people may have switched off
    RESTARTS = "restarts"  # programs that begin again, and fail
    ALL_SERVICES = "all_services"  # of a network, or most of a country, fail alike
    ELSEWHERE = "elsewhere"  # the service, or network, fails alike in other countries
    DOWN = "down_elsewhere"  # … in most of the world


@dataclass(frozen=True, slots=True)
class Bracket:
    """An event between two times: last good and first bad, or the other way round."""

    earliest_us: int
    latest_us: int


class PhaseDirection(StrEnum):
    OPENING = "opening"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """A part of an incident that came back or went dark again; it raises no alert."""

    way: PhaseDirection
    parts: tuple[AffectedCell, ...]
    when: Bracket
    seen_us: int


@dataclass(frozen=True, slots=True)
class KindChange:
    """Another explanation of an incident, from `at_us` on."""

    kind: IncidentKind
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident, as detected at one time."""

    id: str
    kind: IncidentKind
    state: IncidentState
    parts: tuple[AffectedCell, ...]
    started: Bracket
    suspected_us: int  # time of the first detection
    confidence: float
    confirmed_us: int | None = None
    ended: Bracket | None = None
    closed_us: int | None = None  # or withdrawn
    service: str = ""
    layer: str = ""
    method: str = ""
    turns: tuple[PhaseChange, ...] = ()
    kinds: tuple[KindChange, ...] = ()  # in order, the first included; () if it never changed
    hints: tuple[str, ...] = ()
    held: tuple[str, ...] = ()  # `HoldReason`s against a confirmation
    reports: int | None = None  # vantages whose reports hints on the cause rest on; None: unknown
    told: float | None = None  # votes that report its kind; None: it rests on no testimony
    several: float | None = None  # votes that show that more than one way is silent; None: unknown

    @property
    def scope(self) -> Scope:
        return enclosing_scope(part.scope for part in self.parts)

    @property
    def label(self) -> str:
        return scope_label(part.scope for part in self.parts)

    @property
    def openings(self) -> tuple[PhaseChange, ...]:
        return tuple(turn for turn in self.turns if turn.way is PhaseDirection.OPENING)

    @property
    def cuts(self) -> tuple[PhaseChange, ...]:
        return tuple(turn for turn in self.turns if turn.way is PhaseDirection.CUT)

    def overlaps(self, other: "Incident") -> bool:
        """Return whether both may be one change.

        They have the same kind of signal and service, nested cells and overlapping times.
        """
        own_scope = self.scope
        other_scope = other.scope
        return (
            self.kind.is_silence == other.kind.is_silence
            and self.service == other.service
            and (own_scope.is_within(other_scope) or other_scope.is_within(own_scope))
            and self.started.earliest_us <= _end_us(other)
            and other.started.earliest_us <= _end_us(self)
        )


def incident_id(
    channel: str, service: str, scope: Scope, started: Bracket, pseudonyms: Iterable[str]
) -> str:
    """Derive an id from the first scope and onset minute; 16 hex digits.

    Scopes and minutes are few enough to try them all, and the first ones may be of too few to be
    published. So a pseudonym is part of the id, which nobody but the collector can make.
    """
    minute = started.latest_us // MINUTE_US
    identity_text = (
        f"{channel}\n{service}\n{scope.country}\n{scope.region}\n{scope.asn}\n{scope.access}\n"
        f"{min(pseudonyms, default='')}\n"
    )
    return hashlib.sha256(f"{identity_text}{minute}".encode()).hexdigest()[:16]


def carry_ids(before: Sequence[Incident], after: Iterable[Incident]) -> list[Incident]:
    """Return recomputed incidents under their published ids.

    An incident with a published id keeps it. Another takes the id of the overlapping published
    incident with the nearest onset. Each id is used once.
    """
    all_incidents = sorted(after, key=attrgetter("started.earliest_us"))
    known_ids = {incident.id for incident in before}
    unmatched = {
        i.id: i for i in before if i.id not in {recomputed.id for recomputed in all_incidents}
    }
    renamed: list[Incident] = []
    for incident in all_incidents:
        overlapping = [previous for previous in unmatched.values() if previous.overlaps(incident)]
        if overlapping and incident.id not in known_ids:
            _, previous_id = min((_onset_distance_us(o, incident), o.id) for o in overlapping)
            incident = replace(incident, id=unmatched.pop(previous_id).id)
        renamed.append(incident)
    return renamed


def _onset_distance_us(first: Incident, second: Incident) -> int:
    return abs(first.started.latest_us - second.started.latest_us)


def _end_us(incident: Incident) -> int:
    if incident.ended:
        return incident.ended.latest_us
    return incident.closed_us or 1 << 62


def hint_on_the_hour(started: Bracket) -> tuple[str, ...]:
    """Hint at a full or half hour within the bracket, plus or minus two minutes."""
    low = started.earliest_us - _HOUR_SLACK_US
    high = started.latest_us + _HOUR_SLACK_US
    if high - low >= HOUR_US // 4:
        return ()  # a bracket this wide holds one by chance
    if low // HOUR_US != high // HOUR_US:
        return ("on_the_hour",)
    half = HOUR_US // 2
    return ("on_the_half_hour",) if low // half != high // half else ()


def hint_recurring(incident: Incident, earlier: Iterable[Incident]) -> tuple[str, ...]:
    """Hint at a cut of the same cell in the four days before."""
    start = incident.started.earliest_us
    is_recurring = any(
        other.id != incident.id
        and other.kind is incident.kind
        and other.service == incident.service
        and other.scope == incident.scope
        and other.state is not IncidentState.WITHDRAWN
        and start - _RECURRENCE_US <= other.started.earliest_us < start
        for other in earlier
    )
    return ("recurring",) if is_recurring else ()


def hint_power_or_network(replays: Iterable[OfflineReport]) -> tuple[str, ...]:
    """Hint at the cause by offline reports of returned vantages: alive or rebooted.

    One that was online meanwhile knows of neither. Fewer than three reports give no hint.
    """
    alive_by_vantage = {replay.nym: replay.alive for replay in replays if not replay.online}
    if len(alive_by_vantage) < _MIN_REPORTS:
        return ()
    alive_share = sum(alive_by_vantage.values()) / len(alive_by_vantage)
    if alive_share >= _CLEAR_SHARE:
        return ("network_cut",)
    return ("power_cut",) if alive_share <= 1 - _CLEAR_SHARE else ()
