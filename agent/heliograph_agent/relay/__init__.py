"""Carry sealed envelopes of other volunteers to the collector."""
