"""`/api/v1/timeline`: one row per bin, also without measurements."""

from typing import Any

import pytest

from heliograph_collector.model.records import VerdictState
from heliograph_collector.store.clickhouse import StoreError, TooMuchError, TooSlowError
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.kazakhstan_votes import evening
from support.site import Serve, raising

FIELDS = ["start", "vantages", "reachable", "blocked", "down", "unknown", "silent"]
FIELDS += ["state", "confidence"]
HOUR = "since=2022-01-05T12:45:00Z&until=2022-01-05T13:40:00Z"


async def rows(serve: Serve, query: str, k: int = 5) -> list[dict[str, Any]]:
    client = await serve(evening().feed(k_anonymity=k))
    cells: list[dict[str, Any]] = (await client.json(f"/api/v1/timeline?{query}"))["cells"]
    return cells


async def test_the_cut_is_on_it(serve: Serve) -> None:
    cells = await rows(serve, f"country=KZ&asn=9198&access=fixed&service=telegram&{HOUR}")
    assert [list(cell) for cell in cells] == [FIELDS] * 11
    assert [cell["state"] for cell in cells] == ["reachable"] * 5 + ["blocked"] * 6
    assert cells[0]["start"] == "2022-01-05T12:45:00Z"
    assert (cells[0]["vantages"], cells[0]["reachable"]) == (20, 20)
    assert cells[-1]["blocked"] == 20


async def test_nobody_is_a_row(serve: Serve) -> None:
    cells = await rows(serve, f"country=BY&{HOUR}")
    assert len(cells) == 11
    assert all(cell["vantages"] == 0 and cell["state"] == "unknown" for cell in cells)


async def test_too_few_are_a_row_like_nobody(serve: Serve) -> None:
    """Too few vantages give the same row as none.

    Otherwise the rows would show the minutes in which a lone volunteer measured.
    """
    world = World()
    world.votes += crowd(6, VerdictState.REACHABLE, NOW_US - 12 * BIN_US, NOW_US - 6 * BIN_US)
    world.votes += crowd(3, VerdictState.REACHABLE, NOW_US - 6 * BIN_US, NOW_US)
    client = await serve(world.feed())
    body = await client.json(f"/api/v1/timeline?country=KZ&service=telegram&{HOUR}")
    cells = body["cells"]
    assert [cell["vantages"] for cell in cells] == [5] * 6 + [0] * 5
    assert {cell["state"] for cell in cells[6:]} == {"unknown"}
    assert list(cells[-1]) == FIELDS
    never = await rows(serve, f"country=UZ&service=telegram&{HOUR}")
    assert never == await rows(serve, f"country=TJ&service=telegram&{HOUR}")


async def test_exact_counts_add_up_what_is_left_open(serve: Serve) -> None:
    """Exact counts are summed over open fields; a vantage votes once for all services."""
    cells = await rows(serve, f"asn=9198&service=telegram&{HOUR}", k=1)
    assert (cells[0]["vantages"], cells[-1]["blocked"]) == (28, 26)
    assert (await rows(serve, f"country=DE&{HOUR}", k=1))[0]["vantages"] == 14
    bins = await rows(serve, f"country=KZ&service=telegram&{HOUR}&bin=1h")
    assert [c["start"] for c in bins] == ["2022-01-05T12:00:00Z", "2022-01-05T13:00:00Z"]


async def test_what_is_left_open_is_added_up(serve: Serve) -> None:
    """Open fields are summed: two mobile networks (12, 7) and a fixed one (28)."""
    cells = await rows(serve, f"country=KZ&service=telegram&{HOUR}", k=1)
    assert (cells[-1]["vantages"], cells[-1]["silent"]) == (26 + 12 + 7, 6)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("timeline?since=yesterday", "since"),
        ("timeline?bin=1m&since=2021-01-01T00:00:00Z", "bin"),
        ("timeline?since=2022-01-01T00:00:00Z", "country"),
        ("timeline?since=2022-01-06T00:00:00Z&until=2022-01-05T00:00:00Z", "since"),
        ("timeline?vantage=1", "vantage"),
        ("coverage?since=2023-01-01T00:00:00Z", "since"),
        ("coverage?since=2019-01-01T00:00:00Z", "since"),
        ("coverage?asn=1", "asn"),
        ("log?after=-1", "after"),
        ("log?after=x", "after"),
        ("log?limit=501", "limit"),
        ("log?format=csv", "format"),
        ("incidents?state=open", "state"),
        ("incidents?kind=coup", "kind"),
        ("incidents?cursor=%2F%2F", "cursor"),
        ("incidents?network=1", "network"),
        ("incidents/0123456789abcdef?k=1", "k"),
    ],
)
async def test_bad_question_is_answered_with_the_cure(
    serve: Serve, path: str, parameter: str
) -> None:
    body = await (await serve(World().feed())).problem(f"/api/v1/{path}")
    assert (body["status"], body["parameter"]) == (400, parameter)
    assert body["allowed"]


@pytest.mark.parametrize(
    ("query", "parameter", "cure"),
    [
        ("timeline?country=KZ&service=telegramm", "service", "telegram"),
        ("timeline?country=QQ", "country", "KZ"),
        ("timeline?region=KZ-XYZ", "region", "KZ-75"),
        ("status?country=qq", "country", "KZ"),
        ("coverage?country=QQ", "country", "KZ"),
        ("aggregation?probe_cc=KZ,QQ", "probe_cc", "KZ"),
    ],
)
async def test_a_name_of_nothing_is_not_found_and_costs_nothing(
    serve: Serve, query: str, parameter: str, cure: str
) -> None:
    """Rows of zeros would pass for a measurement."""
    away = raising(StoreError("Nobody may ask."))
    queries = dict.fromkeys(("votes", "silences", "wide", "totals"), away)
    body = await (await serve(World().feed(**queries))).problem(f"/api/v1/{query}", 404)
    assert body["parameter"] == parameter
    assert cure in body["allowed"]


async def test_names_are_found_in_any_case(serve: Serve) -> None:
    cells = await rows(serve, f"country=kz&asn=as9198&service=Telegram&{HOUR}")
    assert cells == await rows(serve, f"country=KZ&asn=AS9198&service=telegram&{HOUR}")
    assert any(cell["blocked"] for cell in cells)


async def test_a_question_over_the_store_s_limits_is_the_asker_s(serve: Serve) -> None:
    client = await serve(World().feed(votes=raising(TooMuchError("over 384 MiB"))))
    await client.problem("/api/v1/timeline")
    client = await serve(World().feed(votes=raising(TooSlowError("20 s"))))
    problem = await client.problem("/api/v1/timeline", 503)
    assert "Try again in a minute" in problem["detail"]


async def test_the_last_answer_is_given_with_its_age_while_the_store_has_no_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = evening()
    feed = world.feed()
    client = await serve(feed)
    path = "/api/v1/timeline?country=KZ"
    document = await client.json(path)
    for name in ("votes", "silences", "wide"):
        monkeypatch.setattr(feed, name, raising(TooSlowError("The machine is busy.")))
    world.clock.advance_us(7 * 60_000_000)
    async with client.get(path) as answer:
        assert (answer.status, answer.headers["Age"]) == (200, "420")
        assert await answer.json() == document
    async with client.get(f"{path}&service=telegram") as answer:  # the first request for it
        assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    world.clock.advance_us(60 * 60_000_000)
    async with client.get(path) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
