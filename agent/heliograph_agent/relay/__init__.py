"""Carry sealed envelopes of other volunteers to the collector.

    relay = Relay(state, policy, dial_context, ("0.0.0.0", 8443), 20_000_000)
    await relay.run()

`run` returns only when cancelled. A relay is off by default.
"""
