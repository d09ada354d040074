"""RIPE Atlas: a probe's session with its controller comes and goes (measurement 7000).

An event holds event (connect, disconnect), prb_id, timestamp, asn, prefix and controller. It does
not tell the country: that is in the list of probes (API or archive), which may lie beside it. Each
probe is one witness, its controller the carrier, its prefix (hashed) the network that votes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import (
    DAY_US,
    SECOND_US,
    Arrival,
    Lost,
    Place,
    Presence,
    Witness,
)
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError, place
from heliograph_collector.sources.json_objects import MOST_ROWS, Json, number, objects, text
from heliograph_collector.sources.replay import Replay
from heliograph_collector.sources.timestamps import moment, together

_ACCESS = {
    "mobile": ("mobile", "lte", "4g", "5g", "3g", "cellular"),
    "hosting": ("datacentre", "datacenter", "data-center", "cloud", "vps", "hosting", "anchor"),
    "fixed": ("home", "dsl", "adsl", "vdsl", "cable", "fibre", "fiber", "ftth"),
}
CONNECTED = 1


@dataclass(frozen=True, slots=True)
class Probe:
    number: int
    country: str
    asn: int
    access: str
    prefix: str
    first_us: int  # 0 not told
    connected: bool
    status_us: int  # since when it is what it is; 0 not told

    @property
    def place(self) -> Place:
        return Place(self.country, "", self.asn, self.access)


def is_probe(item: Json) -> bool:
    return "id" in item and "country_code" in item


def listed(item: Json) -> Iterator[Json]:
    """Probes of the API (`results`), of the archive (`objects`), or one alone."""
    if is_probe(item):
        yield item
    for key in ("results", "objects"):
        rows = item.get(key)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and is_probe(row):
                yield row


def probe(item: Json) -> Probe | None:
    """None where its number is no number."""
    found = number(item.get("id"))
    if found is None or found < 1:
        return None
    country = text(item.get("country_code"), 2).upper()
    status = item.get("status")
    told = status.get("id") if isinstance(status, dict) else status
    prefix = text(item.get("prefix_v4")) or text(item.get("prefix_v6"))
    return Probe(
        number=int(found),
        country=country if len(country) == 2 and country.isalpha() else "ZZ",
        asn=network(item.get("asn_v4")) or network(item.get("asn_v6")),
        access=_access(item),
        prefix=hidden(prefix),
        first_us=moment(item.get("first_connected")) or 0,
        connected=told in (CONNECTED, str(CONNECTED)) or item.get("status_name") == "Connected",
        status_us=moment(item.get("status_since")) or 0,
    )


def network(value: object) -> int:
    found = number(value)
    return int(found) if found is not None and 0 < found < 2**32 else 0


def hidden(prefix: str) -> str:
    """A network's name that does not tell the network."""
    return hashlib.sha256(prefix.encode()).hexdigest()[:16] if prefix else ""


def _access(item: Json) -> str:
    """By what its host wrote on it; an anchor stands in a data centre."""
    if item.get("is_anchor") is True:
        return "hosting"
    rows = item.get("tags")
    tags = set()
    for row in rows[:64] if isinstance(rows, list) else ():
        slug = row.get("slug") or row.get("name") if isinstance(row, dict) else row
        tags.add(text(slug, 64).lower())
    for access, words in _ACCESS.items():
        if not tags.isdisjoint(words):
            return access
    return ""


_BEFORE_US = SECOND_US  # who was there already came a moment before the first event
_KNOWN_US = 60 * DAY_US  # of whom nobody tells since when it is there


@dataclass(frozen=True, slots=True)
class Event:
    at_us: int
    probe: int
    came: bool
    controller: str
    asn: int
    prefix: str


@dataclass(slots=True)
class _Read:
    probes: dict[int, Probe] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


def is_atlas(item: Json) -> bool:
    return ("prb_id" in item and "event" in item) or is_probe(item) or any(listed(item))


