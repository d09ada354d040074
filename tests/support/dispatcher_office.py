"""A dispatcher of alerts in virtual time, on a real outbox and a scripted channel."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heliograph.clock import Clock
from heliograph_collector.alerting.dispatcher import AlertDispatcher, Transports
from heliograph_collector.alerting.http_client import DeliveryError, DeliveryResult
from heliograph_collector.alerting.outbox import Outbox
from heliograph_collector.alerting.payloads import AlertRequest
from heliograph_collector.config.receivers import IncidentAlert, Receiver, ReceiverKind
from support.hand_clock import HandClock

DESK = Receiver(name="desk", kind=ReceiverKind.SLACK, url="https://chat.example.org/x")


class Post:
    """A delivery channel that fails when the test wants, and records what was sent."""

    def __init__(self) -> None:
        self.fails: list[DeliveryError] = []
        self.down = False
        self.sent: list[AlertRequest] = []

    async def send_request(self, request: AlertRequest, *, is_private: bool) -> DeliveryResult:
        self.sent.append(request)
        if self.fails:
            raise self.fails.pop(0)
        if self.down:
            raise DeliveryError("no connection")
        return DeliveryResult("answered 200")

    async def send_mail(self, mail: Any) -> DeliveryResult:
        raise AssertionError("there is no mail here")

    @property
    def texts(self) -> list[str]:
        return [request.body.decode() for request in self.sent]


def build_dispatcher(
    outbox: Outbox, receivers: Sequence[Receiver], ways: Transports, clock: Clock
) -> AlertDispatcher:
    return AlertDispatcher(outbox, receivers, ways, clock=clock, rng=random.Random(1))


class Office:
    """A dispatcher in virtual time on a real outbox; a second one is after a restart."""

    def __init__(self, data: Path, *receivers: Receiver, clock: HandClock | None = None) -> None:
        self.outbox = Outbox(data)
        self.post = Post()
        self.clock = clock or HandClock()
        ways = Transports(http=self.post, mail=self.post)
        self.dispatcher = build_dispatcher(self.outbox, receivers or (DESK,), ways, self.clock)

    async def takes(self, alerts: list[IncidentAlert]) -> None:
        await self.dispatcher.queue_alerts(alerts, alerts[-1]["entry"], alerts[-1]["hash"])

    async def works(self, seconds: float = 2.0) -> None:
        """Deliver until nothing is due within so many seconds."""
        until_us = self.clock.wall + int(seconds * 1e6)
        for receiver in self.dispatcher.receivers:
            while True:
                look_us = await self.dispatcher.deliver_next(receiver)
                if look_us is not None and look_us > until_us:
                    break
                if look_us is not None:
                    self.clock.advance_us(max(0, look_us - self.clock.wall))
        self.clock.advance_us(until_us - self.clock.wall)
