"""`/api/v1/aggregation` over the real store: OONI's queries and shape, anonymous."""

import csv
import io
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from heliograph_collector.http.api.aggregation import COUNT_NAMES
from heliograph_collector.model.records import JudgedMeasurement, Verdict, VerdictState
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.aggregation import AXES, GRAINS
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.store import Store
from support.examples import IS_SOAK
from support.fake_feed import NOW_US, World
from support.rows import T0, US, block, blocked, reachable, taken
from support.site import Serve, raising

URL = "https://www.news.example/"
PAGE = blocked(method="block_page", confirmed=True)
DOWN = Verdict(state=VerdictState.DOWN, rule="x.down")


def crowd(verdict: Verdict, first: int, people: int, **what: Any) -> list[JudgedMeasurement]:
    rows: list[JudgedMeasurement] = []
    for number in range(first, first + people):
        one = replace(taken(number, **what), seniority=Seniority.ESTABLISHED)
        if number >= 100:
            page = replace(one.measurement, experiment="web", service="", target=URL)
            one = replace(one, measurement=page)
        rows.append((one, (verdict,)))
    return rows


@pytest.fixture
async def judged(store: Store) -> Store:
    """Store Telegram in Kazakhstan on 5 January 2022, a page that day and the next."""
    rows = [
        *crowd(reachable(), 0, 12),
        *crowd(blocked(), 20, 7),
        *crowd(DOWN, 40, 5),
        *crowd(PAGE, 100, 6),
        *crowd(reachable(), 120, 10, at_us=T0 + 86_400 * US),
        *crowd(blocked(), 140, 4),
    ]
    await store.insert_block(block(1, 1, *rows))
    return store


async def ask(serve: Serve, judged: Store, query: str, k: int = 5) -> Any:
    world = World()
    if "until=" in query:
        world.clock.wall += 2 * 86_400 * US  # after all has arrived
    client = await serve(world.feed(totals=judged.totals, k_anonymity=k, targets=(URL,)))
    answer = await client.get(f"/api/v1/aggregation?{query}")
    assert answer.status == 200, await answer.text()
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return answer


JANUARY = "since=2022-01-01&until=2022-02-01"


def counts(row: dict[str, int]) -> list[int]:
    return [row[name] for name in COUNT_NAMES]


async def test_without_an_axis_it_is_one_object(serve: Serve, judged: Store) -> None:
    exact = await (await ask(serve, judged, f"probe_cc=KZ&{JANUARY}", k=1)).json()
    assert (exact["v"], exact["dimension_count"]) == (0, 0)
    assert counts(exact["result"]) == [11, 6, 5, 22, 44]
    body = await (await ask(serve, judged, f"probe_cc=KZ&{JANUARY}")).json()
    assert counts(body["result"]) == [5, 5, 5, 20, 35]
    none = await (await ask(serve, judged, f"probe_cc=UZ&{JANUARY}")).json()
    assert counts(none["result"]) == [0] * 5


async def test_one_axis_and_two(serve: Serve, judged: Store) -> None:
    path = f"{JANUARY}&axis_x=measurement_start_day&time_grain=day"
    body = await (await ask(serve, judged, path)).json()
    assert body["dimension_count"] == 1
    days = [(row["measurement_start_day"], *counts(row)) for row in body["result"]]
    assert days == [("2022-01-05", 5, 5, 5, 10, 25), ("2022-01-06", 0, 0, 0, 10, 10)]
    body = await (await ask(serve, judged, f"{JANUARY}&axis_x=test_name&axis_y=probe_asn")).json()
    assert body["dimension_count"] == 2
    rows = [(row["test_name"], row["probe_asn"], *counts(row)) for row in body["result"]]
    assert rows == [
        ("telegram", 9198, 5, 0, 5, 10, 20),
        ("web_connectivity", 9198, 0, 5, 0, 10, 15),
    ]


FILTERS = {
    "test_name=web_connectivity": 15,
    "test_name=web": 15,
    "test_name=telegram,web_connectivity": 35,
    "domain=www.news.example": 15,
    f"input={URL}": 15,
    "probe_asn=AS9198": 35,
    "probe_asn=1,AS2": 0,
    "until=2022-01-06": 25,
    "since=2022-01-06T00:00:00": 10,
    "since=2022-01-06T23:00:00Z": 10,
    "since=2021-12-01&until=2022-01-05T00:00:01Z": 25,
}


async def test_filters(serve: Serve, judged: Store) -> None:
    totals = {}
    for query in FILTERS:
        parts = {p.partition("=")[0]: p for p in (*JANUARY.split("&"), *query.split("&"))}
        body = await (await ask(serve, judged, "&".join(parts.values()))).json()
        totals[query] = body["result"]["measurement_count"]
    assert totals == FILTERS


async def test_thirty_days_up_to_today_when_no_time_is_told(serve: Serve, judged: Store) -> None:
    assert NOW_US // (86_400 * US) == T0 // (86_400 * US)
    body = await (await ask(serve, judged, "axis_x=measurement_start_day")).json()
    assert [row["measurement_start_day"] for row in body["result"]] == ["2022-01-05"]


async def test_csv(serve: Serve, judged: Store) -> None:
    answer = await ask(serve, judged, f"{JANUARY}&axis_x=domain&format=CSV")
    assert answer.content_type == "text/csv"
    rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert [(r["domain"], r["measurement_count"]) for r in rows] == [
        ("", "20"),
        ("www.news.example", "15"),
    ]
    lone = await ask(serve, judged, f"{JANUARY}&format=CSV")
    assert (await lone.text()).splitlines() == [",".join(COUNT_NAMES), "5,5,5,20,35"]


