"""Apply the volunteer's configuration to relays, entrances and the DNS beacon."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from google.protobuf.message import DecodeError

from heliograph.clock import Clock
from heliograph.plan import Entrance
from heliograph.v1 import plan_pb2
from heliograph.voice_code import ServiceState
from heliograph_agent.runtime.measurement_loop import VantageState
from heliograph_agent.runtime.service_status import recent_states
from heliograph_agent.runtime.settings import AgentSettings
from heliograph_agent.state import DELIVERED_PLAN, Collector, State, StateError
from heliograph_agent.uplink.invite import split_endpoint

log = logging.getLogger("heliograph.agent")


class SettingsSource(Protocol):
    """Declare what knows the present settings; PlanUpdater does."""

    @property
    def settings(self) -> AgentSettings: ...


class LocalAddressTest(Protocol):
    """Declare what recognizes local addresses; DialContext does."""

    def is_local_address(self, host: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class EntranceRules:
    """Apply the present plan and configuration to entrances, for the uplink and the relay."""

    source: SettingsSource
    local: LocalAddressTest

    @property
    def collector(self) -> Collector:
        return self.source.settings.collector

    @property
    def heartbeat_s(self) -> int:
        return self.source.settings.plan.heartbeat_s

    def list_entrances(self) -> Sequence[Entrance]:
        """List all entrances without the relays that the volunteer does not allow."""
        return self.source.settings.config.entrances(self.planned_entrances())

    def planned_entrances(self) -> Sequence[Entrance]:
        """List the plan's entrances without local addresses, unless these are allowed."""
        entrances = self.source.settings.plan.entrances
        if self._may_reach_local():
            return entrances
        is_local = self.local.is_local_address
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
        return (
            not self._may_reach_local()
            and entrance not in self.source.settings.config.entrances(())
            and (entrance.host, entrance.port) != split_endpoint(self.collector.endpoint)
        )

    def _may_reach_local(self) -> bool:
        """Return whether local addresses are allowed, also by joining at one."""
        host, _ = split_endpoint(self.collector.endpoint)
        return self.source.settings.config.local_targets or self.local.is_local_address(host)


async def run_relay(source: SettingsSource, clock: Clock, rng: Random) -> None:
    """Serve as a relay until cancelled, if configured; log what prevents it."""
    settings = source.settings
    if settings.config.relay_listen is None:
        return
    from heliograph_agent.relay.server import Relay  # loaded here, as few agents are relays

    dial_context = settings.config.dial_context(clock, rng)
    relay = Relay(
        state=settings.state,
        policy=EntranceRules(source, dial_context),
        dial_context=dial_context,
        listen=settings.config.relay_listen,
        bytes_per_day=settings.config.relay_bytes_per_day,
    )
    try:
        await relay.run()
    except* StateError as errors:
        log.warning("%s Nobody's results are handed on.", errors.exceptions[0])
    except* OSError:
        log.warning("relay.listen cannot be listened on: nobody's results are handed on")


def take_delivered_plan(state: State) -> Iterator[plan_pb2.SignedPlan]:
    """Yield, once, a plan that arrived with receipts by file, not verified yet."""
    with suppress(StateError, DecodeError):
        raw = state.read(DELIVERED_PLAN)
        if raw is not None:
            state.remove(DELIVERED_PLAN)
            yield plan_pb2.SignedPlan.FromString(raw)


class VantageSource(Protocol):
    """Declare what knows the present vantage; MeasurementLoop does."""

    @property
    def vantage(self) -> VantageState: ...


@dataclass(frozen=True, slots=True)
class BeaconRules:
    """Give the beacon its zone and the service states of status.json."""

    source: SettingsSource
    measurements: VantageSource
    clock: Clock

    @property
    def zone(self) -> str:
        """Return the plan's beacon zone, "" unless the volunteer allows it too."""
        settings = self.source.settings
        return settings.plan.beacon_zone if settings.config.beacon else ""

    @property
    def service_states(self) -> dict[str, ServiceState]:
        return recent_states(self.measurements.vantage.service_states, self.clock.wall_us())
