"""Detect a dip of nearly all countries at once, which is a fault of the source.

Theory of operation. A prober or a monitor that is lost takes its share of every country, often not
half of it. Where four fifths of at least four countries have less than nine tenths of what is
usual, the median country tells what the source has left. A country that has at least half of that
is unknown at this step. One that has less fell by itself, and is judged as if the source had all.
Where one cable is cut, some countries stand.

The people of our own agents fall together too: by a program that stops agents everywhere, or where
no new session succeeds, since our certificate has expired for example. Then each country drains as
its sessions break, and by chance one of them first. How far is seen once the others have drained.
"""

from collections.abc import Sequence
from statistics import median

from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_LEAST_COUNTRIES = 4
_MOST = (4, 5)  # of the countries
_FELL = 0.9  # share of the usual level that they have less than
_APART = 0.5  # of the common share, below which a country fell by itself
_DEAD = 0.1  # common share of a source that shows nothing about any country
_LEAST_SHARE = 0.05  # usual share of our agents, below which nothing is compared
_FALLING = 0.05  # share of our agents that countries lose in an hour while they drain
_RECENT_STEPS = 4  # quarters of an hour


def find_common_share(shares: Sequence[float]) -> float:
    """Return the share that a source still measures everywhere; 1.0 if it works."""
    ordered = sorted(shares)
    numerator, denominator = _MOST
    index = -(-len(ordered) * numerator // denominator) - 1
    if len(ordered) < _LEAST_COUNTRIES or ordered[index] >= _FELL:
        return 1.0
    return median(ordered)


def correct_value(value: float | None, usual: float | None, common: float) -> float | None:
    """Return the value as if the source worked; None if it shows nothing here."""
    if common == 1.0 or value is None:
        return value
    if usual is None or common < _DEAD or value >= _APART * common * usual:
        return None
    return value / common


def is_common_mode(others: Sequence[CellLevel]) -> bool:
    """Return whether the median other country fell, so that the collector is at fault."""
    fallen = [1.0 - cell.share for cell in others]
    return len(fallen) > 1 and median(fallen) >= THRESHOLDS.witness_share * 2


def find_kept_share(others: Sequence[CellLevel]) -> float:
    """Return the share of its usual level that the median other country keeps.

    A program that stops our agents everywhere takes more of them in some country by chance.
    """
    kept = [
        min(1.0, cell.share / max(_LEAST_SHARE, cell.usual.middle if cell.usual else 1.0))
        for cell in others
    ]
    share = median(kept) if len(kept) > 1 else 1.0
    return share if share <= 1.0 - THRESHOLDS.witness_share / 2 else 1.0


def are_falling(others: Sequence[CellLevel]) -> bool:
    """Return whether the median of the other countries has lost more and more of late."""
    lost = [_find_recent_share(cell) - cell.share for cell in others]
    return len(lost) > 1 and median(lost) >= _FALLING


def _find_recent_share(cell: CellLevel) -> float:
    recent = cell.habit.values[-_RECENT_STEPS:]
    return max((share for share in recent if share is not None), default=cell.share)
