"""Notifications of the running collector: follow the log, fill the outbox.

It only reads the event bus, so a failing receiver never delays the detectors.
"""

import asyncio
import base64
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver

from heliograph_collector.alerting import payloads
from heliograph_collector.alerting.dispatcher import AlertDispatcher, Transports
from heliograph_collector.alerting.email import SmtpSender
from heliograph_collector.alerting.http_client import DeliveryError, HttpSender
from heliograph_collector.alerting.message import Message, build_alert, build_sample, format_title
from heliograph_collector.alerting.outbox import Delivery, Outbox
from heliograph_collector.alerting.payloads import parse_host
from heliograph_collector.alerting.ssrf_guard import build_connector
from heliograph_collector.config.receivers import Alert, Receiver, ReceiverKind, SuspectedPolicy
from heliograph_collector.console.alerts import AlertsBackend, DeliveryView, ReceiverView
from heliograph_collector.console.formats import format_second
from heliograph_collector.errors import CannotServeError
from heliograph_collector.http import labels
from heliograph_collector.http.api.feeds import summarize_incident
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.event_bus import BusFullError, EventBus
from heliograph_collector.http.incident_document import build_document
from heliograph_collector.incidents.state import EMPTY_HEAD, IncidentBook, LogEntry

if TYPE_CHECKING:
    from heliograph_collector.app.context import AppContext

log = logging.getLogger("heliograph.courier")

MAX_SECRET_CHARS = 4_096
_HEARTBEAT_S = 30.0
_RETRY_S = 5.0
_MAX_HEADER_BYTES = 16_384
_ENTRIES_PER_READ = 200
_MAX_DELIVERIES = 100


