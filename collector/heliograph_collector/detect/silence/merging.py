"""Merging of outages: which one holds another, and cells that lie in others.

Theory of operation. A candidate's outage is published by itself only if no other tells it:

- enclosed: one that is open, or a cut that closed within `resume_s`, holds all its cells. It is
  dropped; the other resumes if that part of it had come back, and grows if it was spared until
  now (spared_cells.py).
- extending: an open one began or grew within `join_s`. That one grows to its cells, as a phase.
- a block: one of the same carriers, open or closed within `resume_s`, takes its cells.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import spared_cells
from heliograph_collector.detect.silence.cell_members import select_silent
from heliograph_collector.detect.silence.daily_routine import BELL_US
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_silent
from heliograph_collector.detect.stats.localization import localize, narrow_cells
from heliograph_collector.detect.stats.voting import is_carrier_nat
from heliograph_collector.detect.stats.whole_parts import name_whole_parts
from heliograph_collector.incidents.incident import Bracket, IncidentKind, IncidentState
from heliograph_collector.model.line_names import count_lines
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import Thresholds

_FEW_LINES_US = 150 * SECOND_US  # in which most find another way; below `give_up_s`; assumed


def list_others(
    outages: Iterable[OutageEpisode],
    own: OutageEpisode | None,
    country: str,
    lost_by: Collection[str],
) -> list[OutageEpisode]:
    """List a country's other outages that may explain silences by these carriers."""
    others = [o for o in outages if o is not own and o.country == country]
    return [outage for outage in others if outage.explains(lost_by)]


def list_extensible(
    outages: Iterable[OutageEpisode], now_us: int, limits: Thresholds
) -> list[OutageEpisode]:
    """List the open outages that began or grew lately: what falls now may extend them.

    Machines that are switched off by routine are apart from what comes after a quarter of an hour.
    """
    since_us = now_us - int(limits.join_s * SECOND_US)
    grown = [o for o in outages if o.is_open and max(o.grown_us, o.suspected_us) >= since_us]
    return [o for o in grown if not o.is_routine or now_us - o.suspected_us <= BELL_US]


def find_enclosing(
    outages: Iterable[OutageEpisode], cells: Sequence[AffectedCell], since_us: int
) -> OutageEpisode | None:
    """Find the narrowest open or recent outage that holds the cells; None if none.

    An outage that closed since `since_us` counts only if it was a cut. A cut continues a cut; after
    a block of the collector or a power failure it is a new incident.
    """
    enclosing = [
        outage
        for outage in outages
        if spared_cells.explains_cells(outage, cells)
        and (outage.is_open or _has_closed_since(outage, since_us))
    ]
    return max(enclosing, key=_narrowness, default=None)


def are_explained(outages: Iterable[OutageEpisode], cells: Sequence[AffectedCell]) -> bool:
    """Return whether an open outage may explain that these cells are silent."""
    return any(o.is_open and spared_cells.explains_cells(o, cells) for o in outages)


def _has_closed_since(outage: OutageEpisode, since_us: int) -> bool:
    is_closed_cut = (outage.state, outage.kind) == (IncidentState.CLOSED, IncidentKind.SILENCE)
    return is_closed_cut and (outage.closed_us or 0) >= since_us


def find_new_cells(
    vantages: Iterable[VantagePresence], extended: Sequence[OutageEpisode], limits: Thresholds
) -> tuple[AffectedCell, ...]:
    """Return the dark cells outside the extended outages; () if it extends none."""
    new = [s for s in vantages if not any(outage.holds(s.place) for outage in extended)]
    votes = count_silent(new) if extended else {}
    cells = localize(votes, limits.confirm_share, limits.burst, limits)
    return narrow_cells(name_whole_parts(cells, votes, limits), votes)