def replay(paths: Iterable[Path], scope: Scope | None, complaints: Complaints) -> Replay:
    """Of events, and of lists of probes. `scope`: of whom, where the files do not tell."""
    every = list(paths)
    read = _Read()
    for path in every:
        for line, item in objects(path, complaints):
            _take(read, item, place(path, line), complaints)
            if len(read.events) > MOST_ROWS:
                raise ImportRefusedError(f"{path} brings more than {MOST_ROWS} events: cut it up.")
    if not read.events:
        raise ImportRefusedError(f"{every[0]} holds no connection events of RIPE Atlas.")
    if not read.probes:
        complaints.add(
            str(every[0]),
            "there is no list of probes beside it, so probes without an event are not known and "
            "shares are of those with one" + ("" if scope else "; nor is any country"),
        )
    low_us, high_us = together([event.at_us for event in read.events])
    near = [event for event in read.events if low_us <= event.at_us <= high_us]
    if far := len(read.events) - len(near):
        said = f"{far} events lie over 200 days from the others; they are left out"
        complaints.add(str(every[0]), said)
    read.events = near
    return _replay(every[0].stem, read, scope)


def _take(read: _Read, item: Json, where: str, complaints: Complaints) -> None:
    if "event" in item and "prb_id" in item:
        event = _event(item)
        if event is None:
            complaints.add(where, "an event lacks a proper prb_id, timestamp or event")
        else:
            read.events.append(event)
        return
    rows = [probe(row) for row in listed(item)]
    if not rows:
        complaints.add(where, "this is neither a connection event nor a probe")
    read.probes.update({row.number: row for row in rows if row})


def _event(item: Json) -> Event | None:
    at_us, who, what = moment(item.get("timestamp")), number(item.get("prb_id")), item.get("event")
    if at_us is None or who is None or who < 1 or what not in ("connect", "disconnect"):
        return None
    return Event(
        at_us,
        int(who),
        what == "connect",
        text(item.get("controller"), 64),
        network(item.get("asn")),
        hidden(text(item.get("prefix"))),
    )


def _replay(name: str, read: _Read, scope: Scope | None) -> Replay:
    events = sorted(read.events, key=lambda e: (e.at_us, e.probe, e.came))
    since_us, until_us = events[0].at_us - _BEFORE_US, events[-1].at_us + SECOND_US
    known = {n: _witness(n, read.probes, (), since_us, scope) for n in read.probes}
    by: dict[int, list[Event]] = {}
    for event in events:
        by.setdefault(event.probe, []).append(event)
    signals: list[Presence] = []
    for n, own in by.items():
        known[n] = _witness(n, read.probes, own, since_us, scope)
        signals += _presence(known[n], own, since_us)
    quiet = [n for n, found in read.probes.items() if n not in by and _there(found, since_us)]
    signals += [Arrival(since_us, known[n]) for n in quiet]
    there = {*by, *quiet}
    return Replay(
        name=name,
        seed=0,
        since_us=since_us,
        until_us=until_us,
        signals=sorted(signals, key=lambda s: (s.at_us, isinstance(s, Arrival))),
        opinions=(),
        truths=(),
        vantages=tuple(known[n] for n in sorted(there)),
    )


def _there(found: Probe, since_us: int) -> bool:
    """Without an event in the file: connected then, if it still is since before."""
    return found.connected and found.status_us <= since_us


def _witness(
    number: int,
    probes: dict[int, Probe],
    own: Sequence[Event],
    since_us: int,
    scope: Scope | None,
) -> Witness:
    found = probes.get(number)
    where = found.place if found else Place("ZZ")
    if scope is not None and where.country == "ZZ":
        where = where._replace(country=scope.country)
    asn = next((e.asn for e in own if e.asn), 0) or where.asn
    prefix = next((e.prefix for e in own if e.prefix), "") or (found.prefix if found else "")
    return Witness(
        nym=f"atlas-{number}",
        prefix=prefix or f"atlas-{number}",
        place=where._replace(asn=asn),
        first_us=found.first_us if found and found.first_us else since_us - _KNOWN_US,
        carrier=next((e.controller for e in own if e.controller), "") or "session",
    )


def _presence(witness: Witness, own: Sequence[Event], since_us: int) -> list[Presence]:
    """A session ends once; the end of one that another has taken the place of is none."""
    signals: list[Presence] = [] if own[0].came else [Arrival(since_us, witness)]
    live, session = not own[0].came, own[0].controller
    for event in own:
        if event.came:
            live, session = True, event.controller
            carrier = event.controller or witness.carrier
            signals.append(Arrival(event.at_us, _by(witness, carrier)))
        elif live and event.controller in ("", session):
            live = False
            signals.append(Lost(event.at_us, witness.nym, event.at_us))
    return signals


def _by(witness: Witness, carrier: str) -> Witness:
    w = witness
    return w if w.carrier == carrier else Witness(w.nym, w.prefix, w.place, w.first_us, carrier)
