"""The collector: receives envelopes, judges measurements, publishes incidents.

exit_code = heliograph_collector.cli.main(["serve", "--data", "data"])
"""
