"""Serve as a relay while the agent runs, where its volunteer configured one."""

import logging
from random import Random

from heliograph.clock import Clock
from heliograph_agent.runtime.plan_updater import PlanUpdater
from heliograph_agent.runtime.uplink_host import EntrancePolicy
from heliograph_agent.state import StateError

log = logging.getLogger("heliograph.agent")


async def run_relay(plan_updater: PlanUpdater, clock: Clock, rng: Random) -> None:
    """Serve as a relay until cancelled, if configured; log what prevents it."""
    settings = plan_updater.settings
    if settings.config.relay_listen is None:
        return
    from heliograph_agent.relay.server import Relay  # loaded here, as few agents are relays

    dial_context = settings.config.dial_context(clock, rng)
    relay = Relay(
        state=settings.state,
        policy=EntrancePolicy(plan_updater, dial_context),
        dial_context=dial_context,
        listen=settings.config.relay_listen,
        bytes_per_day=settings.config.relay_bytes_per_day,
    )
    try:
        await relay.run()
    except* StateError as errors:
        log.warning("%s No results of others are handed on.", errors.exceptions[0])
    except* OSError:
        log.warning(
            "relay.listen cannot be listened on: free that port or name another one, and start the "
            "agent again; no results of others are handed on until then"
        )
