"""Decide which readings an open silence or block makes outdated. Pure.

Readings are public up to five and a half minutes late (`aggregate/disclosure.py`), and an old one
stays fresh for twenty minutes. An incident is public at once. So a reading of a place that has an
open silence is withheld until the incident reports its return: a reachable service over a dark
network would be wrong, and without a reading the incident alone describes the place. An incident
may name a region, and a network that is only there is no part of it by name: it is dark by the
public counts of where its vantages measured, or while most of them are gone. A network that a wider
silence covers, and of which nearly all are connected long after the cut, is spared.

An open block of a service is public at once too. It withholds a reading of the service as working,
in its places: one that began before the block is blocked now, and a later one is unknown, if the
block is confirmed, until the incident reports the return; unless the network reached it from before
the block on without a break, for two whole bins: it is spared, though the incident may not name it.
After the end or a part's return an incident withholds a reading as blocked. An open isolation
withholds readings of all services from before it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from heliograph.observation import Link
from heliograph_collector.aggregate.disclosure import BIN_US, find_instant
from heliograph_collector.http.incident_document import OPEN_STATES, is_confirmed, parse_us
from heliograph_collector.http.incident_times import (
    NOT_BACK_US,
    covers_place,
    find_cut,
    find_last_end,
    find_latest_cut,
    find_open_since,
    find_return,
    list_scopes,
    list_spans,
    read_change,
)
from heliograph_collector.http.network_presence import measures_elsewhere
from heliograph_collector.http.one_way import mark_one_way
from heliograph_collector.http.snapshot import (
    FRESH_BINS,
    NetworkColumn,
    ServiceReading,
    Snapshot,
    Withheld,
)
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.model.records import Cell, VerdictState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.thresholds import Thresholds

# A block of this collector is none: its networks work, and it names a whole country in public.
_DARK_KINDS = (IncidentKind.SILENCE, IncidentKind.POWER)
_WORKING = (VerdictState.REACHABLE, VerdictState.PARTIAL)
_MOST = Thresholds().confirm_share  # of a network's vantages: what a silence is confirmed by
# From a block's start to that of a bin which shows that a network is spared: one lies between.
_UNTOUCHED_US = BIN_US
# Sessions that a cut left open are gone by then: eight heartbeats of 15 s, twice what confirms.
_UNHEARD_US = 120_000_000
# From the earliest time of a return until most are back: one retry that its bracket has, and one
# more for those that try later (`retry_s`).
_RETURNING_US = int(2 * Thresholds().retry_s * 1_000_000)


class DarkPlaces:
    """The places of open silences, among the incidents as published."""

    def __init__(self, incidents: Sequence[IncidentSummary], spared: Iterable[Scope] = ()) -> None:
        """With `spared`, networks that a silence of a wider place did not reach."""
        self._incidents = incidents
        self._spared = frozenset(spared)
        self._silences = [
            incident
            for incident in incidents
            if incident.kind in _DARK_KINDS and incident.state in OPEN_STATES
        ]
        self._confirmed = [
            incident
            for incident in incidents
            if incident.kind in (*_DARK_KINDS, IncidentKind.BLOCKING) and is_confirmed(incident)
        ]
        self._blocks = [
            incident
            for incident in incidents
            if incident.kind == IncidentKind.BLOCKING and incident.state in OPEN_STATES
        ]
        self._isolations = [
            incident
            for incident in incidents
            if incident.kind == IncidentKind.ISOLATION and incident.state in OPEN_STATES
        ]
        self._ended_blocks = [
            incident
            for incident in self._confirmed
            if incident.kind == IncidentKind.BLOCKING and incident.state not in OPEN_STATES
        ]

    def list_silent_spans(self, area: Scope) -> list[tuple[int, int]]:
        """List the times of confirmed silences of the whole place, also of past ones.

        Microseconds UTC; the end of one that lasts lies after every bin.
        """
        silences = (
            i
            for i in self._confirmed
            if i.kind in _DARK_KINDS and not (i in self._silences and self._is_spared(i, area))
        )
        return [span for silence in silences for span in list_spans(silence, area)]

    def returned_at(self, area: Scope) -> int:
        """Return when a confirmed silence of the whole place ended last; 0 if none did."""
        return find_last_end(self.list_silent_spans(area))

    def unblocked_at(self, area: Scope, service: str) -> int:
        """Return when the last confirmed block of a service ended in the place, else 0."""
        return find_last_end(self.list_blocked_spans(area, service))

    def list_blocked_spans(self, area: Scope, service: str) -> list[tuple[int, int]]:
        """List the times of confirmed blocks as `list_silent_spans` does.

        Args:
            service: Count blocks of this service, also of parts of the place; "": blocks of any
                service in the whole place.
        """
        blocks = [i for i in self._confirmed if i.kind == IncidentKind.BLOCKING]
        if not service:
            return [span for block in blocks for span in list_spans(block, area)]
        return [
            span
            for block in blocks
            if block.scope.service == service
            for scope in list_scopes(block)
            if scope.is_within(area)
            for span in list_spans(block, scope)
        ]

    def is_dark(self, area: Scope, *, only_confirmed: bool = False) -> bool:
        """Return whether an open silence covers the whole place, as far as it is not back."""
        return any(
            find_return(incident, area) == NOT_BACK_US
            for incident in self._list_silences(area)
            if not only_confirmed or incident.state == "confirmed"
        )

    def is_spared(self, area: Scope) -> bool:
        """Return whether a network is connected that a wider silence covers."""
        return any(self._is_spared(silence, area) for silence in self._silences)

    def _list_silences(self, area: Scope) -> list[IncidentSummary]:
        return [s for s in self._silences if not self._is_spared(s, area)]

    def _is_spared(self, silence: IncidentSummary, area: Scope) -> bool:
        is_named = any(scope.asn == area.asn for scope in list_scopes(silence))
        return area._replace(region="") in self._spared and not is_named

    def dark_until(self, area: Scope) -> int:
        """Return when the whole place came back; 0 if no open silence covers it.

        It lies after every bin while the place is dark.
        """
        return max(
            (find_return(incident, area) for incident in self._list_silences(area)), default=0
        )

    def dark_since(self, area: Scope) -> int:
        """Return the latest time at which the place can have fallen silent, else 0."""
        return max(
            (find_latest_cut(silence, area) for silence in self._list_silences(area)), default=0
        )

    def isolated_since(self, area: Scope) -> int:
        """Return the latest time at which the place can have been isolated, else 0."""
        return find_open_since(self._isolations, area)

    def blocked_since(self, area: Scope, service: str = "", *, only_confirmed: bool = False) -> int:
        """Return the latest time at which an open block of the whole place can have begun.

        Args:
            service: "": of any service.

        Returns:
            Microseconds UTC; 0 if no open block covers the place.
        """
        blocks = [
            block
            for block in self._blocks
            if service in ("", block.scope.service)
            and not (only_confirmed and block.state != "confirmed")
        ]
        return find_open_since(blocks, area)

    def list_blocked_services(self, area: Scope) -> set[str]:
        """List the services of which an open, confirmed block covers the whole place now."""
        services = {block.scope.service for block in self._blocks}
        return {s for s in services if self.blocked_since(area, s, only_confirmed=True)}

    def list_blocked_parts(self, country: str, service: str) -> list[Scope]:
        """List the places of a country in which a confirmed block of a service lasts.

        "": of any service.
        """
        scopes = [
            part.to_scope()
            for block in self._blocks
            if block.state == "confirmed" and service in ("", block.scope.service)
            for part in block.parts
            if part.country == country
        ]
        return [scope for scope in scopes if self.blocked_since(scope, service)]

    def hide_readings(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot without readings and links from before the places went dark."""
        if not (self._silences or self._blocks or self._isolations or self._confirmed):
            return snapshot
        connected = (c for c in snapshot.columns if self._is_connected(c, snapshot))
        places = DarkPlaces(self._incidents, map(locate, connected))
        columns = (
            places._hide_outdated(places._hide(places._take_back_silence(c, snapshot), snapshot))
            for c in snapshot.columns
        )
        return replace(snapshot, columns=mark_one_way(columns, self._silences))

    def _is_connected(self, column: NetworkColumn, snapshot: Snapshot) -> bool:
        """Return whether nearly all of a network is connected long after a silence began.

        A network whose return the incident reports was not spared.
        """
        area = locate(column)
        since_us = self.dark_since(area) if self.dark_until(area) == NOT_BACK_US else 0
        is_late = find_instant(snapshot.at_us, snapshot.k) >= since_us + _UNHEARD_US
        least = max(snapshot.k, _MOST * column.vantages, 1)
        return bool(since_us) and is_late and column.connected >= least

    def _hide_outdated(self, column: NetworkColumn) -> NetworkColumn:
        """Return a column without readings that an open block of their service outdates."""
        area = locate(column)
        readings = {
            name: self._withhold(reading, withheld, area)
            if reading.cell and (withheld := self._find_withheld(reading, reading.cell, area))
            else reading
            for name, reading in column.readings.items()
        }
        return replace(column, readings=readings)

    def _withhold(self, reading: ServiceReading, withheld: Withheld, area: Scope) -> ServiceReading:
        """Return a reading without its cell; one that is blocked has the block's start."""
        blocks = [
            block
            for block in self._blocks
            if withheld is Withheld.BLOCKED
            and block.state == "confirmed"
            and block.scope.service == reading.service
            and find_return(block, area) == NOT_BACK_US
        ]
        first = min(blocks, key=lambda block: find_cut(block, area).latest, default=None)
        return replace(
            reading,
            cell=None,
            since=read_change(find_cut(first, area)) if first else None,
            withheld=withheld,
            confidence=first.confidence if first else 0.0,
        )

    def _find_withheld(self, reading: ServiceReading, cell: Cell, area: Scope) -> Withheld | None:
        """Return why an open block outdates a reading of its service; None if none does."""
        is_outdated = cell.state in _WORKING and cell.start_us < self.isolated_since(area)
        reasons = {Withheld.DOUBTED} if is_outdated else set()
        for block in self._blocks:
            if block.scope.service != cell.service:
                continue
            blocked_until_us = find_return(block, area)
            if blocked_until_us == NOT_BACK_US:
                is_confirmed = block.state == "confirmed"
                if cell.state in _WORKING and cell.start_us < find_latest_cut(block, area):
                    reasons.add(Withheld.BLOCKED if is_confirmed else Withheld.DOUBTED)
                elif (
                    cell.state is VerdictState.REACHABLE
                    and is_confirmed
                    and not _is_untouched(reading, cell, block, area)
                ):
                    reasons.add(Withheld.DOUBTED)
            elif cell.state is VerdictState.BLOCKED and cell.start_us < blocked_until_us:
                reasons.add(Withheld.AWAITED)
        if cell.state is VerdictState.BLOCKED and self._is_over(cell, area):
            reasons.add(Withheld.AWAITED)
        return next((reason for reason in Withheld if reason in reasons), None)

    def _is_over(self, cell: Cell, area: Scope) -> bool:
        """Return whether a block that ended after a reading's start explains its state."""
        return any(
            block.scope.service == cell.service
            and block.ended is not None
            and covers_place(block.parts, area)
            and cell.start_us < parse_us(block.ended.latest)
            for block in self._ended_blocks
        )

    def _take_back_silence(self, column: NetworkColumn, snapshot: Snapshot) -> NetworkColumn:
        """Return a column without silent vantages, if an incident reports their return.

        Counts are those of the last instant of publication, up to five minutes and a half ago.
        """
        scope = locate(column)
        regional = [self.returned_at(scope._replace(region=r)) for r in column.regions if r]
        back_us = max(self.returned_at(scope), self.dark_until(scope), min(regional, default=0))
        counted_us = find_instant(snapshot.at_us, snapshot.k)
        is_outdated = 0 < back_us < NOT_BACK_US and counted_us < back_us + _RETURNING_US
        return replace(column, silent=0) if is_outdated else column

    def _hide(self, column: NetworkColumn, snapshot: Snapshot) -> NetworkColumn:
        if self.is_spared(locate(column)):
            return self._hide_earlier(column)
        dark_regions = self._list_dark_regions(column)
        scopes = self._find_dark_scopes(column, dark_regions, snapshot.k)
        dark_until_us = max(map(self.dark_until, scopes))
        heard_us = max(map(self.dark_since, scopes)) + BIN_US
        if not dark_until_us and self._is_mostly_gone(column, snapshot.k):
            dark_until_us = heard_us = NOT_BACK_US
        if not dark_until_us:
            return replace(column, dark_regions=self._link_regions(dark_regions))
        # Results are public one bin and the delay after the return, and later ones are missing.
        is_back = dark_until_us <= snapshot.at_us < dark_until_us + FRESH_BINS * BIN_US
        withheld = Withheld.AWAITED if is_back else Withheld.DARK
        readings = {
            name: reading
            if reading.cell and _is_heard(reading.cell, heard_us, dark_until_us)
            else replace(reading, cell=None, since=None, withheld=withheld)
            for name, reading in column.readings.items()
        }
        link = column.link
        is_part = measures_elsewhere(column.regions, {s.region for s in scopes}, snapshot.k)
        if dark_until_us == NOT_BACK_US:
            is_dark = all(self.is_dark(scope, only_confirmed=True) for scope in scopes)
            link = Link.OFFLINE if is_dark and not is_part else Link.UNKNOWN
        dark_links = self._link_regions(dark_regions) if is_part else {}
        return replace(column, readings=readings, link=link, dark_regions=dark_links)

    def _hide_earlier(self, column: NetworkColumn) -> NetworkColumn:
        """Return a spared network without readings from before the silence of the others."""
        since_us = max(find_latest_cut(silence, locate(column)) for silence in self._silences)
        readings = {
            name: reading
            if reading.cell and reading.cell.start_us >= since_us
            else replace(reading, cell=None, since=None, withheld=Withheld.AWAITED)
            for name, reading in column.readings.items()
        }
        return replace(column, readings=readings, is_spared=True)

    def _find_dark_scopes(
        self, column: NetworkColumn, dark_regions: list[Scope], k: int
    ) -> list[Scope]:
        """Return the network, or its regions under an open silence if most of it is there."""
        scope = locate(column)
        count = sum(column.regions[part.region] for part in dark_regions)
        is_mostly_there = count >= max(k, _MOST * sum(column.regions.values()))
        return dark_regions if is_mostly_there and not self.dark_until(scope) else [scope]

    def _list_dark_regions(self, column: NetworkColumn) -> list[Scope]:
        parts = [locate(column)._replace(region=region) for region in column.regions if region]
        return [part for part in parts if self.dark_until(part) == NOT_BACK_US]

    def _link_regions(self, parts: Iterable[Scope]) -> dict[str, Link]:
        """Return the link in each dark region of a network: offline where it is confirmed."""
        is_confirmed = {part.region: self.is_dark(part, only_confirmed=True) for part in parts}
        return {r: Link.OFFLINE if sure else Link.UNKNOWN for r, sure in is_confirmed.items()}

    def _is_mostly_gone(self, column: NetworkColumn, k: int) -> bool:
        """Return whether an open silence took most of a network, and k vantages or more."""
        missing = column.vantages - column.connected
        return (
            any(silence.scope.country == column.group.country for silence in self._silences)
            and min(missing, column.silent) >= max(k, 1)
            and missing >= _MOST * column.vantages
        )


def locate(column: NetworkColumn) -> Scope:
    """Return the place of a network."""
    group = column.group
    return Scope(group.country, "", group.asn, group.access)


def _is_heard(cell: Cell, heard_us: int, dark_until_us: int) -> bool:
    """Return whether a reading is from after the silence.

    In a dark place it is a block that began one bin after the cut or later: some vantages still
    measure there, but no service is shown as working.
    """
    is_block = cell.state is VerdictState.BLOCKED and cell.start_us >= heard_us
    return is_block or cell.start_us + BIN_US > dark_until_us


def _is_untouched(reading: ServiceReading, cell: Cell, block: IncidentSummary, area: Scope) -> bool:
    """Return whether a network has reached a service since before a block of it began."""
    since = reading.since
    began = read_change(find_cut(block, area))
    is_steady = since is not None and since.latest_us <= (began.earliest_us or 0)
    return is_steady and cell.start_us >= find_latest_cut(block, area) + _UNTOUCHED_US
