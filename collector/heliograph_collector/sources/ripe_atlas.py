"""Reader of RIPE Atlas connection events of probes (measurement 7000).

An event holds event (connect, disconnect), prb_id, timestamp, asn, prefix and controller. The
country is only in the list of probes (API or archive), which may be read too. A probe becomes a
vantage, its controller the carrier, and its hashed prefix the network that votes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    PresenceSignal,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)
from heliograph_collector.sources.json_objects import (
    MAX_ROWS,
    Json,
    as_number,
    as_text,
    read_objects,
)
from heliograph_collector.sources.replay import Replay
from heliograph_collector.sources.timestamps import find_time_range, parse_timestamp

_ACCESS = {
    "mobile": ("mobile", "lte", "4g", "5g", "3g", "cellular"),
    "hosting": ("datacentre", "datacenter", "data-center", "cloud", "vps", "hosting", "anchor"),
    "fixed": ("home", "dsl", "adsl", "vdsl", "cable", "fibre", "fiber", "ftth"),
}
CONNECTED = 1


@dataclass(frozen=True, slots=True)
class AtlasProbe:
    number: int
    country: str
    asn: int
    access: str
    prefix: str
    first_us: int  # 0 if unknown
    connected: bool
    status_us: int  # start of the present status, 0 if unknown

    @property
    def location(self) -> VantageLocation:
        return VantageLocation(self.country, "", self.asn, self.access)


def is_probe(item: Json) -> bool:
    return "id" in item and "country_code" in item


def iterate_probes(item: Json) -> Iterator[Json]:
    """Yield probes of the API (`results`), the archive (`objects`), or a single one."""
    if is_probe(item):
        yield item
    for key in ("results", "objects"):
        rows = item.get(key)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and is_probe(row):
                yield row


def parse_probe(item: Json) -> AtlasProbe | None:
    """Parse a probe, None without a valid id."""
    probe_id = as_number(item.get("id"))
    if probe_id is None or probe_id < 1:
        return None
    country = as_text(item.get("country_code"), 2).upper()
    status = item.get("status")
    status_id = status.get("id") if isinstance(status, dict) else status
    prefix = as_text(item.get("prefix_v4")) or as_text(item.get("prefix_v6"))
    return AtlasProbe(
        number=int(probe_id),
        country=country if len(country) == 2 and country.isalpha() else "ZZ",
        asn=parse_asn(item.get("asn_v4")) or parse_asn(item.get("asn_v6")),
        access=_detect_access(item),
        prefix=hash_prefix(prefix),
        first_us=parse_timestamp(item.get("first_connected")) or 0,
        connected=status_id in (CONNECTED, str(CONNECTED))
        or item.get("status_name") == "Connected",
        status_us=parse_timestamp(item.get("status_since")) or 0,
    )


def parse_asn(value: object) -> int:
    asn = as_number(value)
    return int(asn) if asn is not None and 0 < asn < 2**32 else 0


def hash_prefix(prefix: str) -> str:
    """Hash a prefix, so that the network is not shown."""
    return hashlib.sha256(prefix.encode()).hexdigest()[:16] if prefix else ""


def _detect_access(item: Json) -> str:
    """Detect the access by the host's tags; an anchor is in a data center."""
    if item.get("is_anchor") is True:
        return "hosting"
    rows = item.get("tags")
    tags = set()
    for row in rows[:64] if isinstance(rows, list) else ():
        slug = row.get("slug") or row.get("name") if isinstance(row, dict) else row
        tags.add(as_text(slug, 64).lower())
    for access, keywords in _ACCESS.items():
        if not tags.isdisjoint(keywords):
            return access
    return ""


_BEFORE_US = SECOND_US  # probes already connected arrive this long before the first event
_KNOWN_US = 60 * DAY_US  # assumed age of a probe without a recorded first connection


@dataclass(frozen=True, slots=True)
class ProbeEvent:
    at_us: int
    probe: int
    is_connect: bool
    controller: str
    asn: int
    prefix: str


@dataclass(slots=True)
class _AtlasInput:
    probes: dict[int, AtlasProbe] = field(default_factory=dict)
    events: list[ProbeEvent] = field(default_factory=list)


def is_atlas(item: Json) -> bool:
    return ("prb_id" in item and "event" in item) or is_probe(item) or any(iterate_probes(item))


def load_replay(paths: Iterable[Path], scope: Scope | None, complaints: Complaints) -> Replay:
    """Load events and lists of probes; `scope` is used where files have no country."""
    all_paths = list(paths)
    atlas_input = _AtlasInput()
    for path in all_paths:
        for line, item in read_objects(path, complaints):
            _add_item(atlas_input, item, describe_location(path, line), complaints)
            if len(atlas_input.events) > MAX_ROWS:
                raise ImportRefusedError(f"{path} brings more than {MAX_ROWS} events: cut it up.")
    if not atlas_input.events:
        raise ImportRefusedError(f"{all_paths[0]} holds no connection events of RIPE Atlas.")
    if not atlas_input.probes:
        complaints.add(
            str(all_paths[0]),
            "there is no list of probes beside it, so probes without an event are not known and "
            "shares are of those with one" + ("" if scope else "; nor is any country"),
        )
    low_us, high_us = find_time_range([event.at_us for event in atlas_input.events])
    near_events = [event for event in atlas_input.events if low_us <= event.at_us <= high_us]
    if distant_count := len(atlas_input.events) - len(near_events):
        reason = f"{distant_count} events lie over 200 days from the others; they are left out"
        complaints.add(str(all_paths[0]), reason)
    atlas_input.events = near_events
    return _build_replay(all_paths[0].stem, atlas_input, scope)


