"""Blocking detector: services that stop working for the vantages of a place."""
