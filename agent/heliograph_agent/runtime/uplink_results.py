"""Keeps what the uplink tried as measurements like any other, which tell what is cut from whom."""

import logging
from collections.abc import Callable

from heliograph.observation import Measurement
from heliograph_agent.runtime.measurement_loop import Place
from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.uplink.attempt_log import EXPERIMENT, VERSION, Attempt

log = logging.getLogger("heliograph.agent")


class Tries:
    """`stored` is told of each that was kept; nothing is sent sooner for it."""

    def __init__(
        self, spool: Spool, place: Callable[[], Place], boot: str, stored: Callable[[], None]
    ) -> None:
        self._spool = spool
        self._place = place
        self._boot = boot
        self._stored = stored

    async def keep(self, attempt: Attempt) -> None:
        """A spool that has no room costs the measurement; there is one such after every wait."""
        place = self._place()
        priority = Priority.P2 if attempt.changed else Priority.P3
        try:
            await self._spool.append(self._measurement(attempt, place), place.epoch, priority)
        except SpoolError as error:
            log.debug("%s", error)
            return
        except ValueError:  # a bug of ours, and no reason to stop carrying word
            log.error("internal error, please report it: a try that cannot be written down")
            return
        self._stored()

    def _measurement(self, attempt: Attempt, place: Place) -> Measurement:
        return Measurement(
            experiment=EXPERIMENT,
            experiment_version=VERSION,
            target=attempt.target,
            started_us=attempt.started_us,
            monotonic_us=attempt.monotonic_us,
            boot=self._boot,
            runtime_us=attempt.runtime_us,
            epoch=place.epoch.id,
            link=place.link,
            observations=attempt.observations,
        )
