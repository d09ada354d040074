"""Lab: evaluation and simulation of the detectors; the collector never imports it."""