def _add_item(atlas_input: _AtlasInput, item: Json, location: str, complaints: Complaints) -> None:
    if "event" in item and "prb_id" in item:
        event = _parse_event(item)
        if event is None:
            complaints.add(location, "an event lacks a proper prb_id, timestamp or event")
        else:
            atlas_input.events.append(event)
        return
    rows = [parse_probe(row) for row in iterate_probes(item)]
    if not rows:
        complaints.add(location, "this is neither a connection event nor a probe")
    atlas_input.probes.update({row.number: row for row in rows if row})


def _parse_event(item: Json) -> ProbeEvent | None:
    at_us = parse_timestamp(item.get("timestamp"))
    probe_id = as_number(item.get("prb_id"))
    event_kind = item.get("event")
    if (
        at_us is None
        or probe_id is None
        or probe_id < 1
        or event_kind not in ("connect", "disconnect")
    ):
        return None
    return ProbeEvent(
        at_us,
        int(probe_id),
        event_kind == "connect",
        as_text(item.get("controller"), 64),
        parse_asn(item.get("asn")),
        hash_prefix(as_text(item.get("prefix"))),
    )


def _build_replay(name: str, atlas_input: _AtlasInput, scope: Scope | None) -> Replay:
    events = sorted(atlas_input.events, key=lambda e: (e.at_us, e.probe, e.is_connect))
    since_us = events[0].at_us - _BEFORE_US
    until_us = events[-1].at_us + SECOND_US
    witnesses = {
        n: _build_witness(n, atlas_input.probes, (), since_us, scope) for n in atlas_input.probes
    }
    events_by_probe: dict[int, list[ProbeEvent]] = {}
    for event in events:
        events_by_probe.setdefault(event.probe, []).append(event)
    signals: list[PresenceSignal] = []
    for n, probe_events in events_by_probe.items():
        witnesses[n] = _build_witness(n, atlas_input.probes, probe_events, since_us, scope)
        signals += _build_presence(witnesses[n], probe_events, since_us)
    quiet_probes = [
        n
        for n, listed_probe in atlas_input.probes.items()
        if n not in events_by_probe and _was_connected(listed_probe, since_us)
    ]
    signals += [VantageArrival(since_us, witnesses[n]) for n in quiet_probes]
    present_probes = {*events_by_probe, *quiet_probes}
    return Replay(
        name=name,
        seed=0,
        since_us=since_us,
        until_us=until_us,
        signals=sorted(signals, key=lambda s: (s.at_us, isinstance(s, VantageArrival))),
        opinions=(),
        truths=(),
        vantages=tuple(witnesses[n] for n in sorted(present_probes)),
    )


def _was_connected(listed_probe: AtlasProbe, since_us: int) -> bool:
    """Return whether a probe without events has been connected since before."""
    return listed_probe.connected and listed_probe.status_us <= since_us


def _build_witness(
    probe_id: int,
    probes: dict[int, AtlasProbe],
    probe_events: Sequence[ProbeEvent],
    since_us: int,
    scope: Scope | None,
) -> VantageRef:
    listed_probe = probes.get(probe_id)
    probe_place = listed_probe.location if listed_probe else VantageLocation("ZZ")
    if scope is not None and probe_place.country == "ZZ":
        probe_place = probe_place._replace(country=scope.country)
    asn = next((e.asn for e in probe_events if e.asn), 0) or probe_place.asn
    prefix = next((e.prefix for e in probe_events if e.prefix), "") or (
        listed_probe.prefix if listed_probe else ""
    )
    return VantageRef(
        nym=f"atlas-{probe_id}",
        prefix=prefix or f"atlas-{probe_id}",
        place=probe_place._replace(asn=asn),
        first_us=listed_probe.first_us
        if listed_probe and listed_probe.first_us
        else since_us - _KNOWN_US,
        carrier=next((e.controller for e in probe_events if e.controller), "") or "session",
    )


def _build_presence(
    witness: VantageRef, probe_events: Sequence[ProbeEvent], since_us: int
) -> list[PresenceSignal]:
    """Build arrivals and losses; ignore the end of a session that was replaced."""
    signals: list[PresenceSignal] = (
        [] if probe_events[0].is_connect else [VantageArrival(since_us, witness)]
    )
    is_live = not probe_events[0].is_connect
    session = probe_events[0].controller
    for event in probe_events:
        if event.is_connect:
            is_live = True
            session = event.controller
            carrier = event.controller or witness.carrier
            signals.append(VantageArrival(event.at_us, _with_carrier(witness, carrier)))
        elif is_live and event.controller in ("", session):
            is_live = False
            signals.append(VantageLoss(event.at_us, witness.nym, event.at_us))
    return signals


def _with_carrier(witness: VantageRef, carrier: str) -> VantageRef:
    w = witness
    return w if w.carrier == carrier else VantageRef(w.nym, w.prefix, w.place, w.first_us, carrier)
