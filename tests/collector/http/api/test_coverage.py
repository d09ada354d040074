"""`/api/v1/coverage`: when and where we saw nothing, why, and where too few look."""

from typing import Any

from heliograph_collector.model.records import BlindTime, VerdictState
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.incident_book import book, silence
from support.kazakhstan_votes import evening
from support.site import Serve

MINUTE = 60_000_000


def gap(minutes: int, reason: str, country: str = "", lasts: int | None = 5) -> BlindTime:
    since_us = NOW_US - minutes * MINUTE
    until_us = None if lasts is None else since_us + lasts * MINUTE
    return BlindTime(since_us=since_us, until_us=until_us, reason=reason, country=country)


async def told(serve: Serve, world: World, query: str = "", **changes: Any) -> dict[str, Any]:
    client = await serve(world.feed(**changes))
    body: dict[str, Any] = await client.json(f"/api/v1/coverage{query}")
    return body


async def test_it_says_when_and_why(serve: Serve) -> None:
    asked: list[tuple[int, int]] = []

    def blind(since_us: int, until_us: int) -> list[BlindTime]:
        asked.append((since_us, until_us))
        return [gap(20, "probe", lasts=None), gap(90, "restart"), gap(50, "never heard of")]

    body = await told(serve, evening(), "?since=2022-01-05T12:00:00Z", list_gaps=blind)
    assert [g["because"] for g in body["blind"]] == ["restart", "never heard of", "probe"]
    assert body["blind"][0] == {
        "from": "2022-01-05T12:13:20Z",
        "until": "2022-01-05T12:18:20Z",
        "because": "restart",
        "sentence": "the collector was restarted",
        "country": "",
    }
    assert body["blind"][-1]["until"] is None
    assert asked[-1] == (1641384000_000_000, NOW_US)  # before it the status asks for its window


async def test_nobody_learns_when_a_vantage_came_or_went(serve: Serve) -> None:
    """No reader learns when a vantage came or went.

    A gap of few begins when one leaves: the public sees gaps of the released cells alone.
    """
    few = [gap(20, reason, "KZ") for reason in ("too_few_vantages", "common_mode")]
    changes: dict[str, Any] = {"list_gaps": lambda since_us, until_us: few}
    assert (await told(serve, evening(), **changes))["blind"] == []
    world = World()
    since_us = NOW_US - 60 * MINUTE
    world.votes += crowd(6, VerdictState.REACHABLE, since_us, NOW_US - 40 * MINUTE)
    world.votes += crowd(6, VerdictState.REACHABLE, since_us, NOW_US, country="DE")
    world.votes += crowd(4, VerdictState.REACHABLE, since_us, NOW_US)  # counted nowhere
    (row,) = (await told(serve, world, **changes))["blind"]
    assert (row["because"], row["country"]) == ("too_few_vantages", "KZ")
    assert (row["from"], row["until"]) == ("2022-01-05T13:05:00Z", None)
    exact = await told(serve, world, k_anonymity=1, **changes)
    assert len(exact["blind"]) == 2


async def test_hours_in_which_nobody_measured_are_blind_too(serve: Serve) -> None:
    world = World()
    world.votes += crowd(6, VerdictState.REACHABLE, NOW_US - 60 * MINUTE, NOW_US - 40 * MINUTE)
    world.votes += crowd(6, VerdictState.REACHABLE, NOW_US - 20 * MINUTE, NOW_US + BIN_US)
    (row, of_country) = (await told(serve, world))["blind"]
    assert row["because"] == "nobody_measured"
    assert (of_country["because"], of_country["from"]) == ("too_few_vantages", row["from"])
    assert (row["from"], row["until"]) == ("2022-01-05T13:05:00Z", "2022-01-05T13:20:00Z")


async def test_nobody_and_too_few_look_the_same(serve: Serve) -> None:
    """No vantages and too few vantages give the same answer, to hide the few."""
    body = await told(serve, evening())
    assert [(c["country"], c["enough"]) for c in body["countries"]] == [("DE", True), ("KZ", True)]
    (few,) = (await told(serve, evening(), "?country=UZ"))["countries"]
    (nobody,) = (await told(serve, evening(), "?country=TJ"))["countries"]
    assert few["vantages"] == nobody["vantages"] == "0-4"
    assert few["enough"] is nobody["enough"] is False


async def test_a_blind_country_is_named_only_where_it_is_shown(serve: Serve) -> None:
    rows = [gap(30, "carrier", "KZ"), gap(20, "carrier", "UZ"), gap(10, "probe")]
    body = await told(serve, evening(), list_gaps=lambda since_us, until_us: rows)
    assert [g["country"] for g in body["blind"]] == ["KZ", ""]
    body = await told(serve, evening(), "?country=DE", list_gaps=lambda since_us, until_us: rows)
    assert [g["country"] for g in body["blind"]] == [""]
    dark = book(silence())
    body = await told(serve, World(), book=dark, list_gaps=lambda since_us, until_us: rows)
    assert [g["country"] for g in body["blind"]] == ["KZ", ""]
