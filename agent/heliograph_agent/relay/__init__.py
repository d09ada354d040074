"""Carry sealed envelopes of other volunteers to the collector.

    relay = Relay(state, lambda: collector, dial_context, ("0.0.0.0", 8443), 20_000_000, entrances)
    await relay.run()

`run` returns only when cancelled. A relay is off by default.
"""
