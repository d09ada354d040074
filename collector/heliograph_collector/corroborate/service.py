"""Asks each source about the incidents of the hour, and notes what it says beside them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heliograph_collector.corroborate.annotation_log import Notes
from heliograph_collector.corroborate.compare import hold_against
from heliograph_collector.corroborate.incident import (
    DAY_US,
    Entity,
    Incident,
    entities_of,
    open_incidents,
)
from heliograph_collector.corroborate.ioda import Ioda, IodaConfig
from heliograph_collector.corroborate.polling import backoff_s
from heliograph_collector.corroborate.radar import Radar, RadarConfig
from heliograph_collector.corroborate.ris import RisConfig, RisLive
from heliograph_collector.corroborate.series import Evidence
from heliograph_collector.corroborate.source import Means, Source, SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    ris: RisConfig = field(default_factory=RisConfig)
    ioda: IodaConfig = field(default_factory=IodaConfig)
    radar: RadarConfig = field(default_factory=RadarConfig)


SOURCES: Mapping[str, Callable[[Settings, Means], Source]] = {
    "ris": lambda settings, means: RisLive(settings.ris, means),
    "ioda": lambda settings, means: Ioda(settings.ioda, means),
    "radar": lambda settings, means: Radar(settings.radar, means),
}


ROUND_S = 60.0
MOST_ASKED = 16  # entities of one source; of more incidents at once the newest are asked about
HISTORY_US = 7 * DAY_US + DAY_US // 8

log = logging.getLogger("heliograph.corroborate")


class Corroborator:
    """`run` belongs in the collector's TaskGroup. It reads incidents and hands out notes; nothing
    that it knows goes back to a detector.

    `incidents` gives them as the API does, newest first; `watched` the networks that may be
    followed beforehand.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        notes: Notes,
        means: Means,
        *,
        incidents: Callable[[], Sequence[Mapping[str, Any]]],
        watched: Callable[[], Sequence[Entity]] = tuple,
    ) -> None:
        self._sources = list(sources)
        self._notes, self._means = notes, means
        self._incidents, self._watched = incidents, watched

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.run())
                group.create_task(self._attend(source))

    async def _attend(self, source: Source) -> None:
        asked: dict[Entity, int] = {}
        failures = 0
        while True:
            wait_s = ROUND_S
            try:
                await self.round(source, asked)
                failures = 0
            except SourceError as error:
                failures += 1
                wait_s = max(ROUND_S, backoff_s(failures, error.again_s, self._means.rng))
                log.warning("%s Asking again in %.0f s.", error, wait_s)
            await self._means.pause(wait_s)

    async def round(self, source: Source, asked: dict[Entity, int]) -> None:
        """Each entity that is due, once. `asked` remembers when. Raises SourceError."""
        incidents = open_incidents(self._incidents(), self._means.clock.wall_us())
        source.follow([*entities_of(incidents), *self._watched()])
        entities = entities_of(incidents)[:MOST_ASKED]
        for gone in asked.keys() - set(entities):
            del asked[gone]
        for entity in entities:
            now_us = self._means.clock.monotonic_us()
            if entity in asked and now_us - asked[entity] < source.every_s * 1e6:
                continue
            asked[entity] = now_us
            concerned = [i for i in incidents if any(p.entity == entity for p in i.parts)]
            await self._ask(source, entity, concerned)

    async def _ask(self, source: Source, entity: Entity, incidents: Sequence[Incident]) -> None:
        """One question for all incidents of the entity."""
        since_us = min(incident.earliest_us for incident in incidents) - HISTORY_US
        now_us = self._means.clock.wall_us()
        until_us = min(now_us, max(incident.until_us for incident in incidents))
        for evidence in await source.ask(entity, since_us, until_us):
            self._note(evidence, incidents)

    def _note(self, evidence: Evidence, incidents: Sequence[Incident]) -> None:
        for incident in incidents:
            said = hold_against(incident, evidence)
            if self._notes.add(said):
                log.info(
                    "%s: %s of %s, incident %s: %s (%s)",
                    *(said.source, said.signal, said.entity, said.incident, said.what, said.why),
                )
