"""The stream tells of incidents and blindness what the API tells, and not a place more."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from heliograph_collector.app.detector_runner import Herald
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.event_bus import Bus
from support.casebook import book, evening_book, part, silence
from support.fake_feed import NOW_US, TITLES, World

Serve = Callable[[Feed], Awaitable[Any]]


class Ear(Bus):
    def __init__(self) -> None:
        super().__init__("t")
        self.heard: list[tuple[str, Any]] = []

    def publish(self, name: str, data: str) -> None:
        self.heard.append((name, json.loads(data)))


def spell(country: str) -> dict[str, Any]:
    return {"from": NOW_US, "until": None, "because": "too_few_vantages", "country": country}


async def test_an_event_is_the_incident_as_the_api_gives_it(serve: Serve) -> None:
    ear, kept, id_ = Ear(), evening_book(), "b10c" * 4
    Herald(ear, TITLES, 5).incident(kept, id_)
    client = await serve(World().feed(book=kept))
    told = await (await client.get(f"/api/v1/incidents/{id_}")).json()
    assert told.pop("corroboration") == []  # comes later, from sources outside
    assert ear.heard == [("incident", told)]


def test_an_incident_of_few_makes_no_event() -> None:
    ear = Ear()
    Herald(ear, TITLES, 5).incident(book(silence(parts=(part(3.0, "UZ"),))), silence().id)
    assert ear.heard == []


def test_where_nothing_was_ever_said_no_country_is_named() -> None:
    """That we are blind there would tell that somebody is there."""
    ear = Ear()
    herald = Herald(ear, TITLES, 5)
    for country in ("", "KZ", "UZ"):
        herald.blind(book(silence()), spell(country))
    assert [(name, data.get("country")) for name, data in ear.heard] == [
        ("coverage", ""),
        ("coverage", "KZ"),
        ("coverage", None),
    ]
    assert ear.heard[1][1]["sentence"] == "too few vantages to tell anything"
    assert ear.heard[2][1] == {"ask": "/api/v1/coverage"}
    Herald(ear, TITLES, 1).blind(book(), spell("UZ"))
    assert ear.heard[3][1]["country"] == "UZ"
