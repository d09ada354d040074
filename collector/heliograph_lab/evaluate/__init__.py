"""Evaluation: what the detectors find where the truth is known. README.md is the manual."""
