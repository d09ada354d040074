"""What the detectors have learned, kept on the servers of a cluster for the next leader.

The leader stores its newest checkpoint there, and each minute the votes since, sealed with a key
that the servers do not have; what came later is replayed from the store, as after a crash. Who
leads next writes them into its data directory before its detectors begin, so they resume as after a
restart: with levels, habits, peers' histories and open incidents. What cannot be read is left out,
and the detectors read presence from the journal.
"""

import asyncio
import logging
from pathlib import Path

from heliograph_collector.app.sealed_value import LargeValue, SealedValue
from heliograph_collector.detect.state_handover import (
    StateHandoverError,
    StateReader,
    adopt_state,
)
from heliograph_collector.fleet.server_seal import SealError

_PURPOSE = b"heliograph detectors v1"
log = logging.getLogger("heliograph.detect")


class DetectorHandover:
    """The checkpoint in a data directory, and its copy on the servers."""

    what = "What the detectors learn"

    def __init__(self, value: LargeValue, secret: bytes, data: Path) -> None:
        self._value = SealedValue(value, secret, _PURPOSE)
        self._data = data
        self._reader = StateReader(data)
        self._is_stored = False  # what the reader read last

    async def take_over(self) -> None:
        """Write what the last leader learned into the data directory. Raises JournalError."""
        try:
            stored = await self._value.take_over()
            if stored is None:
                return
            label, content = stored
            state = await asyncio.to_thread(adopt_state, self._data, label, content)
        except (SealError, StateHandoverError, OSError) as error:
            log.warning(
                "What the last leader's detectors had learned cannot be used (%s): they read "
                "presence from the journal, as far back as it is kept.",
                error,
            )
        else:
            if state:
                log.info("The detectors resume from the last leader's checkpoint %s.", state)

    @property
    def is_begun(self) -> bool:
        return self._value.part_count > 0

    async def store_news(self) -> None:
        """Store what is new. Raises JournalError, StateHandoverError, OSError."""
        if not self._is_stored:
            self._reader.forget()
        self._is_stored = False
        news = await asyncio.to_thread(self._reader.read_news)
        if news is not None:
            store = self._value.replace if news.is_other else self._value.extend
            await store(news.beside, news.content)
        self._is_stored = True
