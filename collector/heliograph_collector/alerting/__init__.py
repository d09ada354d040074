"""Alerts to people: which of them, in which words, by which way, and again until they arrived."""
