"""Apply the volunteer's configuration to relays, entrances and the DNS beacon."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from heliograph.address import split_endpoint
from heliograph.clock import Clock
from heliograph.plan import Entrance
from heliograph.v1 import plan_pb2
from heliograph.voice_code import ServiceState
from heliograph_agent.runtime.measurement_loop import VantageState
from heliograph_agent.runtime.service_status import recent_states
from heliograph_agent.runtime.settings import PlanUpdater
from heliograph_agent.state import DELIVERED_PLAN, Collector, State, StateError

if TYPE_CHECKING:
    from heliograph_agent.uplink.dial_context import DialContext

log = logging.getLogger("heliograph.agent")


class EntrancePolicy:
    """Apply the volunteer's configuration to the entrances of the present plan."""

    def __init__(self, plan_updater: PlanUpdater, dial_context: "DialContext") -> None:
        self._plan_updater = plan_updater
        self._dial_context = dial_context

    @property
    def collector(self) -> Collector:
        return self._plan_updater.settings.collector

    @property
    def heartbeat_s(self) -> int:
        return self._plan_updater.settings.plan.heartbeat_s

    def list_allowed(self) -> Sequence[Entrance]:
        """List all entrances without the relays that the volunteer does not allow."""
        return self._plan_updater.settings.config.entrances(self.list_planned())

    def list_planned(self) -> Sequence[Entrance]:
        """List the plan's entrances without local addresses, unless these are allowed."""
        entrances = self._plan_updater.settings.plan.entrances
        if self._may_reach_local():
            return entrances
        is_local = self._dial_context.is_local_address
        return [
            replace(e, addresses=tuple(a for a in e.addresses if not is_local(a)))
            for e in entrances
            if not is_local(e.host)
        ]

    def is_guarded(self, entrance: Entrance) -> bool:
        """Return whether an entrance may not lead into a private network.

        An entrance that only the plan names could make volunteers probe their own networks. One
        that the volunteer configured or joined by may lead anywhere.
        """
        settings = self._plan_updater.settings
        return (
            not self._may_reach_local()
            and entrance not in settings.config.entrances(())
            and (entrance.host, entrance.port) != split_endpoint(settings.collector.endpoint)
        )

    def _may_reach_local(self) -> bool:
        """Return whether local addresses are allowed, also by joining at one."""
        settings = self._plan_updater.settings
        host, _ = split_endpoint(settings.collector.endpoint)
        return settings.config.local_targets or self._dial_context.is_local_address(host)


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
        log.warning("relay.listen cannot be listened on: no results of others are handed on")


def take_delivered_plan(state: State) -> Iterator[plan_pb2.SignedPlan]:
    """Yield, once, a plan that arrived with receipts by file, not verified yet."""
    with suppress(StateError, DecodeError):
        raw = state.read(DELIVERED_PLAN)
        if raw is not None:
            state.remove(DELIVERED_PLAN)
            yield plan_pb2.SignedPlan.FromString(raw)


class BeaconContents:
    """Provide what a DNS beacon reports, and where."""

    def __init__(self, plan_updater: PlanUpdater, vantage: VantageState, clock: Clock) -> None:
        self._plan_updater = plan_updater
        self._vantage = vantage
        self._clock = clock

    def get_zone(self) -> str:
        """Return the plan's beacon zone, "" unless the volunteer allows it too."""
        settings = self._plan_updater.settings
        return settings.plan.beacon_zone if settings.config.beacon else ""

    def get_service_states(self) -> Mapping[str, ServiceState]:
        """Return the states as `code` has them."""
        return recent_states(self._vantage.service_states, self._clock.wall_us())
