"""Connect to the collector by one transport at a time, with waits in between.

    uplink = Uplink(
        agent,
        state,
        spool,
        dial_context,
        policy=policy,
        attempt_store=uplink_results,
        status_listener=status_file,
    )
    task = asyncio.create_task(uplink.run())
    uplink.wake()  # when a batch was closed
    await uplink.wait_delivered()
    uplink.leave("shutdown")

`run` returns after `leave`, and otherwise tries one transport after the other.
"""
