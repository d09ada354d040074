"""Outage episode: the dark cells of one outage, its phases and its end.

Theory of operation. States and transitions:

- suspected → confirmed: by its candidate, or by offline reports that rule out a power failure.
- suspected → withdrawn: by its candidate, by reports of reboots, or because it ended unconfirmed.
- confirmed → closed: no dark cell for `clear_s`, because returns can stop again.
- closed → confirmed: dark again within `resume_s`; the time between becomes an opening.

While it is open, phases date its changes. An opening needs more returns within `back_window_s` than
chance makes (`back_alpha`), and must last `back_hold_s`. A cut is a new candidate inside the cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.presence_tracker import (
    PresenceTracker,
    VantagePresence,
    count_live,
    count_silent,
    select_established,
)
from heliograph_collector.detect.stats.localization import attach_persons, localize, narrow_cells
from heliograph_collector.detect.stats.tails import quantile, upper_tail
from heliograph_collector.detect.stats.voting import is_established, sum_votes
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    PhaseChange,
    PhaseDirection,
    hint_on_the_hour,
    hint_power_or_network,
)
from heliograph_collector.model.line_names import count_lines
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import OfflineReport, VantageLocation
from heliograph_collector.model.thresholds import Thresholds

_STRAGGLE_US = 1_800 * SECOND_US  # in which late returns belong to an opening; assumed
_CLEARING_US = 600 * SECOND_US  # before the end, in which returns date it; assumed


@dataclass(slots=True, kw_only=True)
class OutageEpisode:
    """One outage of a country with its cells, phases and state."""

    id: str
    country: str
    parts: tuple[AffectedCell, ...]
    started: Bracket
    from_us: int  # silences since then belong to it
    suspected_us: int
    confidence: float
    limits: Thresholds
    state: IncidentState = IncidentState.SUSPECTED
    confirmed_us: int | None = None
    grown_us: int = 0
    ended: Bracket | None = None
    closed_us: int | None = None
    turns: list[PhaseChange] = field(default_factory=list)
    held: tuple[str, ...] = ()
    replays: list[OfflineReport] = field(default_factory=list)
    needed: float = 0.0  # live votes before its end, if its silent vantages are unknown
    _clear_us: int | None = None
    _last: tuple[AffectedCell, ...] = ()
    _back: tuple[int, int] | None = None  # (evaluated at, first return) of a possible opening

    @property
    def is_open(self) -> bool:
        return self.state in (IncidentState.SUSPECTED, IncidentState.CONFIRMED)

    def holds(self, location: VantageLocation) -> bool:
        return any(cell.scope.includes(location) for cell in self.parts)

    def contains(self, cells: Sequence[AffectedCell]) -> bool:
        return all(any(p.scope.is_within(own_cell.scope) for own_cell in self.parts) for p in cells)

    def confirm(self, at_us: int) -> None:
        self.state = IncidentState.CONFIRMED
        self.confirmed_us = at_us
        self.held = ()

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

    @classmethod
    def from_incident(cls, incident: Incident, limits: Thresholds) -> "OutageEpisode":
        """Restore an outage from the log, without its silent vantages."""
        votes = sum(part.votes for part in incident.parts)
        return cls(
            id=incident.id,
            country=incident.scope.country,
            parts=incident.parts,
            started=incident.started,
            from_us=incident.started.earliest_us,
            suspected_us=incident.suspected_us,
            confidence=incident.confidence,
            limits=limits,
            state=incident.state,
            confirmed_us=incident.confirmed_us,
            turns=list(incident.turns),
            needed=votes * (1.0 - limits.confirm_share),
        )

    def follow(
        self, presence: PresenceTracker, now_us: int, other_outages: Sequence["OutageEpisode"] = ()
    ) -> bool:
        """Evaluate the outage; return whether to repeat it without a new signal.

        Args:
            other_outages: The other open outages of this country.
        """
        if now_us <= self.started.latest_us:
            return False  # restored from the log, while earlier rows are read again
        vantages = self._vantages_inside(presence)
        candidates = [s for s in vantages if s.place.access != "hosting"]
        voters, _ = select_established(candidates, now_us, self.limits, self.limits.witnesses)
        min_votes = min(float(self.limits.votes), *(cell.votes for cell in self.parts))
        # Over midnight lines get new names, the silent ones not: a bound would end the outage.
        silent_votes = count_silent(voters, is_lower_bound=False)
        dark_cells = localize(silent_votes, self.limits.confirm_share, min_votes, self.limits)
        if not dark_cells:
            live_votes = count_live(voters, is_lower_bound=False)
            has_votes = sum_votes(live_votes).hits >= self.needed
            return has_votes and self._is_clearing(vantages, now_us)
        self._clear_us = None
        self._last = dark_cells
        return self._detect_opening(vantages, now_us, presence, other_outages)

    def add_replay(self, replay: OfflineReport, is_nearby: bool) -> None:
        """Add an offline report, which may decide between power failure and cut."""
        if not is_nearby or replay.until_us < self.started.earliest_us:
            return
        self.replays.append(replay)
        hints = hint_power_or_network(self.replays)
        if self.state is IncidentState.SUSPECTED and confounders.POWER in self.held and hints:
            if hints == ("network_cut",):
                self.confirm(replay.at_us)
            else:
                self._close(IncidentState.WITHDRAWN, replay.at_us)

    def to_incident(self) -> Incident:
        return Incident(
            id=self.id,
            kind=IncidentKind.SILENCE,
            state=self.state,
            parts=self.parts,
            started=self.started,
            suspected_us=self.suspected_us,
            confidence=self.confidence,
            confirmed_us=self.confirmed_us,
            ended=self.ended,
            closed_us=self.closed_us,
            turns=tuple(self.turns),
            held=self.held,
            hints=(*hint_on_the_hour(self.started), *hint_power_or_network(self.replays)),
        )

    def _vantages_inside(self, presence: PresenceTracker) -> list[VantagePresence]:
        is_inside = cache(self.holds)  # many vantages share few locations
        return [
            s
            for s in presence.list_country(self.country)
            if (s.is_live or (s.is_silent and s.lost_us >= self.from_us)) and is_inside(s.place)
        ]

    def _is_clearing(self, vantages: Sequence[VantagePresence], now_us: int) -> bool:
        if self._clear_us is None:
            self._clear_us = now_us
        if now_us - self._clear_us < self.limits.clear_s * SECOND_US:
            return True
        since_us = self._clear_us - _CLEARING_US
        return_times_us = [
            s.back_us
            for s in vantages
            if s.is_live
            and s.back_us >= since_us
            and any(p.scope.includes(s.place) for p in self._last)
        ]
        self.ended = bracket_return(return_times_us or [self._clear_us], self.limits)
        was_confirmed = self.confirmed_us is not None
        self._close(IncidentState.CLOSED if was_confirmed else IncidentState.WITHDRAWN, now_us)
        return False

    def _close(self, state: IncidentState, now_us: int) -> None:
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
            returned = self._recent_returns(vantages, now_us)
            networks = {s.witness.prefix for s in returned}
            silent_networks = {s.witness.prefix for s in vantages if s.is_silent}
            chances = [self.limits.back_chance] * len(silent_networks | networks)
            line_count = count_lines(networks)
            is_enough = line_count >= self.limits.burst
            if is_enough and upper_tail(chances, line_count) <= self.limits.back_alpha:
                self._back = now_us, min(s.back_us for s in returned)
            return self._back is not None
        evaluated_us, first_us = self._back
        if now_us - evaluated_us < self.limits.back_hold_s * SECOND_US:
            return True
        self._back = None
        phase = self._opening_phase(vantages, first_us, now_us)
        if phase is not None:
            cells = tuple(
                _exclude_outages(cell, other_outages, presence, now_us) for cell in phase.parts
            )
            self.turns.append(replace(phase, parts=cells))
        return False

    def _opening_phase(
        self, vantages: Sequence[VantagePresence], first_us: int, now_us: int
    ) -> PhaseChange | None:
        members = [s for s in vantages if s.is_silent or s.back_us >= first_us]
        deciding, _ = select_established(members, now_us, self.limits, self.limits.witnesses)
        votes = count_live(deciding)
        cells = localize(votes, self.limits.back_share, self.limits.witnesses, self.limits)
        if not cells:
            return None
        established = [s for s in members if is_established(s.witness, now_us, self.limits)]
        cells = attach_persons(narrow_cells(cells, votes), count_live(established))
        bracket = bracket_return([s.back_us for s in members if s.is_live], self.limits)
        return PhaseChange(PhaseDirection.OPENING, cells, bracket, now_us)

    def _recent_returns(
        self, vantages: Sequence[VantagePresence], now_us: int
    ) -> list[VantagePresence]:
        since_us = max(now_us - int(self.limits.back_window_s * SECOND_US), self.started.latest_us)
        return [
            s
            for s in vantages
            if s.is_live and s.back_us >= since_us and not self._is_explained(s.place, now_us)
        ]

    def _is_explained(self, location: VantageLocation, now_us: int) -> bool:
        for phase in reversed(self.turns):
            for cell in phase.parts:
                if cell.scope.includes(location):
                    is_whole_cell = cell.share >= self.limits.confirm_share
                    is_straggler = now_us - phase.seen_us < _STRAGGLE_US
                    return phase.way is PhaseDirection.OPENING and (is_whole_cell or is_straggler)
        return False


def _exclude_outages(
    cell: AffectedCell,
    other_outages: Sequence[OutageEpisode],
    presence: PresenceTracker,
    now_us: int,
) -> AffectedCell:
    """Exclude cells that another outage keeps dark, because they have no vote here."""
    limits = presence.limits
    excluded = set(cell.beyond)
    for other_cell in (part for outage in other_outages for part in outage.parts):
        scope = cell.scope.intersect(other_cell.scope)
        if scope is None or scope == cell.scope:
            continue  # the cell's own votes show its return
        voters = _voters_in(presence, scope)
        deciding, _ = select_established(voters, now_us, limits, limits.witnesses)
        silent_count = sum_votes(count_silent(deciding))
        if silent_count.votes >= limits.votes and silent_count.share >= limits.confirm_share:
            excluded.add(scope)
    return replace(cell, beyond=tuple(sorted(excluded)))


def _voters_in(presence: PresenceTracker, scope: Scope) -> list[VantagePresence]:
    return [
        s
        for s in presence.list_country(scope.country)
        if (s.is_live or s.is_silent)
        and scope.includes(s.place)
        and (scope.access == "hosting" or s.place.access != "hosting")
    ]


def bracket_return(return_times_us: Sequence[int], limits: Thresholds) -> Bracket:
    """Bracket the return: at most one retry before the 10 % quantile of returns."""
    early = quantile(return_times_us, 0.1)
    return Bracket(early - int(limits.retry_s * SECOND_US), early)


def bracket_onset(heard_times_us: Sequence[int], limits: Thresholds) -> Bracket:
    """Bracket the onset without the tenth at either end, which may be chance."""
    beat_us = int(limits.beat_s * SECOND_US)
    return Bracket(quantile(heard_times_us, 0.1), quantile(heard_times_us, 0.9) + beat_us)
