"""Detect flapping vantages, whose tests of a service alternately fail and work.

Theory of operation. A block fails each test of a vantage from its beginning to its end. Where a
service fails a share of the time, the results of each vantage change again and again, and by
chance one minute looks like a full block in some cell, and the next like its end. So the last
`_KEPT` tests of each vantage that failed are kept. It is flapping when they changed `_MIN_CHANGES`
times: a block that begins and ends is two changes. Cells in which most vantages flap are one
incident of the kind partial, which stays open until most do not (`ceasing.py`).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from heliograph.units import MINUTE_US
from heliograph_collector.detect.blocking.ceasing import CEASED_CHANCE, drop_ceased
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.stats.localization import attach_persons, localize
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import count_total, count_votes, is_established
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import AffectedCell, Scope, is_in_cells
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    ServiceVote,
    VantageRef,
    VoteValue,
)
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
_KEPT = 12  # tests of a vantage
_MIN_TESTS = 6
_MIN_CHANGES = 3
_ALWAYS = 0b11111  # the last five failed: of half that fail by chance, one vantage in 32
MIN_EXCESS = 0.2  # of failing tests over the rate of the other countries: no noise of a service
_MOST_FAILING = 0.85  # of the present votes; more is a block that is on and off
_TWICE = 0b11  # the last two failed: a third one may be of the same spell
_SPELL_US = 30 * MINUTE_US
_LASTING_SHARE = 0.25  # that fail always; of those that fail by seven tenths a sixth do by chance
_LASTING_EXCESS = 0.1  # over other services, with which a partial lasts

CellShares = Mapping[AffectedCell, float]  # the cells that flap, with the share that fails


class UsualFlapping(Protocol):
    """Flapping of other services in a country. Implemented by OtherServices."""

    def failing_rate(self, scope: Scope) -> float:
        """Return the failing share of the fresh votes on other services in a cell."""
        ...

    def flapping_share(self, scope: Scope) -> float:
        """Return the share of other services' latest tests that failed by chance there."""
        ...


@dataclass(slots=True)
class RecentTests:
    """Latest tests of a vantage since its first failure, the newest in the lowest bit."""

    bits: int = 0  # 1 is a failure
    count: int = 0
    tested_us: int = 0

    def add(self, vote: ServiceVote) -> None:
        self.bits = (self.bits << 1 | (vote.standing in FAILING_VALUES)) & ((1 << _KEPT) - 1)
        self.count = min(_KEPT, self.count + 1)
        self.tested_us = vote.at_us

    @property
    def share(self) -> float:
        """Return the failing share, without the first failure, with which the tests begin."""
        first = self.count < _KEPT
        return (self.bits.bit_count() - first) / max(1, self.count - first)

    @property
    def is_flapping(self) -> bool:
        changes = (self.bits ^ self.bits >> 1) & ((1 << self.count - 1) - 1)
        return self.count >= _MIN_TESTS and changes.bit_count() >= _MIN_CHANGES


