"""Measure on a volunteer's machine, store results, and send them when possible."""
