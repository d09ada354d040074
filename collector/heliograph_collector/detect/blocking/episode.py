"""Blocking episode: the kind, layer, state and end of one blocked service.

Theory of operation. States and transitions:

- suspected → confirmed: `confirm`, by CountryService.
- suspected → withdrawn: it is clear, or the service is down in the other countries as well.
- confirmed → closed: it is clear.
- confirmed → withdrawn: within `fresh_s` the service is down, or fails alike in other countries, or
  for one edition alone; within `join_s` it fails alike in nearly all of them.

It is clear after `clear_bins` bins in a row with at most `clear_share` failing, or sooner if the
tests of the last `clear_span_s` alone show it. A block that returns within `wary_s` of an end is
intermittent, so it needs `wary_bins`. Bins with too few votes count for neither side. A service
that fails a share of the time (flapping.py) is partial, and never clear: it only looks clear by
chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.clearing import Clearing
from heliograph_collector.detect.blocking.evidence import (
    count_failures,
    dominant_cause,
    exceeds_partial,
    has_recovered,
    hint_functions,
)
from heliograph_collector.detect.blocking.lifting import find_lifting, is_lifted
from heliograph_collector.detect.phases import add_cut
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.incidents.incident import (
    Bracket,
    HoldReason,
    Incident,
    IncidentKind,
    IncidentState,
    PhaseChange,
    PhaseDirection,
    hint_on_the_hour,
    incident_id,
)
from heliograph_collector.model.scope import AffectedCell, Scope, enclosing_scope, is_in_cells
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    ServiceVote,
    VantageLocation,
    VoteValue,
)
from heliograph_collector.model.thresholds import Thresholds


@dataclass(slots=True, kw_only=True)
class BlockingEpisode:
    """One blocked service in one country.

    Checkpoints store all fields, also those with an underscore.
    """

    id: str
    service: str
    parts: tuple[AffectedCell, ...]
    started: Bracket
    suspected_us: int
    limits: Thresholds
    kind: IncidentKind
    layer: str
    method: str
    confidence: float
    state: IncidentState = IncidentState.SUSPECTED
    confirmed_us: int | None = None
    closed_us: int | None = None
    ended: Bracket | None = None
    held: tuple[str, ...] = ()
    elsewhere_us: int | None = None  # last bin in which other countries, or all services, did
    hints: tuple[str, ...] = ()  # the functions that alone are blocked
    turns: list[PhaseChange] = field(default_factory=list)
    wary: bool = False  # a block of these cells closed within wary_s before
    flapping: bool = False  # most of its vantages now fail and now work
    _clear: int = 0  # clear bins in a row
    _lifting: int = 0  # bins in a row in which a part of it was clear
    _bad: dict[str, int] = field(default_factory=dict)  # last failure by vantage
    _good: dict[str, int] = field(default_factory=dict)  # first success after it
    _lately: list[ServiceVote] = field(default_factory=list)  # of the last clear_span_s

    @classmethod
    def open_new(
        cls,
        service: str,
        cells: tuple[AffectedCell, ...],
        failures: Sequence[ServiceVote],
        last_successes: Sequence[int],
        now_us: int,
        limits: Thresholds,
    ) -> "BlockingEpisode":
        """Open an episode.

        Args:
            failures: Each vantage's first failure.
            last_successes: The vantages' last successes before it.
        """
        failure_times_us = [o.at_us for o in failures] or [now_us]
        earliest_us = quantile(last_successes, 0.1) if last_successes else min(failure_times_us)
        started = Bracket(earliest_us, quantile(failure_times_us, 0.9))
        kind, layer, method = dominant_cause(failures)
        scope = enclosing_scope(p.scope for p in cells)
        return cls(
            id=incident_id("reach", service, scope, started, (o.witness.nym for o in failures)),
            service=service,
            parts=cells,
            started=started,
            suspected_us=now_us,
            limits=limits,
            kind=kind,
            layer=layer,
            method=method,
            confidence=limits.low,
            hints=hint_functions(kind, failures),
        )

    @classmethod
    def from_incident(cls, incident: Incident, limits: Thresholds) -> "BlockingEpisode":
        """Restore an episode from the log, without its votes."""
        return cls(
            id=incident.id,
            service=incident.service,
            parts=incident.parts,
            started=incident.started,
            suspected_us=incident.suspected_us,
            limits=limits,
            kind=incident.kind,
            layer=incident.layer,
            method=incident.method,
            confidence=incident.confidence,
            state=incident.state,
            confirmed_us=incident.confirmed_us,
            turns=list(incident.turns),
        )

    @property
    def is_open(self) -> bool:
        return self.state in (IncidentState.SUSPECTED, IncidentState.CONFIRMED)

    @property
    def onset(self) -> PhaseChange:
        """Return its first step as a phase, with the cells of now."""
        seen_us = self.confirmed_us or self.suspected_us
        return PhaseChange(PhaseDirection.CUT, self.parts, self.started, seen_us)

    @property
    def changed_us(self) -> int:
        """Return when its latest phase was seen."""
        return self.turns[-1].seen_us if self.turns else self.confirmed_us or self.suspected_us

    def may_be_partial(self, now_us: int) -> bool:
        """Return whether a lasting partial may be this episode, open or closed lately."""
        is_partial = self.kind is IncidentKind.PARTIAL
        if self.is_open:
            young_us = int(self.limits.clear_bins * self.limits.fresh_s * SECOND_US)
            is_young = now_us - (self.confirmed_us or now_us) <= young_us
            return is_partial or self.flapping or is_young
        lately_s = self.limits.resume_s if is_partial else self.limits.wary_s
        is_recent = now_us - (self.closed_us or 0) <= lately_s * SECOND_US
        return is_recent and self.state is IncidentState.CLOSED

    def touches(self, cell: AffectedCell) -> bool:
        """Return whether a cell equals, holds or lies in one of its cells."""
        return self.includes(cell.scope) or any(
            own_cell.scope.is_within(cell.scope) for own_cell in self.parts
        )

    def holds(self, location: VantageLocation) -> bool:
        """Return whether it blocks a place; not where it was lifted."""
        is_named = is_in_cells(location, self.parts)
        return is_named and not (self.turns and is_lifted(self.turns, Scope(*location)))

    def includes(self, scope: Scope) -> bool:
        is_named = any(scope.is_within(cell.scope) for cell in self.parts)
        return is_named and not is_lifted(self.turns, scope)

    def contains(self, cells: Iterable[AffectedCell]) -> bool:
        return all(self.includes(cell.scope) for cell in cells)

    def widen(self, cells: tuple[AffectedCell, ...]) -> None:
        """Replace the cells while unconfirmed; afterwards only add to them."""
        earlier = self.parts if self.confirmed_us is not None else ()
        outside = [p for p in earlier if not any(p.scope.is_within(new.scope) for new in cells)]
        self.parts = (*cells, *outside)

    def grow(
        self,
        cells: tuple[AffectedCell, ...],
        new_cells: tuple[AffectedCell, ...],
        started: Bracket,
        now_us: int,
    ) -> None:
        """Extend a confirmed block; `new_cells`, blocked later, become their own phase."""
        cut = PhaseChange(PhaseDirection.CUT, new_cells, started, now_us)
        self.turns = add_cut(self.turns, self.onset, cut)
        self.widen(cells)
        self._rate_confidence()

    def confirm(self, cells: tuple[AffectedCell, ...], now_us: int) -> None:
        self.parts = cells
        self.held = ()
        self.state = IncidentState.CONFIRMED
        self.confirmed_us = now_us
        self._rate_confidence()

    def _rate_confidence(self) -> None:
        votes = sum(part.votes for part in self.parts)
        agreement = sum(part.votes * part.share for part in self.parts) / (votes + 1)
        is_low = votes < self.limits.few
        self.confidence = round(min(self.limits.low if is_low else self.limits.most, agreement), 3)

    def hold_partial(self, cells: Mapping[AffectedCell, float], now_us: int) -> None:
        """Make it a lasting partial of cells that fail these shares of the time."""
        if self.confirmed_us is None:
            self.confirm(tuple(cells), now_us)
        if self.state is IncidentState.CLOSED:
            self.reopen()
        if not self.contains(cells):
            self.widen(tuple(replace(cell, share=share) for cell, share in cells.items()))
        if self.kind is not IncidentKind.ISOLATION:
            self.kind = IncidentKind.PARTIAL
        self._clear = 0

    def reopen(self) -> None:
        self.state = IncidentState.CONFIRMED
        self.closed_us = None
        self.ended = None
        self._clear = 0
        self._bad.clear()
        self._good.clear()

    def judge_bin(
        self,
        country_votes: Sequence[ServiceVote],
        voters: AbstractSet[str],
        clearing: Clearing,
        now_us: int,
        *,
        down: bool,
        is_same_fault: bool = False,
    ) -> None:
        """Evaluate one more bin.

        Args:
            country_votes: The fresh votes of its country.
            voters: Pseudonyms of vantages that voted in this bin.
            clearing: The data with which its votes are compared.
            down: True if the other countries fail as well.
            is_same_fault: True if nearly all of them do so in the same way.
        """
        votes_inside = self._votes_inside(country_votes)
        lately_s = self.limits.join_s if is_same_fault else self.limits.fresh_s
        if down and now_us - (self.confirmed_us or now_us) <= lately_s * SECOND_US:
            self._withdraw(now_us, HoldReason.DOWN)
            return
        self._record_votes(votes_inside)
        vote_count = count_failures(votes_inside, now_us, self.limits)
        new_votes = [o for o in votes_inside if o.witness.nym in voters]
        self._lately = self._recent_tests(new_votes, now_us)
        if vote_count.votes < self.limits.witnesses:
            return  # silence is no recovery
        if self.flapping:
            self._clear = 0
            return
        is_partial = self.kind is IncidentKind.PARTIAL
        is_block = vote_count.share >= self.limits.confirm_share
        if is_block and (not is_partial or exceeds_partial(self.parts, vote_count, self.limits)):
            failing = [o for o in votes_inside if o.standing in FAILING_VALUES]
            self.kind, self.layer, self.method = dominant_cause(failing)
            self.hints = hint_functions(self.kind, failing)
        is_clear = clearing.is_clear(self.parts, vote_count.share)
        self._clear = self._clear + 1 if is_clear else 0
        needed_bins = self.limits.wary_bins if self.wary else self.limits.clear_bins
        is_quick = self._clear > 0 and not self.wary
        if self._clear >= needed_bins or (
            is_quick and has_recovered(self._lately, now_us, self.limits)
        ):
            self._close(now_us)
        elif self.confirmed_us is not None and self.kind is not IncidentKind.PARTIAL:
            self._detect_lifting(votes_inside, now_us)

    def _detect_lifting(self, votes_inside: Sequence[ServiceVote], now_us: int) -> None:
        lifting = find_lifting(votes_inside, self._bad, self._good, now_us, self.limits)
        self._lifting = self._lifting + 1 if lifting is not None else 0
        if lifting is None or self._lifting < self.limits.clear_bins:
            return
        self._lifting = 0
        self.turns.append(lifting)
        for vote in votes_inside:
            if not self.holds(vote.witness.place):  # its times do not date the end of the rest
                self._bad.pop(vote.witness.nym, None)
                self._good.pop(vote.witness.nym, None)

    def check_recovery(
        self, country_votes: Sequence[ServiceVote], tests: Sequence[ServiceVote], now_us: int
    ) -> None:
        """Close the episode between two bins if the newest tests alone show its end."""
        votes_inside = self._votes_inside(country_votes)
        vote_count = count_failures(votes_inside, now_us, self.limits)
        has_votes = vote_count.votes >= self.limits.witnesses
        is_clear = vote_count.share <= self.limits.clear_share
        if self.wary or self.flapping or not (has_votes and is_clear):
            return
        recent_tests = self._recent_tests(self._votes_inside(tests), now_us)
        if has_recovered(recent_tests, now_us, self.limits):
            self._record_votes(votes_inside)
            self._close(now_us)

    def mark_elsewhere(self, now_us: int) -> None:
        """Hold the episode, or withdraw it if new: other countries failed alike."""
        if self.confirmed_us is None:
            self.elsewhere_us = now_us
            self.held = (HoldReason.ELSEWHERE,)
        elif self._is_new(now_us):
            self._withdraw(now_us, HoldReason.ELSEWHERE)

    def mark_doubt(
        self, votes: Iterable[ServiceVote], doubts: Mapping[str, str], now_us: int
    ) -> None:
        """Hold the episode, or withdraw it if new and all its failures are in doubt."""
        inside = [o for o in self._votes_inside(votes) if o.standing in FAILING_VALUES]
        reasons = [doubts.get(o.witness.nym, "") for o in inside]
        if self.confirmed_us is None:
            self.held = self.held or tuple(filter(None, reasons))[:1]
            self.elsewhere_us = now_us if HoldReason.ALL_SERVICES in reasons else self.elsewhere_us
        elif self.is_open and inside and all(reasons) and self._is_new(now_us):
            self._withdraw(now_us, reasons[0])

    def _is_new(self, now_us: int) -> bool:
        return now_us - (self.confirmed_us or 0) <= int(self.limits.fresh_s * SECOND_US)

    def _withdraw(self, now_us: int, reason: str) -> None:
        self.state = IncidentState.WITHDRAWN
        self.closed_us = now_us
        self.held = (reason,)

    def is_doubted(self, now_us: int) -> bool:
        """Return whether it may be the service's own failure: sites recover one by one."""
        doubt_us = int(self.limits.elsewhere_s * SECOND_US)
        return self.elsewhere_us is not None and now_us - self.elsewhere_us <= doubt_us

    def to_incident(self) -> Incident:
        return Incident(
            id=self.id,
            kind=self.kind,
            state=self.state,
            parts=self.parts,
            started=self.started,
            suspected_us=self.suspected_us,
            confidence=self.confidence,
            confirmed_us=self.confirmed_us,
            ended=self.ended,
            closed_us=self.closed_us,
            service=self.service,
            layer=self.layer,
            method=self.method,
            turns=tuple(self.turns),
            held=self.held,
            hints=(*hint_on_the_hour(self.started), *self.hints),
        )

    def _votes_inside(self, country_votes: Iterable[ServiceVote]) -> list[ServiceVote]:
        return [o for o in country_votes if self.holds(o.witness.place)]

    def _recent_tests(self, new_votes: Iterable[ServiceVote], now_us: int) -> list[ServiceVote]:
        """Return stored and new tests of the last `clear_span_s`, since confirmation."""
        span_us = int(self.limits.clear_span_s * SECOND_US)
        since_us = max(now_us - span_us, self.confirmed_us or 0)
        return [
            o
            for o in (*self._lately, *new_votes)
            if o.standing is not VoteValue.DOWN and o.at_us >= since_us
        ]

    def _record_votes(self, votes_inside: Iterable[ServiceVote]) -> None:
        for vote in votes_inside:
            pseudonym = vote.witness.nym
            if vote.standing in FAILING_VALUES:
                self._bad[pseudonym] = vote.at_us
                self._good.pop(pseudonym, None)
            elif vote.standing is VoteValue.GOOD and pseudonym in self._bad:
                self._good.setdefault(pseudonym, vote.at_us)

    def _close(self, now_us: int) -> None:
        if self._good:
            last_failures = [self._bad[pseudonym] for pseudonym in self._good]
            self.ended = Bracket(
                quantile(last_failures, 0.1), quantile([*self._good.values()], 0.9)
            )
        self.closed_us = now_us
        was_confirmed = self.confirmed_us is not None
        self.state = IncidentState.CLOSED if was_confirmed else IncidentState.WITHDRAWN
