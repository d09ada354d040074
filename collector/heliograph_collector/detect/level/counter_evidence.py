"""Counter-evidence: what the other sources of a cell say against a drop of one.

Theory. A cut of people is seen where people are: in what answers probes and in what they ask for.
Routes mostly stay in one (Iran 2026: 86 % at the lowest), so that routes that stand contradict
nothing, and routes that fall are no cut while what they lead to answers. Probes of which up to a
third get no answer any more while people ask as usual are no cut either: addresses moved, or a
network drops pings. A telescope hears stray packets alone. A fall to nothing at all while another
source stands is that of a collector: in the darkest cuts some remainder answered (1 to 12 %).

What was asked of Google in the last 90 minutes of a series is not all counted yet.

**Probes alone.** No other source is as quick as probes. On 8 January 2026, 16:30, 44 % of Iran's
networks had stopped to answer and at 17:00 93 %, while as much was asked of Google as ever until
18:00, four fifths of the telescope's sources were there until 17:30, and no route had gone. So
nothing contradicts probes at once, and a cut that they alone show is confirmed. But what people ask
for does fall, in Iran's case after two hours. If after three (assumed) it is still what it was,
nobody was cut: the prober has failed in this country, or is kept out of it. Then the confirmation
is taken back, and probes alone do not confirm again in that drop.

What people ask for must have the power to show it: had half as much been lost as the probes lost
in the mean of these three hours, it would be less than on any day of the last two weeks, of which
one in seven may have been an outage. It stands if it lost less than a fifth of what they lost, and
in no step what a low one loses, so that a cut that ended meanwhile counts. If it lost a quarter
and is less than on all of these days, it has not stood and is not asked again: people are often
back before the probes. Between the two, as on a weekend, it is asked later. All of this is assumed.
"""

from collections.abc import Mapping
from statistics import fmean, median

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect.level.source_level import (
    PROBES,
    REQUESTS,
    ROUTES,
    TELESCOPES,
    SourceLevel,
    find_publisher,
)
from heliograph_collector.model.level import LevelReading

# Assumed, all of them:
_FRESH_US = 2 * HOUR_US  # an older reading of another source shows nothing
_STANDS = 0.2  # share that a source that stands may have lost, as a low step must
SHALLOW = 0.5  # lost share that a holiday may explain
_REPEATED = 2  # low steps of requests alone: one is noise where few people ask, or a late feed
_PROVISIONAL_US = 90 * MINUTE_US  # by which Google's counts are late (IODA's help page)
_RENUMBERED = 1 / 3  # lost share of probes that addresses which moved may explain
LAG_US = 3 * HOUR_US  # after which what people ask for shows a cut
_NO_WITNESS = (PROBES, *TELESCOPES)
_LEAST_DAYS = 3  # on which the same hours are known
_OUTLIER_DAYS = 7  # of so many one may have been an outage
_VISIBLE = 1 / 2  # of what the probes lost, that would be seen
_MEAN = 1 / 5  # of the same, that what stands may have lost
_FELL = 1 / 4  # of the same, that what fell has lost


def is_telescope_alone(
    reading: LevelReading, level: SourceLevel, others: Mapping[str, SourceLevel]
) -> bool:
    """Return whether a telescope alone is low, which another source contradicts."""
    return find_publisher(reading.source) in TELESCOPES and is_contradicted(reading, level, others)


def is_contradicted(
    reading: LevelReading, level: SourceLevel, others: Mapping[str, SourceLevel], last_us: int = 0
) -> bool:
    """Return whether other sources of the cell show that only this one fell.

    Args:
        last_us: The end of the source's last known step, if its series ends.
    """
    standing = {
        source
        for source, other in others.items()
        if other.known_us >= reading.at_us - _FRESH_US
        and other.test.lost_share <= _STANDS
        and find_publisher(source) not in (ROUTES, *TELESCOPES)
    }
    if find_publisher(reading.source) in TELESCOPES or reading.value == 0:
        return bool(standing)
    is_explained = find_publisher(reading.source) == ROUTES
    if reading.source.startswith(REQUESTS):
        is_provisional = last_us - level.low_us < _PROVISIONAL_US and last_us > 0
        is_explained = level.test.lasting_loss < SHALLOW or level.test.low_steps < _REPEATED
        is_explained |= is_provisional
    if find_publisher(reading.source) == PROBES:
        is_few = level.test.lasting_loss < _RENUMBERED
        return is_few and any(source.startswith(REQUESTS) for source in standing)
    return is_explained and any(find_publisher(source) == PROBES for source in standing)


def have_probes_failed(
    reading: LevelReading, levels: Mapping[str, SourceLevel], low_us: int
) -> bool | None:
    """Return whether people ask as ever, hours after probes alone began to get no answers.

    Args:
        reading: The newest one of a source of requests.
        levels: All sources of the cell.
        low_us: The end of the probes' first low step.

    Returns:
        None where it is too early, or what people ask for cannot show it.
    """
    since_us = reading.until_us - LAG_US
    others = (level for name, level in levels.items() if find_publisher(name) not in _NO_WITNESS)
    if any(level.test.is_low for level in others):
        return False
    lost = [
        step.lost_share
        for source, level in levels.items()
        if find_publisher(source) == PROBES
        for step in level.list_recent(since_us)
    ]
    if since_us < low_us or not lost:
        return None
    return _has_stood(levels[reading.source], since_us, fmean(lost))


def _has_stood(level: SourceLevel, since_us: int, lost: float) -> bool | None:
    """Return whether a level stood that would have shown such a loss; None if it would not."""
    habit = level.test.habit
    steps = LAG_US // habit.step_us
    mean = habit.find_mean(steps, 0) if steps else None
    past = sorted(habit.list_means(steps))
    if mean is None or len(past) < _LEAST_DAYS:
        return None
    usual, lowest = median(past), past[len(past) // _OUTLIER_DAYS]
    deepest = max((step.lost_share for step in level.list_recent(since_us)), default=1.0)
    if mean > (1 - _MEAN * lost) * usual:
        return True if (1 - _VISIBLE * lost) * usual < lowest and deepest < _STANDS else None
    return False if mean < min(lowest, (1 - _FELL * lost) * usual) else None
