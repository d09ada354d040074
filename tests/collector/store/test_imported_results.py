"""Imported results are kept once, apart, and count for their source alone."""

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from heliograph.units import DAY_US
from heliograph_collector.cli import main
from heliograph_collector.http.pages.imported_rows import decide_imported
from heliograph_collector.model.imported import (
    IMPORT_SOURCES,
    OONI,
    ImportedCell,
    ImportedFilter,
    ImportedResult,
    StateCounts,
)
from heliograph_collector.model.records import VerdictState
from heliograph_collector.store.imported_history import MOST_AGREE
from heliograph_collector.store.imported_results import (
    FILE,
    ImportedResults,
    ImportedResultsError,
)
from heliograph_collector.store.store import TABLES
from support.ooni import RST, Json, web

START_US = 1_707_770_027_000_000  # 2024-02-12 20:33:47
ALL = ImportedFilter(since_us=0, until_us=2 * START_US)
DAY_S = 86_400
RESULT = ImportedResult(
    source=OONI, key="k", country="KZ", asn=9198, test="web_connectivity",
    target="https://www.example.com/", started_us=START_US, state=VerdictState.BLOCKED,
    layer="tls", method="reset_after_hello", rule="tls.reset_after_hello", confidence=0.85,
    reachable_endpoints=0, endpoints=0,
)  # fmt: skip


def document(number: int, **base: object) -> Json:
    """Build one measurement; its numbers are seconds of its start."""
    end = "93.184.216.34:443"
    here = [{"system": "93.184.216.34"}, {f"connect {end}": "ok"}, {f"tls {end}": RST}]
    control = {"dns": "93.184.216.34", "ends": {end: "ok ok"}, "page": 200}
    start = {"measurement_start_time": f"2024-02-12 20:33:{number:02d}"}
    return web({"url": RESULT.target, "here": here, "control": control, "base": start | base})


def import_documents(folder: Path, *documents: Json) -> int:
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(d) + "\n" for d in documents))
    return main(["import", "ooni", "--json", "--store", "--data", str(folder / "data"), str(path)])


def count(folder: Path, filters: ImportedFilter = ALL) -> list[ImportedCell]:
    with closing(ImportedResults(folder / "data" / FILE)) as imported:
        return imported.count_cells(filters, DAY_S)


def test_an_import_is_kept_once(tmp_path: Path) -> None:
    """An import is kept once, with or without a uid.

    The file of the API has a uid, the file of the bucket has none: it is one measurement.
    """
    assert import_documents(tmp_path, document(1), document(2)) == 0
    with_uid = document(2, measurement_uid="20240212203350.1_IT_webconnectivity_0")
    assert import_documents(tmp_path, with_uid, document(3)) == 0
    (cell,) = count(tmp_path)
    assert (cell.source, cell.country, cell.asn, cell.target) == (OONI, "IT", 137, RESULT.target)
    assert (cell.measurements, cell.blocked) == (3, 3)
    assert cell.start_us == START_US // DAY_US * DAY_US
    assert cell.lag_us > 0


def test_without_store_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document(1)))
    assert main(["import", "ooni", "--data", str(tmp_path / "data"), str(path)]) == 0
    assert not (tmp_path / "data").exists()


def test_newer_rules_replace_a_verdict_and_older_ones_do_not(tmp_path: Path) -> None:
    doubted = replace(RESULT, state=VerdictState.UNKNOWN)
    with closing(ImportedResults(tmp_path / FILE)) as imported:
        assert imported.add([RESULT, RESULT], START_US + 60, 4) == 1
        assert imported.add([doubted], START_US + DAY_US, 5) == 0
        assert imported.add([RESULT], START_US + DAY_US, 4) == 0
        (cell,) = imported.count_cells(ALL, DAY_S)
    assert (cell.unknown, cell.blocked) == (1, 0)
    assert cell.lag_us == 60, "how late it came first"


