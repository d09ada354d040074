"""Control measurements, the baseline of other countries, and assessment of blocks.

`ControlContext` keeps recent measurements of controls and of other countries' vantages. `Assessor`
judges blocks of measurements by it, and judges again those that a later result may change. Both
are deterministic: they read the times in the data and no clock.

Example:
    assessor = Assessor(judge, services)
    for record, verdicts in assessor.assess(block):
        print(record.id, verdicts[-1].state)
"""

from heliograph_collector.control.assessor import Assessor, ControlContext
from heliograph_collector.control.cache import ControlCache
from heliograph_collector.control.endpoint_outcomes import extract_outcomes
from heliograph_collector.control.peer_baseline import PeerBaseline
from heliograph_collector.control.target_key import STALE_US, WINDOW_US, make_target_key

__all__ = [
    "STALE_US",
    "WINDOW_US",
    "Assessor",
    "ControlCache",
    "ControlContext",
    "PeerBaseline",
    "extract_outcomes",
    "make_target_key",
]
