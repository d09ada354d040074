"""The collector: receives envelopes, judges measurements, publishes incidents."""
