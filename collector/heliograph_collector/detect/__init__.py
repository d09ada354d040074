"""Detectors: from signals to incidents. README.md is the manual.

findings = detect_silence(signals, until_us)
votes = read_votes(judged_measurements)
incidents = detect_blocking(votes, since_us, until_us)
"""

from heliograph_collector.detect.silence.detector import Findings, SilenceDetector, detect_silence
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.thresholds import DETECT_VERSION, THRESHOLDS, Thresholds

__all__ = [
    "DETECT_VERSION",
    "THRESHOLDS",
    "Findings",
    "Incident",
    "SilenceDetector",
    "Thresholds",
    "detect_silence",
]
