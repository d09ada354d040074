"""Measure a path: hops by TTL, sent by the raw-socket helper program."""
