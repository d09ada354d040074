"""The scorecard: what the detectors find in worlds whose truth is known. README.md is the manual."""
