"""`/api/v1/timeline`: one row per bin, also when nobody measured."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from heliograph_collector.http.backend import Feed
from heliograph_collector.model.records import State
from heliograph_collector.store.clickhouse import TooMuchError
from support.evening import evening
from support.fake_feed import BIN_US, NOW_US, World, crowd

Serve = Callable[[Feed], Awaitable[Any]]
FIELDS = [
    "start",
    "vantages",
    "reachable",
    "blocked",
    "down",
    "unknown",
    "silent",
    "state",
    "confidence",
]
HOUR = "since=2022-01-05T12:45:00Z&until=2022-01-05T13:40:00Z"


async def rows(serve: Serve, query: str, k: int = 5) -> list[dict[str, Any]]:
    client = await serve(evening().feed(k_anonymity=k))
    answer = await client.get(f"/api/v1/timeline?{query}")
    assert answer.status == 200, await answer.text()
    cells: list[dict[str, Any]] = (await answer.json())["cells"]
    return cells


async def test_the_cut_is_on_it(serve: Serve) -> None:
    cells = await rows(serve, f"country=KZ&asn=9198&access=fixed&service=telegram&{HOUR}")
    assert [list(cell) for cell in cells] == [FIELDS] * 11
    assert [cell["state"] for cell in cells] == ["reachable"] * 5 + ["blocked"] * 6
    assert cells[0]["start"] == "2022-01-05T12:45:00Z"
    assert (cells[0]["vantages"], cells[0]["reachable"]) == (20, 20)
    assert cells[-1]["blocked"] == 20


async def test_exact_counts_where_no_anonymity_is_asked_for(serve: Serve) -> None:
    cells = await rows(serve, f"asn=9198&service=telegram&{HOUR}", k=1)
    assert (cells[0]["vantages"], cells[-1]["blocked"]) == (28, 26)


async def test_nobody_is_a_row(serve: Serve) -> None:
    cells = await rows(serve, f"country=BY&{HOUR}")
    assert len(cells) == 11
    assert all(cell["vantages"] == 0 and cell["state"] == "unknown" for cell in cells)


async def test_too_few_are_a_row_without_numbers(serve: Serve) -> None:
    """Where enough were in another bin; where never, they are not told apart from nobody."""
    world = World()
    world.votes += crowd(6, State.REACHABLE, NOW_US - 12 * BIN_US, NOW_US - 6 * BIN_US)
    world.votes += crowd(3, State.REACHABLE, NOW_US - 6 * BIN_US, NOW_US)
    client = await serve(world.feed())
    answer = await client.get(f"/api/v1/timeline?country=KZ&service=telegram&{HOUR}")
    cells = (await answer.json())["cells"]
    assert [cell["vantages"] for cell in cells] == [5] * 6 + [None] * 5
    assert {cell["state"] for cell in cells[6:]} == {"unknown"}
    assert list(cells[-1]) == FIELDS
    never = await rows(serve, f"country=UZ&service=telegram&{HOUR}")
    assert never == await rows(serve, f"country=TJ&service=telegram&{HOUR}")


async def test_what_is_left_open_is_added_up(serve: Serve) -> None:
    """Two mobile networks, 12 and 7 vantages, and the fixed one's 28."""
    cells = await rows(serve, f"country=KZ&service=telegram&{HOUR}", k=1)
    assert cells[-1]["vantages"] == 26 + 12 + 7
    assert cells[-1]["silent"] == 6


async def test_a_vantage_votes_once_for_all_services_together(serve: Serve) -> None:
    cells = await rows(serve, f"country=DE&{HOUR}", k=1)
    assert cells[0]["vantages"] == 14


async def test_bins_are_as_wide_as_asked(serve: Serve) -> None:
    cells = await rows(serve, f"country=KZ&service=telegram&{HOUR}&bin=1h")
    assert [cell["start"] for cell in cells] == ["2022-01-05T12:00:00Z", "2022-01-05T13:00:00Z"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=yesterday", "since"),
        ("bin=1m&since=2021-01-01T00:00:00Z", "bin"),
        ("since=2022-01-06T00:00:00Z&until=2022-01-05T00:00:00Z", "since"),
        ("vantage=1", "'vantage'"),
    ],
)
async def test_a_bad_question_is_answered_with_the_cure(
    serve: Serve, query: str, parameter: str
) -> None:
    client = await serve(World().feed())
    answer = await client.get(f"/api/v1/timeline?{query}")
    body = await answer.json()
    assert answer.status == body["status"] == 400
    assert answer.content_type == "application/problem+json"
    assert body["parameter"] == parameter
    assert body["allowed"]


async def test_a_question_over_the_store_s_limits_is_the_asker_s(serve: Serve) -> None:
    async def votes(*_: Any, **__: Any) -> Any:
        raise TooMuchError("over 384 MiB")

    client = await serve(World().feed(votes=votes))
    assert (await client.get("/api/v1/timeline")).status == 400
