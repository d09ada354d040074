"""Rows of other services and countries that compare with a run of failing rows."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote

# Assumed, all of them:
_DOUBTFUL_ROWS = 2  # of another service that may be blocked, as nearly all of them failed …
_NEARLY_ALL = 0.8  # … this share: a block has holes
_LEAST_CLEAR = 4  # rows of services that are not, beside such ones
_USUAL_SHARE = 0.2  # of all rows fail on usual days: by OONI's rules 1 to 15 %

Cell = tuple[str, str, int]  # service, country, network


@dataclass(frozen=True, slots=True)
class OtherRows:
    """The rows of other services in a country, and of the same one in other countries."""

    cell: Cell
    votes: Sequence[ServiceVote]  # in order of time

    def works(self, since_us: int, until_us: int) -> bool:
        """Return whether both kinds of rows work; missing rows count for neither side.

        Services of which nearly all rows fail may be blocked too, and say nothing while others
        work.
        """
        domestic: defaultdict[str, VoteCount] = defaultdict(VoteCount)
        abroad = VoteCount()
        service, country, _ = self.cell
        first = bisect_left(self.votes, since_us, key=attrgetter("at_us"))
        for vote in islice(self.votes, first, None):
            if vote.at_us > until_us:
                break
            is_here = vote.witness.place.country == country
            if is_here != (vote.service == service):
                count = domestic[vote.service] if is_here else abroad
                count.add(VoteCount(1, vote.standing in FAILING_VALUES))
        return abroad.share <= _USUAL_SHARE and _do_others_work(domestic.values())


def _do_others_work(counts: Collection[VoteCount]) -> bool:
    """Return whether the services that are not blocked themselves work, if any."""
    clear = VoteCount()
    blocked = 0
    for count in counts:
        if count.votes >= _DOUBTFUL_ROWS and count.share >= _NEARLY_ALL:
            blocked += 1
        else:
            clear.add(count)
    return clear.share <= _USUAL_SHARE and (clear.votes >= _LEAST_CLEAR or not blocked)
