"""Hand over a cluster leader's state to the next leader, by way of its servers.

The detectors' state: the leader stores its newest checkpoint there, and each minute the votes
since, sealed with a key that the servers do not have; later ones are replayed from the store, as
after a crash. The next leader writes them into its data directory before its detectors begin, so
they resume as after a restart: with levels, habits, peers' histories and open incidents. An
unreadable state is left out, and the detectors read presence from the journal.

Reports of other sources on incidents: without them an incident that has ended would lose, with its
leader, the findings of IODA or RIS, since these are asked about open incidents only.

The revisions of daily files: the next leader writes the files again, and counts on from these.

Each is a large value on the servers, sealed from them in parts.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from heliograph.zstd_frame import compress_frame, decompress_frame
from heliograph_collector.corroborate.annotation_log import adopt_notes, read_notes
from heliograph_collector.detect.state_handover import (
    StateHandoverError,
    StateReader,
    adopt_state,
)
from heliograph_collector.fleet.server_seal import UnsealError, seal, unseal
from heliograph_collector.http.dump_writer import adopt_revisions, read_revisions
from heliograph_collector.store.journal.journal import FencedError, JournalError

PART_BYTES = 1_048_576  # servers take messages of twice as much
_LABEL = b"label"  # the parts are named by their numbers
HANDOVER_S = 60.0  # assumed; what comes later is lost with a leader that is killed
BEGIN_S = 1.0  # the same, until something is stored
_DETECTORS = b"heliograph detectors v1"  # purpose of the seal
_MAX_BYTES = 67_108_864  # unpacked; more than the log of notes keeps
log = logging.getLogger("heliograph.cluster")


class StoredParts(Protocol):
    """A value as it was read; a part that is gone is b""."""

    @property
    def label(self) -> bytes: ...
    @property
    def parts(self) -> Sequence[bytes]: ...


class LargeValue(Protocol):
    """A value on the servers, of one leader. Methods raise FencedError, JournalError.

    Implemented by jetstream.shared_object.SharedObject.
    """

    async def take_over(self) -> StoredParts | None: ...
    async def replace(self, label: bytes, parts: Sequence[bytes]) -> None: ...
    async def extend(self, label: bytes, parts: Sequence[bytes]) -> None: ...


class SealedValue:
    """A label and content in parts. Every method raises FencedError, JournalError."""

    def __init__(self, value: LargeValue, secret: bytes, purpose: bytes) -> None:
        self._value = value
        self._secret = secret
        self._purpose = purpose
        self.part_count = 0  # that this leader has stored

    async def take_over(self) -> tuple[bytes, bytes] | None:
        """Return label and content of the leader before, if any. Raises UnsealError too."""
        stored = await self._value.take_over()
        return None if stored is None else await asyncio.to_thread(self._open, stored)

    async def replace(self, label: bytes, content: bytes) -> None:
        parts = await asyncio.to_thread(self._seal_parts, content, 0)
        await self._value.replace(self._seal(label, _LABEL), parts)
        self.part_count = len(parts)

    async def extend(self, label: bytes, content: bytes) -> None:
        """Add content at the end, under another label."""
        parts = await asyncio.to_thread(self._seal_parts, content, self.part_count)
        await self._value.extend(self._seal(label, _LABEL), parts)
        self.part_count += len(parts)

    def _seal(self, content: bytes, name: bytes) -> bytes:
        return seal(self._secret, self._purpose, content, name)

    def _unseal(self, sealed: bytes, name: bytes) -> bytes:
        return unseal(self._secret, self._purpose, sealed, name)

    def _seal_parts(self, content: bytes, first: int) -> list[bytes]:
        starts = range(0, len(content), PART_BYTES)
        return [
            self._seal(content[at : at + PART_BYTES], str(number).encode())
            for number, at in enumerate(starts, first)
        ]

    def _open(self, stored: StoredParts) -> tuple[bytes, bytes]:
        parts = [self._unseal(part, str(n).encode()) for n, part in enumerate(stored.parts)]
        return self._unseal(stored.label, _LABEL), b"".join(parts)


class Handover(Protocol):
    """State to hand over. Implemented by DetectorHandover and FileHandover."""

    @property
    def subject(self) -> str:
        """Return the name of the state, as words of a sentence."""
        ...

    @property
    def is_begun(self) -> bool:
        """Return whether this leader has stored anything."""
        ...

    async def store_news(self) -> None:
        """Store what is new. Raises JournalError, StateHandoverError, OSError."""
        ...


async def run_handover(handover: Handover) -> None:
    """Store changes, now and each HANDOVER_S, until another leads or until cancelled."""
    last_trouble = ""
    while True:
        trouble = ""
        try:
            await handover.store_news()
        except FencedError as error:
            log.warning("%s is stored no more: %s", handover.subject, error)
            return
        except (JournalError, StateHandoverError, OSError) as error:
            trouble = str(error)
        if trouble and trouble != last_trouble:
            log.warning("%s is not stored for the next leader: %s", handover.subject, trouble)
        last_trouble = trouble
        # What is new is counted in minutes, and no event announces it.
        await asyncio.sleep(HANDOVER_S if handover.is_begun else BEGIN_S)


class DetectorHandover:
    """The checkpoint in a data directory, and its copy on the servers."""

    subject = "What the detectors learn"

    def __init__(self, value: LargeValue, secret: bytes, data: Path) -> None:
        self._value = SealedValue(value, secret, _DETECTORS)
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
        except (UnsealError, StateHandoverError, OSError) as error:
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


class HandedFile(Protocol):
    """File that fits into one value. Implemented by NotesFile and RevisionsFile."""

    @property
    def subject(self) -> str:
        """Return words of a sentence."""
        ...

    @property
    def purpose(self) -> bytes:
        """Return that of the seal."""
        ...

    def read(self) -> bytes:
        """Return all, b"" if there is nothing. Raises OSError."""
        ...

    def adopt(self, content: bytes) -> None:
        """Take over what the last leader had. Raises ValueError, OSError."""
        ...


@dataclass(frozen=True, slots=True)
class NotesFile:
    """Reports of other sources on incidents."""

    data: Path
    subject: str = "What other sources say of incidents"
    purpose: bytes = b"heliograph notes v1"

    def read(self) -> bytes:
        return read_notes(self.data)

    def adopt(self, content: bytes) -> None:
        adopt_notes(self.data, content)


@dataclass(frozen=True, slots=True)
class RevisionsFile:
    """The revisions of daily files."""

    folder: Path
    subject: str = "The revisions of daily files"
    purpose: bytes = b"heliograph revisions v1"

    def read(self) -> bytes:
        return read_revisions(self.folder)

    def adopt(self, content: bytes) -> None:
        adopt_revisions(self.folder, content)


class FileHandover:
    """A file in a data directory, and its copy on the servers."""

    def __init__(self, value: LargeValue, secret: bytes, file: HandedFile) -> None:
        self._value = SealedValue(value, secret, file.purpose)
        self._file = file
        self._stored = b""

    @property
    def subject(self) -> str:
        return self._file.subject

    @property
    def is_begun(self) -> bool:
        return True  # the first content can wait for a minute

    async def take_over(self) -> None:
        """Take over what the last leader had. Raises JournalError."""
        try:
            stored = await self._value.take_over()
            if stored is not None:
                await asyncio.to_thread(self._adopt, stored[1])
        except (UnsealError, OSError, ValueError) as error:
            log.warning("%s, as the last leader had it, cannot be used (%s).", self.subject, error)

    async def store_news(self) -> None:
        """Store the content, if it is new. Raises JournalError, OSError."""
        content = await asyncio.to_thread(self._file.read)
        if content and content != self._stored:
            await self._value.replace(b"", compress_frame(content))
            self._stored = content

    def _adopt(self, packed: bytes) -> None:
        """Raises ValueError, OSError."""
        self._file.adopt(decompress_frame(packed, _MAX_BYTES))
