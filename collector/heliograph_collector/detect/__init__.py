"""From signals to incidents: pure functions over a window. README.md is the manual."""

from heliograph_collector.detect.incident import Incident
from heliograph_collector.detect.silence import Findings, Watch, watch
from heliograph_collector.detect.thresholds import DETECT_VERSION, THRESHOLDS, Thresholds

__all__ = ["DETECT_VERSION", "THRESHOLDS", "Findings", "Incident", "Thresholds", "Watch", "watch"]
