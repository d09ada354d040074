"""Aggregation: votes and silences counted into cells, days and cached answers."""
