"""From signals to incidents: pure functions over a window. README.md is the manual."""

from heliograph_collector.detect.silence.detector import Findings, Watch, watch
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.thresholds import DETECT_VERSION, THRESHOLDS, Thresholds

__all__ = ["DETECT_VERSION", "THRESHOLDS", "Findings", "Incident", "Thresholds", "Watch", "watch"]
