"""A book of incidents, signed as the collector's own: what pages and feeds are looked at with."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from heliograph.keys import SigningKey
from heliograph_collector.incidents.book import Book, Entry
from heliograph_collector.incidents.diff import Change, Revision
from heliograph_collector.incidents.hash_chain import START, body_of, hash_of, line
from heliograph_collector.incidents.incident import Bracket, Incident, Kind, State, Turn, Way
from heliograph_collector.incidents.log_file import Grounds, body
from heliograph_collector.incidents.scope import Part, Scope
from support.fake_feed import NOW_US

KEY = SigningKey(b"k" * 32)
MINUTE = 60_000_000
VERSIONS = {"heliograph": "0.3.0", "services": "7", "state": "c0ffee" * 10}
Saying = tuple[int, Revision]  # when, what


def ago(minutes: float) -> int:
    return NOW_US - int(minutes * MINUTE)


def part(votes: float, *where: Any, share: float = 1.0, beyond: Sequence[Scope] = ()) -> Part:
    return Part(Scope(*where), votes, share, 3, tuple(beyond))


def bracket(minutes: float, width_s: float = 40.0) -> Bracket:
    """`width_s` wide, up to so many minutes before now."""
    return Bracket(ago(minutes) - int(width_s * 1_000_000), ago(minutes))


def silence(id_: str = "5e1f" * 4, minutes: float = 30, **changes: Any) -> Incident:
    made = Incident(
        id=id_,
        kind=Kind.SILENCE,
        state=State.CONFIRMED,
        parts=(part(24.0, "KZ"),),
        started=bracket(minutes),
        suspected_us=ago(minutes) + 30_000_000,
        confirmed_us=ago(minutes) + 60_000_000,
        confidence=0.96,
    )
    return replace(made, **changes)


def blocking(id_: str = "b10c" * 4, minutes: float = 38, **changes: Any) -> Incident:
    made = silence(
        id_,
        minutes,
        kind=Kind.BLOCKING,
        parts=(part(26.0, "KZ", "", 9198, "fixed"),),
        started=bracket(minutes, 120),
        service="telegram",
        layer="tls",
        method="reset_after_hello",
    )
    return replace(made, **changes)


def closed(incident: Incident, minutes: float) -> Incident:
    """The same, over so many minutes before now."""
    over = ago(minutes) + 90_000_000
    return replace(incident, state=State.CLOSED, ended=bracket(minutes), closed_us=over)


def sayings(incident: Incident) -> list[Saying]:
    """Suspected, confirmed and its end, each when it was known."""
    told = replace(
        incident, state=State.SUSPECTED, confirmed_us=None, ended=None, closed_us=None, turns=()
    )
    found = [(told.suspected_us, Revision(Change.SUSPECTED, told, False))]
    if incident.confirmed_us:
        firm = replace(
            told, state=State.CONFIRMED, confirmed_us=incident.confirmed_us, held=incident.held
        )
        found.append((incident.confirmed_us, Revision(Change.CONFIRMED, firm, True)))
    if incident.turns:
        seen = incident.turns[-1].seen_us
        news = replace(incident, state=State.CONFIRMED, ended=None, closed_us=None)
        found.append((seen, Revision(Change.REVISED, news, False)))
    if incident.closed_us:
        change = Change(incident.state.value)
        found.append((incident.closed_us, Revision(change, incident, True)))
    return found


def signed(said: Iterable[Saying]) -> Book:
    """In order of time, one line each."""
    book, before = Book(), START
    for at_us, revision in sorted(said, key=lambda one: one[0]):
        number = len(book.entries) + 1
        grounds = Grounds(number * 100, number * 100 + 99, at_us - 60 * MINUTE, at_us, VERSIONS)
        raw = line(number, before, body(revision, grounds, at_us), KEY)
        before = hash_of(raw)
        book.take(Entry(number, before, raw, body_of(raw)))
    return book


def book(*incidents: Incident) -> Book:
    return signed(saying for incident in incidents for saying in sayings(incident))


def opening(minutes: float, *parts: Part, way: Way = Way.OPENING) -> Turn:
    return Turn(way, parts, bracket(minutes, 50), ago(minutes) + MINUTE)


def evening_book(city: str = "ALA") -> Book:
    """Telegram blocked on a fixed line; all mobiles silent; Almaty's cut over, with an opening."""
    mobile = silence(
        "a0b1" * 4,
        52,
        parts=(part(19.0, "KZ", "", 0, "mobile", share=0.95),),
        hints=("on_the_hour", "recurring"),
    )
    almaty = silence(
        "a1a7" * 4,
        300,
        parts=(part(12.0, "KZ", city, share=0.92, beyond=[Scope("KZ", city, 0, "hosting")]),),
        turns=(
            opening(240, part(8.0, "KZ", city, 0, "fixed")),
            opening(225, part(8.0, "KZ", city, 0, "fixed"), way=Way.CUT),
        ),
        hints=("network_cut",),
    )
    doubt = silence(
        "d0bb" * 4,
        6,
        parts=(part(6.0, "DE", "BE", 0, "fixed", share=0.8),),
        state=State.SUSPECTED,
        confirmed_us=None,
        confidence=0.5,
        held=("power",),
    )
    gone = replace(
        blocking("60e0" * 4, 700, service="signal", parts=(part(9.0, "DE", share=0.7),)),
        state=State.WITHDRAWN,
        closed_us=ago(690),
        held=("down_elsewhere",),
    )
    return book(mobile, blocking(), closed(almaty, 130), doubt, gone)
