"""Daily files over real store and server: pyarrow reads them, and few are in none."""

import asyncio
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq  # type: ignore[import-untyped] # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector import cli
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.http.api.parquet import COLUMNS, DayFile
from heliograph_collector.http.dump_writer import (
    DAYS_PER_ROUND,
    GRACE_US,
    DumpStore,
    DumpWriter,
    list_due_days,
    write_day,
)
from heliograph_collector.http.history_writer import HistoryWriter
from heliograph_collector.http.running_day import RunningDay
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.history import MARK_CODES, Axis, HistoryFilter
from heliograph_collector.model.published.files import DumpFile
from heliograph_collector.model.records import Cell, VerdictState
from heliograph_collector.store.history import HistoryReader
from heliograph_collector.store.store import Store, StoreError
from support.examples import limit_examples
from support.fake_feed import TITLES, World
from support.hand_clock import HandClock
from support.rows import T0
from support.serve_process import served
from support.site import open_site
from support.waiting import until_now

MIDNIGHT = T0 // DAY_US * DAY_US
NEXT = MIDNIGHT + DAY_US + GRACE_US
FILE = "cells-2022-01-05.parquet"
SCHEMA = [
    *(("country", "string"), ("region", "string"), ("asn", "uint32"), ("access", "string")),
    *(("service", "string"), ("start", "timestamp[us, tz=UTC]"), ("bin_s", "uint32")),
    *((count, "uint32") for count in ("vantages", "reachable", "blocked", "down", "unknown")),
    *(("silent", "uint32"), ("state", "string"), ("confidence", "double")),
    *(("layer", "string"), ("method", "string")),
]


def cell(people: int, *, start_us: int = T0, **changes: Any) -> Cell:
    made = Cell(
        country="KZ", region="", asn=9198, access="fixed", service="telegram", start_us=start_us,
        bin_s=300, vantages=people, reachable=0, blocked=people, down=0, unknown=0, silent=0,
        state=VerdictState.BLOCKED, confidence=0.87, layer="tls", method="reset_after_hello",
        prefixes=people,
    )  # fmt: skip
    return replace(made, **changes)


def fill_store(data: Path, *cells: Cell) -> None:
    """Write cells to the store of a collector that does not run."""

    async def fill() -> None:
        store = Store(f"chdb://{data}/store")
        await store.open()
        await store.replace_cells(cells)
        await store.close()

    asyncio.run(fill())


def keeper(
    store: Store, folder: Path, now_us: int, k: int = 5, days: int = 99,
    history: HistoryWriter | None = None, running_day: RunningDay | None = None,
) -> DumpWriter:  # fmt: skip
    clock = HandClock(wall=now_us)
    expiry = ExpiryClock(clock, now_us, 0)
    return DumpWriter(
        store, folder, clock, expiry=expiry, k_anonymity=k, retention_days=days, services=TITLES,
        history=history, running_day=running_day,
    )  # fmt: skip


def table(folder: Path, name: str = FILE) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / name).to_pylist()
    return rows


def listed(folder: Path) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["files"]
    return files


