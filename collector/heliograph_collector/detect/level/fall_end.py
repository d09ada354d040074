"""Decide whether a suspected fall is over because its level is usual again.

A fleet of hours gets used to its fall, which is then most of what it knows: a country that went
dark in its first evening was calm after six hours. So until days are known, the fall of a whole
country is over when people are back, and not when it has lasted.
"""

from heliograph_collector.detect.level.cell_counts import LEARNED_DAYS, CellTest, Sample
from heliograph_collector.detect.level.dead_link_reports import list_returned
from heliograph_collector.detect.level.fall import LevelFall

_BACK_SHARE = 0.5  # of those who went; assumed


def is_usual_again(fall: LevelFall, test: CellTest, sample: Sample) -> bool:
    """Return whether the level is usual, and of a young fleet half of those who went are back."""
    if not (test.is_usual and test.is_whole) or test.usual.days >= LEARNED_DAYS:
        return test.is_usual
    since_us = fall.started.earliest_us
    fallen = sample.select_fallen(fall.scope, since_us)
    gone = sum(vantage.is_silent for vantage in fallen)
    back = len(list_returned(fallen, since_us))
    return back >= _BACK_SHARE * (back + gone)
