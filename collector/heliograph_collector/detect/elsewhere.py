"""Whether a service began to fail in other countries too: then it is its own fault, no block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph_collector.detect.ballot import established
from heliograph_collector.detect.blocked import Blocked
from heliograph_collector.detect.fold import cells_of
from heliograph_collector.detect.signals import BAD, SECOND_US, Opinion, Standing
from heliograph_collector.detect.thresholds import Thresholds

_LEAST = 2  # votes of a cell


@dataclass(frozen=True, slots=True)
class Abroad:
    """One service in one country: its fresh opinions, and the first failure of who is failing."""

    mine: Sequence[Opinion]
    first_bad: Mapping[str, Opinion]


def elsewhere(
    blocked: Blocked, home: str, abroad: Mapping[str, Abroad], now_us: int, limits: Thresholds
) -> bool:
    """Whether cells of several other countries went with it: the same minutes, the same way.

    Two neighbours may block by one order; a third in the same minutes makes it the service. Of a
    large world it takes more of them, so that their own noise does not do.
    """
    others = {name: country for name, country in abroad.items() if name != home}
    hits = [_like(blocked, country, now_us, limits) for country in others.values()]
    least = max(limits.elsewhere, limits.elsewhere_share * len(others))
    return sum(hits) >= least


def _like(blocked: Blocked, country: Abroad, now_us: int, limits: Thresholds) -> bool:
    """Whether a cell of it went; as in a confirmation a third of a cell that lies is nothing.

    Cells of one dimension alone: the narrower ones are too many for so few votes.
    """
    apart_us = int(limits.fresh_s * SECOND_US)
    since_us = blocked.started.earliest_us - apart_us
    until_us = blocked.started.latest_us + apart_us

    def hit(opinion: Opinion) -> bool:
        first = country.first_bad.get(opinion.witness.nym)
        return (
            opinion.standing in BAD
            and (opinion.layer, opinion.method) == (blocked.layer, blocked.method)
            and first is not None
            and since_us <= first.at_us <= until_us
        )

    judged = [(o.witness, hit(o)) for o in country.mine if o.standing is not Standing.DOWN]
    if sum(failing for _, failing in judged) < _LEAST:
        return False
    ballot, _ = established(judged, now_us, limits)
    return any(
        scope.fields <= 1 and tally.hits >= _LEAST and tally.share >= limits.confirm_share
        for scope, tally in cells_of(ballot).items()
    )
