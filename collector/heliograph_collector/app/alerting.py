"""Carries the log's news to people: follows the book, keeps an outbox, owns the way out.

It only ever waits for the bus: whatever becomes of a receiver, the detectors do not notice.
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

from heliograph_collector.alerting import signature
from heliograph_collector.alerting.dispatcher import Courier, Ways
from heliograph_collector.alerting.email import Post
from heliograph_collector.alerting.http_client import DeliveryError, Sender
from heliograph_collector.alerting.message import alert, sample
from heliograph_collector.alerting.outbox import Delivery, Outbox
from heliograph_collector.alerting.payloads import host_of
from heliograph_collector.alerting.ssrf_guard import connector
from heliograph_collector.config.receiver import Alert, Kind, Receiver
from heliograph_collector.errors import CannotServeError
from heliograph_collector.http.api.feeds import told
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.event_bus import Bus, BusFullError
from heliograph_collector.http.incident_document import document
from heliograph_collector.incidents.book import START, Book, Entry

if TYPE_CHECKING:
    from heliograph_collector.app.context import House

log = logging.getLogger("heliograph.courier")

MAX_SECRET = 4_096
_BEAT_S = 30.0
_AGAIN_S = 5.0
_HEADERS = 16_384
_AT_ONCE = 200  # entries


class Alerts:
    """What the collector and its console have of the courier. Raises CannotServeError."""

    def __init__(self, house: "House", book: Book, bus: Bus) -> None:
        self._house, self._book, self._bus = house, book, bus
        self._titles = {service.name: service.title for service in house.services.services}
        self._secrets = {r.name: secret(r) for r in house.config.alerts}
        self._outbox: Outbox | None = None
        self._courier: Courier | None = None
        self._place = 0

    @property
    def receivers(self) -> Sequence[Receiver]:
        return self._house.config.alerts

    @property
    def changes(self) -> int:
        """Rises with every change of the outbox."""
        return self._courier.changes if self._courier else 0

    async def deliveries(self, limit: int = 100) -> list[Delivery]:
        """The newest first. Raises sqlite3.Error."""
        if self._outbox is None:
            return []
        return await asyncio.to_thread(self._outbox.deliveries, limit)

    async def again(self, id_: str) -> bool:
        """Send once more; whether it is there. Raises sqlite3.Error."""
        return self._courier is not None and await self._courier.again(id_)

    async def run(self) -> None:
        """Until cancelled; does nothing where nobody is to be told. Raises CannotServeError."""
        if not self.receivers:
            return
        house = self._house
        try:
            outbox = self._outbox = Outbox(house.config.data)
        except sqlite3.Error as error:
            raise CannotServeError(
                f"courier.db cannot be used ({error}): restore it from a backup, or move it away."
            ) from error
        async with AsyncExitStack() as stack:
            stack.callback(outbox.close)
            ways = await stack.enter_async_context(opened(house.config.public_url, self._secrets))
            courier = self._courier = Courier(
                outbox,
                self.receivers,
                ways,
                clock=house.clock,
                rng=house.rng,
                registry=house.registry,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(courier.run())
                group.create_task(self._follow(outbox, courier))

    async def _follow(self, outbox: Outbox, courier: Courier) -> None:
        await self._patiently(lambda: self._begin(outbox))
        while True:
            try:
                with self._bus.subscribe() as subscription:
                    await self._patiently(lambda: self._read(courier))
                    async for _ in subscription.events(_BEAT_S):
                        await self._patiently(lambda: self._read(courier))
            except BusFullError:
                await asyncio.sleep(_AGAIN_S)

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (sqlite3.Error, OSError) as error:
                log.error("Alerts wait, the outbox cannot be used (%s).", error)
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _begin(self, outbox: Outbox) -> None:
        """Where we left off; at the log's end the first time, or in a log that is another one."""
        self._place = await asyncio.to_thread(begin, outbox, self._book, self._now_us())

    async def _read(self, courier: Courier) -> None:
        while some := self._book.entries[self._place : self._place + _AT_ONCE]:
            alerts = await asyncio.to_thread(
                news, self._book, some, self._titles, self._house.config.k_anonymity
            )
            await courier.put(alerts, some[-1].number, some[-1].hash)
            self._place = some[-1].number

    def _now_us(self) -> int:
        return self._house.clock.wall_us()


def begin(outbox: Outbox, book: Book, now_us: int) -> int:
    """The number of the last entry that was dealt with."""
    place, entries = outbox.place(), book.entries
    if place is not None:
        number, head = place
        known = number <= len(entries) and (number == 0 or entries[number - 1].hash == head)
        if known:
            return number
        log.warning("The alert log is not the one that was read before: begun anew at its end.")
    last = len(entries)
    outbox.put((), last, entries[last - 1].hash if last else START, now_us)
    return last


def news(book: Book, some: Sequence[Entry], titles: Mapping[str, str], k: int) -> list[Alert]:
    """What people may be told of these entries, each as it was then."""
    found: list[Alert] = []
    for entry in some:
        upto = [one for one in book.of(entry.incident) if one.number <= entry.number]
        incident = document(upto, titles, k)
        made = incident and alert(entry.number, entry.hash, entry.body, incident, told(incident))
        if made:
            found.append(made)
    return found


@asynccontextmanager
async def opened(base: str, secrets: Mapping[str, str]) -> AsyncIterator[Ways]:
    """The ways out, closed at the end."""
    async with session(private=False) as public, session(private=True) as private:
        yield Ways(send=Sender(public, private), mail=Post(), base=base, secrets=secrets)


def session(*, private: bool, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """Nothing is followed, kept or taken from the environment. Only a `private` one may come to
    addresses that are not public."""
    return aiohttp.ClientSession(
        connector=connector(private=private, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=_HEADERS,
        max_field_size=_HEADERS,
        trust_env=False,
    )


def secret(receiver: Receiver) -> str:
    """What its file holds; "" without one. Raises CannotServeError, which never tells it."""
    if receiver.secret_file is None:
        return ""
    where = f"{receiver.secret_file} (secret_file of the alerts to {receiver.name})"
    try:
        with receiver.secret_file.open(encoding="utf-8") as stream:
            text = stream.read(MAX_SECRET + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServeError(f"{where} cannot be read ({type(error).__name__}).") from None
    if not text or len(text) > MAX_SECRET or not text.isascii() or not text.isprintable():
        raise CannotServeError(f"{where} must hold one secret and nothing else.")
    if receiver.kind is Kind.WEBHOOK:
        try:
            signature.secret_of(text)
        except ValueError as error:
            raise CannotServeError(f"{where} {error}.") from None
    if receiver.kind is Kind.SLACK and not text.startswith("https://") and not receiver.private:
        raise CannotServeError(f"{where} must hold an address that begins with https://.")
    return text


def generate_secret() -> str:
    """Draw a secret for signed webhooks, as Standard Webhooks writes it."""
    return signature.PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def host_of_receiver(receiver: Receiver) -> str:
    """Return the host of the receiver's address; "" when the address stands in a file."""
    return host_of(receiver.url)


async def send_sample(receiver: Receiver, base: str, now_us: int) -> str:
    """Send a sample alert once and return the answer. Raises CannotServeError."""
    at = write_time(now_us // 1_000_000 * 1_000_000)
    async with opened(base, {receiver.name: secret(receiver)}) as ways:
        message = sample(f"msg_test_{now_us:x}", at)
        try:
            return (await ways.deliver(receiver, message, now_us)).said
        except DeliveryError as error:
            raise CannotServeError(f"{receiver.name} was not told: {error}.") from error
