"""Reader of RIPE Atlas connection events of probes (measurement 7000).

An event holds event (connect, disconnect), prb_id, timestamp, asn, prefix and controller. The
country is only in the list of probes (API or archive), which may be read too. A probe becomes a
vantage, its controller the carrier, and its hashed prefix the network that votes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import msgspec

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
    JsonObject,
    iterate_objects,
    read_objects,
)
from heliograph_collector.sources.replay import Replay, Signal
from heliograph_collector.sources.timestamps import find_time_range, parse_timestamp
from heliograph_collector.sources.typed_reader import Text64, as_number, as_text, read_struct

_ACCESS = {
    "mobile": ("mobile", "lte", "4g", "5g", "3g", "cellular"),
    "hosting": ("datacentre", "datacenter", "data-center", "cloud", "vps", "hosting", "anchor"),
    "fixed": ("home", "dsl", "adsl", "vdsl", "cable", "fibre", "fiber", "ftth"),
}
_BEFORE_US = SECOND_US  # probes already connected arrive this long before the first event
_KNOWN_US = 60 * DAY_US  # assumed age of a probe without a recorded first connection


def _read_time(value: object) -> int:
    return parse_timestamp(value) or 0


def _read_asn(value: object) -> int:
    asn = as_number(value)
    return int(asn) if asn is not None and 0 < asn < 2**32 else 0


def _read_prefix(value: object) -> str:
    """Hash a prefix, so that the network is not shown."""
    prefix = as_text(value, 256)
    return hashlib.sha256(prefix.encode()).hexdigest()[:16] if prefix else ""


def _read_country(value: object) -> str:
    country = as_text(value, 2).upper()
    return country if len(country) == 2 and country.isalpha() else "ZZ"


def _read_probe_number(value: object) -> int:
    number = as_number(value)
    return int(number) if number is not None and number >= 1 else 0


def _read_status(value: object) -> bool:
    """Return whether a status is 1, connected, as a number or an object with this id."""
    status_id = value.get("id") if isinstance(value, dict) else value
    return status_id in (1, "1")


def _read_tags(value: object) -> frozenset[str]:
    rows = value[:64] if isinstance(value, list) else ()
    slugs = [row.get("slug") or row.get("name") if isinstance(row, dict) else row for row in rows]
    return frozenset(as_text(slug, 64).lower() for slug in slugs)


class AtlasProbe(msgspec.Struct, frozen=True, rename={"number": "id", "country": "country_code"}):
    """A probe of the list; number 0 is invalid."""

    number: Annotated[int, _read_probe_number] = 0
    country: Annotated[str, _read_country] = "ZZ"
    asn_v4: Annotated[int, _read_asn] = 0
    asn_v6: Annotated[int, _read_asn] = 0
    prefix_v4: Annotated[str, _read_prefix] = ""
    prefix_v6: Annotated[str, _read_prefix] = ""
    is_anchor: bool | None = None
    tags: Annotated[frozenset[str], _read_tags] = frozenset()
    first_connected: Annotated[int, _read_time] = 0
    status: Annotated[bool, _read_status] = False
    status_name: Text64 = ""
    status_since: Annotated[int, _read_time] = 0

    @property
    def location(self) -> VantageLocation:
        return VantageLocation(self.country, "", self.asn_v4 or self.asn_v6, self._access)

    @property
    def prefix(self) -> str:
        return self.prefix_v4 or self.prefix_v6

    @property
    def _access(self) -> str:
        """Return the access by the host's tags; an anchor is in a data center."""
        if self.is_anchor:
            return "hosting"
        return next((a for a, slugs in _ACCESS.items() if not self.tags.isdisjoint(slugs)), "")

    def was_connected(self, since_us: int) -> bool:
        """Return whether a probe without events has been connected since before."""
        is_connected = self.status or self.status_name == "Connected"
        return is_connected and self.status_since <= since_us


class ProbeEvent(
    msgspec.Struct, frozen=True, rename={"at_us": "timestamp", "probe": "prb_id", "kind": "event"}
):
    at_us: Annotated[int, _read_time] = 0
    probe: Annotated[int, _read_probe_number] = 0
    kind: Text64 = ""
    controller: Text64 = ""
    asn: Annotated[int, _read_asn] = 0
    prefix: Annotated[str, _read_prefix] = ""

    @property
    def is_connect(self) -> bool:
        return self.kind == "connect"

    @property
    def is_valid(self) -> bool:
        return bool(self.at_us and self.probe) and self.kind in ("connect", "disconnect")


