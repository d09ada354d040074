"""The store over ClickHouse's HTTP interface (a front over an embedded engine)."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from heliograph_collector.model.filters import CellFilter, MeasurementFilter
from heliograph_collector.model.records import Cell, VerdictState
from heliograph_collector.store.daily_totals import AnonymityRule, day_at
from heliograph_collector.store.migrations import (
    MIGRATIONS_TABLE,
    cluster_substitutions,
    read_files,
    split_statements,
)
from heliograph_collector.store.store import Store, StoreError
from support.clickhouse_front import open_front
from support.crowds import said
from support.rows import DAY, T0, US, block, blocked, observations, reachable, taken

TESTS = Path(__file__).parents[2]
LATER = T0 + 40 * DAY  # of which no other test of this server asks


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with open_front(tmp_path_factory.mktemp("server") / "d") as port:
        yield port


@asynccontextmanager
async def open_remote(port: int, lease: "Lease | None" = None) -> AsyncIterator[Store]:
    store = Store(
        f"clickhouse://127.0.0.1:{port}",
        permission=lease,
        observations_days=99_999,
        verdicts_days=99_999,
    )
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def remote(port: int) -> AsyncIterator[Store]:
    async with open_remote(port) as store:
        yield store


async def test_server_gives_the_same_answers(remote: Store) -> None:
    one = taken(1, steps=observations())
    whole = block(1, 1, (one, (blocked(), reachable("dc1"))))
    await remote.insert_block(whole)
    await remote.insert_block(whole)
    assert await remote.measurement(one.id) == (one, (blocked(), reachable("dc1")))
    (vote,) = await remote.votes(T0, T0 + US, 300, service="telegram")
    assert (vote.blocked, vote.method) == (1, "reset_after_hello")
    assert await remote.cursor("j") == 1
    assert (await remote.measurements(MeasurementFilter(country="' OR 1=1"))).items == ()
    assert await remote.cells(CellFilter(since_us=T0, until_us=T0 + 1)) == []
    assert (await remote.health()).free_bytes is None


@pytest.fixture
async def second(remote: Store, port: int) -> AsyncIterator[Store]:
    """The store of another host at the same server."""
    async with open_remote(port) as store:
        yield store


async def test_late_block_of_one_host_changes_a_day_that_another_has_summed(
    remote: Store, second: Store
) -> None:
    """A late block of one host changes a day that another has summed.

    Two hosts write to one server; each has stored rows of that day.
    """
    day, rule = day_at(LATER), AnonymityRule(1)
    await remote.insert_block(block(1, 1, *said(blocked(), 3, at_us=LATER), journal="days"))
    for number in (2, 3):
        later = said(reachable(), 2, first=10 * number, at_us=LATER)
        await remote.insert_block(block(number, number, *later, journal="days"))
        await second.sum_day(day, rule)
        assert day not in await second.list_due_days(LATER + 9 * DAY, rule, include_new=False)
    await remote.insert_block(
        block(4, 4, *said(reachable(), 2, first=50, at_us=LATER), journal="days")
    )
    assert day in await second.list_due_days(LATER + 9 * DAY, rule, include_new=False)


async def test_block_that_another_host_began_is_repeated_by_its_bounds(
    remote: Store, second: Store
) -> None:
    """A partition moves to another host, which ends in a block, and back."""
    judged = (taken(7, at_us=LATER), (blocked(),))
    await remote.insert_block(block(1, 2, judged, journal="moved"))
    people = [(taken(n, at_us=LATER, who=f"moved-{n}", position=n), (blocked(),)) for n in (4, 5)]
    began = block(3, 9, *people, journal="moved")
    await second.insert_block(began)
    await remote.insert_block(began)
    sql = "SELECT count() FROM measurements WHERE startsWith(nym, 'moved-')"
    assert second._clickhouse.query_written(sql, {}) == [(2,)]


async def test_cell_of_who_led_before_replaces_none_of_the_next(
    remote: Store, second: Store
) -> None:
    """A leader that was stopped in the middle of a write comes back, and ends it."""
    cell = Cell(
        country="KZ", region="", asn=0, access="", service="telegram", start_us=LATER, bin_s=300,
        vantages=9, reachable=9, blocked=0, down=0, unknown=0, silent=0,
        state=VerdictState.REACHABLE, confidence=0.9,
    )  # fmt: skip
    silent = replace(cell, vantages=0, reachable=0, silent=9, state=VerdictState.UNKNOWN)
    await remote.replace_cells([cell])
    await second.replace_cells([silent])
    await remote.replace_cells([cell])
    wanted = CellFilter(since_us=LATER, until_us=LATER + 1, country="KZ")
    assert await second.cells(wanted) == [silent]


@dataclass
class Lease:
    is_held: bool = True


async def test_who_may_have_lost_the_lease_writes_nothing(port: int) -> None:
    lease = Lease()
    async with open_remote(port, lease) as store:
        first = block(1, 2, (taken(3, at_us=LATER), (blocked(),)), journal="led")
        await store.insert_block(first)
        lease.is_held = False
        with pytest.raises(StoreError, match="Another collector may lead"):
            await store.insert_block(block(3, 4, journal="led"))
        with pytest.raises(StoreError, match="Another collector may lead"):
            await store.sum_day(day_at(LATER), AnonymityRule(1))
        assert await store.cursor("led") == 2
        assert (await store.measurements(MeasurementFilter(country="KZ"))).items, "it reads on"


async def test_unreachable_server_raises_and_may_be_retried() -> None:
    store = Store("clickhouse://user:secret@127.0.0.1:1")
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await store.open()
        assert "secret" not in str(caught.value)
    await store.close()


def test_schema_is_substituted_for_a_cluster() -> None:
    """Written from the documentation; never run on a cluster."""
    text = (
        "-- note\nCREATE TABLE t $on_cluster (a Int8) ENGINE = $replacing(v) ORDER BY a $settings;"
    )
    (made,) = split_statements(text, cluster_substitutions("main"))
    assert "CREATE TABLE t ON CLUSTER 'main' (a Int8)" in made
    assert (
        "ENGINE = ReplicatedReplacingMergeTree('/heliograph/{shard}/{table}', '{replica}', v)"
        in made
    )
    assert "replicated_deduplication_window = 1000" in made


def test_engine_reads_every_statement_for_a_cluster() -> None:
    """The engine parses every statement for a cluster; none is run here."""
    substitutions = cluster_substitutions("ma'in")
    statements = [
        statement
        for file in (MIGRATIONS_TABLE, *read_files().values())
        for statement in split_statements(file, substitutions)
    ]
    created = [s for s in statements if s.startswith("CREATE TABLE")]
    assert all("('/heliograph/{shard}/{table}', '{replica}'" in s for s in created)
    assert all("ON CLUSTER 'ma\\'in'" in s for s in statements)
    assert len(created) > 10
    wrong = statements[0].replace("ORDER BY", "ORDER")
    answers = explain([*statements, wrong])
    assert all("Query" in answer.partition(" ")[0] for answer in answers[:-1]), answers
    assert "Syntax error" in answers[-1]


def explain(statements: list[str]) -> list[str]:
    """Return the engine's plan of each statement.

    It runs in a separate process, since the engine opens one directory.
    """
    program = (
        "import chdb, json, sys\n"
        "def explain(statement):\n"
        "    try: return str(chdb.query('EXPLAIN AST ' + statement, 'TSV'))\n"
        "    except RuntimeError as error: return str(error)\n"
        "print(json.dumps([explain(x) for x in json.load(sys.stdin)]))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command,
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    answers: list[str] = json.loads(done.stdout)
    return answers
