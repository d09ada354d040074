"""Consent: what the volunteer agreed to, its risks, its cost, and the opt-outs."""
