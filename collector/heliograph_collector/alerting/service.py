"""Notifications of the running collector: follow the log, fill the outbox.

It only reads the incident log, so a failing receiver never delays the detectors.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph.timestamps import format_second
from heliograph_collector.alerting.dispatcher import AlertDispatcher, SendPermission, Transports
from heliograph_collector.alerting.email import SmtpSender
from heliograph_collector.alerting.handover import (
    DeliveryHandover,
    HandoverError,
    HandoverValue,
)
from heliograph_collector.alerting.health import HealthNotifier, HealthSource
from heliograph_collector.alerting.http_client import DeliveryError, HttpSender
from heliograph_collector.alerting.incident_alerts import (
    IncidentReader,
    collect_alerts,
    is_of_log,
)
from heliograph_collector.alerting.message import build_sample
from heliograph_collector.alerting.outbox import Delivery, Outbox, describe_error, is_full
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.named_files import read_secret
from heliograph_collector.config.outgoing_http import open_session
from heliograph_collector.config.receivers import Receiver
from heliograph_collector.incidents.state import EMPTY_HEAD, IncidentBook

log = logging.getLogger("heliograph.alerting")

_HEARTBEAT_S = 30.0
_RETRY_S = 5.0
_ENTRIES_PER_READ = 200


@dataclass(frozen=True, kw_only=True)
class AlertConfig:
    """Receivers, and the public address of the collector for links."""

    data: Path
    receivers: Sequence[Receiver]
    public_url: str = ""


class AlertService:
    """Notifications, and their state for the console. Raises CannotServeError."""

    def __init__(
        self,
        config: AlertConfig,
        book: IncidentBook,
        reader: IncidentReader,
        *,
        clock: Clock,
        rng: random.Random,
        registry: CollectorRegistry,
        shared: HandoverValue | None = None,
        permission: SendPermission | None = None,
        health: HealthSource | None = None,
    ) -> None:
        """Prepare.

        Args:
            health: Problems of the collector; None to notify nobody.
            shared: State that all possible leaders of a cluster share, if it is one.
            permission: Must be held to send; None if none is needed.
        """
        self._config = config
        self._shared = shared
        self._permission = permission
        self._health = health
        self._book = book
        self._reader = reader
        self._clock = clock
        self._rng = rng
        self._registry = registry
        self._secrets = {r.name: read_secret(r) for r in config.receivers}
        self._outbox: Outbox | None = None
        self._dispatcher: AlertDispatcher | None = None
        self._position = 0

    @property
    def receivers(self) -> Sequence[Receiver]:
        return self._config.receivers

    @property
    def change_count(self) -> int:
        """Return a number that rises with every change of the outbox."""
        return self._dispatcher.change_count if self._dispatcher else 0

    async def list_deliveries(self, limit: int = 100) -> list[Delivery]:
        """List the newest deliveries first. Raises sqlite3.Error."""
        if self._outbox is None:
            return []
        return await asyncio.to_thread(self._outbox.list_deliveries, limit)

    async def resend(self, id_: str) -> bool:
        """Send a message again; return False if it does not exist. Raises sqlite3.Error."""
        return self._dispatcher is not None and await self._dispatcher.resend(id_)

    async def run(self) -> None:
        """Run until cancelled; return at once without receivers. Raises CannotServeError."""
        if not self.receivers:
            return
        async with AsyncExitStack() as stack:
            transports = await stack.enter_async_context(
                open_transports(self._config.public_url, self._secrets)
            )
            async with asyncio.TaskGroup() as group:
                if self._health:  # first: it needs no disk, and reports one that is full
                    group.create_task(self._notify_health(transports, self._health))
                outbox = self._outbox = await self._open_outbox()
                stack.callback(outbox.close)
                await self._run_deliveries(outbox, transports)

    async def _open_outbox(self) -> Outbox:
        """Open the outbox, and wait while the disk is full. Raises CannotServeError."""
        while True:
            try:
                return Outbox(self._config.data)  # not in a thread: a cancel would leave it open
            except sqlite3.Error as error:
                if not is_full(error):
                    raise CannotServeError(describe_error(error)) from error
                await self._wait_for_outbox(error)

    async def _run_deliveries(self, outbox: Outbox, transports: Transports) -> None:
        dispatcher = self._dispatcher = AlertDispatcher(
            outbox,
            self.receivers,
            transports,
            clock=self._clock,
            rng=self._rng,
            registry=self._registry,
            permission=self._permission,
        )
        handover = self._shared and DeliveryHandover(self._shared, outbox)
        async with asyncio.TaskGroup() as group:
            if handover:
                await self._take_over(handover)
            group.create_task(dispatcher.run())
            group.create_task(self._follow_log(outbox, dispatcher))
            if handover:
                group.create_task(handover.share(dispatcher))

    async def _notify_health(self, transports: Transports, source: HealthSource) -> None:
        notifier = HealthNotifier(
            self.receivers,
            transports,
            source,
            clock=self._clock,
            rng=self._rng,
            permission=self._permission,
        )
        await notifier.run()

    async def _take_over(self, handover: DeliveryHandover) -> None:
        while True:
            try:
                await handover.take_over(
                    self._book, self._reader, self.receivers, self._clock.wall_us()
                )
            except (HandoverError, sqlite3.Error, OSError) as error:
                await self._wait_for_outbox(error)
            else:
                return

    async def _follow_log(self, outbox: Outbox, dispatcher: AlertDispatcher) -> None:
        """Follow the log; start at its end on the first run or in a different log."""
        async with aclosing(self._reader.watch_changes(_HEARTBEAT_S)) as changes:
            self._position = await self._find_position(outbox)
            async for _ in changes:
                await self._read_entries(dispatcher)

    async def _find_position(self, outbox: Outbox) -> int:
        while True:
            try:
                return await asyncio.to_thread(
                    find_position, outbox, self._book, self._clock.wall_us()
                )
            except (sqlite3.Error, OSError) as error:
                await self._wait_for_outbox(error)

    async def _read_entries(self, dispatcher: AlertDispatcher) -> None:
        while entries := self._book.entries[self._position : self._position + _ENTRIES_PER_READ]:
            try:
                alerts = await asyncio.to_thread(collect_alerts, self._book, entries, self._reader)
                await dispatcher.queue_alerts(alerts, entries[-1].number, entries[-1].hash)
            except (sqlite3.Error, OSError) as error:
                await self._wait_for_outbox(error)
            else:
                self._position = entries[-1].number

    async def _wait_for_outbox(self, error: Exception) -> None:
        log.error("Alerts wait: %s", describe_error(error))
        await asyncio.sleep(_RETRY_S)


def find_position(outbox: Outbox, book: IncidentBook, now_us: int) -> int:
    """Return the number of the last entry that was handled."""
    position = outbox.read_position()
    if position is not None:
        if is_of_log(book, *position):
            return position[0]
        log.warning("The alert log is not the one that was read before: reading starts at its end.")
    last_number = len(book.entries)
    head = book.entries[-1].hash if last_number else EMPTY_HEAD
    outbox.queue_alerts((), last_number, head, now_us)
    return last_number


@asynccontextmanager
async def open_transports(base: str, secrets: Mapping[str, str]) -> AsyncIterator[Transports]:
    """Open the senders, and close them at the end."""
    async with (
        open_session(is_private=False) as public_session,
        open_session(is_private=True) as private_session,
    ):
        yield Transports(
            http=HttpSender(public_session, private_session),
            mail=SmtpSender(),
            base=base,
            secrets=secrets,
        )


async def send_sample(receiver: Receiver, base: str, now_us: int) -> str:
    """Send a sample alert once and return the answer. Raises CannotServeError."""
    timestamp = format_second(now_us)
    async with open_transports(base, {receiver.name: read_secret(receiver)}) as transports:
        message = build_sample(f"msg_test_{now_us:x}", timestamp)
        try:
            return (await transports.deliver(receiver, message, now_us)).summary
        except DeliveryError as error:
            cure = f": {error.cure}" if error.cure else ""
            raise CannotServeError(f"{receiver.name} was not told: {error}{cure}.") from error