def test_every_state_is_counted(tmp_path: Path) -> None:
    with closing(ImportedResults(tmp_path / FILE)) as imported:
        imported.add([replace(RESULT, key=s, state=s) for s in VerdictState], START_US, 4)
        (cell,) = imported.count_cells(ALL, DAY_S)
    assert cell.measurements == len(VerdictState)


FILTERS = [
    ({"country": "KZ"}, 1), ({"country": "IT"}, 0), ({"asn": 9198}, 1), ({"asn": 1}, 0),
    ({"test": "web_connectivity"}, 1), ({"target": ""}, 0), ({"source": OONI}, 1),
    ({"source": "x"}, 0), ({"until_us": START_US}, 0), ({"since_us": START_US}, 1),
    ({"country": "' OR 1 --"}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "found"), FILTERS, ids=str)
def test_filters(tmp_path: Path, changed: Json, found: int) -> None:
    with closing(ImportedResults(tmp_path / FILE)) as imported:
        imported.add([RESULT], START_US, 4)
        assert len(imported.count_cells(replace(ALL, **changed), DAY_S)) == found


def test_days_follow_what_is_judged_again_and_files_without_counts_get_them(
    tmp_path: Path,
) -> None:
    site = replace(RESULT, key="2", test="web_connectivity", target="https://x.example/")
    with closing(ImportedResults(tmp_path / FILE)) as imported:
        imported.add([RESULT, replace(site, state=VerdictState.REACHABLE)], START_US, 4)
        imported.add([replace(site, state=VerdictState.BLOCKED)], START_US, 5)
        place = replace(ALL, country="KZ")
        history = imported.read_history(place, 9)
        assert (history.targets, history.imported_us) == (len(history.rows), START_US)
        (row,) = [r for r in history.rows if r.target == site.target]
        assert (row.total.blocked, sum(row.total)) == (1, 1)
        assert set(row.days) == {START_US // DAY_US * DAY_US}
        assert row.blocked_networks[site.asn] == 1
        by_network = imported.read_history(replace(ALL, asn=site.asn), 9)
        assert by_network.rows == history.rows
        assert imported.read_history(replace(ALL, target=site.target), 9).rows == [row]
        assert imported.read_history(replace(place, asn=1), 9).rows == []
        assert imported.read_history(replace(ALL, country="IT"), 9).rows == []
    for left_out in (["day_sums"], ["day_sums", "day_counts"]):  # as earlier versions left it
        with closing(sqlite3.connect(tmp_path / FILE)) as db:
            for table in left_out:
                db.execute(f"DROP TABLE {table}")
        with closing(ImportedResults(tmp_path / FILE)) as imported:
            assert imported.read_history(place, 9) == history


def test_a_reader_does_not_wait_for_an_import(tmp_path: Path) -> None:
    with closing(ImportedResults(tmp_path / FILE)) as imported:
        imported.add([RESULT], START_US, 4)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with closing(ImportedResults(tmp_path / FILE)) as imported:
            assert len(imported.read_history(replace(ALL, country="KZ"), 9).rows) == 1
            assert not imported._db.in_transaction


def test_each_source_names_its_license_and_is_in_no_table_of_ours() -> None:
    assert IMPORT_SOURCES[OONI].license == "CC-BY-NC-SA-4.0"
    assert not any("import" in table for table in TABLES), "daily files and cells come from these"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_data_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImportedResultsError, match="cannot be"):
        ImportedResults(tmp_path / FILE)


def test_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(ImportedResultsError, match="restore a backup"):
        ImportedResults(tmp_path / FILE)


def test_a_network_agrees_where_a_cell_of_its_counts_would_be_blocked() -> None:
    """The store sums by the rule of cells in its own language."""
    columns = ", ".join(f":{name} AS {name}" for name in StateCounts._fields)
    with closing(sqlite3.connect(":memory:")) as db:
        for counts in map(StateCounts._make, product(range(5), repeat=5)):
            question = f"SELECT {MOST_AGREE} FROM (SELECT {columns})"
            ((agrees,),) = db.execute(question, counts._asdict())
            assert agrees == (decide_imported(counts) is VerdictState.BLOCKED), counts
