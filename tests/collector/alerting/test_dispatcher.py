"""Nothing is lost, a storm is one message, a day is tried, and nobody waits for a dead receiver."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heliograph.clock import SystemClock
from heliograph_collector.alerting import templates
from heliograph_collector.alerting.dispatcher import Courier, Ways
from heliograph_collector.alerting.http_client import Arrived, DeliveryError
from heliograph_collector.alerting.message import MOST, Message, alert
from heliograph_collector.alerting.outbox import MAX_WAITING, Outbox
from heliograph_collector.alerting.payloads import Request
from heliograph_collector.app.alerting import begin, news, opened
from heliograph_collector.config.receiver import Alert, Kind, Receiver, Suspected
from heliograph_collector.incidents.book import Book
from support.casebook import blocking, book, closed, evening_book, silence
from support.hand_clock import HandClock
from support.receivers import receiving
from support.waiting import until

HOUR_S = 3_600
DESK = Receiver(name="desk", kind=Kind.SLACK, url="https://chat.example.org/x")


class Post:
    """A way out that does as it is told, and remembers."""

    def __init__(self) -> None:
        self.fails: list[DeliveryError] = []
        self.down = False
        self.sent: list[Request] = []

    async def send(self, request: Request, private: bool) -> Arrived:
        self.sent.append(request)
        if self.fails:
            raise self.fails.pop(0)
        if self.down:
            raise DeliveryError("no connection")
        return Arrived("answered 200")

    async def mail(self, envelope: Any) -> Arrived:
        raise AssertionError("there is no mail here")

    @property
    def texts(self) -> list[str]:
        return [request.body.decode() for request in self.sent]


class Office:
    """A courier in virtual time on a real outbox; a second one is it after a restart."""

    def __init__(self, data: Path, *receivers: Receiver, clock: HandClock | None = None) -> None:
        self.outbox = Outbox(data)
        self.post = Post()
        self.clock = clock or HandClock()
        ways = Ways(send=self.post.send, mail=self.post.mail)
        self.courier = Courier(
            self.outbox,
            receivers or (DESK,),
            ways,
            clock=self.clock,
            rng=random.Random(1),
        )

    async def takes(self, alerts: list[Alert]) -> None:
        await self.courier.put(alerts, alerts[-1]["entry"], alerts[-1]["hash"])

    async def works(self, seconds: float = 2.0) -> None:
        """Until nothing is left to do in so many seconds."""
        until_us = self.clock.wall + int(seconds * 1e6)
        for receiver in self.courier.receivers:
            while True:
                look_us = await self.courier.step(receiver)
                if look_us is not None and look_us > until_us:
                    break
                if look_us is not None:
                    self.clock.advance_us(max(0, look_us - self.clock.wall))
        self.clock.advance_us(until_us - self.clock.wall)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.outbox.close()


def told(found: Book) -> list[Alert]:
    return news(found, found.entries, {}, 5)


def storm(n: int) -> list[Alert]:
    cuts = [silence(f"{i:016x}", 30 + i / 100) for i in range(n)]
    return [one for one in told(book(*cuts)) if one["called"]]


async def test_an_incident_and_its_end_are_two_messages(office: Office) -> None:
    await office.takes(told(book(closed(silence(), 5))))
    await office.works()
    (first,) = office.post.texts
    assert "2 incidents: 1 confirmed, 1 closed" in first, "what came together goes together"
    evening = told(book(silence("a" * 16, 90)))
    await office.takes([{**evening[1], "entry": 50}])
    await office.works(60)
    assert "Kazakhstan fell silent" in office.post.texts[1]


async def test_a_storm_is_one_message_and_then_one_a_minute(office: Office) -> None:
    alerts = storm(80)
    await office.takes(alerts[:1])
    await office.works()
    for one in alerts[1:]:
        await office.takes([one])
        await office.works(1)
    await office.works(120)
    assert len(office.post.sent) <= 3
    assert "more" in office.post.texts[1]
    assert sum(len(d.alerts) for d in office.outbox.deliveries()) == 80


async def test_a_clock_that_is_set_back_keeps_no_alert_waiting(office: Office) -> None:
    """By a day, while one waits to be gathered, and once more between two tries."""
    day_us = 24 * HOUR_S * 1_000_000
    await office.takes(storm(1))
    office.clock.wall -= day_us
    office.post.fails = [DeliveryError("no connection")]
    await office.works(3)
    assert len(office.post.sent) == 1
    office.clock.wall -= day_us
    await office.works(10)
    assert len(office.post.sent) == 2
    assert [d.state for d in office.outbox.deliveries()] == ["arrived"]


async def test_no_more_than_so_many_an_hour(tmp_path: Path) -> None:
    office = Office(tmp_path, Receiver(name="desk", kind=Kind.SLACK, per_hour=3, gather_s=0))
    for one in storm(20):
        await office.takes([one])
        await office.works(60)
    assert len(office.post.sent) == 3
    await office.works(HOUR_S)
    assert len(office.post.sent) == 4
    assert "17 incidents" in office.post.texts[3], "and what had to wait comes in one piece"
    office.outbox.close()


async def test_a_dead_receiver_is_tried_for_a_day_and_a_restart_loses_nothing(
    tmp_path: Path,
) -> None:
    office = Office(tmp_path)
    office.post.down = True
    await office.takes(storm(1))
    await office.works(6 * HOUR_S)
    before = len(office.post.sent)
    assert 8 <= before <= 10, "less and less often"
    id_ = office.outbox.deliveries()[0].id
    office.outbox.close()  # a kill -9 leaves the same files

    again = Office(tmp_path, clock=office.clock)
    again.post.down = True
    await again.works(20 * HOUR_S)
    (delivery,) = again.outbox.deliveries()
    assert (delivery.id, delivery.state, delivery.said) == (id_, "given_up", "no connection")
    assert delivery.tries == before + len(again.post.sent) == 14
    again.post.down = False
    assert await again.courier.again(id_)
    await again.works()
    (delivery,) = again.outbox.deliveries()
    assert (delivery.id, delivery.state, delivery.tries) == (id_, "arrived", 1)
    assert not await again.courier.again("msg_none")
    again.outbox.close()


async def test_who_says_when_to_come_again_is_heeded_and_who_is_gone_is_left_alone(
    office: Office,
) -> None:
    office.post.fails = [
        DeliveryError("answered 429", after_s=600),
        DeliveryError("answered 410", final=True),
    ]
    await office.takes(storm(1))
    await office.works(590)
    assert len(office.post.sent) == 1
    await office.works(24 * HOUR_S)
    assert len(office.post.sent) == 2
    assert office.outbox.deliveries()[0].state == "given_up"


async def test_what_nobody_fetches_is_bounded_and_counted(office: Office) -> None:
    many = storm(1)[0]
    for first in range(1, MAX_WAITING + 101, 100):
        await office.takes([{**many, "entry": n} for n in range(first, first + 100)])
    await office.works()
    (delivery,) = office.outbox.deliveries()
    assert (len(delivery.alerts), delivery.more) == (MAX_WAITING, 100)
    message = Message(id="m", alerts=delivery.alerts, more=delivery.more)
    assert message.payload("", "")["more"] == MAX_WAITING + 100 - MOST
    assert templates.title(message).startswith("600 incidents")


def test_the_log_is_followed_from_where_it_was_left(tmp_path: Path) -> None:
    outbox, found = Outbox(tmp_path), evening_book()
    last = len(found.entries)
    assert begin(outbox, found, 1) == last, "nobody is told of what was before"
    outbox.put((), 3, found.entries[2].hash, 2)
    assert begin(outbox, found, 3) == 3
    outbox.put((), 3, "f" * 64, 4)
    assert begin(outbox, found, 5) == last, "another log begins at its end"
    outbox.put((), 99, "f" * 64, 6)
    assert begin(outbox, found, 7) == last
    outbox.close()


@pytest.mark.parametrize(
    ("filters", "heard"),
    [
        ({}, [*["confirmed"] * 4, "closed", "withdrawn"]),
        ({"countries": ("DE",)}, ["confirmed", "withdrawn"]),
        ({"countries": ("DE",), "suspected": Suspected.LOUD}, ["suspected", "confirmed",
          "withdrawn", "suspected"]),
        ({"kinds": ("network_silence",), "states": ("closed",)}, ["closed"]),
        ({"services": ("signal",)}, ["confirmed", "withdrawn"]),
    ],
)  # fmt: skip
def test_who_hears_of_what(filters: dict[str, Any], heard: list[str]) -> None:
    receiver = Receiver(name="desk", kind=Kind.SLACK, **filters)
    found = [one for one in told(evening_book()) if receiver.wants(one)]
    assert sorted(one["state"] for one in found) == sorted(heard)


def test_particulars_and_notes_call_nobody() -> None:
    (entry, *_) = book(blocking()).entries
    quiet = {**entry.body, "alert": False}
    incident: dict[str, Any] = {"confirmed": "2022-01-05T13:00:00Z", "updated": "", "links": {}}
    for change in ("revised", "resumed", "operator_annotated", "operator_acknowledged"):
        assert alert(1, entry.hash, quiet | {"change": change}, incident, "") is None


async def test_a_receiver_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Real tasks, real servers: one never answers, the other is told at once."""
    async with receiving(hang=True) as dead, receiving() as well, opened("", {}) as ways:
        places = {"dead": dead, "well": well}
        receivers = [
            Receiver(name=name, kind=Kind.SLACK, url=f"{place.origin}/x", private=True)
            for name, place in places.items()
        ]
        outbox = Outbox(tmp_path)
        courier = Courier(outbox, receivers, ways, clock=SystemClock(), rng=random.Random(1))
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            running = group.create_task(courier.run())
            (one,) = storm(1)
            await courier.put([one], one["entry"], one["hash"])
            await dead.arrived.wait()
            await well.arrived.wait()
            await until(lambda: arrived(outbox, "well"))
            running.cancel()
        outbox.close()


async def arrived(outbox: Outbox, name: str) -> bool:
    return any(one.receiver == name and one.state == "arrived" for one in outbox.deliveries())
