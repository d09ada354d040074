"""Delivery of alerts: one task per receiver, so that a failure delays no other."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from heliograph.clock import Clock
from heliograph.units import SECOND_US
from heliograph_collector.alerting import email, payloads
from heliograph_collector.alerting.email import OutgoingMail
from heliograph_collector.alerting.http_client import DeliveryError, DeliveryResult
from heliograph_collector.alerting.message import Message
from heliograph_collector.alerting.outbox import (
    DueMessage,
    Outbox,
    describe_error,
    message_due_us,
    next_retry_us,
)
from heliograph_collector.alerting.payloads import AlertRequest
from heliograph_collector.config.receivers import IncidentAlert, Receiver, ReceiverKind

log = logging.getLogger("heliograph.alerting")

MAX_WAIT_S = 60.0  # upper limit of the wait between two checks
_RETRY_S = 5.0


class RequestSender(Protocol):
    async def send_request(self, request: AlertRequest, *, is_private: bool) -> DeliveryResult:
        """Send a request once; `is_private`: the receiver may have a private address.

        Raises DeliveryError.
        """
        ...


class MailSender(Protocol):
    async def send_mail(self, mail: OutgoingMail) -> DeliveryResult:
        """Send an e-mail once. Raises DeliveryError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Transports:
    """The senders of messages; `base` is the public address of the collector."""

    http: RequestSender
    mail: MailSender
    base: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # by receiver name

    async def deliver(self, receiver: Receiver, message: Message, now_us: int) -> DeliveryResult:
        """Try to deliver once. Raises DeliveryError."""
        is_quiet = not message.health and all(map(receiver.is_quiet, message.alerts))
        secret = self.secrets.get(receiver.name, "")
        message = replace(message, language=receiver.language)
        if receiver.kind is ReceiverKind.EMAIL:
            return await self.mail.send_mail(
                email.build_mail(
                    receiver, secret, message, is_quiet=is_quiet, base=self.base, now_us=now_us
                )
            )
        request = payloads.build_request(
            receiver, secret, message, is_quiet=is_quiet, base=self.base, now_us=now_us
        )
        return await self.http.send_request(request, is_private=receiver.private)


class SendPermission(Protocol):
    """Permission to send. Implemented by jetstream.lease.JournalLease."""

    @property
    def is_held(self) -> bool: ...


class AlertDispatcher:
    def __init__(
        self,
        outbox: Outbox,
        receivers: Sequence[Receiver],
        transports: Transports,
        *,
        clock: Clock,
        rng: random.Random,
        registry: CollectorRegistry | None = None,
        permission: SendPermission | None = None,
    ) -> None:
        """Prepare; without a permission all is sent."""
        self._outbox = outbox
        self._permission = permission
        self.receivers = receivers
        self._transports = transports
        self._clock = clock
        self._rng = rng
        self.change_count = 0  # changes of the outbox, for pages that show it
        self._wake_events = {receiver.name: asyncio.Event() for receiver in receivers}
        self._attempts = Counter(
            "heliograph_alert_tries",
            "Tries to deliver alerts, by receiver and what became of them.",
            ("receiver", "outcome"),
            registry=registry,
        )

    async def queue_alerts(self, alerts: Sequence[IncidentAlert], entry: int, head: str) -> None:
        """Store the alerts that each receiver accepts; durable on return.

        Raises sqlite3.Error.
        """
        queued = [(r.name, a) for a in alerts for r in self.receivers if r.accepts(a)]
        await asyncio.to_thread(
            self._outbox.queue_alerts, queued, entry, head, self._clock.wall_us()
        )
        self.change_count += len(queued)
        for name, _ in queued:
            self._wake_events[name].set()

    async def resend(self, id_: str) -> bool:
        """Send a message of the delivery log again; return False if it does not exist.

        Raises sqlite3.Error.
        """
        is_known = await asyncio.to_thread(self._outbox.resend, id_, self._clock.wall_us())
        self.change_count += 1
        for wake_event in self._wake_events.values():
            wake_event.set()
        return is_known

    async def run(self) -> None:
        """Deliver messages until cancelled."""
        async with asyncio.TaskGroup() as group:
            for receiver in self.receivers:
                group.create_task(self._serve_receiver(receiver))

    async def deliver_next(self, receiver: Receiver) -> int | None:
        """Compose and try one message if any is due.

        Returns:
            None after a try, else the time of the next check (wall clock, microseconds).

        Raises:
            sqlite3.Error: The outbox cannot be used.
        """
        now_us = self._clock.wall_us()
        if self._permission is not None and not self._permission.is_held:
            return now_us + int(_RETRY_S * SECOND_US)  # another collector may send it
        compose_us = await asyncio.to_thread(self._compose_message, receiver, now_us)
        due_message = await asyncio.to_thread(self._outbox.next_due, receiver.name, now_us)
        if isinstance(due_message, DueMessage):
            await self._attempt_delivery(receiver, due_message)
            return None
        due_times_us = [at_us for at_us in (compose_us, due_message) if at_us is not None]
        return min(due_times_us, default=now_us + int(MAX_WAIT_S * SECOND_US))

    def _compose_message(self, receiver: Receiver, now_us: int) -> int | None:
        """Compose a message if it is due, else return its due time; None if none waits."""
        oldest_us, recent_us = self._outbox.read_waiting(receiver.name, now_us)
        if oldest_us is None:
            return None
        due_us = message_due_us(receiver, oldest_us, recent_us)
        if due_us > now_us:
            return due_us
        id_ = f"msg_{self._rng.getrandbits(128):032x}"
        self._outbox.compose_message(receiver.name, id_, now_us)
        return None

    async def _attempt_delivery(self, receiver: Receiver, due: DueMessage) -> None:
        try:
            delivery = await self._transports.deliver(receiver, due.message, self._clock.wall_us())
        except DeliveryError as error:
            now_us = self._clock.wall_us()
            retry_us = next_retry_us(due.tries + 1, now_us, error.retry_after_s, self._rng)
            if error.is_final:
                retry_us = None
            state = "waiting" if retry_us else "given_up"
            reply = str(error)
            outcome = "failed"
            log.warning("%s was not told: %s.", receiver.name, reply)
        else:
            now_us = self._clock.wall_us()
            retry_us = None
            state = "arrived"
            reply = delivery.summary
            outcome = "arrived"
        self._attempts.labels(receiver.name, outcome).inc()
        await asyncio.to_thread(
            self._outbox.record_attempt,
            due.message.id,
            state=state,
            reply=reply,
            now_us=now_us,
            due_us=retry_us,
        )
        self.change_count += 1

    async def _serve_receiver(self, receiver: Receiver) -> None:
        wake_event = self._wake_events[receiver.name]
        while True:
            wake_event.clear()
            try:
                next_us = await self.deliver_next(receiver)
            except sqlite3.Error as error:
                log.error("Alerts wait: %s", describe_error(error))
                await asyncio.sleep(_RETRY_S)
                continue
            if next_us is not None:
                await self._wait_for_work(wake_event, next_us)

    async def _wait_for_work(self, wake_event: asyncio.Event, next_us: int) -> None:
        wait_s = (next_us - self._clock.wall_us()) / SECOND_US
        try:
            async with asyncio.timeout(min(max(wait_s, 0.01), MAX_WAIT_S)):
                await wake_event.wait()
        except TimeoutError:
            return
