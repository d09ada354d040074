"""Provide for the uplink: allowed entrances, a store for attempts, and a report.

Each class implements a Protocol that the uplink owns.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from heliograph.address import split_endpoint
from heliograph.clock import Clock
from heliograph.observation import Measurement
from heliograph.plan import Entrance
from heliograph.voice_code import ServiceState
from heliograph_agent.runtime.plan_updater import PlanUpdater
from heliograph_agent.runtime.service_status import recent_states
from heliograph_agent.runtime.vantage import VantageState
from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.state import Collector
from heliograph_agent.uplink.attempt_log import EXPERIMENT, VERSION, UplinkAttempt

if TYPE_CHECKING:
    from heliograph_agent.runtime.status_file import StatusFile
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


class UplinkResults:
    """Store the uplink's attempts as measurements, which show blocked transports.

    They close no batch early.
    """

    def __init__(
        self, spool: Spool, vantage: VantageState, boot: str, status: "StatusFile"
    ) -> None:
        self._spool = spool
        self._vantage = vantage
        self._boot = boot
        self._status = status

    async def store_attempt(self, attempt: UplinkAttempt) -> None:
        """Append one attempt; a full spool loses it, and the next attempt brings another."""
        priority = Priority.P2 if attempt.is_changed else Priority.P3
        try:
            measurement = self._build_measurement(attempt)
            await self._spool.append(measurement, self._vantage.epoch, priority)
        except SpoolError as error:
            log.debug("%s", error)
            return
        except ValueError:  # a bug in the agent must not stop sending
            log.error("internal error, please report it: a try that cannot be written down")
            return
        self._status.mark_changed()

    def _build_measurement(self, attempt: UplinkAttempt) -> Measurement:
        return Measurement(
            experiment=EXPERIMENT,
            experiment_version=VERSION,
            target=attempt.target,
            started_us=attempt.started_us,
            monotonic_us=attempt.monotonic_us,
            boot=self._boot,
            runtime_us=attempt.runtime_us,
            epoch=self._vantage.epoch.id,
            link=self._vantage.link,
            observations=attempt.observations,
        )


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