class AlertService:
    """Notifications, and their state for the console. Raises CannotServeError."""

    def __init__(self, context: "AppContext", book: IncidentBook, bus: EventBus) -> None:
        self._context = context
        self._book = book
        self._bus = bus
        self._titles = {service.name: service.title for service in context.services.services}
        self._secrets = {r.name: read_secret(r) for r in context.config.alerts}
        self._outbox: Outbox | None = None
        self._dispatcher: AlertDispatcher | None = None
        self._position = 0

    @property
    def receivers(self) -> Sequence[Receiver]:
        return self._context.config.alerts

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
        context = self._context
        try:
            outbox = self._outbox = Outbox(context.config.data)
        except sqlite3.Error as error:
            raise CannotServeError(
                f"courier.db cannot be used ({error}): restore it from a backup, or move it away."
            ) from error
        async with AsyncExitStack() as stack:
            stack.callback(outbox.close)
            transports = await stack.enter_async_context(
                open_transports(context.config.public_url, self._secrets)
            )
            dispatcher = self._dispatcher = AlertDispatcher(
                outbox,
                self.receivers,
                transports,
                clock=context.clock,
                rng=context.rng,
                registry=context.registry,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(dispatcher.run())
                group.create_task(self._follow_log(outbox, dispatcher))

    async def _follow_log(self, outbox: Outbox, dispatcher: AlertDispatcher) -> None:
        await self._retry_forever(lambda: self._begin_reading(outbox))
        while True:
            try:
                with self._bus.subscribe() as subscription:
                    await self._retry_forever(lambda: self._read_entries(dispatcher))
                    async for _ in subscription.events(_HEARTBEAT_S):
                        await self._retry_forever(lambda: self._read_entries(dispatcher))
            except BusFullError:
                await asyncio.sleep(_RETRY_S)

    async def _retry_forever(self, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await action()
            except (sqlite3.Error, OSError) as error:
                log.error("Alerts wait, the outbox cannot be used (%s).", error)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _begin_reading(self, outbox: Outbox) -> None:
        """Resume the log; start at its end on the first run or in a different log."""
        self._position = await asyncio.to_thread(find_position, outbox, self._book, self._now_us())

    async def _read_entries(self, dispatcher: AlertDispatcher) -> None:
        while entries := self._book.entries[self._position : self._position + _ENTRIES_PER_READ]:
            alerts = await asyncio.to_thread(
                collect_alerts, self._book, entries, self._titles, self._context.config.k_anonymity
            )
            await dispatcher.queue_alerts(alerts, entries[-1].number, entries[-1].hash)
            self._position = entries[-1].number

    def _now_us(self) -> int:
        return self._context.clock.wall_us()


def find_position(outbox: Outbox, book: IncidentBook, now_us: int) -> int:
    """Return the number of the last entry that was handled."""
    position = outbox.read_position()
    entries = book.entries
    if position is not None:
        number, head = position
        is_same_log = number <= len(entries) and (number == 0 or entries[number - 1].hash == head)
        if is_same_log:
            return number
        log.warning("The alert log is not the one that was read before: begun anew at its end.")
    last_number = len(entries)
    outbox.queue_alerts(
        (), last_number, entries[last_number - 1].hash if last_number else EMPTY_HEAD, now_us
    )
    return last_number


def collect_alerts(
    book: IncidentBook, entries: Sequence[LogEntry], titles: Mapping[str, str], k_anonymity: int
) -> list[Alert]:
    """Build the alerts of these entries, each as published at that entry."""
    alerts: list[Alert] = []
    for entry in entries:
        preceding = [
            earlier for earlier in book.entries_of(entry.incident) if earlier.number <= entry.number
        ]
        incident = build_document(preceding, titles, k_anonymity)
        new_alert = incident and build_alert(
            entry.number, entry.hash, entry.body, incident, summarize_incident(incident)
        )
        if new_alert:
            alerts.append(new_alert)
    return alerts


@asynccontextmanager
async def open_transports(base: str, secrets: Mapping[str, str]) -> AsyncIterator[Transports]:
    """Open the senders, and close them at the end."""
    async with (
        open_session(is_private=False) as public_session,
        open_session(is_private=True) as private_session,
    ):
        yield Transports(
            send_request=HttpSender(public_session, private_session),
            send_mail=SmtpSender(),
            base=base,
            secrets=secrets,
        )


def open_session(
    *, is_private: bool, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """Open a session without cookies or environment settings.

    Only a session with `is_private` may connect to private addresses.
    """
    return aiohttp.ClientSession(
        connector=build_connector(is_private=is_private, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
        trust_env=False,
    )


def read_secret(receiver: Receiver) -> str:
    """Read the secret file of a receiver; "" without one.

    Raises CannotServeError, whose text never contains the secret.
    """
    if receiver.secret_file is None:
        return ""
    source = f"{receiver.secret_file} (secret_file of the alerts to {receiver.name})"
    try:
        with receiver.secret_file.open(encoding="utf-8") as stream:
            content = stream.read(MAX_SECRET_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServeError(f"{source} cannot be read ({type(error).__name__}).") from None
    if (
        not content
        or len(content) > MAX_SECRET_CHARS
        or not content.isascii()
        or not content.isprintable()
    ):
        raise CannotServeError(f"{source} must hold one secret and nothing else.")
    if receiver.kind is ReceiverKind.WEBHOOK:
        try:
            payloads.decode_secret(content)
        except ValueError as error:
            raise CannotServeError(f"{source} {error}.") from None
    if (
        receiver.kind is ReceiverKind.SLACK
        and not content.startswith("https://")
        and not receiver.private
    ):
        raise CannotServeError(f"{source} must hold an address that begins with https://.")
    return content


def generate_secret() -> str:
    """Generate a secret for signed webhooks, in the format of Standard Webhooks."""
    return payloads.KEY_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def receiver_host(receiver: Receiver) -> str:
    """Return the host of the receiver's address; "" if the address is in a file."""
    return parse_host(receiver.url)


async def send_sample(receiver: Receiver, base: str, now_us: int) -> str:
    """Send a sample alert once and return the answer. Raises CannotServeError."""
    timestamp = write_time(now_us // 1_000_000 * 1_000_000)
    async with open_transports(base, {receiver.name: read_secret(receiver)}) as transports:
        message = build_sample(f"msg_test_{now_us:x}", timestamp)
        try:
            return (await transports.deliver(receiver, message, now_us)).summary
        except DeliveryError as error:
            raise CannotServeError(f"{receiver.name} was not told: {error}.") from error


def build_alerts_backend(alerts: AlertService) -> AlertsBackend:
    async def deliveries() -> list[DeliveryView]:
        try:
            return [
                build_delivery_view(delivery)
                for delivery in await alerts.list_deliveries(_MAX_DELIVERIES)
            ]
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    async def resend(id_: str) -> bool:
        try:
            return await alerts.resend(id_)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    def receivers(
        delivery_views: Sequence[DeliveryView],
    ) -> list[ReceiverView]:
        newest_states = {view.receiver: view.state for view in reversed(delivery_views)}
        return [
            build_receiver_view(receiver, newest_states.get(receiver.name, ""))
            for receiver in alerts.receivers
        ]

    return AlertsBackend(build_receivers=receivers, list_deliveries=deliveries, resend=resend)


def build_receiver_view(receiver: Receiver, state: str) -> ReceiverView:
    interests = [
        *receiver.countries,
        *receiver.services,
        *(labels.label_code("kind", kind) for kind in receiver.kinds),
    ]
    summary = ", ".join(interests) or "everything"
    if receiver.states:
        summary += f"; only {', '.join(receiver.states)}"
    if receiver.suspected is not SuspectedPolicy.LEAVE_OUT:
        is_quiet = receiver.suspected is SuspectedPolicy.QUIET
        summary += f"; suspected ones {'quietly' if is_quiet else 'too'}"
    address = ", ".join(receiver.to) or receiver.room or parse_host(receiver.url)
    return ReceiverView(
        name=receiver.name,
        kind=receiver.kind.value,
        address=address or "an address in a file",
        interests=summary,
        state=state,
    )


def build_delivery_view(delivery: Delivery) -> DeliveryView:
    message = Message(id=delivery.id, alerts=delivery.alerts, more=delivery.more)
    next_try_us = delivery.due_us if delivery.tries else None
    return DeliveryView(
        id=delivery.id,
        receiver=delivery.receiver,
        title=format_title(message),
        created=format_second(delivery.made_us),
        state=delivery.state,
        tries=delivery.tries,
        reply=delivery.reply,
        next_try=format_second(next_try_us) if next_try_us is not None else "",
    )
