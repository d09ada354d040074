"""The pacing of agents: the judge's load and the open incidents decide how often they test."""

import asyncio

from heliograph_collector.app.context import AppContext
from heliograph_collector.detect.runner import DetectorRunner
from heliograph_collector.ingest.pacing import JudgeLoad, Pacing
from heliograph_collector.ingest.presence import ConnectionTable
from heliograph_collector.judge.writer import StoreWriter

LOOK_S = 10.0  # assumed; a step of the share takes 45 s


class PaceRole:
    """Looks at load and incidents, and sets what sessions tell their agents."""

    def __init__(
        self,
        context: AppContext,
        connections: ConnectionTable,
        detector: DetectorRunner,
        writer: StoreWriter,
    ) -> None:
        self._pacing = Pacing(context.clock, context.registry)
        self._journal = context.journal
        self._connections = connections
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
            self._pacing.update(self._connections, load, self._detector.list_open_countries())
