"""Silence detector: vantages that stop reporting together."""
