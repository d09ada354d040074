"""Detectors: incidents from signals and votes. README.md is the manual.

findings = detect_silence(signals, until_us)  # outages
votes = read_votes(judged_measurements)  # detect.signal_reader
incidents = detect_blocking(votes, since_us, until_us)  # detect.blocking.detector
"""

from heliograph_collector.detect.silence.detector import SilenceDetector, detect_silence
from heliograph_collector.model.thresholds import DETECT_VERSION

__all__ = ["DETECT_VERSION", "SilenceDetector", "detect_silence"]
