"""Outage episode: the dark cells of one outage, its phases and its end.

Theory of operation. States and transitions:

- suspected → confirmed: by its candidate, or by what its vantages tell (explanation.py).
- confirmed → suspected: a cut of which too many say that their links work, though too few name a
  block; confirmed again as soon as what they tell decides, or lapses (lapsed_reports.py).
- suspected → withdrawn: by its candidate, or because it ended unconfirmed.
- suspected, confirmed, closed → withdrawn: its vantages came back and were lost again, each by
  itself; or other countries fell silent with it, and half an hour later it was over.
- confirmed → closed: no dark cell for `clear_s`, because returns can stop again.
- closed → confirmed: dark again within `resume_s`; the time between becomes an opening.
- withdrawn → closed: late reports tell what it was.

What explains it (`kind`, `kinds`) may change in every state, also long after its end. While it is
open, phases date its changes; one that grows begins another. An opening needs more returns within
`back_window_s` than chance makes (`back_alpha`), for `back_hold_s`. A cut is a new candidate.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache

from heliograph.units import SECOND_US
from heliograph_collector.detect.phases import add_cut
from heliograph_collector.detect.silence import openings
from heliograph_collector.detect.silence.brackets import Watch, bracket_end
from heliograph_collector.detect.silence.cell_members import select_inside
from heliograph_collector.detect.silence.isolated_returns import (
    IsolatedReturns,
    find_isolated_returns,
)
from heliograph_collector.detect.silence.lapsed_reports import may_lapse
from heliograph_collector.detect.silence.mended_ways import MendedWay, find_mended_way
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.silence_evidence import NO_EVIDENCE, SilenceEvidence
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import (
    count_dark,
    count_live,
    select_established,
)
from heliograph_collector.detect.stats.voting import sum_votes
from heliograph_collector.incidents.incident import (
    Bracket,
    HoldReason,
    IncidentKind,
    IncidentState,
    KindChange,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.model.scope import AffectedCell, Scope, is_in_cells
from heliograph_collector.model.signals import OfflineReport, VantageLocation, is_other_way
from heliograph_collector.model.thresholds import Thresholds

_TRANSIT_US = 1_800 * SECOND_US  # a cable is not repaired so soon, a route of ours is; assumed
_CLEARING_US = 600 * SECOND_US  # before the end, in which returns date it; assumed


@dataclass(slots=True, kw_only=True)
class OutageEpisode:
    """One outage of a country with its cells, phases and state."""

    id: str
    country: str
    parts: tuple[AffectedCell, ...]
    started: Bracket
    from_us: int  # silences since then belong to it …
    suspected_us: int
    certainty: float  # that these vantages fell silent together
    limits: Thresholds
    counted_us: int = 0  # … and those since then count with it until who fell in it is back
    kind: IncidentKind = IncidentKind.SILENCE
    kinds: list[KindChange] = field(default_factory=list)
    ways: int = 1  # carriers that fell silent
    second_way: float | None = None  # votes by the second of them; None: unknown
    carrier: str = ""  # the only one that fell silent, while others live in the same place
    is_joint: bool = False  # other countries fell silent with it
    method: str = ""  # "level" if that channel found or widened it
    evidence: SilenceEvidence = NO_EVIDENCE
    state: IncidentState = IncidentState.SUSPECTED
    confirmed_us: int | None = None
    grown_us: int = 0
    ended: Bracket | None = None
    closed_us: int | None = None
    turns: list[PhaseChange] = field(default_factory=list)
    held: tuple[str, ...] = ()
    replays: dict[str, OfflineReport] = field(default_factory=dict)  # by pseudonym
    needed: float = 0.0  # live votes before its end, if its silent vantages are unknown
    is_refuted: bool = False  # its sessions only broke and came back
    is_doubted: bool = False  # only by those who report working links
    lapsed_us: int = 0  # reports on links until then have lapsed (lapsed_reports.py)
    is_routine: bool = False  # it is held because its people switched off, by habit or together …
    may_have_left: bool = False  # … earlier than on other days, while no others of theirs went
    _clear_us: int | None = None
    _last: tuple[AffectedCell, ...] = ()
    _back: openings.Returns | None = None  # of a possible opening

    @property
    def is_open(self) -> bool:
        return self.state in (IncidentState.SUSPECTED, IncidentState.CONFIRMED)

    @property
    def is_block(self) -> bool:
        return self.kind is IncidentKind.COLLECTOR_BLOCKED

    @property
    def is_proven(self) -> bool:
        """Return whether its vantages report that their network was cut."""
        return self.evidence.explain(self.limits) is IncidentKind.SILENCE

    @property
    def confidence(self) -> float:
        """Return the confidence in the present kind."""
        limits = self.limits
        most = limits.low if HoldReason.UNSEEN in self.held else limits.several_ways
        if self.count_told() is not None:
            return min(most, self.evidence.confidence(self.kind, limits))
        if self.kind is not IncidentKind.SILENCE:
            return min(most, self.certainty)
        is_several = self.is_proven or self.ways >= limits.ways
        caps = [self.certainty, limits.several_ways if is_several else limits.one_way]
        is_doubtful = self.is_doubted or HoldReason.POWER in self.held
        if not self.is_proven and (is_doubtful or self.evidence.doubts_cut(limits)):
            caps.append(limits.low)
        return min(caps)

    def holds(self, location: VantageLocation) -> bool:
        return is_in_cells(location, self.parts)

    def contains(self, cells: Sequence[AffectedCell]) -> bool:
        return all(any(p.scope.is_within(own_cell.scope) for own_cell in self.parts) for p in cells)

    def confirm(self, at_us: int) -> None:
        self.state = IncidentState.CONFIRMED
        self.confirmed_us = at_us
        self.held = ()
        self.is_doubted = False

    @property
    def may_be_confirmed(self) -> bool:
        """Return whether it waits for no more than silent votes."""
        is_suspected = self.state is IncidentState.SUSPECTED
        return is_suspected and not self.is_doubted and HoldReason.UNSEEN not in self.held

    @property
    def blocked_carriers(self) -> tuple[str, ...]:
        return (self.carrier,) if self.carrier else self.evidence.lost_by

    def explains(self, lost_by: Collection[str]) -> bool:
        """Return whether it can explain silences over carriers; a block only over its own."""
        own = self.blocked_carriers
        return not self.is_block or all(any(not is_other_way(x, y) for y in own) for x in lost_by)

    def grow(
        self,
        parts: tuple[AffectedCell, ...],
        new_cells: tuple[AffectedCell, ...],
        started: Bracket,
        at_us: int,
    ) -> None:
        """Extend it to cells that went dark later, as a phase of their own."""
        seen_us = self.confirmed_us or self.suspected_us
        onset = PhaseChange(PhaseDirection.CUT, self.parts, self.started, seen_us)
        cut = PhaseChange(PhaseDirection.CUT, new_cells, started, at_us)
        self.turns = add_cut(self.turns, onset, cut)
        self.parts = parts

    def absorb(self, other: "OutageEpisode") -> None:
        """Take over the certainty of another outage that is a part of this one."""
        self.certainty = max(self.certainty, other.certainty)
        self.ways = max(self.ways, other.ways)
        self.second_way = max(self.second_way or 0.0, other.second_way or 0.0)

    def explain_as(self, kind: IncidentKind, now_us: int, *, is_seen: bool = True) -> None:
        """Take an explanation; it confirms nothing unless others show it too (`is_seen`)."""
        is_other = kind is not self.kind
        is_doubted = HoldReason.POWER in self.held or (is_other and HoldReason.UNSEEN in self.held)
        is_doubted |= self.is_doubted or self.is_routine
        is_doubted |= kind is IncidentKind.SILENCE and HoldReason.ELSEWHERE in self.held
        self.is_doubted = False
        if is_other:
            first = KindChange(self.kind, self.confirmed_us or self.suspected_us)
            self.kinds = [*(self.kinds or [first]), KindChange(kind, now_us)]
            self.kind = kind
            self.held = tuple(code for code in self.held if code != HoldReason.UNSEEN)
        if not is_seen:
            self.held = (HoldReason.UNSEEN,)
        elif self.state is IncidentState.SUSPECTED and is_doubted:
            self.parts = openings.select_dark(self.parts, self._last)
            self.confirm(now_us)
        elif self.state is IncidentState.WITHDRAWN:
            self.state = IncidentState.CLOSED
            self.confirmed_us = now_us
        if kind is not IncidentKind.SILENCE or self.evidence.powered > self.evidence.powerless:
            self.held = tuple(code for code in self.held if code != HoldReason.POWER)

    def list_silenced(self, presence: PresenceTracker, now_us: int) -> list[VantagePresence]:
        """List the vantages that fell silent in it, whether or not they are back."""
        until_us = self.closed_us or now_us
        is_inside = cache(self.holds)
        return [
            s
            for s in presence.list_country(self.country)
            if (self.from_us <= s.lost_us <= until_us or s.witness.nym in self.replays)
            and not s.deferred
            and is_inside(s.place)
        ]

    def had_reopened(self, cells: Sequence[AffectedCell]) -> bool:
        """Return whether part of it had come back, so that a cut there is new."""
        latest_phases = [self._latest_phase(cell.scope) for cell in cells]
        return not self.is_open or any(
            phase is not None and phase.way is PhaseDirection.OPENING for phase in latest_phases
        )

    def _latest_phase(self, scope: Scope) -> PhaseChange | None:
        for phase in reversed(self.turns):
            if any(p.scope.is_within(scope) or scope.is_within(p.scope) for p in phase.parts):
                return phase
        return None

    def resume(self, cells: tuple[AffectedCell, ...], bracket: Bracket, at_us: int) -> None:
        """Reopen the outage; the time since its end, if any, becomes an opening."""
        if self.ended is not None and self.closed_us is not None:
            self.turns.append(
                PhaseChange(PhaseDirection.OPENING, self.parts, self.ended, self.closed_us)
            )
            self.state = IncidentState.CONFIRMED
            self.ended = None
            self.closed_us = None
        self.turns.append(PhaseChange(PhaseDirection.CUT, cells, bracket, at_us))
        self._clear_us = None
        self._back = None

    def follow(
        self, presence: PresenceTracker, now_us: int, other_outages: Sequence["OutageEpisode"] = ()
    ) -> bool:
        """Evaluate it beside the others of its country; return whether to repeat it soon."""
        if now_us <= self.started.latest_us:
            return False  # restored from the log, while earlier rows are read again
        vantages = self.list_inside(presence)
        candidates = [s for s in vantages if s.place.access != "hosting"] or vantages
        voters, _ = select_established(candidates, now_us, self.limits, self.limits.witnesses)
        carriers = self.blocked_carriers if self.is_block else ()
        mended, returns = MendedWay(), IsolatedReturns()
        if self.is_block:
            mended = find_mended_way(voters, carriers, self.from_us, self.limits)
            voters = mended.drop_untried(voters, carriers, self.from_us, now_us)
        else:
            returns = find_isolated_returns(vantages, self.from_us, now_us)
        silent_votes = count_dark(voters, carriers, returns.isolated, self.from_us, now_us)
        known = sum_votes(silent_votes).votes  # data centers that voted for it are not in it
        min_votes = min(float(self.limits.votes), known, *(cell.votes for cell in self.parts))
        limits = openings.relax_limits(self.parts, self.limits)
        dark_cells = openings.list_dark_cells(silent_votes, min_votes, limits, self.turns)
        if not dark_cells:
            has_votes = sum_votes(count_live(voters, is_lower_bound=False)).hits >= self.needed
            return has_votes and self._is_clearing(vantages, now_us, presence)
        self._clear_us = None
        self._last = dark_cells
        self.parts = openings.raise_shares(self.parts, silent_votes, self.started, now_us)
        if self.is_block:
            return mended.may_stay(now_us) or self._may_lapse(presence, now_us)
        free = [v for v in vantages if v.witness.nym not in returns.isolated]
        may_be_open = self._detect_opening(free, now_us, presence, other_outages)
        return may_be_open or returns.is_waiting or self._may_lapse(presence, now_us)

    def _may_lapse(self, presence: PresenceTracker, now_us: int) -> bool:
        return self.is_doubted and may_lapse(self.replays, presence, now_us)

    def add_replay(self, replay: OfflineReport) -> None:
        """Add the report of one of its vantages, which may decide what it was."""
        if replay.until_us < self.started.earliest_us:
            return
        self.replays[replay.nym] = replay

    def count_told(self) -> float | None:
        """Return the votes for its kind; None if a living carrier or the log showed it."""
        is_told = self.kind is IncidentKind.POWER or (self.is_block and not self.carrier)
        return self.evidence.count_told(self.kind) if is_told and self.evidence.silent else None

    def list_inside(self, presence: PresenceTracker) -> list[VantagePresence]:
        is_inside = cache(self.holds)  # many vantages share few locations
        carriers = self.blocked_carriers if self.carrier or self.is_block else ()
        inside = [
            s
            for s in presence.list_country(self.country)
            if is_inside(s.place) and s.uses(carriers) and (s.is_live or s.is_silent)
        ]
        since_us = self._find_counted_us(inside)
        return [s for s in inside if s.is_live or s.lost_us >= since_us]

    def _find_counted_us(self, inside: Sequence[VantagePresence]) -> int:
        """Return since when silences count: with those before it until who fell is back.

        Brief silences of those who were spared are over by its confirmation, or begin later.
        """
        seen_us = self.confirmed_us or self.suspected_us
        if not 0 < self.counted_us < self.from_us:
            return self.from_us
        fallen = [v for v in inside if self.from_us <= v.lost_us <= seen_us]
        fallen = [v for v in fallen if v.is_silent or v.back_us > seen_us]
        back = sum(v.is_live for v in fallen)
        is_back = back >= (1.0 - self.limits.confirm_share) * len(fallen)
        return self.from_us if is_back else self.counted_us

    def _is_clearing(self, vantages: Sequence[VantagePresence], now_us: int, watch: Watch) -> bool:
        if self._clear_us is None:
            self._clear_us = now_us
        if now_us - self._clear_us < self.limits.clear_s * SECOND_US:
            return True
        since_us = self._clear_us - _CLEARING_US
        back = select_inside(self._last, (v for v in vantages if v.is_live))
        # A return by another way than the lost one does not date the end of a block.
        returned = [v for v in back if not (self.is_block and v.is_rerouted)]
        back_us = [v.back_us for v in returned if v.back_us >= since_us]
        home_us = [v.home_us for v in back] if self.is_block else []
        self.ended = bracket_end(back_us or [self._clear_us], home_us, self, watch)
        was_seen = self.confirmed_us is not None and not self._was_transit(now_us)
        self.close(IncidentState.CLOSED if was_seen else IncidentState.WITHDRAWN, now_us)
        return False

    def _was_transit(self, now_us: int) -> bool:
        """Return whether our own way to several countries may have failed and be repaired."""
        is_early = now_us - self.started.earliest_us <= _TRANSIT_US
        return self.is_joint and not self.is_proven and is_early

    def close(self, state: IncidentState, now_us: int) -> None:
        self.state = state
        self.closed_us = now_us
        self._back = None
        self._clear_us = None

    def _detect_opening(
        self,
        vantages: Sequence[VantagePresence],
        now_us: int,
        presence: PresenceTracker,
        other_outages: Sequence["OutageEpisode"],
    ) -> bool:
        """Detect an opening: more returns than by chance, which last."""
        if self._back is None:
            dark = vantages, self.turns, self.started
            self._back = openings.find_returns(*dark, now_us, self.limits)
        if self._back is None or now_us - self._back.seen_us < self.limits.back_hold_s * SECOND_US:
            return self._back is not None
        returns = self._back
        self._back = None
        dark_cells = [part for outage in other_outages for part in outage.parts]
        phase = openings.find_opening(presence, vantages, returns, now_us, dark_cells)
        self.turns += [phase] if phase is not None else []
        return phase is not None  # it may be over by that
