"""Evaluation and simulation: what tries the detectors, never imported by the collector."""
