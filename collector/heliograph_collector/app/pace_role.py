"""The pacing of agents: the judge's load and the open incidents decide how often they test."""

import asyncio
from collections.abc import Collection
from typing import Protocol

from heliograph_collector.app.context import AppContext
from heliograph_collector.detect.runner import DetectorRunner
from heliograph_collector.ingest.pacing import JudgeLoad
from heliograph_collector.judge.writer import StoreWriter

LOOK_S = 10.0  # assumed; a step of the share takes 45 s


class PacedSessions(Protocol):
    """The connected agents. Implemented by the ingest stage."""

    def set_pace(self, load: JudgeLoad, open_countries: Collection[str]) -> None:
        """Decide how often each connected volunteer is to test."""
        ...


class PaceRole:
    """Looks at load and incidents, and sets what sessions tell their agents."""

    def __init__(
        self,
        context: AppContext,
        sessions: PacedSessions,
        detector: DetectorRunner,
        writer: StoreWriter,
    ) -> None:
        self._journal = context.journal
        self._sessions = sessions
        self._detector = detector
        self._writer = writer

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            behind = self._writer.behind
            if behind is None:  # the store has not answered yet
                continue
            arrived = self._journal.position
            load = JudgeLoad(arrived, arrived - behind, self._detector.judge_lag.lag_us)
            self._sessions.set_pace(load, self._detector.list_open_countries())
