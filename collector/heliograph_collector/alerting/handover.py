"""Hand over a cluster's notifications to the next collector that leads.

Theory of operation. The outbox is a file of the collector that leads. After each change that
collector writes to the servers how far it has read the log, and which alerts have not arrived. A
collector that finds another outbox's record drops what its own file still had to send, sends what
had not arrived, and reads the log from there. So each alert is delivered at least once; an alert
from the last second of a leader that died may come again, under another id.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from typing import Protocol

import msgspec

from heliograph_collector.alerting.incident_alerts import (
    IncidentReader,
    collect_alerts,
    is_of_log,
)
from heliograph_collector.alerting.outbox import Outbox
from heliograph_collector.config.receivers import Receiver
from heliograph_collector.incidents.state import IncidentBook

SHARE_S = 1.0  # assumed; what arrived in this time may be sent again by the next leader
log = logging.getLogger("heliograph.alerting")


class HandoverError(Exception):
    """The value cannot be read or written now."""


class ReplacedError(HandoverError):
    """Another collector leads."""


class HandoverValue(Protocol):
    """A value that all share who may lead. Both methods raise HandoverError.

    Implemented by app.console_records.SharedAlerts.
    """

    async def read(self) -> bytes | None: ...
    async def write(self, content: bytes) -> None:
        """Replace the last content; raises ReplacedError if another process replaced it."""
        ...


class ChangeCounter(Protocol):
    """Counts changes of the outbox. Implemented by AlertDispatcher."""

    @property
    def change_count(self) -> int: ...


class DeliveryProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of a leader with its notifications."""

    outbox: str  # id of its outbox
    entry: int  # of the log, the last that was read
    head: str  # its hash
    unfinished: dict[str, list[int]]  # by receiver: entries whose alerts have not arrived


class DeliveryHandover:
    """Takes over and hands over the state of one outbox."""

    def __init__(self, value: HandoverValue, outbox: Outbox) -> None:
        self._value = value
        self._outbox = outbox
        self._written: tuple[int, tuple[int, str] | None] = (-1, None)  # changes, and the position

    async def take_over(
        self,
        book: IncidentBook,
        reader: IncidentReader,
        receivers: Sequence[Receiver],
        now_us: int,
    ) -> None:
        """Continue where the last leader was. Raises HandoverError, sqlite3.Error."""
        content = await self._value.read()
        if content is None:
            return
        try:
            progress = msgspec.json.decode(content, type=DeliveryProgress)
        except msgspec.MsgspecError as error:
            log.warning("The alert progress of the last leader cannot be parsed: %s", error)
            return
        if progress.outbox == await asyncio.to_thread(self._outbox.read_id):
            return
        if not is_of_log(book, progress.entry, progress.head):
            log.warning("The last leader sent alerts of another log; its open ones are dropped.")
            return
        numbers = {number for numbers in progress.unfinished.values() for number in numbers}
        entries = [
            book.entries[number - 1] for number in sorted(numbers) if number <= progress.entry
        ]
        alerts = await asyncio.to_thread(collect_alerts, book, entries, reader)
        queued = [
            (receiver.name, alert)
            for alert in alerts
            for receiver in receivers
            if alert["entry"] in progress.unfinished.get(receiver.name, ())
        ]
        await asyncio.to_thread(self._outbox.replace, queued, progress.entry, progress.head, now_us)

    async def share(self, changes: ChangeCounter) -> None:
        """Tell of each change, until cancelled or until another collector leads."""
        while True:
            try:
                await self.tell(changes)
            except ReplacedError:
                log.warning("Another collector leads, and sends the alerts.")
                return
            except (HandoverError, sqlite3.Error) as error:
                log.error("The next leader may send alerts again: %s", error)
            await asyncio.sleep(SHARE_S)

    async def tell(self, changes: ChangeCounter) -> None:
        """Write the changes, if there are any. Raises HandoverError, sqlite3.Error.

        An outbox that has not begun to read the log writes nothing: the next leader would read all
        of it, and send the alerts of years.
        """
        position = await asyncio.to_thread(self._outbox.read_position)
        state = (changes.change_count, position)
        if position is None or state == self._written:
            return
        await self._value.write(await asyncio.to_thread(self._describe, *position))
        self._written = state

    def _describe(self, number: int, head: str) -> bytes:
        return msgspec.json.encode(
            DeliveryProgress(
                outbox=self._outbox.read_id(),
                entry=number,
                head=head,
                unfinished=self._outbox.list_unfinished(),
            )
        )
