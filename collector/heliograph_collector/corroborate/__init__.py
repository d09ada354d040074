"""Corroboration: annotate incidents with data from RIS, IODA and Cloudflare Radar.

It decides nothing. It is off unless the configuration names a source, because a query reveals which
network is watched. No detector imports this package, and it imports none: `make check` tests both.

Example: compare an incident of the feed with evidence from a source.

    incident = read_incident(summary)
    if incident is not None:
        annotation_log.add(compare_incident(incident, evidence))
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

from heliograph.clock import Clock
from heliograph.units import DAY_US
from heliograph_collector.corroborate.annotation import (
    Agreement,
    AgreementReason,
    Annotation,
    AnnotationRecord,
)
from heliograph_collector.corroborate.annotation_log import AnnotationLog
from heliograph_collector.corroborate.compare import compare_incident
from heliograph_collector.corroborate.incident import (
    Entity,
    FeedIncident,
    PublishedIncident,
    list_entities,
    read_incident,
)
from heliograph_collector.corroborate.ioda import Ioda, IodaConfig
from heliograph_collector.corroborate.radar import Radar, RadarConfig
from heliograph_collector.corroborate.ris import RisConfig, RisLive
from heliograph_collector.corroborate.series import SourceEvidence
from heliograph_collector.corroborate.source import (
    AsyncSleep,
    ExternalSource,
    SourceContext,
    SourceError,
    SourceSessions,
    compute_backoff_s,
)

__all__ = [
    "SOURCES",
    "Agreement",
    "AgreementReason",
    "Annotation",
    "AnnotationLog",
    "AnnotationRecord",
    "Corroboration",
    "CorroborationSettings",
    "Corroborator",
    "Entity",
    "FeedIncident",
    "IodaConfig",
    "PublishedFeed",
    "RadarConfig",
    "RisConfig",
    "SourceContext",
    "SourceError",
    "SourceSessions",
    "build_settings",
    "build_source",
    "compare_incident",
    "read_incident",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorroborationSettings:
    ris: RisConfig = field(default_factory=RisConfig)
    ioda: IodaConfig = field(default_factory=IodaConfig)
    radar: RadarConfig = field(default_factory=RadarConfig)
    private_hosts: tuple[str, ...] = ()  # of source URLs that may lead into private networks


def build_settings(
    *,
    ris_url: str,
    ioda_url: str,
    radar_url: str,
    prefixes: Mapping[str, int],
    token: str,
    private_hosts: tuple[str, ...],
) -> CorroborationSettings:
    """Build the settings; an empty URL means the source's own address."""
    return CorroborationSettings(
        ris=RisConfig(url=ris_url or RisConfig().url, prefixes=prefixes),
        ioda=IodaConfig(url=ioda_url or IodaConfig().url),
        radar=RadarConfig(url=radar_url or RadarConfig().url, token=token),
        private_hosts=private_hosts,
    )


class PublishedFeed(Protocol):
    """The public feed: only its content may be asked about outside."""

    def list_incidents(self) -> Sequence[PublishedIncident]:
        """List the incidents as the API does, newest first."""
        ...

    def list_networks(self) -> Sequence[tuple[str, int]]:
        """List (country, ASN) with enough connected vantages to be named without risk."""
        ...


SOURCES = ("ris", "ioda", "radar")
ROUND_S = 60.0
MAX_ENTITIES = 16  # entities per source; with more open incidents, those of the newest
HISTORY_US = 7 * DAY_US + DAY_US // 8

log = logging.getLogger("heliograph.corroborate")


def build_source(
    name: str, settings: CorroborationSettings, context: SourceContext
) -> ExternalSource:
    """Build a source of SOURCES. Raises ValueError on another name."""
    match name:
        case "ris":
            return RisLive(settings.ris, context)
        case "ioda":
            return Ioda(settings.ioda, context)
        case "radar":
            return Radar(settings.radar, context)
    raise ValueError(name)


