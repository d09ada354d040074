"""Detect services that always fail for part of a place, while the rest reach them.

Theory of operation. A block by the resolvers of operators does not reach who asks others, and so
half of a country, or less. That is no majority, which a block is found by, and nothing changes from
test to test, as where a service fails a share of the time (flapping.py). But vantages that worked,
of which each test fails since one time while their other services work, are no chance: hardly one
fails so by itself. Where they are more than a third of a cell, and fewer than a block takes, it is
a partial, once no more of them begin to fail: a block may come network by network.

Up to a third may collude, and nothing else tells what they feign from such a block. Phones behind
one NAT have one vote, which two of three decide, so that fewer than a third of the vantages may
have more than a third of the votes; and flatmates are many vantages, but one line. So a cell is
told only where both counts show more than a third: of prefixes, and of vantages.
"""

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.evidence import has_lines
from heliograph_collector.detect.blocking.flapping import MIN_EXCESS, FlappingVantages
from heliograph_collector.detect.blocking.known_votes import KnownVotes
from heliograph_collector.detect.blocking.other_services import OtherServices
from heliograph_collector.detect.stats.localization import attach_persons, count_by_cell, localize
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.detect.stats.voting import count_votes, is_established
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.signals import ServiceVote, VoteValue
from heliograph_collector.model.thresholds import Thresholds

_PARTIAL = IncidentKind.PARTIAL
_KNOWN_US = 30 * MINUTE_US  # an older vote shows nothing about a vantage; assumed
_GROWING_US = 20 * MINUTE_US  # since which no more than a tenth began to fail; assumed
_GROWING_SHARE = 0.1  # of those that fail always; assumed
_WORKING_SHARE = 0.6  # of those that fail, who reach another service; assumed


@dataclass(frozen=True)
class LastingFailures:
    """The vantages of one country that fail one service always.

    `first_bad` has the first failure of each vantage that fails, `last_good` the last success.
    """

    known: KnownVotes
    first_bad: Mapping[str, ServiceVote]
    last_good: Container[str]
    flapping: FlappingVantages
    usual: OtherServices

    def find_cells(
        self, blocks: Iterable[BlockingEpisode], rate: float, now_us: int, limits: Thresholds
    ) -> dict[AffectedCell, float]:
        """Find cells where more than a third always fail, with their shares.

        Args:
            blocks: The confirmed blocks of the service here. One that is no partial explains them.
            rate: The failing rate of the service in other countries.
            now_us: The end of the bin.
            limits: The thresholds.
        """
        if len(self.first_bad) < limits.votes or any(b.kind is not _PARTIAL for b in blocks):
            return {}
        names = self._select_failing(now_us, limits)
        if len(names) < limits.votes or not self._do_others_work(names):
            return {}
        newest = [
            vote
            for vote in self.known.newest.values()
            if now_us - vote.at_us <= _KNOWN_US
            and vote.standing is not VoteValue.DOWN
            and is_established(vote.witness, now_us, limits)
        ]
        fresh = sum(now_us - vote.at_us <= limits.fresh_s * SECOND_US for vote in newest)
        if 2 * fresh < len(newest):
            return {}  # of fresh votes that are a sample a third is now most, and now none
        hits = [(vote.witness, vote.witness.nym in names) for vote in newest]
        by_place = count_votes(hits)
        by_vantage = count_by_cell(count_votes(hits, limits.nat_votes))
        cells = localize(
            by_place,
            limits.unfeigned_share,
            limits.votes,
            limits,
            may_name=lambda scope: by_vantage[scope].share >= limits.unfeigned_share,
        )
        return {
            cell: round(cell.share, 3)
            for cell in attach_persons(cells, by_place)
            if self._is_partial(cell, rate, limits)
        }

    def _is_partial(self, cell: AffectedCell, rate: float, limits: Thresholds) -> bool:
        """Return whether more of a cell fail than elsewhere, but too few for a block."""
        usual = max(rate, self.usual.failing_rate(cell.scope))
        is_many = cell.votes * cell.share >= limits.votes and has_lines(cell, limits)
        return is_many and usual + MIN_EXCESS <= cell.share < limits.confirm_share

    def _select_failing(self, now_us: int, limits: Thresholds) -> set[str]:
        """Select vantages that always fail since one time, which hardly happens by chance.

        They worked before, and have told lately that they fail.
        """
        failures = [
            failure
            for name, failure in self.first_bad.items()
            if name in self.last_good
            and self.flapping.always_fails(name)
            and self._is_recent(name, now_us)
        ]
        is_joint = measure_spread([o.at_us for o in failures]) <= limits.join_s * SECOND_US
        begun = [
            name
            for name, failure in self.first_bad.items()
            if failure.at_us > now_us - _GROWING_US and self.flapping.has_failed_twice(name)
        ]
        is_growing = len(begun) > _GROWING_SHARE * len(failures)
        return {o.witness.nym for o in failures} if is_joint and not is_growing else set()

    def _is_recent(self, name: str, now_us: int) -> bool:
        newest = self.known.newest.get(name)
        return newest is not None and now_us - newest.at_us <= _KNOWN_US

    def _do_others_work(self, names: Collection[str]) -> bool:
        """Return whether most vantages reach another service; True if none is tested.

        Where a resolver that failed for all names is back, others are tested first.
        """
        tested: set[str] = set()
        working: set[str] = set()
        for service, votes in self.usual.tests.votes_by_service.items():
            flapping = self.usual.tests.flapping_by_service.get(service)
            if service == self.usual.service or flapping is None:
                continue
            for vote in votes:
                name = vote.witness.nym
                if name in names:
                    tested.add(name)
                    if vote.standing is VoteValue.GOOD and flapping.mostly_works(name):
                        working.add(name)
        return len(working) >= _WORKING_SHARE * len(tested)

    def drop_doubted(
        self, cells: Mapping[AffectedCell, float], doubts: Container[str]
    ) -> dict[AffectedCell, float]:
        """Drop cells with an always failing vantage that may fail for another reason."""
        doubted = [
            failure.witness.place
            for name, failure in self.first_bad.items()
            if name in doubts and self.flapping.always_fails(name)
        ]
        return {
            cell: share
            for cell, share in cells.items()
            if not any(map(cell.scope.includes, doubted))
        }