async def test_a_text_is_no_formula_and_an_unlisted_one_nowhere(serve: Serve, store: Store) -> None:
    """Ten collude: the plan lists one of the two targets, and CSV quotes it."""
    listed, unlisted = "=1+1|x", "@SUM(1)"
    rows = [
        *crowd(reachable(), 0, 10, service=listed),
        *crowd(reachable(), 50, 10, service=unlisted),
    ]
    await store.insert_block(block(1, 1, *rows))
    client = await serve(World().feed(totals=store.totals, targets=(listed,)))
    for form in ("CSV", "JSON"):
        answer = await client.get(f"/api/v1/aggregation?{JANUARY}&axis_x=input&format={form}")
        told = await answer.text()
        assert unlisted not in told
        assert ("'=1+1|x" if form == "CSV" else f'"{listed}"') in told


async def test_keys_of_yesterday_count_for_nothing(serve: Serve, store: Store) -> None:
    rows = [(replace(one, seniority=Seniority.YOUNG), v) for one, v in crowd(blocked(), 0, 40)]
    await store.insert_block(block(1, 1, *rows))
    body = await (await ask(serve, store, JANUARY)).json()
    assert counts(body["result"]) == [0] * 5


async def test_an_answer_that_is_known_is_not_sent_again(serve: Serve, judged: Store) -> None:
    client = await serve(World().feed(totals=judged.totals))
    first = await client.get(f"/api/v1/aggregation?{JANUARY}")
    tag = {"If-None-Match": first.headers["ETag"]}
    assert (await client.get(f"/api/v1/aggregation?{JANUARY}", headers=tag)).status == 304


@pytest.mark.parametrize(
    ("query", "parameter", "says"),
    [
        ("axis_y=domain", "axis_y", "needs axis_x"),
        ("axis_x=domain&axis_y=domain", "axis_y", "another than axis_x"),
        ("axis_x=nym", "axis_x", "probe_asn"),
        ("time_grain=hour", "time_grain", "day, week, month, year, auto"),
        ("since=2022-02-31", "since", "such as 2022-01-05"),
        ("since=2022-01-05&until=2022-01-05", "since", "before until"),
        ("since=2012-01-05&until=2022-01-05", "since", "1100 days"),
        ("probe_cc=kaz", "probe_cc", "two letters"),
        ("probe_asn=4294967296", "probe_asn", "below 4294967296"),
        ("format=XML", "format", "JSON, CSV"),
        ("probe_cc=" + ",".join(["KZ"] * 51), "probe_cc", "up to 50"),
    ],
)
async def test_bad_questions_are_told_the_cure(
    serve: Serve, query: str, parameter: str, says: str
) -> None:
    client = await serve(World().feed())
    body = await client.problem(f"/api/v1/aggregation?{query}")
    assert body["parameter"] == parameter
    assert says in body["detail"]


async def test_too_much_is_a_problem_too(serve: Serve) -> None:
    too_much = raising(TooMuchError("More than 10000 rows: ask for a shorter time."))
    client = await serve(World().feed(totals=too_much))
    assert (await client.problem("/api/v1/aggregation"))["title"] == "Too much"


async def read_all_axes(serve: Serve, judged: Store) -> dict[str, str]:
    """Every pair of axes at every grain, with its ETag and length.

    In CI every second pair, among which each axis is, and one of them at every grain.
    """
    pairs = list(combinations(AXES, 2))
    by_grain = pairs[: len(AXES) - 1]  # those with the day
    if not IS_SOAK:
        pairs, by_grain = pairs[1::2], [(AXES[0], "probe_asn")]
    questions = [
        f"axis_x={x}&axis_y={y}&time_grain={grain}" for x, y in pairs
        for grain in (GRAINS if (x, y) in by_grain else GRAINS[:1])
    ]  # fmt: skip
    questions += [f"axis_x={x}" for x in AXES] + ["", "probe_asn=77", f"input={URL}", "format=CSV"]
    world = World()
    world.clock.wall += 2 * 86_400 * US
    client = await serve(world.feed(totals=judged.totals, targets=(URL,)))
    answers = {}
    for question in questions:
        async with client.get(f"/api/v1/aggregation?{JANUARY}&{question}") as answer:
            assert answer.status == 200, await answer.text()
            answers[question] = f"{answer.headers['ETag']} {await answer.text()}"
    return answers


async def test_few_more_change_no_answer(serve: Serve, judged: Store) -> None:
    """A few more people change no answer.

    The adversary reads all axes and grains before and after four people come, three times.
    """
    before = await read_all_axes(serve, judged)
    small = replace(taken(0).vantage, asn=77)
    few = [
        *crowd(blocked(), 60, 4, vantage=small),
        *crowd(PAGE, 160, 4, vantage=small),  # a page in that network
        *crowd(DOWN, 170, 4),  # another state of a page in a network of many
    ]
    await judged.insert_block(block(2, 2, *few))
    after = await read_all_axes(serve, judged)
    recovered = [question for question in before if before[question] != after[question]]
    print(f"{len(recovered)} of {len(before)} answers tell of four people")
    assert recovered == []
    await judged.insert_block(block(3, 3, *crowd(blocked(), 70, 5, vantage=small)))
    body = await (await ask(serve, judged, f"{JANUARY}&axis_x=probe_asn")).json()
    assert len(body["result"]) == 2  # with a fifth one, the small network is counted