def select_outside(
    outages: Collection[OutageEpisode], silences: Iterable[VantagePresence]
) -> Iterator[VantagePresence]:
    """Yield the silences that none of the outages explains."""
    for s in silences:
        holding = (o for o in outages if spared_cells.explains_place(o, s.place))
        if not any(o.explains([s.lost_by]) for o in holding):
            yield s


def have_fallen_beside(
    outages: Iterable[OutageEpisode],
    cells: Sequence[AffectedCell],
    voters: Iterable[VantagePresence],
    deciding: Iterable[VantagePresence],
    limits: Thresholds,
) -> bool:
    """Return whether young voters fell silent outside a cut that holds the cells."""
    cuts = [outage for outage in outages if outage.is_open and outage.confirmed_us]
    if not any(cut.contains(cells) for cut in cuts):
        return False
    young = set(voters).difference(deciding)
    beside = select_outside(cuts, (v for v in young if v.is_silent))
    return len(list(beside)) >= limits.burst


def _narrowness(outage: OutageEpisode) -> tuple[int, int]:
    return min(cell.scope.named_fields for cell in outage.parts), outage.suspected_us


def _count_named_fields(cell: AffectedCell) -> int:
    return cell.scope.named_fields


def merge_cells(
    presence: PresenceTracker,
    first_cells: Sequence[AffectedCell],
    second_cells: Sequence[AffectedCell],
) -> tuple[AffectedCell, ...]:
    """Merge cells, without those that lie in another by scope or by their vantages.

    For example, an operator with only mobile vantages is no second part beside the mobile cell.
    """
    merged: list[AffectedCell] = []
    for cell in sorted([*second_cells, *first_cells], key=_count_named_fields):
        if not any(_is_inside(presence, cell, merged_cell) for merged_cell in merged):
            merged.append(cell)
    return tuple(merged)


def _is_inside(presence: PresenceTracker, cell: AffectedCell, outer: AffectedCell) -> bool:
    if cell.scope.is_within(outer.scope):
        return True
    locations = {
        s.place
        for s in presence.list_country(cell.scope.country)
        if s.status is not PresenceStatus.AWAY and cell.scope.includes(s.place)
    }
    return bool(locations) and all(map(outer.scope.includes, locations))


