"""Decide whether a suspected fall is over because its level is usual again.

A fleet of hours gets used to its fall, which is then most of what it knows: a country that went
dark in its first evening was calm after six hours. So until days are known, the fall of a whole
country is over when people are back, and not when it has lasted.

Who is away for a day counts no more, so that the few who are left make a level as usual as before:
of a country that has been dark for a day, those are asked who fell. Not where people may have
switched off, who have left by then, and not for longer than a week.
"""

from collections.abc import Iterable

from heliograph.units import DAY_US
from heliograph_collector.detect.level.cell_counts import (
    ABSENT_US,
    LEARNED_DAYS,
    CellTest,
    Sample,
)
from heliograph_collector.detect.level.dead_link_reports import list_returned
from heliograph_collector.detect.level.fall import LevelFall
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.incidents.incident import HoldReason

_BACK_SHARE = 0.5  # of those who went; assumed
_LEFT_US = 7 * DAY_US  # of a fall that nobody explained: they left; assumed


def is_usual_again(fall: LevelFall, test: CellTest, sample: Sample) -> bool:
    """Return whether the level is usual, and half of those are back whom a day has not forgotten.

    Those of a young fleet are asked, and those of a country that has been dark for a day.
    """
    if not (test.is_usual and test.is_whole):
        return test.is_usual
    since_us = fall.started.earliest_us
    lasts_us = sample.now_us - since_us
    if ABSENT_US < lasts_us <= _LEFT_US and HoldReason.HABIT not in fall.held:
        return _are_back(sample.presence.list_inside(fall.scope), since_us)
    if test.usual.days >= LEARNED_DAYS:
        return True
    return _are_back(sample.select_fallen(fall.scope, since_us), since_us)


def _are_back(vantages: Iterable[VantagePresence], since_us: int) -> bool:
    known = list(vantages)
    gone = sum(vantage.is_silent and vantage.lost_us >= since_us for vantage in known)
    back = len(list_returned(known, since_us))
    return back >= _BACK_SHARE * (back + gone)
