"""The rhythm in which a leader stores what the next one is to have."""

import asyncio
import logging
from typing import Protocol

from heliograph_collector.detect.state_handover import StateHandoverError
from heliograph_collector.store.journal.journal import FencedError, JournalError

HANDOVER_S = 60.0  # assumed; what comes later is lost with a leader that is killed
BEGIN_S = 1.0  # the same, until something is stored
log = logging.getLogger("heliograph.cluster")


class Handover(Protocol):
    """What is handed over. Implemented by DetectorHandover and NotesHandover."""

    what: str  # is stored, as words of a sentence

    @property
    def is_begun(self) -> bool:
        """Return whether this leader has stored anything."""
        ...

    async def store_news(self) -> None:
        """Store what is new. Raises JournalError, StateHandoverError, OSError."""
        ...


async def run_handover(handover: Handover) -> None:
    """Store what is new, now and each HANDOVER_S, until another leads or until cancelled."""
    last_trouble = ""
    while True:
        trouble = ""
        try:
            await handover.store_news()
        except FencedError as error:
            log.warning("%s is stored no more: %s", handover.what, error)
            return
        except (JournalError, StateHandoverError, OSError) as error:
            trouble = str(error)
        if trouble and trouble != last_trouble:
            log.warning("%s is not stored for the next leader: %s", handover.what, trouble)
        last_trouble = trouble
        # What is new is counted in minutes, and no event announces it.
        await asyncio.sleep(HANDOVER_S if handover.is_begun else BEGIN_S)
