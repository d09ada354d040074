"""The store on its real engine returns what was stored, once, after repetitions."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heliograph.observation import Link
from heliograph_collector.model.filters import CellFilter, MeasurementFilter
from heliograph_collector.model.records import (
    TIME_BAD,
    AgentRole,
    Cell,
    DecodeFailure,
    PresenceRow,
    RowKind,
    Verdict,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.store import Store, StoreError
from heliograph_collector.store.writers import CellWriter
from support.crowds import RU, keep
from support.rows import T0, US, block, blocked, lost_row, observations, reachable, taken
from support.stores import open_store

MINUTE = 60 * US
HOUR = 3_600 * US


def count(store: Store, table: str) -> int:
    """Count the rows as stored, without any merging at reading."""
    return int(store._clickhouse.query_written(f"SELECT count() AS n FROM {table}", {})[0][0])


async def test_store_returns_measurement_as_inserted(store: Store) -> None:
    one = taken(1, steps=observations())
    verdicts = (blocked(), reachable("dc1"), blocked("web"))
    await keep(store, (one, verdicts))
    assert await store.measurement(one.id) == (one, verdicts)
    assert await store.measurement("f" * 32) is None
    health = await store.health()
    assert (health.engine[0].isdigit(), health.rows >= 4, health.free_bytes is not None) == (
        True,
    ) * 3


async def test_replaying_a_block_changes_nothing(store: Store) -> None:
    judged = [
        (taken(n, at_us=T0 + n * 86_400 * US, steps=observations()), (blocked(), blocked("dc1")))
        for n in range(30)  # five weeks: five partitions
    ]
    bad = DecodeFailure(position=2, index=-1, received_us=T0, reason="bad_batch", body=b"\xff\x00")
    whole = replace(block(1, 9, *judged), presence=(lost_row(),), refused=(bad,))
    for _ in range(3):
        await store.insert_block(whole)
    assert count(store, "measurements") == 30
    assert count(store, "verdicts") == 60
    assert count(store, "presence") == count(store, "quarantine") == 1
    assert await store.cursor("j") == 9


@pytest.mark.parametrize("broken", ["measurements", "verdicts", "presence", "done"])
async def test_replay_completes_a_torn_block(store: Store, broken: str) -> None:
    judged = (taken(1, steps=observations()), (reachable(),))
    whole = replace(block(1, 5, judged), presence=(lost_row(),))
    genuine = store._clickhouse.insert

    def tear(table: str, rows: object, deduplication_token: str) -> None:
        if broken in (table, deduplication_token.rpartition("-")[2]):
            raise StoreError("torn")
        genuine(table, rows, deduplication_token)

    store._clickhouse.insert = tear  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="torn"):
        await store.insert_block(whole)
    assert await store.cursor("j") == 0
    assert await store.pending("j") == (1, 5)
    store._clickhouse.insert = genuine  # type: ignore[method-assign]
    await store.insert_block(whole)
    assert await store.pending("j") is None
    assert count(store, "measurements") == count(store, "verdicts") == count(store, "presence") == 1


async def test_measurement_appears_after_its_verdicts(store: Store) -> None:
    genuine, seen = store._clickhouse.insert, []

    def watched(table: str, rows: object, deduplication_token: str) -> None:
        genuine(table, rows, deduplication_token)
        seen.append((count(store, "measurements"), count(store, "verdicts")))

    store._clickhouse.insert = watched  # type: ignore[method-assign]
    await keep(store, (taken(1, steps=observations()), (reachable(),)))
    assert (0, 1) in seen
    assert (1, 0) not in seen


async def test_impossible_time_is_stored_and_has_no_vote(store: Store) -> None:
    bad = Verdict(state=VerdictState.UNKNOWN, rule=TIME_BAD)
    late = replace(taken(1), received_us=T0 + 121 * 86_400 * US)
    await keep(store, (late, (bad,)), (taken(2), (reachable(),)))
    found = await store.measurement(late.id)
    assert found is not None
    assert (found[0].is_time_bad, found[0].measurement.started_us, found[1]) == (True, T0, (bad,))
    page = await store.measurements(MeasurementFilter(since_us=late.received_us))
    assert [t.id for t, _ in page.items] == [late.id]
    assert [v.pseudonym for v in await store.votes(T0, late.received_us + US, 300)] == ["nym2"]


async def test_volunteers_vote_by_bin_and_controls_do_not(store: Store) -> None:
    await keep(
        store,
        (taken(1, who="anna"), (blocked(), blocked("dc1"))),
        (taken(2, who="anna", at_us=T0 + 10 * US), (reachable(),)),
        (taken(3, who="anna", at_us=T0 + 301 * US), (reachable(),)),
        (taken(4, who="berik"), (blocked(method="timeout_after_hello"),)),
        (taken(5, who="berik", at_us=T0 + 9 * US), (blocked(method="timeout_after_hello"),)),
        (taken(6, who="berik", at_us=T0 + 11 * US), (blocked(),)),
        (taken(7, who="us", role=AgentRole.CONTROL), (blocked(),)),
        (taken(8, who="ivan", vantage=RU), (reachable(),)),
    )
    votes = await store.votes(T0, T0 + HOUR, 300, country="KZ")
    assert [(v.pseudonym, v.start_us, v.reachable, v.blocked) for v in votes] == [
        ("anna", T0, 1, 1),
        ("berik", T0, 0, 3),
        ("anna", T0 + 300 * US, 1, 0),
    ]
    assert (votes[1].layer, votes[1].method) == ("tls", "timeout_after_hello")
    assert (votes[0].prefix, votes[0].asn, votes[0].region) == ("net-anna", 9198, "ALA")
    assert len(await store.votes(T0, T0 + HOUR, 300)) == 4
    assert [v.pseudonym for v in await store.votes(T0, T0 + HOUR, 300, access="mobile")] == ["ivan"]
    assert await store.votes(T0, T0 + HOUR, 300, service="signal") == []
    assert await store.votes(T0 + HOUR, T0 + 2 * HOUR, 300) == []


async def test_later_judgement_replaces_earlier(store: Store) -> None:
    one = taken(1)
    await keep(store, (one, (blocked(), blocked("dc1"), blocked("dc2"))))
    await keep(store, (one, (reachable(), reachable("dc1"))), number=2)
    (vote,) = await store.votes(T0, T0 + HOUR, 300)
    assert (vote.blocked, vote.reachable) == (0, 1)
    assert await store.measurement(one.id) == (one, (reachable(), reachable("dc1")))
    assert count(store, "measurements") == 1


async def test_pages_list_each_measurement_once(store: Store) -> None:
    rows = [(taken(n, at_us=T0 + n // 3 * US), (reachable(),)) for n in range(20)]
    await keep(store, *rows)
    seen: list[str] = []
    cursor = ""
    while cursor or not seen:
        page = await store.measurements(MeasurementFilter(), cursor, 7)
        seen += [t.id for t, verdicts in page.items if verdicts == (reachable(),)]
        cursor = page.next
    assert sorted(seen) == sorted(t.id for t, _ in rows)
    with pytest.raises(ValueError, match="cursor"):
        await store.measurements(MeasurementFilter(), "x'); DROP", 7)


async def test_pages_reach_back_over_any_pause(store: Store) -> None:
    """Pages reach back over any pause.

    Two rows are in the newest minute, then one after ever longer pauses, weeks in the end.
    """
    pauses_us = [0, US, HOUR // 2, *(n * n * HOUR for n in range(1, 15))]
    times_us = [T0 + 60 * 24 * HOUR - after_us for after_us in pauses_us]
    rows = [(taken(n, at_us=at_us), (reachable(),)) for n, at_us in enumerate(times_us)]
    await keep(store, *rows)
    seen: list[int] = []
    cursor = ""
    while cursor or not seen:
        page = await store.measurements(MeasurementFilter(), cursor, 2)
        seen += [record.started_us for record, _ in page.items]
        cursor = page.next
    assert seen == times_us
    early = MeasurementFilter(until_us=times_us[3])
    page = await store.measurements(early, "", 3)
    assert [record.started_us for record, _ in page.items] == times_us[4:7]
    late = MeasurementFilter(since_us=times_us[2])
    page = await store.measurements(late)
    assert [record.started_us for record, _ in page.items] == times_us[:3]


async def test_measurements_are_filtered(store: Store) -> None:
    await keep(
        store,
        (taken(1), (blocked(),)),
        (taken(2, service="signal"), (reachable(),)),
        (taken(3, vantage=RU, at_us=T0 + HOUR), (reachable(), blocked("dc1"))),
    )

    async def found(**wanted: object) -> list[int]:
        page = await store.measurements(MeasurementFilter(**wanted))  # type: ignore[arg-type]
        return sorted(t.measurement.sequence for t, _ in page.items)

    assert await found() == [1, 2, 3]
    assert await found(state="blocked") == [1]
    assert await found(state="reachable", country="RU", asn=12_389, access="mobile") == [3]
    assert await found(service="signal", experiment="telegram", region="ALA") == [2]
    assert await found(since_us=T0 + 1) == [3]
    assert await found(until_us=T0 + 1) == [1, 2]


async def test_lost_vantage_is_silent_until_its_return(store: Store) -> None:
    def event(position: int, kind: RowKind, who: str, minute: int, **more: Any) -> PresenceRow:
        at_us = T0 + minute * 60 * US
        return lost_row(kind=kind, position=position, received_us=at_us, pseudonym=who, **more)

    events = (
        event(1, RowKind.ARRIVAL, "anna", 0),
        event(2, RowKind.ARRIVAL, "berik", 0),
        event(3, RowKind.LOST, "anna", 7),  # back in the bin that begins at 15
        event(4, RowKind.LOST, "berik", 12),  # stays away
        event(5, RowKind.GOODBYE, "dana", 12),
        event(6, RowKind.LOST, "control", 12, role=AgentRole.CONTROL),
        event(7, RowKind.ARRIVAL, "anna", 17),
        event(8, RowKind.LOST, "erlan", 21),  # back within the bin
        event(9, RowKind.ARRIVAL, "erlan", 22),
    )
    await store.insert_block(replace(block(1, 9), presence=events))
    found = await store.silences(T0, T0 + 30 * 60 * US, 300)
    minutes = {(s.start_us - T0) // (60 * US): s.vantages for s in found}
    assert minutes == {5: 1, 10: 2, 15: 1, 20: 1, 25: 1}
    assert (found[0].country, found[0].asn, found[0].region) == ("KZ", 9198, "ALA")
    later = await store.silences(T0 + 15 * 60 * US, T0 + 20 * 60 * US, 300, country="KZ")
    assert [s.vantages for s in later] == [1]


async def test_lost_vantage_that_sends_fresh_results_is_not_silent(store: Store) -> None:
    """A lost vantage that sends fresh results is not silent.

    The results come without a session; old ones, or those of a neighbor's line, prove nothing.
    """
    names = ("anna", "berik", "dana")
    lost = [
        lost_row(kind=RowKind.LOST, position=n, received_us=T0 + 420 * US, pseudonym=who)
        for n, who in enumerate(names, 1)
    ]
    sent = [taken(10 + m, at_us=T0 + m * 60 * US, who="anna") for m in (7, 10, 13)]
    sent.append(taken(5, at_us=T0 + 5 * 60 * US, who="berik"))  # while it had its session
    late = taken(20, at_us=T0, who="berik")
    sent.append(replace(late, received_us=T0 + 13 * 60 * US))
    relayed = taken(21, at_us=T0 + 13 * 60 * US, who="dana")
    sent.append(replace(relayed, measurement=relayed.measurement.with_link(Link.OFFLINE)))
    judged = tuple((one, ()) for one in sent)
    await store.insert_block(replace(block(1, 9, *judged), presence=tuple(lost)))
    found = await store.silences(T0, T0 + 25 * 60 * US, 300)
    minutes = {(s.start_us - T0) // (60 * US): s.vantages for s in found}
    assert minutes == {5: 2, 10: 2, 15: 3, 20: 3}


async def test_results_sent_in_one_silence_say_nothing_of_the_next(store: Store) -> None:
    """Results sent in one silence prove nothing about the next.

    A session that broke for two minutes once hid the cut that followed, for five minutes.
    """
    kinds = (RowKind.LOST, RowKind.ARRIVAL, RowKind.LOST)
    events = [
        lost_row(kind=kind, position=n, received_us=T0 + n * MINUTE, pseudonym="anna")
        for n, kind in zip((0, 2, 3), kinds, strict=True)
    ]
    sent = taken(9, at_us=T0, who="anna")  # it comes a minute later
    await store.insert_block(replace(block(1, 9, (sent, ())), presence=tuple(events)))
    found = await store.silences(T0, T0 + 6 * MINUTE, 60)
    assert [(s.start_us - T0) // MINUTE for s in found] == [0, 3, 4, 5]


async def test_seniority_is_kept_with_vote_and_measurement(store: Store) -> None:
    ages = {"n1": Seniority.ESTABLISHED, "n2": Seniority.YOUNG, "n3": Seniority.NEW}
    ones = [replace(taken(int(n[1]), who=n), seniority=age) for n, age in ages.items()]
    await keep(store, *((one, (blocked(),)) for one in ones))
    votes = await store.votes(T0, T0 + HOUR, 300)
    assert {vote.pseudonym: vote.seniority for vote in votes} == dict(list(ages.items())[:2])
    kept = [j.measurement for j in await store.list_judgements(T0, T0 + HOUR)]
    assert {one.pseudonym: one.seniority for one in kept} == ages


async def test_rows_of_older_schema_are_not_established(store: Store, tmp_path: Path) -> None:
    there = lost_row(heard_us=T0 - US)
    told = taken(1)
    await store.insert_block(replace(block(1, 1, (told, (blocked(),))), presence=(there,)))
    newer = "presence.heard presence.why presence.seniority cells.established"
    newer += " minute_cells.established"
    newer += " measurements.seniority verdicts.seniority"
    newer += " measurements.established verdicts.established"
    for table, column in (name.split(".") for name in newer.split()):
        store._clickhouse.command(f"ALTER TABLE {table} DROP COLUMN {column}")
    store._clickhouse.command("ALTER TABLE migrations DELETE WHERE version >= 5")
    await store.close()
    async with open_store(tmp_path) as again:
        (vote,) = await again.votes(T0, T0 + HOUR, 300)
        assert (vote.blocked, vote.seniority) == (1, Seniority.YOUNG)
        ((found, _),) = (await again.measurements(MeasurementFilter())).items
        assert found == replace(told, seniority=Seniority.YOUNG)


def build_cell(**changes: Any) -> Cell:
    cell = Cell(
        country="KZ", region="", asn=0, access="", service="telegram", start_us=T0, bin_s=300,
        vantages=9, reachable=9, blocked=0, down=0, unknown=0, silent=0,
        state=VerdictState.REACHABLE, confidence=0.9,
    )  # fmt: skip
    return replace(cell, **changes)


async def test_cells_are_replaced_by_key(store: Store) -> None:
    cell = build_cell(
        vantages=5, reachable=1, blocked=4, silent=2, state=VerdictState.BLOCKED, confidence=0.75,
        layer="tls", method="reset", prefixes=4,
    )  # fmt: skip
    other = replace(cell, asn=9198)
    await store.replace_cells([cell, other])
    await store.replace_cells([replace(cell, state=VerdictState.REACHABLE)])
    await store.replace_cells([cell])
    wanted = CellFilter(since_us=T0, until_us=T0 + HOUR, country="KZ")
    assert await store.cells(wanted) == [cell, other]
    assert await store.cells(replace(wanted, asn=0, region="", access="")) == [cell]
    assert await store.cells(replace(wanted, service="signal")) == []


async def test_cell_is_replaced_after_clock_is_set_back(store: Store) -> None:
    """A cell is replaced after the clock was set back, also after a restart.

    It was written while the clock was ahead by a day.
    """
    cell = build_cell()
    await store.replace_cells([cell])
    ahead = "INSERT INTO cells SELECT * REPLACE (written + toIntervalDay(1) AS written) FROM cells"
    await asyncio.to_thread(store._clickhouse.command, ahead)
    store._cell_writer = CellWriter(store._clickhouse)  # as in a process that has just begun
    for silent in (1, 2):
        newer = replace(cell, vantages=0, reachable=0, silent=silent, state=VerdictState.UNKNOWN)
        await store.replace_cells([newer])
        wanted = CellFilter(since_us=T0, until_us=T0 + HOUR, country="KZ")
        assert await store.cells(wanted) == [newer]


async def test_queries_run_while_blocks_are_inserted(store: Store) -> None:
    answers: list[int] = []

    async def insert() -> None:
        for n in range(1, 13):
            await store.insert_block(block(n, n, (taken(n, who=f"v{n}"), (reachable(),))))

    async def ask() -> None:
        while not answers or answers[-1] < 12:
            answers.append(len(await store.votes(T0, T0 + HOUR, 300)))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(insert())
        group.create_task(ask())
        group.create_task(ask())
    assert all(0 <= n <= 12 for n in answers)


async def test_reopened_store_has_its_rows(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.insert_block(block(1, 7, (taken(1), (reachable(),))))
    async with open_store(tmp_path) as again:
        assert (await again.cursor("j"), await again.cursor("new")) == (7, 0)
        assert await again.measurement(taken(1).id) is not None
    for request in (again.health(), again.insert_block(block(1, 1))):
        with pytest.raises(StoreError, match="closed"):
            await request


@pytest.mark.parametrize(
    "url", ["postgres://x", "chdb://", "chdb://host/x", "/data", "clickhouse:"]
)
def test_unknown_url_raises(url: str) -> None:
    with pytest.raises(StoreError, match=r"chdb:///PATH, clickhouse://HOST:PORT"):
        Store(url)
