"""A signed book of incidents for tests of pages and feeds."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from heliograph.keys import SigningKey
from heliograph_collector.incidents.diff import IncidentChange, Revision
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.incidents.log_file import (
    EntryBasis,
    body_of,
    build_line,
    entry_body,
    hash_of,
)
from heliograph_collector.incidents.state import EMPTY_HEAD, IncidentBook, LogEntry
from heliograph_collector.model.scope import AffectedCell, Scope
from support.fake_feed import NOW_US

KEY = SigningKey(b"k" * 32)
MINUTE = 60_000_000
ALMATY, MOBILE, TELEGRAM, DOUBT, GONE = (w * 4 for w in ("a1a7", "a0b1", "b10c", "d0bb", "60e0"))
VERSIONS = {"heliograph": "0.3.0", "services": "7", "state": "c0ffee" * 10}
Saying = tuple[int, Revision]  # when, what


def ago(minutes: float) -> int:
    return NOW_US - int(minutes * MINUTE)


def part(
    votes: float, *where: Any, share: float = 1.0, beyond: Sequence[Scope] = ()
) -> AffectedCell:
    return AffectedCell(Scope(*where), votes, share, 3, tuple(beyond))


def bracket(minutes: float, width_s: float = 40.0) -> Bracket:
    """Return a bracket `width_s` wide that ends so many minutes ago."""
    return Bracket(ago(minutes) - int(width_s * 1_000_000), ago(minutes))


def silence(id_: str = "5e1f" * 4, minutes: float = 30, **changes: Any) -> Incident:
    made = Incident(
        id=id_, kind=IncidentKind.SILENCE, state=IncidentState.CONFIRMED,
        parts=(part(24.0, "KZ"),), started=bracket(minutes),
        suspected_us=ago(minutes) + 30_000_000, confirmed_us=ago(minutes) + 60_000_000,
        confidence=0.96,
    )  # fmt: skip
    return replace(made, **changes)


def blocking(id_: str = TELEGRAM, minutes: float = 38, **changes: Any) -> Incident:
    made = silence(
        id_, minutes, kind=IncidentKind.BLOCKING, parts=(part(26.0, "KZ", "", 9198, "fixed"),),
        started=bracket(minutes, 120), service="telegram", layer="tls",
        method="reset_after_hello",
    )  # fmt: skip
    return replace(made, **changes)


def closed(incident: Incident, minutes: float) -> Incident:
    over = ago(minutes) + 90_000_000
    return replace(incident, state=IncidentState.CLOSED, ended=bracket(minutes), closed_us=over)


def sayings(incident: Incident) -> list[Saying]:
    """Return suspicion, confirmation and end, each with the time it was known."""
    told = replace(
        incident, state=IncidentState.SUSPECTED, confirmed_us=None, ended=None, closed_us=None,
        turns=(),
    )  # fmt: skip
    found = [(told.suspected_us, Revision(IncidentChange.SUSPECTED, told, False))]
    if incident.confirmed_us:
        firm = replace(
            told, state=IncidentState.CONFIRMED, confirmed_us=incident.confirmed_us,
            held=incident.held,
        )  # fmt: skip
        found.append((incident.confirmed_us, Revision(IncidentChange.CONFIRMED, firm, True)))
    if incident.turns:
        seen = incident.turns[-1].seen_us
        news = replace(incident, state=IncidentState.CONFIRMED, ended=None, closed_us=None)
        found.append((seen, Revision(IncidentChange.REVISED, news, False)))
    if incident.closed_us:
        change = IncidentChange(incident.state.value)
        found.append((incident.closed_us, Revision(change, incident, True)))
    return found


def signed(said: Iterable[Saying], key: SigningKey = KEY) -> IncidentBook:
    """Sign the entries in order of time, one line each."""
    book, before = IncidentBook(), EMPTY_HEAD
    for at_us, revision in sorted(said, key=lambda one: one[0]):
        number = len(book.entries) + 1
        grounds = EntryBasis(number * 100, number * 100 + 99, at_us - 60 * MINUTE, at_us, VERSIONS)
        raw = build_line(number, before, entry_body(revision, grounds, at_us), key)
        before = hash_of(raw)
        book.append(LogEntry(number, before, raw, body_of(raw)))
    return book


def book(*incidents: Incident, key: SigningKey = KEY) -> IncidentBook:
    return signed((saying for incident in incidents for saying in sayings(incident)), key)


def opening(
    minutes: float, *parts: AffectedCell, way: PhaseDirection = PhaseDirection.OPENING
) -> PhaseChange:
    return PhaseChange(way, parts, bracket(minutes, 50), ago(minutes) + MINUTE)


def evening_book(city: str = "ALA") -> IncidentBook:
    """Telegram blocked on one line, all mobiles silent, Almaty's cut over."""
    mobile = silence(
        MOBILE, 52, parts=(part(19.0, "KZ", "", 0, "mobile", share=0.95),),
        hints=("on_the_hour", "recurring"),
    )  # fmt: skip
    almaty = silence(
        ALMATY,
        300,
        parts=(part(12.0, "KZ", city, share=0.92, beyond=[Scope("KZ", city, 0, "hosting")]),),
        turns=(
            opening(240, part(8.0, "KZ", city, 0, "fixed")),
            opening(225, part(8.0, "KZ", city, 0, "fixed"), way=PhaseDirection.CUT),
        ),
        hints=("network_cut",),
    )
    doubt = silence(
        DOUBT, 6, parts=(part(6.0, "DE", "BE", 0, "fixed", share=0.8),),
        state=IncidentState.SUSPECTED, confirmed_us=None, confidence=0.5, held=("power",),
    )  # fmt: skip
    gone = replace(
        blocking(GONE, 700, service="signal", parts=(part(9.0, "DE", share=0.7),)),
        state=IncidentState.WITHDRAWN, closed_us=ago(690), held=("down_elsewhere",),
    )  # fmt: skip
    return book(mobile, blocking(), closed(almaty, 130), doubt, gone)
