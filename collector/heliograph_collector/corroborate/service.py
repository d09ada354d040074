"""Corroboration of published incidents by the configured sources, for the API."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

from heliograph.clock import Clock
from heliograph_collector.corroborate import (
    AnnotationLog,
    AnnotationRecord,
    CorroborationSettings,
    Corroborator,
    PublishedFeed,
    SourceContext,
    SourceSessions,
    build_source,
)


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

    async def run(
        self, feed: PublishedFeed, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
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
