"""Whether a source fell alone, because it failed itself or for what is no cut.

Theory of operation. A cut of people is seen where people are: in what answers probes and in what
they ask for. Routes mostly stay in one (Iran 2026: 86 % at the lowest), so that routes that stand
contradict nothing, and routes that fall are no cut while what they lead to answers. A telescope
hears stray packets alone. A fall to nothing at all while another source stands is that of a
collector: in the darkest cuts some remainder answered (1 to 12 %). People ask for less on a
holiday, while their lines answer as ever; no holiday halves it. So what people's days show in, and
which fell by less than half and alone, may be a holiday too.
"""

from collections.abc import Mapping

from heliograph.units import HOUR_US
from heliograph_collector.detect.level.drop_test import DropTest
from heliograph_collector.model.level import LevelReading

# Assumed, all of them:
FRESH_US = 2 * HOUR_US  # a reading of another source that is older says nothing
_STANDS = 0.2  # share that a source that stands may have lost, as a low step must
_SHALLOW = 0.5  # lost share that a holiday may explain
_SWING = 0.7  # level by night as a share of that by day, below which people's days show
_ROUTES = "bgp"
_PROBES = "ping-slash24"
TELESCOPES = ("merit-nt", "ucsd-nt")
_REQUESTS = ("gtr", "mozilla")  # what the names of these begin with


def is_holiday_sized(test: DropTest) -> bool:
    """Return whether people who keep a holiday could explain how far a level fell."""
    return test.lost_share < _SHALLOW and test.habit.measure_swing() < _SWING


def is_contradicted(reading: LevelReading, lost: float, lost_shares: Mapping[str, float]) -> bool:
    """Return whether other sources of the cell show that only this one fell.

    Args:
        reading: The low reading.
        lost: What it lost of its usual level.
        lost_shares: What the other sources lost of theirs, as last known.
    """
    standing = {
        source
        for source, share in lost_shares.items()
        if share <= _STANDS and source != _ROUTES and source not in TELESCOPES
    }
    if reading.source in TELESCOPES or reading.value == 0:
        return bool(standing)
    is_explained = reading.source == _ROUTES
    if reading.source.startswith(_REQUESTS):
        is_explained = lost < _SHALLOW
    return is_explained and _PROBES in standing