@dataclass(slots=True)
class FlappingVantages:
    """The vantages of one country whose tests of one service failed lately."""

    tests: dict[str, RecentTests] = field(default_factory=dict)  # by pseudonym
    bins: int = 0  # in a row in which cells flapped
    was_down: bool = False  # the service was down elsewhere in the bin before

    def record_tests(self, votes: Iterable[ServiceVote]) -> None:
        """Record the new votes of a bin."""
        for vote in votes:
            pseudonym = vote.witness.nym
            recent = self.tests.get(pseudonym)
            if recent is None and vote.standing in FAILING_VALUES:
                recent = self.tests[pseudonym] = RecentTests()
            if recent is not None:
                recent.add(vote)
                if not recent.bits:
                    del self.tests[pseudonym]

    def note_elsewhere(self, *, down: bool, is_blocked: bool) -> None:
        """Forget the tests during an outage of the service elsewhere, once it is over.

        They failed a share of the time everywhere, and those of one city are back last by chance.

        Args:
            down: It is down elsewhere.
            is_blocked: A block or a partial of it was told here, which lasts by these tests.
        """
        if self.was_down and not down and not is_blocked:
            self.tests.clear()
        self.was_down = down

    def always_fails(self, pseudonym: str) -> bool:
        """Return whether a vantage's tests fail since some moment, and not by chance."""
        recent = self.tests.get(pseudonym)
        return recent is not None and recent.bits & _ALWAYS == _ALWAYS

    def select_lasting(self, votes: Iterable[ServiceVote]) -> list[ServiceVote]:
        """Select the failures of vantages whose last two tests failed too, not long ago.

        In a row at one vantage they are one fact, and not ten: where few vantages are, what fails
        for half an hour at three of five by chance is as much as a block.
        """
        return [vote for vote in votes if vote.standing in FAILING_VALUES and self._goes_on(vote)]

    def _goes_on(self, vote: ServiceVote) -> bool:
        recent = self.tests.get(vote.witness.nym)
        if recent is None or vote.at_us - recent.tested_us > _SPELL_US:
            return False
        return self.has_failed_twice(vote.witness.nym)

    def is_explained(
        self,
        episodes: Iterable[BlockingEpisode],
        cells: Collection[AffectedCell],
        first_bad: Mapping[str, ServiceVote],
    ) -> bool:
        """Return whether an open block, or confirmed ones together, cover flapping cells.

        One open block must contain all the cells, or confirmed ones all that flap in them. A
        network may have all its vantages in a block that names no network. A second incident there
        would rest on no failure, and up to version 97 it was an isolation.
        """
        blocks = [episode for episode in episodes if episode.is_open]
        if any(block.contains(cells) for block in blocks):
            return True
        confirmed = [block for block in blocks if block.confirmed_us is not None]
        locations = {vote.witness.place for name, vote in first_bad.items() if name in self.tests}
        inside = [location for location in locations if is_in_cells(location, cells)]
        return all(any(block.holds(location) for block in confirmed) for location in inside)

    def forget(self, before_us: int) -> None:
        self.tests = {
            n: recent for n, recent in self.tests.items() if recent.tested_us >= before_us
        }

    def drop_steady(self, pseudonyms: Iterable[str]) -> None:
        """Drop the tests that show vantages not to flap, as after the end of a block."""
        for pseudonym in pseudonyms:
            recent = self.tests.get(pseudonym)
            if recent is not None and recent.count >= _MIN_TESTS and not recent.is_flapping:
                del self.tests[pseudonym]

    def prevail_in(
        self,
        episode: BlockingEpisode,
        votes: Iterable[ServiceVote],
        usual: UsualFlapping,
        now_us: int,
        limits: Thresholds,
    ) -> bool:
        """Return whether most of the established that have a vote are flapping.

        A partial lasts until few are, or until other services flap as much; it and any block until
        so few fail at present as what fails a share of the time hardly ever does.
        """
        inside = [vote for vote in votes if episode.holds(vote.witness.place)]
        count = count_total(self._list_hits(inside, now_us, limits))
        is_partial = episode.kind is IncidentKind.PARTIAL
        share = limits.clear_share if is_partial else limits.confirm_share
        if is_partial and self._do_some_fail_always(inside, limits):
            return True
        if count.votes < limits.witnesses or count.share < share:
            return False
        lasting = count_total(self._list_hits(drop_ceased(inside, self.tests), now_us, limits))
        if lasting.votes < limits.witnesses or lasting.share < share or self._have_ceased(inside):
            return False
        scopes = [cell.scope for cell in episode.parts]
        lately = max(map(usual.flapping_share, scopes))
        present = max(map(usual.failing_rate, scopes))
        now_failing = _count_share(inside)
        is_usual = present >= _LASTING_EXCESS and now_failing < present + _LASTING_EXCESS
        return not is_usual and self._failing_share(inside) >= lately + _LASTING_EXCESS

    def _do_some_fail_always(self, votes: Collection[ServiceVote], limits: Thresholds) -> bool:
        """Return whether some vantages always fail, but too few for a block.

        Chance does not end such a failure.
        """
        count = sum(self.always_fails(vote.witness.nym) for vote in votes)
        least = max(limits.witnesses, _LASTING_SHARE * len(votes))
        return least <= count < limits.confirm_share * len(votes)

    def mostly_works(self, pseudonym: str) -> bool:
        """Return whether most of a vantage's last five tests passed."""
        recent = self.tests.get(pseudonym)
        return recent is None or 2 * (recent.bits & _ALWAYS).bit_count() < _ALWAYS.bit_length()

    def has_failed_twice(self, pseudonym: str) -> bool:
        """Return whether a vantage's last two tests failed, which seldom do by chance."""
        recent = self.tests.get(pseudonym)
        return recent is not None and recent.bits & _TWICE == _TWICE

    def _have_ceased(self, votes: Collection[ServiceVote]) -> bool:
        """Return whether fewer fail than chance leaves of the share that failed lately."""
        failing = sum(vote.standing in FAILING_VALUES for vote in votes)
        chances = [self._failing_share(votes)] * len(votes)
        return upper_tail(chances, failing + 1) >= 1.0 - CEASED_CHANCE

    def mean_share(self, votes: Collection[ServiceVote]) -> float:
        """Return vantages' mean failing share, without those that always fail."""
        shares = [self._share_of(vote) for vote in votes]
        return sum(share for share in shares if share <= _MOST_FAILING) / len(shares)

    def find_cells(
        self,
        votes: Sequence[ServiceVote],
        rate: float,
        usual: UsualFlapping,
        blocks: Sequence[BlockingEpisode],
        nats: float,
        now_us: int,
        limits: Thresholds,
    ) -> dict[AffectedCell, float]:
        """Return the cells in which most vantages flap, with the share of tests that fail.

        Args:
            votes: The fresh votes of the country.
            rate: The failing rate of the other countries.
            usual: That of other services here.
            blocks: The confirmed blocks, which alone make no partial of a wider cell.
            nats: The evidence against chance that an alarm needs.
        """
        if not any(recent.is_flapping for recent in self.tests.values()):
            return {}  # as in nearly all bins
        hits = self._list_hits(votes, now_us, limits)
        if sum(is_flapping for _, is_flapping in hits) < limits.witnesses:
            return {}
        votes_by_place = count_votes(hits)
        cells = localize(votes_by_place, limits.confirm_share, limits.votes, limits)
        cells = attach_persons(cells, votes_by_place)
        failing: dict[AffectedCell, float] = {}
        for cell in cells:
            inside = [vote for vote in votes if cell.scope.includes(vote.witness.place)]
            rest = [o for o in inside if not any(b.holds(o.witness.place) for b in blocks)]
            now_failing = min(map(_count_share, (inside, rest or inside)))
            share = round(self._failing_share(inside), 3)
            if not rate + MIN_EXCESS <= min(share, now_failing) or now_failing > _MOST_FAILING:
                continue
            chance = _flapping_chance(rate)
            flapping = upper_tail([chance] * round(cell.votes), round(cell.votes * cell.share))
            is_worse = self._is_worse(cell.scope, inside, now_failing, rate, usual, nats)
            if is_worse and flapping <= math.exp(-nats):
                failing[cell] = share
        return failing

    def _is_worse(
        self,
        scope: Scope,
        inside: Collection[ServiceVote],
        now_failing: float,
        rate: float,
        usual: UsualFlapping,
        nats: float,
    ) -> bool:
        """Return whether more fails in a cell than of other services there, and elsewhere.

        As of other services, without what always fails: a full line does of any service.
        """
        present = max(rate, usual.failing_rate(scope))
        lately = max(rate, usual.flapping_share(scope))
        if now_failing < present + MIN_EXCESS or self.mean_share(inside) < lately + MIN_EXCESS:
            return False
        tests = sum(self._count_of(vote) for vote in inside)
        return tests * _divergence(round(self._failing_share(inside), 3), lately) >= nats

    def find_partial(
        self,
        episodes: Iterable[BlockingEpisode],
        cells: Collection[AffectedCell],
        votes: Sequence[ServiceVote],
        now_us: int,
        limits: Thresholds,
    ) -> BlockingEpisode | None:
        """Find the episode that flapping cells belong to, an open one first."""
        own = [
            episode
            for episode in episodes
            if episode.may_be_partial(now_us)
            and (
                any(map(episode.touches, cells))
                or self._flaps_with(episode, cells, votes, now_us, limits)
            )
        ]
        return max(own, key=attrgetter("is_open"), default=None)

    def _flaps_with(
        self,
        episode: BlockingEpisode,
        cells: Collection[AffectedCell],
        votes: Iterable[ServiceVote],
        now_us: int,
        limits: Thresholds,
    ) -> bool:
        """Return whether an episode shares vantages with flapping cells, and flaps too.

        By chance one minute of a country that flaps looks like a block of a city. The cells that
        flap a minute later may be all lines, which hold half of that city.
        """
        is_shared = any(
            part.scope.intersect(cell.scope) is not None for part in episode.parts for cell in cells
        )
        if not is_shared:
            return False
        inside = [vote for vote in votes if episode.holds(vote.witness.place)]
        count = count_total(self._list_hits(inside, now_us, limits))
        return count.votes >= limits.witnesses and count.share >= limits.clear_share

    def _list_hits(
        self, votes: Iterable[ServiceVote], now_us: int, limits: Thresholds
    ) -> list[tuple[VantageRef, bool]]:
        return [
            (vote.witness, self._is_flapping(vote))
            for vote in votes
            if vote.standing is not VoteValue.DOWN and is_established(vote.witness, now_us, limits)
        ]

    def _is_flapping(self, vote: ServiceVote) -> bool:
        recent = self.tests.get(vote.witness.nym)
        return recent is not None and recent.is_flapping

    def _failing_share(self, votes: Collection[ServiceVote]) -> float:
        return sum(map(self._share_of, votes)) / len(votes)

    def _count_of(self, vote: ServiceVote) -> int:
        recent = self.tests.get(vote.witness.nym)
        return recent.count if recent is not None else 0

    def _share_of(self, vote: ServiceVote) -> float:
        recent = self.tests.get(vote.witness.nym)
        return recent.share if recent is not None else 0.0


def _count_share(votes: Collection[ServiceVote]) -> float:
    return sum(vote.standing in FAILING_VALUES for vote in votes) / len(votes)


def _divergence(share: float, rate: float) -> float:
    """Return the evidence of each test for a failing share over a rate, in nats."""
    works = (1.0 - share) * math.log((1.0 - share) / (1.0 - rate)) if share < 1.0 else 0.0
    return share * math.log(share / rate) + works


def _flapping_chance(rate: float) -> float:
    """Bound the chance that a vantage flaps, though only this rate of its tests fails.

    It flaps with two failures or more.
    """
    works = 1.0 - rate
    return 1.0 - works**_KEPT - _KEPT * rate * works ** (_KEPT - 1)
