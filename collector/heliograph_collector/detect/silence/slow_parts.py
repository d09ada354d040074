"""Decide whether parts that fell slowly lost no more than the rest of their country.

In an evening people of a country go to bed within an hour or two, and chance takes most of some
city first. The churn by which a burst stands out is that of the whole day, and the burst is the
shortest time that stands out. So at hours when days end, what the rest lost in the hour before a
slow burst, and since, is expected of its parts too. By day few switch off; and of a burst that
takes most of a country, the habit of all is asked (night_test.py).
"""

from collections.abc import Sequence

from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.detect.level.local_time import is_busy_hour
from heliograph_collector.detect.silence.cell_members import select_inside
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.model.scope import AffectedCell

# Assumed, both of them:
SUDDEN_US = 130 * SECOND_US  # in which four fifths of a cut fall silent
_CHANCE = 1e-4  # of so many silences in a part, by what the rest lost; of many parts and times


def are_like_rest(
    cells: Sequence[AffectedCell],
    presence: PresenceTracker,
    outages: Sequence[OutageEpisode],
    burst_us: int,
    now_us: int,
) -> bool:
    """Return whether people who switch off explain the silences of parts as those of the rest.

    Args:
        cells: The parts, of one country.
        outages: Those of the country that explain silences by themselves.
        burst_us: The first silence of the burst.
    """
    country = cells[0].scope.country
    if is_busy_hour(country, burst_us) or presence.measure_spread(country, burst_us) <= SUDDEN_US:
        return False
    recent = [
        v
        for v in presence.list_recent(country, burst_us - HOUR_US)
        if is_established(v.witness, now_us, presence.limits)
        and not any(o.is_open and o.holds(v.place) for o in outages)
    ]
    burst = sum_silent([v for v in recent if v.is_live or v.lost_us >= burst_us])
    if burst.share >= presence.limits.confirm_share:
        return False
    inside = select_inside(cells, recent)
    held = {id(vantage) for vantage in inside}
    rest = sum_silent([vantage for vantage in recent if id(vantage) not in held])
    own = sum_silent(inside)
    if rest.votes < presence.limits.votes:
        return False
    return upper_tail([rest.share] * round(own.votes), round(own.hits)) > _CHANCE