async def test_a_day_is_written_when_it_is_over_and_again_when_late_data_changed_it(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    await store.replace_cells([cell(12), cell(23, start_us=T0 + 3_600_000_000)])
    assert await keeper(store, folder, NEXT - 1).run_round()
    assert list(folder.glob("*.parquet")) == []
    running = keeper(store, folder, NEXT)
    assert await running.run_round()
    rows = [(row["vantages"], row["blocked"], row["confidence"]) for row in table(folder)]
    assert rows == [(10, 10, 0.9), (20, 20, 0.9)]
    (first,) = listed(folder)
    content = (folder / FILE).read_bytes()
    assert (first["day"], first["revision"], first["rows"]) == ("2022-01-05", 1, 2)
    digest = hashlib.sha256(content).hexdigest()
    assert (first["bytes"], first["sha256"]) == (len(content), digest)
    await running.run_round()
    await keeper(store, folder, NEXT + DAY_US).run_round()
    assert listed(folder) == [first], "nothing changed, after a restart neither"
    await store.replace_cells([cell(14)])
    await running.run_round()
    assert listed(folder) == [first], "what changed is not told: nothing in the file did"
    await store.replace_cells([cell(60)])
    await running.run_round()
    (second,) = listed(folder)
    assert second["revision"] == 2
    assert [row["vantages"] for row in table(folder)] == [50, 20]
    assert not list(folder.glob("*.new"))


async def test_what_few_saw_is_in_no_file(store: Store, tmp_path: Path) -> None:
    small = cell(3, asn=21_299, access="mobile")
    named = cell(20, service="=cmd|'/C calc'!A0")
    await store.replace_cells([cell(20), small, cell(4, country="UZ", asn=1), named])
    await keeper(store, tmp_path / "five", NEXT).run_round()
    rows = table(tmp_path / "five")
    assert [(r["country"], r["asn"], r["vantages"]) for r in rows] == [("KZ", 9198, 20)]
    await keeper(store, tmp_path / "one", NEXT, k=1).run_round()
    assert len(table(tmp_path / "one")) == 3


async def test_day_that_lost_its_rows_has_no_file_any_more(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    await store.replace_cells([cell(4)])
    await keeper(store, folder, NEXT, k=1).run_round()
    assert len(listed(folder)) == 1
    await keeper(store, folder, NEXT).run_round()
    assert (listed(folder), (folder / FILE).exists()) == ([], False)


async def test_the_file_has_silent_counts_but_no_results_of_too_few(
    store: Store, tmp_path: Path
) -> None:
    await store.replace_cells([cell(2, silent=30)])
    await keeper(store, tmp_path / "dumps", NEXT).run_round()
    (row,) = table(tmp_path / "dumps")
    told = [row[name] for name in ("vantages", "silent", "state", "confidence", "layer", "method")]
    assert told == [0, 20, "unknown", 0.0, "", ""]


async def test_the_history_follows_the_files(store: Store, tmp_path: Path) -> None:
    """The history is rebuilt after a change, and loses days without files."""
    file = tmp_path / "history.db"
    days = HistoryFilter(axes=[Axis.SERVICE], since_us=MIDNIGHT, until_us=MIDNIGHT + 99 * DAY_US)

    async def write(now_us: int, **changes: Any) -> list[tuple[int, int]]:
        follower = HistoryWriter(tmp_path / "dumps", file)
        await keeper(store, tmp_path / "dumps", now_us, history=follower, **changes).run_round()
        return [(row.day_us, row.vantages) for row in HistoryReader(file).read(days).rows]

    await store.replace_cells([cell(9), cell(9, start_us=T0 + 9 * DAY_US)])
    end_us = NEXT + 10 * DAY_US
    assert await write(end_us) == [(MIDNIGHT, 5), (MIDNIGHT + 9 * DAY_US, 5)]
    await store.replace_cells([cell(60)])
    assert await write(end_us) == [(MIDNIGHT, 50), (MIDNIGHT + 9 * DAY_US, 5)]
    assert await write(end_us, days=3) == [(MIDNIGHT + 9 * DAY_US, 5)]
    assert await write(end_us, days=3, k=50) == []


async def test_a_day_whose_file_cannot_be_read_is_absent_and_not_empty(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "history.db"
    writer = HistoryWriter(tmp_path / "dumps", file)
    await store.replace_cells([cell(9)])
    await keeper(store, tmp_path / "dumps", NEXT).run_round()
    (day,) = listed(tmp_path / "dumps")
    files = {day["day"]: msgspec.convert(day, DumpFile)}
    days = HistoryFilter(axes=[Axis.SERVICE], since_us=MIDNIGHT, until_us=NEXT)
    aside = (tmp_path / "dumps" / FILE).rename(tmp_path / "aside")
    assert writer.follow(files)
    assert HistoryReader(file).read(days).last_us is None
    aside.rename(tmp_path / "dumps" / FILE)
    assert writer.follow(files)
    assert [row.vantages for row in HistoryReader(file).read(days).rows] == [5]


async def test_the_history_has_the_hours_of_the_day_in_progress(
    store: Store, tmp_path: Path
) -> None:
    """The history has the hours of the day in progress.

    They come ten minutes after their end, with late data, until the daily file has more.
    """
    file = tmp_path / "history.db"
    dumps = tmp_path / "dumps"
    hour_us = T0 // HOUR_US * HOUR_US
    days = HistoryFilter(axes=[Axis.SERVICE], since_us=MIDNIGHT, until_us=MIDNIGHT + DAY_US)
    running_day = RunningDay(store, tmp_path / "running", file, 5, TITLES)
    writer = HistoryWriter(dumps, file)

    async def write(now_us: int, day: RunningDay = running_day) -> list[tuple[int, int]]:
        made = keeper(store, dumps, now_us, history=writer, running_day=day)
        assert await made.run_round()
        rows = HistoryReader(file).read(days).rows
        first = hour_us // HOUR_US % 24
        return [(row.hours[first], row.hours[first + 1]) for row in rows]

    await store.replace_cells([cell(3), cell(9, start_us=T0 + HOUR_US)])
    assert await write(hour_us + HOUR_US + 599_000_000) == []
    assert await write(hour_us + HOUR_US + 600_000_000) == [], "of three nobody may know"
    await store.replace_cells([cell(9)])
    both = [(MARK_CODES["blocked"],) * 2]
    assert await write(hour_us + 2 * HOUR_US + 600_000_000) == both
    assert await write(MIDNIGHT + DAY_US + 900_000_000) == both, "its file comes later"
    assert not (dumps / "index.json").exists()
    new_process = RunningDay(store, tmp_path / "running", file, 5, TITLES)
    assert await write(NEXT + HOUR_US, new_process) == both
    assert [day["day"] for day in listed(dumps)] == ["2022-01-05"]
    await store.replace_cells([cell(1), cell(1, start_us=T0 + HOUR_US)])
    assert await write(NEXT + 2 * HOUR_US) == [], "the day goes with its file"


async def test_old_files_go(store: Store, tmp_path: Path) -> None:
    await store.replace_cells([cell(9), cell(9, start_us=T0 + 9 * DAY_US)])
    folder = tmp_path / "dumps"
    await keeper(store, folder, NEXT + 10 * DAY_US).run_round()
    assert [file["day"] for file in listed(folder)] == ["2022-01-14", "2022-01-05"]
    await keeper(store, folder, NEXT + 10 * DAY_US, days=3).run_round()
    assert [path.name for path in folder.glob("*.parquet")] == ["cells-2022-01-14.parquet"]


async def test_the_schema_is_stable_and_says_what_it_means(store: Store, tmp_path: Path) -> None:
    await store.replace_cells([cell(9)])
    await keeper(store, tmp_path / "dumps", NEXT).run_round()
    found = pq.read_schema(tmp_path / "dumps" / FILE)
    assert [(field.name, str(field.type)) for field in found] == SCHEMA
    told = {key.decode(): value.decode() for key, value in found.metadata.items()}
    assert told["heliograph.schema"] == "2"
    assert (told["heliograph.day"], told["heliograph.k_anonymity"]) == ("2022-01-05", "5")
    assert found.field("asn").metadata[b"unit"] == b"autonomous system number"
    assert [column.name for column in COLUMNS] == [name for name, _ in SCHEMA]


def test_a_round_is_bounded_and_takes_the_newest_first() -> None:
    days = [(MIDNIGHT + n * DAY_US, 7) for n in range(40)]
    written = {"2022-01-10": 7, "2022-01-09": 6}
    found = list_due_days(days, written, MIDNIGHT + DAY_US, NEXT + 6 * DAY_US)
    named = [(day_us - MIDNIGHT) // DAY_US for day_us, _ in found]
    assert named == [6, 4, 3, 2, 1]
    assert DAYS_PER_ROUND < 40


async def test_a_file_that_cannot_be_written_leaves_the_one_before(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.replace_cells([cell(9)])
    running = keeper(store, tmp_path / "dumps", NEXT)
    await running.run_round()
    before = (tmp_path / "dumps" / FILE).read_bytes()
    await store.replace_cells([cell(60), cell(9, start_us=T0 + 7_200_000_000)])
    asked = store.cells

    async def half(wanted: Any) -> list[Cell]:
        if wanted.since_us > T0:
            raise StoreError("away")
        return await asked(wanted)

    with monkeypatch.context() as patched:
        patched.setattr(store, "cells", half)
        assert await running.run_round()
    assert (tmp_path / "dumps" / FILE).read_bytes() == before
    assert not list((tmp_path / "dumps").glob("*.new"))
    await running.run_round()
    assert listed(tmp_path / "dumps")[0]["revision"] == 2


async def test_files_are_offered_with_their_list_ranges_and_tags(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    await store.replace_cells([cell(12)])
    await keeper(store, folder, NEXT).run_round()
    async with open_site(World().feed(dumps=folder)) as client:
        index = await client.json("/dumps/index.json")
        (file,) = index["files"]
        assert "seen" not in index
        answer = await client.get(file["url"])
        content = await answer.read()
        assert (answer.status, answer.content_type) == (200, "application/vnd.apache.parquet")
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert pq.read_table(io.BytesIO(content)).num_rows == 1
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        part = await client.get(file["url"], headers={"Range": "bytes=0-3"})
        assert (part.status, await part.read()) == (206, b"PAR1")
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert (await client.get(file["url"], headers=tag)).status == 304
        page = await client.html("/dumps/")
        assert f'href="/dumps/{FILE}">2022-01-05</a>' in page
        assert "cells-2022-01-[01-31].parquet" in page  # how to read a month of them
        assert await client.json("/dumps/", headers={"Accept": "application/json"}) == index
        told = await client.json("/dumps/README.json")
        assert [column["name"] for column in told["columns"]] == [name for name, _ in SCHEMA]
        assert all(column["meaning"] and column["unit"] for column in told["columns"])


@pytest.mark.parametrize("name", ["..%2Fstore", "index.json.new", "cells-2022-01-06.parquet"])
async def test_only_what_is_listed_is_given(tmp_path: Path, name: str) -> None:
    (tmp_path / "index.json.new").write_text("{}")
    (tmp_path / "cells-2022-01-06.parquet").write_text("half")
    async with open_site(World().feed(dumps=tmp_path)) as client:
        refusal = await client.problem(f"/dumps/{name}", 404)
        assert "/dumps/index.json lists them" in refusal["detail"]


async def test_without_files_the_list_is_empty() -> None:
    async with open_site(World().feed()) as client:
        assert (await client.json("/dumps/index.json"))["files"] == []
        assert "No file has been written yet" in await client.html("/dumps/")


def test_export_writes_the_same_into_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = tmp_path / "data", tmp_path / "out"
    fill_store(data, cell(12), cell(12, start_us=T0 + DAY_US))
    places = ["--data", str(data), "--until", "2022-01-05", "--json"]
    assert cli.main(["export", "parquet", str(folder), *places]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert (file["name"], file["rows"]) == (FILE, 1)
    assert [row["vantages"] for row in table(folder)] == [10]
    assert listed(folder) == [file]
    told = json.loads((folder / "README.json").read_text())
    assert (told["k_anonymity"], len(told["columns"])) == (5, len(SCHEMA))


def test_export_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "parquet", str(tmp_path), "--data", str(tmp_path / "no")]) == 1
    assert "holds no collector" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        cli.main(["export", "parquet", str(tmp_path), "--since", "yesterday"])
    assert end.value.code == 2
    assert "allowed: a day such as 2022-01-05" in capsys.readouterr().err


people = st.dictionaries(st.integers(1, 5), st.integers(1, 60), min_size=1, max_size=5)


@settings(deadline=None, max_examples=limit_examples(60))
@given(people, st.sampled_from((5, 10)), st.integers(1, 9))
def test_a_file_is_the_same_whoever_of_few_was_there(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[int, int], k: int, few: int
) -> None:
    """A daily file is the same with and without a country of few."""
    crowd = [cell(count, asn=asn) for asn, count in sizes.items()]
    alone = cell(min(few, k - 1), country="UZ")
    folder = tmp_path_factory.mktemp("file")
    found = []
    for cells in (crowd, [*crowd, alone]):
        file = DayFile(folder / FILE, MIDNIGHT, k)
        file.add(Disclosure(k, TITLES, NEXT).release(cells))
        found.append(file.close())
    assert found[0] == found[1]
    if found[1] is not None:
        least = 5 if k == 5 else 10
        assert all(row["vantages"] >= least for row in table(folder))


async def test_days_are_told_with_their_last_change(store: Store, tmp_path: Path) -> None:
    await store.replace_cells([cell(9), cell(9, start_us=T0 + DAY_US)])
    days = await store.cell_days(0)
    assert [day for day, _ in days] == [MIDNIGHT, MIDNIGHT + DAY_US]
    assert await store.cell_days(MIDNIGHT + DAY_US) == days[1:]
    shelf = DumpStore.open(tmp_path / "dumps", 5, TITLES)
    assert await write_day(store, shelf, *days[0], NEXT)
    assert not await write_day(store, shelf, *days[0], NEXT)
    await store.replace_cells([cell(8)])
    assert (await store.cell_days(0))[0][1] > days[0][1]


def test_serve_writes_and_offers_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fill_store(data, cell(12))
    with served(data) as home:
        home.wait_for("http")
        until_now(lambda: FILE in home.get("/dumps/index.json")[1])
        assert home.get("/dumps/README.json")[0] == 200
        assert f"Daily file {FILE} written" in home.log.read_text()
    assert [row["vantages"] for row in table(data / "dumps")] == [10]