class Corroborator:
    """Poll the sources about open incidents and log the annotations.

    `run` belongs in the collector's TaskGroup. No result goes back to a detector.
    """

    def __init__(
        self,
        sources: Iterable[ExternalSource],
        annotation_log: AnnotationLog,
        context: SourceContext,
        feed: PublishedFeed,
    ) -> None:
        self._sources = list(sources)
        self._annotation_log = annotation_log
        self._context = context
        self._feed = feed

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.run())
                group.create_task(self._poll_source(source))

    async def _poll_source(self, source: ExternalSource) -> None:
        polled_us: dict[Entity, int] = {}
        failures = 0
        while True:
            wait_s = ROUND_S
            try:
                await self.poll_due(source, polled_us)
                failures = 0
            except SourceError as error:
                failures += 1
                wait_s = max(ROUND_S, compute_backoff_s(failures, error.retry_s, self._context.rng))
                log.warning("%s Asking again in %.0f s.", error, wait_s)
            await self._context.pause(wait_s)

    async def poll_due(self, source: ExternalSource, polled_us: dict[Entity, int]) -> None:
        """Query the source for each due entity; `polled_us` records the times.

        Raises SourceError.
        """
        wall_us = self._context.clock.wall_us()
        published = map(read_incident, self._feed.list_incidents())
        incidents = [i for i in published if i is not None and i.is_due(wall_us)]
        entities = list_entities(incidents)
        networks = [Entity(*network) for network in self._feed.list_networks()]
        source.follow([*entities, *networks])
        del entities[MAX_ENTITIES:]
        for closed_entity in polled_us.keys() - set(entities):
            del polled_us[closed_entity]
        for entity in entities:
            now_us = self._context.clock.monotonic_us()
            if entity in polled_us and now_us - polled_us[entity] < source.every_s * 1e6:
                continue
            polled_us[entity] = now_us
            concerned = [i for i in incidents if any(p.entity == entity for p in i.cells)]
            await self._ask_source(source, entity, concerned)

    async def _ask_source(
        self, source: ExternalSource, entity: Entity, incidents: Sequence[FeedIncident]
    ) -> None:
        """Send one query for all incidents of the entity."""
        since_us = min(incident.earliest_us for incident in incidents) - HISTORY_US
        now_us = self._context.clock.wall_us()
        until_us = min(now_us, max(incident.until_us for incident in incidents))
        for evidence in await source.ask(entity, since_us, until_us):
            self._annotate(evidence, incidents)

    def _annotate(self, evidence: SourceEvidence, incidents: Sequence[FeedIncident]) -> None:
        for incident in incidents:
            annotation = compare_incident(incident, evidence)
            if self._annotation_log.add(annotation):
                log.info("%s", annotation)


class Corroboration:
    """The annotations, and the task that queries the sources."""

    def __init__(
        self,
        data: Path,
        names: Sequence[str],
        settings: CorroborationSettings,
        *,
        clock: Clock,
        rng: Random,
        sessions: SourceSessions,
    ) -> None:
        self._names = names
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._sessions = sessions
        self._notes = AnnotationLog(data)

    def list_annotations(self, incident: str) -> Sequence[AnnotationRecord]:
        """List the annotations of an incident, also from sources no longer configured."""
        return self._notes.list_annotations(incident)

    def list_newest(self, count: int) -> dict[str, list[AnnotationRecord]]:
        """Return those of the incidents that were annotated last, by incident."""
        return self._notes.list_newest(count)

    async def run(self, feed: PublishedFeed, pause: AsyncSleep = asyncio.sleep) -> None:
        """Query the sources until cancelled; return at once if none is configured."""
        if not self._names:
            return
        async with self._sessions.open_source_session(self._settings.private_hosts) as session:
            context = SourceContext(session=session, clock=self._clock, rng=self._rng, pause=pause)
            await Corroborator(
                [build_source(name, self._settings, context) for name in self._names],
                self._notes,
                context,
                feed,
            ).run()
