"""Notes of other sources on incidents, kept on the servers of a cluster for the next leader.

Without them an incident that has ended would lose, with its leader, what IODA or RIS said of it:
they are asked about open incidents only.
"""

import asyncio
import logging
from pathlib import Path

from heliograph.zstd_frame import compress_frame, decompress_frame
from heliograph_collector.app.sealed_value import LargeValue, SealedValue
from heliograph_collector.corroborate.annotation_log import adopt_notes, read_notes
from heliograph_collector.fleet.server_seal import SealError

_PURPOSE = b"heliograph notes v1"
_MAX_BYTES = 67_108_864  # unpacked; more than the log keeps
log = logging.getLogger("heliograph.corroborate")


class NotesHandover:
    """The notes in a data directory, and their copy on the servers."""

    what = "What other sources say of incidents"

    def __init__(self, value: LargeValue, secret: bytes, data: Path) -> None:
        self._value = SealedValue(value, secret, _PURPOSE)
        self._data = data
        self._stored = b""

    @property
    def is_begun(self) -> bool:
        return True  # a first note can wait for a minute

    async def take_over(self) -> None:
        """Write the last leader's notes into the data directory. Raises JournalError."""
        try:
            stored = await self._value.take_over()
            if stored is not None:
                await asyncio.to_thread(self._adopt, stored[1])
        except (SealError, OSError, ValueError) as error:
            log.warning("The last leader's notes of other sources cannot be used (%s).", error)

    async def store_news(self) -> None:
        """Store the notes, if there are new ones. Raises JournalError, OSError."""
        content = await asyncio.to_thread(read_notes, self._data)
        if content and content != self._stored:
            await self._value.replace(b"", compress_frame(content))
            self._stored = content

    def _adopt(self, packed: bytes) -> None:
        """Raises ValueError, OSError."""
        adopt_notes(self._data, decompress_frame(packed, _MAX_BYTES))
