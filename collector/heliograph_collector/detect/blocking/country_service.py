"""Blocking evidence for one service in one country, by bin and cell.

Theory of operation. Every cell sums log-likelihood ratios of its bins (Page's CUSUM, never below
0). A cell over the alarm threshold opens an episode (suspected). A cell that stands out in
`hold_bins` of the last three bins confirms it, unless other countries fail with it. While the rest
of the world fails too, nothing is summed. episode.py describes the end of an episode.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.alarmed_cells import (
    fails_alone,
    localize_alarmed,
    localize_established,
    select_enough,
)
from heliograph_collector.detect.blocking.clearing import Clearing
from heliograph_collector.detect.blocking.editions import AgentEditions, EditionDoubts
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.evidence import CellEvidence, list_hits
from heliograph_collector.detect.blocking.failed_resolvers import select_unresolved
from heliograph_collector.detect.blocking.flapping import CellShares, FlappingVantages
from heliograph_collector.detect.blocking.known_votes import KnownVotes
from heliograph_collector.detect.blocking.lasting_failures import LastingFailures
from heliograph_collector.detect.blocking.latest_votes import NewVoters
from heliograph_collector.detect.blocking.other_countries import OtherCountries
from heliograph_collector.detect.blocking.other_services import OtherServices
from heliograph_collector.detect.blocking.reopening import confirm_block, was_closed_lately
from heliograph_collector.detect.blocking.steady_cells import find_steady
from heliograph_collector.detect.stats.localization import (
    attach_persons,
    count_by_cell,
    localize,
    narrow_cells,
)
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    VotesByPlace,
    count_total,
    count_votes,
    established_votes,
    is_established,
    sum_votes,
)
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import AffectedCell, Scope, is_in_cells
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds


@dataclass(slots=True, kw_only=True)
class CountryServiceState:
    """State of a CountryService as plain values, for checkpoints."""

    country: str
    sums: list[tuple[Scope, float]]
    tested: list[tuple[Scope, VoteCount]]
    last_good: dict[str, int]
    first_bad: dict[str, ServiceVote]
    recent_cells: list[tuple[AffectedCell, ...]]
    episodes: list[BlockingEpisode]
    flapping: FlappingVantages = field(default_factory=FlappingVantages)
    known: KnownVotes = field(default_factory=KnownVotes)


@dataclass(slots=True)
class CountryService:
    """The evidence and the episodes of one service in one country."""

    country: str
    service: str
    limits: Thresholds
    evidence: CellEvidence = field(default_factory=CellEvidence)
    last_good: dict[str, int] = field(default_factory=dict)
    first_bad: dict[str, ServiceVote] = field(default_factory=dict)
    recent_cells: list[tuple[AffectedCell, ...]] = field(default_factory=list)  # of the last bins
    episodes: list[BlockingEpisode] = field(default_factory=list)
    flapping: FlappingVantages = field(default_factory=FlappingVantages)
    known: KnownVotes = field(default_factory=KnownVotes)

    def state(self) -> CountryServiceState:
        return CountryServiceState(
            country=self.country,
            sums=list(self.evidence.sums.items()),
            tested=list(self.evidence.tested.items()),
            last_good=self.last_good,
            first_bad=self.first_bad,
            recent_cells=self.recent_cells,
            episodes=self.episodes,
            flapping=self.flapping,
            known=self.known,
        )

    @classmethod
    def from_state(cls, state: CountryServiceState, service: str) -> "CountryService":
        return cls(
            state.country,
            service,
            THRESHOLDS,
            CellEvidence(dict(state.sums), dict(state.tested)),
            state.last_good,
            state.first_bad,
            state.recent_cells,
            state.episodes,
            state.flapping,
            state.known,
        )

    def judge_bin(
        self,
        votes: Sequence[ServiceVote],
        new_voters: NewVoters,
        now_us: int,
        rate: float,
        *,
        down: bool,
        others: OtherCountries,
        usual: OtherServices,
        editions: AgentEditions,
    ) -> None:
        """Evaluate one bin; `record_times` comes first.

        Args:
            votes: The fresh votes of the country.
            new_voters: The vantages that voted in this bin.
            rate: The failing rate of the other countries.
            down: True if `world_down` of the votes of other countries fail.
            others: The votes of the other countries.
            usual: The votes of this country on other services.
            editions: Those of all vantages.
        """
        limits = self.limits
        voters = new_voters.pseudonyms
        self._add_evidence(votes, new_voters, rate, usual)
        self.flapping.note_elsewhere(down=down, is_blocked=bool(self.confirmed))
        for episode in self._open_episodes():
            episode.flapping = self.flapping.prevail_in(episode, votes, usual, now_us, limits)
            is_same = down and others.mostly_fail_like(episode)
            clearing = Clearing(self.known, usual, now_us, limits)
            episode.judge_bin(votes, voters, clearing, now_us, down=down, is_same_fault=is_same)
            if episode.is_open and others.fail_with(episode):
                episode.mark_elsewhere(now_us)
            if episode.state is IncidentState.CLOSED:
                self._forget_evidence(episode)
        if down:  # failures here are no evidence for a block here
            self.evidence.clear()
            self.recent_cells.clear()
            return
        nats = self.evidence.count_needed_nats(limits)
        cells = self.flapping.find_cells(votes, rate, usual, self.confirmed, nats, now_us, limits)
        failing = LastingFailures(self.known, self.first_bad, self.last_good, self.flapping, usual)
        lasting = {} if cells else failing.find_cells(self.confirmed, rate, now_us, limits)
        alarmed = self.evidence.find_alarmed(limits)
        doubts: dict[str, str] = {}
        if alarmed or any(self.recent_cells) or lasting:
            doubts |= EditionDoubts(editions, self.first_bad, self.last_good, others).select(votes)
            doubts |= select_unresolved(votes, self.first_bad, usual.tests)
        self._hold_partial(cells or failing.drop_doubted(lasting, doubts), votes, now_us, others)
        if alarmed or any(self.recent_cells):
            self._raise_alarms(votes, now_us, alarmed, others, doubts, usual)

    def _add_evidence(
        self, votes: Sequence[ServiceVote], new_voters: NewVoters, rate: float, usual: OtherServices
    ) -> None:
        """Add the new votes of a bin to the evidence of their cells."""
        limits = self.limits
        new = new_voters.select_new(votes)
        repeated = [o for o in votes if o.witness.nym in new_voters.repeating]
        lasting = self.flapping.select_lasting(new)
        if lasting and count_total(list_hits(votes)).votes >= limits.few:
            lasting = []
        first = [o for o in new if o not in lasting]
        if self.evidence.is_calm(first):
            self.evidence.add_calm_bin(first)
        else:
            self.evidence.add_bin(self._count_cells(first), rate, usual, limits)
        self.evidence.add_repeats(self._count_cells([*repeated, *lasting]), usual, limits)
        self.evidence.count_tests(self._count_cells(lasting))
        self.flapping.record_tests(new)

    def record_tests(self, votes: Sequence[ServiceVote], new_voters: NewVoters) -> None:
        """Record how often vantages fail, with which other services are compared."""
        self.flapping.record_tests(new_voters.select_new(votes))

    def _hold_partial(
        self, cells: CellShares, votes: Sequence[ServiceVote], now_us: int, others: OtherCountries
    ) -> None:
        """Keep one incident for cells that fail a share of the time for `hold_bins`."""
        cells = others.select_worse(cells)
        self.flapping.bins = self.flapping.bins + 1 if cells else 0
        if self.flapping.bins < self.limits.hold_bins:
            return
        episode = self.flapping.find_partial(self.episodes, cells, votes, now_us, self.limits)
        if episode is None and self.flapping.is_explained(self.episodes, cells, self.first_bad):
            return  # a block of a wider cell, which may be a partial too
        episode = episode or self._start_episode(tuple(cells), now_us)
        if others.fail_with(episode):
            episode.mark_elsewhere(now_us)
        elif not episode.is_doubted(now_us):
            episode.hold_partial(cells, now_us)

    def _open_episodes(self) -> list[BlockingEpisode]:
        return [b for b in self.episodes if b.is_open]

    @property
    def confirmed(self) -> list[BlockingEpisode]:
        """Return the confirmed blocks that are ongoing."""
        return [b for b in self.episodes if b.is_open and b.confirmed_us is not None]

    def check_recovery(
        self, votes: Sequence[ServiceVote], tests: Sequence[ServiceVote], now_us: int
    ) -> bool:
        """Check between two bins whether a block is over; return True if one ended.

        Args:
            votes: The fresh votes of the country.
            tests: All tests since the last bin.
        """
        confirmed = self.confirmed
        for episode in confirmed:
            episode.check_recovery(votes, tests, now_us)
            if not episode.is_open:
                self._forget_evidence(episode)
        return any(not episode.is_open for episode in confirmed)

    def _forget_evidence(self, ended: BlockingEpisode) -> None:
        """Forget the evidence of a block that ended: the next one there needs its own."""
        self.evidence.forget(ended.includes)
        names = [n for n, vote in self.known.newest.items() if ended.holds(vote.witness.place)]
        self.flapping.drop_steady(names)
        self.recent_cells = [
            tuple(cell for cell in cells if not ended.touches(cell)) for cells in self.recent_cells
        ]

    def forget(self, closed_since_us: int, voted_since_us: int) -> None:
        """Drop blocks closed before a time, and vantages without votes since another."""
        self.episodes = [
            b for b in self.episodes if b.is_open or (b.closed_us or 0) >= closed_since_us
        ]
        self.flapping.forget(voted_since_us)
        self.known.forget(voted_since_us)
        self.last_good = {n: at for n, at in self.last_good.items() if at >= voted_since_us}
        if not self._open_episodes():
            self.first_bad = {n: o for n, o in self.first_bad.items() if o.at_us >= voted_since_us}

    def record_times(self, votes: Sequence[ServiceVote]) -> None:
        """Record the start of each vantage's failures.

        This comes before any country is judged, because `OtherCountries` compares these times.
        """
        self.known.record(votes)
        for vote in votes:
            pseudonym = vote.witness.nym
            if vote.standing in FAILING_VALUES:
                self.first_bad.setdefault(pseudonym, vote)
            elif vote.standing is VoteValue.GOOD:
                self.last_good[pseudonym] = vote.at_us
                self.first_bad.pop(pseudonym, None)

    def _count_cells(self, votes: Sequence[ServiceVote]) -> dict[Scope, VoteCount]:
        """Count votes by cell.

        Votes in a confirmed block are evidence only for cells inside that block.
        """
        by_place = count_votes(list_hits(votes)) if votes else {}
        cells = count_by_cell(by_place)
        if not (confirmed := self.confirmed):
            return cells
        other_cells = count_by_cell(self._select_outside(by_place))
        return {
            scope: vote_count
            if any(b.includes(scope) for b in confirmed)
            else other_cells.get(scope, VoteCount())
            for scope, vote_count in cells.items()
        }

    def _raise_alarms(
        self,
        votes: Sequence[ServiceVote],
        now_us: int,
        alarmed: AbstractSet[Scope],
        others: OtherCountries,
        doubted: Mapping[str, str],
        usual: OtherServices,
    ) -> None:
        limits = self.limits
        mostly_fails = self.known.ask_once(self.first_bad, now_us, limits)
        hits = list_hits(o for o in votes if o.standing is not VoteValue.DOWN)
        all_votes = count_votes(hits)
        persons = count_votes((w, hit) for w, hit in hits if is_established(w, now_us, limits))
        alarmed_cells = localize_alarmed(all_votes, limits.burst, alarmed, mostly_fails, limits)
        alarmed_cells = attach_persons(alarmed_cells, persons)
        certain = [(w, hit) for w, hit in hits if w.nym not in doubted]
        votes_by_place, has_established = established_votes(
            certain, now_us, limits, nat_votes=limits.nat_votes
        )
        confirmed_cells: tuple[AffectedCell, ...] = ()
        if has_established:
            alone = partial(fails_alone, votes, usual)
            confirmed_cells = localize_established(
                votes_by_place, persons, alarmed, mostly_fails, alone, limits
            )
        self.recent_cells = [*self.recent_cells, confirmed_cells][-3:]
        steady_cells = select_enough(find_steady(self.recent_cells, votes, now_us, limits), limits)
        new_cells = self._select_unexplained(steady_cells, votes_by_place)
        lasting = self._find_lasting(now_us)
        if lasting is None:
            new_cells = new_cells or self._select_unexplained(alarmed_cells, all_votes)
            if new_cells:
                self._open_episode(new_cells, now_us)
        elif new_cells:
            self._grow(lasting, new_cells, votes_by_place, persons, now_us, others)
        for episode in [*self.episodes]:
            episode.mark_doubt(votes, doubted, now_us)
            touched = tuple(p for p in steady_cells if episode.touches(p))
            if not episode.is_open or episode.confirmed_us is not None:
                continue
            few = [p for p in alarmed_cells if episode.includes(p.scope) and p.votes < limits.votes]
            touched = touched or self.known.select_failing(few, doubted, now_us, limits)
            if touched:
                confirm_block(self.episodes, episode, touched, others, now_us)

    def _select_unexplained(
        self, cells: Sequence[AffectedCell], votes: VotesByPlace
    ) -> tuple[AffectedCell, ...]:
        """Select cells whose part outside confirmed blocks suffices alone."""
        outside = self._select_outside(votes)
        counts = [
            (cell, sum_votes({p: t for p, t in outside.items() if cell.scope.includes(p)}))
            for cell in cells
        ]
        return tuple(
            cell
            for cell, count in counts
            if count.votes >= self.limits.burst and count.share >= self.limits.confirm_share
        )

    def _open_episode(self, cells: tuple[AffectedCell, ...], now_us: int) -> None:
        since_us = now_us - int(self.limits.join_s * SECOND_US)
        recent = [b for b in self._open_episodes() if b.suspected_us >= since_us]
        if recent:
            recent[0].widen(cells)
        else:
            self._start_episode(cells, now_us)

    def _find_lasting(self, now_us: int) -> BlockingEpisode | None:
        """Return the confirmed block whose next phase another one would be."""
        since_us = now_us - int(self.limits.resume_s * SECOND_US)
        return next((b for b in self.confirmed if b.changed_us >= since_us), None)

    def _grow(
        self,
        lasting: BlockingEpisode,
        cells: tuple[AffectedCell, ...],
        votes: VotesByPlace,
        persons: VotesByPlace,
        now_us: int,
        others: OtherCountries,
    ) -> None:
        """Extend a block to more cells, of which a part may be in it already."""
        outside = self._select_outside(votes)
        inner = localize(outside, self.limits.confirm_share, self.limits.burst, self.limits)
        inner = narrow_cells(inner, outside)  # no wider than what was not blocked before
        new_cells = tuple(c for c in inner if any(c.scope.is_within(p.scope) for p in cells))
        new_cells = attach_persons(new_cells or cells, self._select_outside(persons))
        draft = self._draft_episode(new_cells, now_us)
        if not others.fail_with(draft):
            lasting.grow(cells, new_cells, draft.started, now_us)

    def _select_outside(self, votes: VotesByPlace) -> VotesByPlace:
        """Select the votes outside confirmed blocks."""
        confirmed = self.confirmed
        return {p: t for p, t in votes.items() if not any(b.holds(p) for b in confirmed)}

    def _start_episode(self, cells: tuple[AffectedCell, ...], now_us: int) -> BlockingEpisode:
        episode = self._draft_episode(cells, now_us)
        episode.wary = was_closed_lately(self.episodes, cells, now_us, self.limits)
        self.episodes.append(episode)
        return episode

    def _draft_episode(self, cells: tuple[AffectedCell, ...], now_us: int) -> BlockingEpisode:
        failures = [
            o
            for o in self.first_bad.values()
            if is_in_cells(o.witness.place, cells)
            and not any(b.holds(o.witness.place) for b in self.confirmed)
        ]
        last_successes = [
            self.last_good[o.witness.nym] for o in failures if o.witness.nym in self.last_good
        ]
        return BlockingEpisode.open_new(
            self.service, cells, failures, last_successes, now_us, self.limits
        )
