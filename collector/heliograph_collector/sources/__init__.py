"""Readers of public data: IODA, RIPE Atlas, CSV series, OONI measurements."""
