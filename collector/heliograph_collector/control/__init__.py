"""What known-clean places and the rest of the world saw, and the judging of whatever it lights up.

`Light` keeps recent measurements of controls and, for contrast, of other countries' vantages;
`Assessor` judges blocks of measurements by it, and again what a later result may change. Both are
deterministic: time is the data's own.
"""

from heliograph_collector.control.assessor import Assessor, Judge
from heliograph_collector.control.cache import ControlCache
from heliograph_collector.control.context import Light
from heliograph_collector.control.peer_baseline import World, outcomes
from heliograph_collector.control.target_key import STALE_US, WINDOW_US, key_of

__all__ = [
    "STALE_US",
    "WINDOW_US",
    "Assessor",
    "ControlCache",
    "Judge",
    "Light",
    "World",
    "key_of",
    "outcomes",
]
