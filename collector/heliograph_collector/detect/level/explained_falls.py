"""Decide whether confirmed outages of parts explain the fall of a whole country.

Theory of operation. A country falls below its habit when one of its operators is cut, and is
suspected before the cut of that part is found. Once the outage of the part is confirmed, and fewer
than half of the agents outside it are silent, the country's fall adds nothing. It stays for an
hour, because the others may follow the part, as when people behind few addresses fade together:
the fall then grows to include them.
"""

from heliograph.units import HOUR_US
from heliograph_collector.detect.level.cell_counts import Sample
from heliograph_collector.detect.level.fall import LevelFall

_FOLLOWING_US = HOUR_US  # after a part is confirmed, in which the others may follow; assumed


def do_parts_explain(fall: LevelFall, sample: Sample) -> bool:
    """Return whether outages explain a fall's silences, and the others stay."""
    return (fall.is_told or _have_lasted(sample)) and _is_explained(fall, sample)


def _have_lasted(sample: Sample) -> bool:
    """Return whether all outages of the country were confirmed long enough ago."""
    times_us = [outage.confirmed_us or sample.now_us for outage in sample.outages]
    return bool(times_us) and sample.now_us - max(times_us) >= _FOLLOWING_US


def _is_explained(fall: LevelFall, sample: Sample) -> bool:
    """Return whether most outside the outages live: what remains of it is no fall."""
    fallen = sample.select_fallen(fall.scope, fall.started.earliest_us)
    return not sample.exceeds_outages(fallen)
