"""Store the uplink's attempts as measurements, which show blocked transports."""

import logging
from typing import TYPE_CHECKING

from heliograph.observation import Measurement
from heliograph_agent.runtime.measurement_loop import VantageState
from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.uplink.attempt_log import EXPERIMENT, VERSION, UplinkAttempt

if TYPE_CHECKING:
    from heliograph_agent.runtime.status_file import StatusFile

log = logging.getLogger("heliograph.agent")


class UplinkResults:
    """Append attempts to the spool; they close no batch early."""

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
