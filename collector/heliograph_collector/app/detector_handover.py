"""What the detectors have learned, kept on the servers of a cluster for the next leader.

The leader stores its newest checkpoint there, and each HANDOVER_S the votes since, sealed with a
key that the servers do not have. Who leads next writes them into its data directory before its
detectors begin, so they resume as after a restart: with levels, habits, peers' histories and open
incidents. What cannot be read is left out, and the detectors read presence from the journal.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from heliograph_collector.detect.state_handover import (
    StateHandoverError,
    StateNews,
    StateReader,
    adopt_state,
)
from heliograph_collector.fleet.server_seal import SealError, seal, unseal
from heliograph_collector.store.journal.journal import FencedError, JournalError

HANDOVER_S = 60.0  # assumed; what came later is replayed from the store, as after a crash
BEGIN_S = 1.0  # the same, until a first checkpoint is there
PART_BYTES = 1_048_576  # servers take messages of twice as much
_PURPOSE = b"heliograph detectors v1"
_LABEL = b"label"  # the parts are named by their numbers
log = logging.getLogger("heliograph.detect")


class StoredParts(Protocol):
    """A value as it was read; a part that is gone is b""."""

    @property
    def label(self) -> bytes: ...
    @property
    def parts(self) -> Sequence[bytes]: ...


class LargeValue(Protocol):
    """A value on the servers, of one leader. Its methods raise FencedError, JournalError.

    Implemented by jetstream.shared_object.SharedObject.
    """

    async def take_over(self) -> StoredParts | None: ...
    async def replace(self, label: bytes, parts: Sequence[bytes]) -> None: ...
    async def extend(self, label: bytes, parts: Sequence[bytes]) -> None: ...


class DetectorHandover:
    """The checkpoint in a data directory, and its copy on the servers."""

    def __init__(self, value: LargeValue, secret: bytes, data: Path) -> None:
        self._value = value
        self._secret = secret
        self._data = data
        self._reader = StateReader(data)
        self._part_count = 0  # that are stored
        self._is_stored = False  # what the reader read last
        self._last_trouble = ""

    async def take_over(self) -> None:
        """Write what the last leader learned into the data directory. Raises JournalError."""
        stored = await self._value.take_over()
        if stored is None:
            return
        try:
            label, content = await asyncio.to_thread(self._open, stored)
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

    async def run(self) -> None:
        """Store what is new, now and each HANDOVER_S, until another leads or until cancelled."""
        while True:
            try:
                await self.store_news()
            except FencedError as error:
                log.warning("What the detectors learn is stored no more: %s", error)
                return
            except (JournalError, StateHandoverError, OSError) as error:
                self._note_trouble(str(error))
            else:
                self._last_trouble = ""
            # What is new is counted in minutes, and no event tells of it.
            await asyncio.sleep(HANDOVER_S if self._part_count else BEGIN_S)

    async def store_news(self) -> None:
        """Store what is new. Raises JournalError, StateHandoverError, OSError."""
        if not self._is_stored:
            self._reader.forget()
        self._is_stored = False
        news = await asyncio.to_thread(self._reader.read_news)
        if news is not None:
            first = 0 if news.is_other else self._part_count
            parts = await asyncio.to_thread(self._seal_parts, news, first)
            label = seal(self._secret, _PURPOSE, news.beside, _LABEL)
            await (self._value.replace if news.is_other else self._value.extend)(label, parts)
            self._part_count = first + len(parts)
        self._is_stored = True

    def _seal_parts(self, news: StateNews, first: int) -> list[bytes]:
        starts = range(0, len(news.content), PART_BYTES)
        return [
            seal(self._secret, _PURPOSE, news.content[at : at + PART_BYTES], str(number).encode())
            for number, at in enumerate(starts, first)
        ]

    def _open(self, stored: StoredParts) -> tuple[bytes, bytes]:
        """Return label and content. Raises SealError."""
        parts = [
            unseal(self._secret, _PURPOSE, part, str(number).encode())
            for number, part in enumerate(stored.parts)
        ]
        return unseal(self._secret, _PURPOSE, stored.label, _LABEL), b"".join(parts)

    def _note_trouble(self, trouble: str) -> None:
        if trouble != self._last_trouble:
            log.warning("What the detectors learn is not stored for the next leader: %s", trouble)
        self._last_trouble = trouble
