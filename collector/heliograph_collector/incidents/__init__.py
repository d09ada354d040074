"""Incidents and the signed, hash-chained log that records every change of them."""
