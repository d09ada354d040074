"""Run the agent: measure, batch, send, renew plan and key, and report the status.

    agent = Agent(read_settings(state, load_config(path)), SystemClock(), random.SystemRandom())
    await agent.open()
    await agent.run(stop)
    await agent.close()

`run` returns once the asyncio.Event `stop` is set.
"""
