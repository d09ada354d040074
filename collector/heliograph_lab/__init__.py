"""Lab: evaluation and simulation of the detectors; the collector never imports it.

heliograph-collector evaluate --seeds 100  # cli/evaluate.py
"""
