"""No alert is lost, a storm is one message, retries last a day, and none blocks."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from heliograph.clock import SystemClock
from heliograph_collector.alerting.http_client import DeliveryError
from heliograph_collector.alerting.incident_alerts import collect_alerts
from heliograph_collector.alerting.message import MAX_ALERTS, Message, build_alert, format_title
from heliograph_collector.alerting.outbox import MAX_WAITING, Outbox
from heliograph_collector.alerting.service import find_position, open_transports
from heliograph_collector.config.receivers import (
    IncidentAlert,
    Receiver,
    ReceiverKind,
    SuspectedPolicy,
)
from heliograph_collector.http.incident_document import build_document
from heliograph_collector.incidents.state import IncidentBook
from support.dispatcher_office import DESK, Office, build_dispatcher
from support.fake_feed import published
from support.incident_book import blocking, book, closed, evening_book, silence
from support.receivers import receiving
from support.waiting import until_true

HOUR_S = 3_600


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.outbox.close()


def told(found: IncidentBook) -> list[IncidentAlert]:
    return collect_alerts(found, found.entries, published({}))


def storm(n: int) -> list[IncidentAlert]:
    cuts = [silence(f"{i:016x}", 30 + i / 100) for i in range(n)]
    return [one for one in told(book(*cuts)) if one["called"]]


@dataclass
class Lease:
    is_held: bool = False


async def test_a_leader_that_may_have_lost_the_lease_sends_nothing(office: Office) -> None:
    """The next leader sends what had not arrived; this one might send it too."""
    lease = office.dispatcher._permission = Lease()
    await office.takes(told(book(silence())))
    await office.works(600)
    assert office.post.texts == []
    lease.is_held = True
    await office.works(10)
    assert len(office.post.texts) == 1


async def test_an_incident_and_its_end_are_two_messages(office: Office) -> None:
    await office.takes(told(book(closed(silence(), 5))))
    await office.works()
    (first,) = office.post.texts
    assert "2 incidents: 1 confirmed, 1 closed" in first, "what came together goes together"
    evening = told(book(silence("a" * 16, 90)))
    await office.takes([{**evening[1], "entry": 50}])
    await office.works(60)
    assert "Kazakhstan went offline" in office.post.texts[1]


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
    assert sum(len(d.alerts) for d in office.outbox.list_deliveries()) == 80


async def test_a_clock_that_is_set_back_keeps_no_alert_waiting(office: Office) -> None:
    """A clock that is set back delays no alert.

    It is set back by a day while one is gathered, and once more between two tries.
    """
    day_us = 24 * HOUR_S * 1_000_000
    await office.takes(storm(1))
    office.clock.wall -= day_us
    office.post.fails = [DeliveryError("no connection")]
    await office.works(3)
    assert len(office.post.sent) == 1
    office.clock.wall -= day_us
    await office.works(10)
    assert len(office.post.sent) == 2
    assert [d.state for d in office.outbox.list_deliveries()] == ["arrived"]


async def test_no_more_than_so_many_an_hour(tmp_path: Path) -> None:
    office = Office(tmp_path, replace(DESK, per_hour=3, gather_s=0))
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
    id_ = office.outbox.list_deliveries()[0].id
    office.outbox.close()  # a kill -9 leaves the same files

    again = Office(tmp_path, clock=office.clock)
    again.post.down = True
    await again.works(20 * HOUR_S)
    (delivery,) = again.outbox.list_deliveries()
    assert (delivery.id, delivery.state, delivery.reply) == (id_, "given_up", "no connection")
    assert delivery.tries == before + len(again.post.sent) == 14
    again.post.down = False
    assert await again.dispatcher.resend(id_)
    await again.works()
    (delivery,) = again.outbox.list_deliveries()
    assert (delivery.id, delivery.state, delivery.tries) == (id_, "arrived", 1)
    assert not await again.dispatcher.resend("msg_none")
    again.outbox.close()


async def test_retry_after_is_obeyed_and_a_gone_receiver_is_given_up(
    office: Office,
) -> None:
    limited = DeliveryError("answered 429", retry_after_s=600)
    office.post.fails = [limited, DeliveryError("answered 410", is_final=True)]
    await office.takes(storm(1))
    await office.works(590)
    assert len(office.post.sent) == 1
    await office.works(24 * HOUR_S)
    assert len(office.post.sent) == 2
    assert office.outbox.list_deliveries()[0].state == "given_up"


async def test_what_nobody_fetches_is_bounded_and_counted(office: Office) -> None:
    many = storm(1)[0]
    for first in range(1, MAX_WAITING + 101, 100):
        await office.takes([{**many, "entry": n} for n in range(first, first + 100)])
    await office.works()
    (delivery,) = office.outbox.list_deliveries()
    assert (len(delivery.alerts), delivery.more) == (MAX_WAITING, 100)
    message = Message(id="m", alerts=delivery.alerts, more=delivery.more)
    assert message.to_payload("", "")["more"] == MAX_WAITING + 100 - MAX_ALERTS
    assert format_title(message).startswith("600 incidents")


def test_the_log_is_followed_from_where_it_was_left(tmp_path: Path) -> None:
    outbox, found = Outbox(tmp_path), evening_book()
    last = len(found.entries)
    assert find_position(outbox, found, 1) == last, "nobody is told of what was before"
    outbox.queue_alerts((), 3, found.entries[2].hash, 2)
    assert find_position(outbox, found, 3) == 3
    outbox.queue_alerts((), 3, "f" * 64, 4)
    assert find_position(outbox, found, 5) == last, "another log begins at its end"
    outbox.queue_alerts((), 99, "f" * 64, 6)
    assert find_position(outbox, found, 7) == last
    outbox.close()


@pytest.mark.parametrize(
    ("filters", "heard"),
    [
        ({}, [*["confirmed"] * 4, "closed", "withdrawn"]),
        ({"countries": ("DE",)}, ["confirmed", "withdrawn"]),
        ({"countries": ("DE",), "suspected": SuspectedPolicy.LOUD}, ["suspected", "confirmed",
          "withdrawn", "suspected"]),
        ({"kinds": ("network_silence",), "states": ("closed",)}, ["closed"]),
        ({"services": ("signal",)}, ["confirmed", "withdrawn"]),
    ],
)  # fmt: skip
def test_receivers_get_the_incidents_they_asked_for(
    filters: dict[str, Any], heard: list[str]
) -> None:
    receiver = replace(DESK, **filters)
    found = [one for one in told(evening_book()) if receiver.accepts(one)]
    assert sorted(one["state"] for one in found) == sorted(heard)


def test_particulars_and_notes_call_nobody() -> None:
    entries = book(blocking()).entries
    incident = build_document(entries, {}, 5)
    assert incident is not None
    for change in ("revised", "resumed", "operator_annotated", "operator_acknowledged"):
        body = structs.replace(entries[0].body, alert=False, change=change)
        assert build_alert(1, entries[0].hash, body, incident, "") is None


def test_cut_that_comes_into_doubt_is_a_correction_for_those_who_were_called() -> None:
    entries = book(silence()).entries
    incident = build_document(entries, {}, 5)
    assert incident is not None
    body = structs.replace(entries[0].body, alert=True, change="suspected")
    alert = build_alert(1, entries[0].hash, body, incident, "")
    assert alert is not None
    assert DESK.accepts(alert)
    assert format_title(Message(id="1", alerts=[alert])).startswith("Corrected: ")


async def test_a_receiver_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A receiver that hangs delays no other, with real tasks and servers."""
    async with receiving(hang=True) as dead, receiving() as well, open_transports("", {}) as ways:
        places = {"dead": dead, "well": well}
        receivers = [
            Receiver(name=name, kind=ReceiverKind.SLACK, url=f"{place.origin}/x", private=True)
            for name, place in places.items()
        ]
        outbox = Outbox(tmp_path)
        dispatcher = build_dispatcher(outbox, receivers, ways, SystemClock())
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(dispatcher.run())
            (one,) = storm(1)
            await dispatcher.queue_alerts([one], one["entry"], one["hash"])
            await dead.arrived.wait()
            await well.arrived.wait()
            await until_true(lambda: ("well", "arrived") in states(outbox))
            running.cancel()
        outbox.close()


def states(outbox: Outbox) -> list[tuple[str, str]]:
    return [(delivery.receiver, delivery.state) for delivery in outbox.list_deliveries()]
