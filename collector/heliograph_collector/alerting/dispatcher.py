"""The courier at work: a task for each receiver, so that a dead one keeps nobody else waiting."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter

from heliograph.clock import Clock
from heliograph_collector.alerting import email, payloads
from heliograph_collector.alerting.email import Mail
from heliograph_collector.alerting.http_client import Arrived, DeliveryError, Send
from heliograph_collector.alerting.message import Message
from heliograph_collector.alerting.outbox import Due, Outbox
from heliograph_collector.alerting.schedule import SECOND_US, again_us, message_due_us
from heliograph_collector.config.receiver import Alert, Kind, Receiver

log = logging.getLogger("heliograph.courier")

LONGEST_S = 60.0  # between two looks, whatever is due
_AGAIN_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How a message leaves; `base` is our public address."""

    send: Send
    mail: Mail
    base: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # by receiver

    async def deliver(self, receiver: Receiver, message: Message, now_us: int) -> Arrived:
        """One try. Raises DeliveryError."""
        quiet = all(receiver.quietly(alert) for alert in message.alerts)
        secret = self.secrets.get(receiver.name, "")
        if receiver.kind is Kind.EMAIL:
            return await self.mail(
                email.envelope(
                    receiver, secret, message, quiet=quiet, base=self.base, now_us=now_us
                )
            )
        request = payloads.request(
            receiver, secret, message, quiet=quiet, base=self.base, now_us=now_us
        )
        return await self.send(request, receiver.private)


class Courier:
    def __init__(
        self,
        outbox: Outbox,
        receivers: Sequence[Receiver],
        ways: Ways,
        *,
        clock: Clock,
        rng: random.Random,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._outbox, self.receivers, self._ways = outbox, receivers, ways
        self._clock, self._rng = clock, rng
        self.changes = 0  # of the outbox, counted for pages that show it
        self._woken = {receiver.name: asyncio.Event() for receiver in receivers}
        self._tries = Counter(
            "heliograph_alert_tries",
            "Tries to deliver alerts, by receiver and what became of them.",
            ("receiver", "outcome"),
            registry=registry,
        )

    async def put(self, alerts: Sequence[Alert], entry: int, head: str) -> None:
        """Keep what each receiver wants of these; durable on return. Raises sqlite3.Error."""
        wanted = [(r.name, a) for a in alerts for r in self.receivers if r.wants(a)]
        await asyncio.to_thread(self._outbox.put, wanted, entry, head, self._clock.wall_us())
        self.changes += len(wanted)
        for name, _ in wanted:
            self._woken[name].set()

    async def again(self, id_: str) -> bool:
        """Send a message of the delivery log once more; whether it is there.

        Raises sqlite3.Error.
        """
        done = await asyncio.to_thread(self._outbox.again, id_, self._clock.wall_us())
        self.changes += 1
        for woken in self._woken.values():
            woken.set()
        return done

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for receiver in self.receivers:
                group.create_task(self._serve(receiver))

    async def step(self, receiver: Receiver) -> int | None:
        """Make and try one message if any is due; None then, else when to look again (wall, µs).

        Raises sqlite3.Error.
        """
        now_us = self._clock.wall_us()
        gather_us = await asyncio.to_thread(self._gather, receiver, now_us)
        found = await asyncio.to_thread(self._outbox.due, receiver.name, now_us)
        if isinstance(found, Due):
            await self._try(receiver, found)
            return None
        ends = [at_us for at_us in (gather_us, found) if at_us is not None]
        return min(ends, default=now_us + int(LONGEST_S * SECOND_US))

    def _gather(self, receiver: Receiver, now_us: int) -> int | None:
        """When what waits will become a message; None when nothing waits any more."""
        oldest_us, made_us = self._outbox.waits(receiver.name, now_us)
        if oldest_us is None:
            return None
        due_us = message_due_us(receiver, oldest_us, made_us)
        if due_us > now_us:
            return due_us
        id_ = f"msg_{self._rng.getrandbits(128):032x}"
        self._outbox.gather(receiver.name, id_, now_us)
        return None

    async def _try(self, receiver: Receiver, due: Due) -> None:
        try:
            arrived = await self._ways.deliver(receiver, due.message, self._clock.wall_us())
        except DeliveryError as error:
            now_us = self._clock.wall_us()
            again = again_us(due.tries + 1, now_us, error.after_s, self._rng)
            if error.final:
                again = None
            state, said, outcome = "waiting" if again else "given_up", str(error), "failed"
            log.warning("%s was not told: %s.", receiver.name, said)
        else:
            now_us, again = self._clock.wall_us(), None
            state, said, outcome = "arrived", arrived.said, "arrived"
        self._tries.labels(receiver.name, outcome).inc()
        await asyncio.to_thread(
            lambda: self._outbox.tried(
                due.message.id, state=state, said=said, now_us=now_us, due_us=again
            )
        )
        self.changes += 1

    async def _serve(self, receiver: Receiver) -> None:
        woken = self._woken[receiver.name]
        while True:
            woken.clear()
            try:
                look_us = await self.step(receiver)
            except sqlite3.Error as error:
                log.error("The outbox of alerts cannot be used (%s); trying again.", error)
                await asyncio.sleep(_AGAIN_S)
                continue
            if look_us is not None:
                await self._wait(woken, look_us)

    async def _wait(self, woken: asyncio.Event, look_us: int) -> None:
        wait_s = (look_us - self._clock.wall_us()) / SECOND_US
        try:
            async with asyncio.timeout(min(max(wait_s, 0.01), LONGEST_S)):
                await woken.wait()
        except TimeoutError:
            return