@dataclass(slots=True)
class _AtlasInput:
    probes: dict[int, AtlasProbe] = field(default_factory=dict)
    events: list[ProbeEvent] = field(default_factory=list)


def is_atlas(item: JsonObject) -> bool:
    return _is_event(item) or any(_iterate_probes(item))


def _is_event(item: JsonObject) -> bool:
    return "prb_id" in item.fields and "event" in item.fields


def _iterate_probes(item: JsonObject) -> Iterator[AtlasProbe]:
    """Yield a probe, or those of a list (API: `results`, archive: `objects`)."""
    lists = [item.fields.get(key) for key in ("results", "objects")]
    for fields in iterate_objects([item.fields, *lists]):
        if "id" in fields and "country_code" in fields:
            yield read_struct(AtlasProbe, fields)


def load_replay(paths: Iterable[Path], scope: Scope | None, complaints: Complaints) -> Replay:
    """Load events and lists of probes; `scope` is used where files have no country."""
    all_paths = list(paths)
    atlas_input = _AtlasInput()
    for path in all_paths:
        for item in read_objects(path, complaints):
            _add_item(atlas_input, item, describe_location(path, item.line), complaints)
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


def _add_item(
    atlas_input: _AtlasInput, item: JsonObject, location: str, complaints: Complaints
) -> None:
    if _is_event(item):
        event = read_struct(ProbeEvent, item.fields)
        if event.is_valid:
            atlas_input.events.append(event)
        else:
            complaints.add(location, "an event lacks a proper prb_id, timestamp or event")
        return
    probes = list(_iterate_probes(item))
    if not probes:
        complaints.add(location, "this is neither a connection event nor a probe")
    atlas_input.probes.update({probe.number: probe for probe in probes if probe.number})


def _build_replay(name: str, atlas_input: _AtlasInput, scope: Scope | None) -> Replay:
    events = sorted(atlas_input.events, key=attrgetter("at_us", "probe", "is_connect"))
    since_us = events[0].at_us - _BEFORE_US
    until_us = events[-1].at_us + SECOND_US
    events_by_probe: dict[int, list[ProbeEvent]] = {
        number: [] for number, probe in atlas_input.probes.items() if probe.was_connected(since_us)
    }
    for event in events:
        events_by_probe.setdefault(event.probe, []).append(event)
    vantages = {
        number: _build_vantage(number, atlas_input.probes.get(number), its_events, since_us, scope)
        for number, its_events in events_by_probe.items()
    }
    signals = [
        signal
        for number, its_events in events_by_probe.items()
        for signal in _build_presence(vantages[number], its_events, since_us)
    ]
    return Replay(
        name=name,
        seed=0,
        since_us=since_us,
        until_us=until_us,
        signals=sorted(signals, key=_order_signals),
        opinions=(),
        truths=(),
        vantages=tuple(vantages[number] for number in sorted(vantages)),
    )


def _order_signals(signal: Signal) -> tuple[int, bool]:
    return signal.at_us, isinstance(signal, VantageArrival)


def _build_vantage(
    number: int,
    probe: AtlasProbe | None,
    events: Sequence[ProbeEvent],
    since_us: int,
    scope: Scope | None,
) -> VantageRef:
    probe = probe or AtlasProbe()
    location = probe.location
    if scope is not None and location.country == "ZZ":
        location = location._replace(country=scope.country)
    asn = next((event.asn for event in events if event.asn), location.asn)
    prefix = next((event.prefix for event in events if event.prefix), probe.prefix)
    return VantageRef(
        nym=f"atlas-{number}",
        prefix=prefix or f"atlas-{number}",
        place=location._replace(asn=asn),
        first_us=probe.first_connected or since_us - _KNOWN_US,
        carrier=next((event.controller for event in events if event.controller), "session"),
    )


def _build_presence(
    vantage: VantageRef, events: Sequence[ProbeEvent], since_us: int
) -> Iterator[PresenceSignal]:
    """Yield arrivals and losses; ignore the end of a session that was replaced."""
    is_live = not events or not events[0].is_connect
    session = events[0].controller if events else ""
    if is_live:
        yield VantageArrival(since_us, vantage)
    for event in events:
        if event.is_connect:
            is_live = True
            session = event.controller
            own_vantage = replace(vantage, carrier=event.controller or vantage.carrier)
            yield VantageArrival(event.at_us, own_vantage)
        elif is_live and event.controller in ("", session):
            is_live = False
            yield VantageLoss(event.at_us, vantage.nym, event.at_us)
