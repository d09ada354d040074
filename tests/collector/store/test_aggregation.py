"""Counts as OONI counts them, on the real engine: states, axes, grains, anonymity."""

from dataclasses import replace

import msgspec
import pytest

from heliograph_collector.model.records import TIME_BAD, AgentRole
from heliograph_collector.store import aggregation
from heliograph_collector.store.aggregation import AggregationRow
from heliograph_collector.store.store import Store, TooMuchError
from support.crowds import DOWN, MIDNIGHT, PAGE, SMALL, UNKNOWN, asked, keep, said
from support.examples import keep_part
from support.rows import DAY, KZ, T0, blocked, reachable


def counted(**states: int) -> AggregationRow:
    counts = dict.fromkeys(("anomaly", "confirmed", "failure", "ok"), 0)
    return AggregationRow(axis_values=(), **(counts | states))


async def alone(store: Store, **changes: object) -> AggregationRow:
    (total,) = await store.totals(asked(**changes))
    return total


async def test_each_state_is_counted_and_known_page_confirmed(store: Store) -> None:
    controls = [(replace(one, role=AgentRole.CONTROL), v) for one, v in said(PAGE, 3, first=50)]
    bad = [
        (one, (msgspec.structs.replace(v[0], rule=TIME_BAD),)) for one, v in said(PAGE, 2, first=60)
    ]
    parts = [(one, (reachable(), blocked("dc1"))) for one, _ in said(reachable(), 4, 2, first=40)]
    doubt = [*said(DOWN, 1, first=20), *said(UNKNOWN, 2, first=30)]
    seen = [*said(blocked(), 3), *said(PAGE, 2, first=10), *doubt]
    await keep(store, *seen, *parts, *controls, *bad)
    assert await alone(store) == counted(anomaly=3, confirmed=2, failure=3, ok=8)


async def test_axes_and_filters(store: Store) -> None:
    assert await alone(store) == counted(), "zeros, for nothing is there yet"
    assert await store.totals(asked(axes=["probe_cc"])) == []
    ru = replace(KZ, country="RU", asn=12_389)
    url = "https://www.news.example/a?b"
    there = said(blocked(), 3, at_us=T0 + DAY, service=url)
    await keep(store, *said(blocked(), 2), *there, *said(reachable(), 4, vantage=ru))
    by_day = await store.totals(asked(axes=["measurement_start_day", "domain"]))
    assert [(t.axis_values, t.anomaly, t.ok) for t in by_day] == [
        (("2022-01-05", ""), 2, 4),
        (("2022-01-06", "www.news.example"), 3, 0),
    ]
    places = await store.totals(asked(axes=["probe_cc", "probe_asn"]))
    assert [t.axis_values for t in places] == [("KZ", 9198), ("RU", 12_389)]
    names = await store.totals(asked(axes=["test_name", "input"]))
    assert [t.axis_values for t in names] == [("telegram", url), ("telegram", "telegram")]
    assert (await alone(store, countries=["KZ", "UZ"])).anomaly == 5
    assert (await alone(store, asns=[12_389])).ok == 4
    assert (await alone(store, domains=["www.news.example"])).anomaly == 3
    assert (await alone(store, input=url)).anomaly == 3
    assert (await alone(store, experiments=["web"])).anomaly == 0
    assert (await alone(store, until_us=MIDNIGHT + DAY)).anomaly == 2


async def test_wider_grains(store: Store) -> None:
    await keep(store, *said(blocked(), 2), *said(blocked(), 3, at_us=T0 + DAY))
    for grain, start in (("week", "2022-01-03"), ("month", "2022-01-01"), ("year", "2022-01-01")):
        found = await store.totals(asked(axes=["measurement_start_day"], grain=grain))
        assert [(t.axis_values[0], t.anomaly) for t in found] == [(start, 5)], grain


async def test_counts_below_k_are_dropped_and_others_rounded(store: Store) -> None:
    well, bad = said(reachable(), 6, 2), said(blocked(), 4, 10, first=10)
    await keep(store, *well, *bad, *said(DOWN, 5, 1, first=20))
    assert await alone(store, k=5) == counted(failure=5, ok=10)


async def test_confirmations_below_k_are_anomalies(store: Store) -> None:
    await keep(store, *said(blocked(), 3), *said(PAGE, 2, first=10))
    assert await alone(store, k=5) == counted(anomaly=5)


async def test_small_networks_are_merged_under_any_filter(store: Store) -> None:
    smaller = replace(SMALL, asn=50_482)
    few = [*said(blocked(), 3, vantage=SMALL), *said(blocked(), 2, vantage=smaller)]
    await keep(store, *said(blocked(), 5), *few)
    nets = await store.totals(asked(k=5, axes=["probe_asn"]))
    assert [(t.axis_values[0], t.anomaly) for t in nets] == [(0, 5), (9198, 5)]
    assert (await alone(store, k=5, asns=[SMALL.asn])).anomaly == 0
    assert (await alone(store, k=5, asns=[SMALL.asn, 9198])).anomaly == 5


async def test_difference_of_answers_reveals_no_small_group(store: Store) -> None:
    """Answers about a crowd are the same with four more people as without them."""
    crowd = [*said(reachable(), 20), *said(reachable(), 20, at_us=T0 + DAY)]
    four = said(blocked(), 4, 30, first=30, vantage=SMALL, at_us=T0 + DAY)
    questions = [
        asked(k=5, axes=axes, **where)
        for axes in ([], ["probe_asn"], ["measurement_start_day", "probe_cc"], ["input"])
        for where in (
            {},
            {"asns": [SMALL.asn]},
            {"asns": [0]},
            {"countries": ["KZ"], "since_us": MIDNIGHT + DAY},
            {"input": "telegram", "until_us": MIDNIGHT + DAY},
        )
    ]
    played = keep_part(questions)  # each axis and each filter, and not each pair of them
    await keep(store, *crowd)
    before = [await store.totals(q) for q in played]
    await keep(store, *four, number=2)
    assert [await store.totals(q) for q in played] == before
    assert (await alone(store)).anomaly == 120, "they are there for who needs no anonymity"


async def test_too_many_rows_raise(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await keep(store, *(row for n in range(4) for row in said(blocked(), 1, service=f"s{n}")))
    monkeypatch.setattr(aggregation, "MAX_ROWS", 4)
    assert len(await store.totals(asked(axes=["input"]))) == 4
    monkeypatch.setattr(aggregation, "MAX_ROWS", 3)
    with pytest.raises(TooMuchError, match="More than 3 rows: ask for a shorter time"):
        await store.totals(asked(axes=["input"]))