@dataclass(frozen=True, slots=True)
class OpenOutages:
    """The published outages, into which that of a candidate may merge."""

    published: list[OutageEpisode]  # of all countries
    others: Sequence[OutageEpisode]  # of its country, that may hold or precede its silences …
    extended: Sequence[OutageEpisode]  # … of these the open ones that it extends
    presence: PresenceTracker
    now_us: int

    def publish(self, own: OutageEpisode) -> None:
        if not any(outage is own for outage in self.published):
            self.published.append(own)

    def merge(
        self, own: OutageEpisode, new_cells: tuple[AffectedCell, ...]
    ) -> OutageEpisode | None:
        """Merge a cut into earlier ones; return the published outage, None if none."""
        since_us = self.now_us - int(self.presence.limits.resume_s * SECOND_US)
        enclosing = find_enclosing(self.others, own.parts, since_us)
        if enclosing is not None:
            self._drop(own)
            if enclosing.had_reopened(new_cells):  # else these are late losses of its cut
                enclosing.resume(new_cells, own.started, self.now_us)
            else:
                self._add_spared(enclosing, own.started)
            return None
        extended = self.extended or self._list_held(own)
        if not extended:
            self.publish(own)
            return own
        self._drop(own)
        self._extend(extended[0], own, new_cells)
        self.publish(extended[0])
        return extended[0]

    def _list_held(self, own: OutageEpisode) -> list[OutageEpisode]:
        """List recent cuts that lie in a new one, whatever the rest seemed to have lost."""
        recent = list_extensible(self.others, self.now_us, self.presence.limits)
        cuts = [o for o in recent if o.confirmed_us and o.kind is IncidentKind.SILENCE]
        return [o for o in cuts if own.contains(o.parts) and not spared_cells.is_power(o)]

    def _add_spared(self, outage: OutageEpisode, started: Bracket) -> None:
        where = self.presence, self.now_us
        if fallen := spared_cells.find_fallen_spared_cells(outage, *where):
            spared_cells.add_phase(outage, fallen, started, *where)

    def merge_block(self, own: OutageEpisode) -> OutageEpisode:
        """Merge a block into one of the same carriers, open or lately over; return which.

        One that reaches box after box, or operator after operator, is one block, and so is one that
        lets sessions live for a minute and resets them again.
        """
        block = min(self._list_blocks(own), key=attrgetter("suspected_us"), default=None)
        if block is None:
            self.publish(own)
            return own
        self._drop(own)
        new_cells = tuple(cell for cell in own.parts if not block.contains([cell]))
        if not block.is_open:
            block.resume(own.parts, own.started, self.now_us)
            block.parts = merge_cells(self.presence, block.parts, own.parts)
        elif new_cells:
            self._extend(block, own, new_cells)
        block.replays |= own.replays
        if own.evidence.online > block.evidence.online:
            block.evidence = own.evidence
        return block

    def _list_blocks(self, own: OutageEpisode) -> list[OutageEpisode]:
        """List the blocks of its country that are open, or closed lately, by its carriers."""
        carriers = own.blocked_carriers
        since_us = self.now_us - int(self.presence.limits.resume_s * SECOND_US)
        blocks = [
            outage
            for outage in self.published
            if outage is not own
            and outage.country == own.country
            and outage.is_block
            and outage.explains(carriers)
        ]
        closed = IncidentState.CLOSED
        return [
            block
            for block in (blocks if carriers else [])
            if block.is_open or (block.state is closed and (block.closed_us or 0) >= since_us)
        ]

    def _extend(
        self, outage: OutageEpisode, own: OutageEpisode, new_cells: tuple[AffectedCell, ...]
    ) -> None:
        merged = merge_cells(self.presence, outage.parts, own.parts)
        outage.grow(merged, new_cells, own.started, self.now_us)
        outage.grown_us = self.now_us
        outage.absorb(own)

    def _drop(self, own: OutageEpisode) -> None:
        self.published[:] = [outage for outage in self.published if outage is not own]


def is_one_line(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], limits: Thresholds
) -> bool:
    """Return whether a single prefix is silent, which may be one box.

    It is a carrier's NAT, and speaks for its own network, where many phones or lines of several
    regions are behind it.
    """
    silent = select_silent(cells, vantages)
    if count_lines(s.witness.prefix for s in silent) >= limits.lines:
        return False
    is_nat = len(silent) >= limits.few and _are_of_several_regions(silent)
    return not is_nat or not all(cell.scope.asn for cell in cells)


def lacks_lines(
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    held_us: int,
    limits: Thresholds,
) -> bool:
    """Return whether too few prefixes are silent to confirm it, or to do so yet.

    A NAT has many votes and is one line. With a few others it is a region or a country only when
    those that lost us had time to find another way, and a country only with more than two lines:
    two may be one operator's boxes.

    Args:
        held_us: For how long it has been so.
    """
    if is_one_line(cells, vantages, limits):
        return True
    silent = select_silent(cells, vantages)
    people = [s for s in silent if s.place.access != "hosting"] or silent
    lines = count_lines(s.witness.prefix for s in people)
    if len(people) >= limits.few or lines >= limits.votes or all(c.scope.asn for c in cells):
        return False
    is_inflated = len(people) > lines and lines <= limits.lines
    is_national = any(cell.scope.is_national for cell in cells)
    return (is_inflated and is_national) or held_us < _FEW_LINES_US


def _are_of_several_regions(vantages: Sequence[VantagePresence]) -> bool:
    phones = {v.place.region for v in vantages if v.place.access == "mobile"} - {""}
    lines = Counter(v.place.region for v in vantages if v.place.access == "fixed")
    return len(phones) > 1 or is_carrier_nat("fixed", [*lines.items()])
