"""Connect to the collector by one transport at a time, with waits in between.

    uplink = Uplink(state, host, heartbeat_s=lambda: 30, get_wait_s=get_wait_s, on_changed=notify)
    task = asyncio.create_task(uplink.run())
    uplink.wake()  # when a batch was closed
    await uplink.wait_delivered()
    uplink.leave("shutdown")

`run` returns after `leave`, and otherwise tries one transport after the other.
"""
