"""Whom the scorecard compares: ours first, one line each."""

from collections.abc import Mapping

from heliograph_collector.evaluate.replay import Detector

DETECTORS: Mapping[str, Detector] = {}
