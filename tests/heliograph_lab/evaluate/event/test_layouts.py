"""Layouts of tables: the subject of columns and rows, and those without levels."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.app.commands import load_event
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import ImportRefusedError, ImportResult
from heliograph_collector.sources.replay import Series

BEGAN = datetime(2026, 1, 8, tzinfo=UTC)
STEPS = [f"{BEGAN + timedelta(minutes=10 * step):%Y-%m-%d %H:%M:%S}" for step in range(60)]
IR = Scope("IR")


def load_table(
    folder: Path, header: str, rows: Sequence[str], name: str = "IR.csv", entity: str = ""
) -> ImportResult:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return load_event(path, entity)


def name_series(all_series: Sequence[Series]) -> dict[tuple[Scope, str], float | None]:
    """Return the first value of each series by its place and source."""
    return {(series.scope, series.source): series.values[0] for series in all_series}


def test_a_column_of_words_parts_the_rows_of_one_time(tmp_path: Path) -> None:
    rows = [f"{at},{name},{size}" for at in STEPS for name, size in (("bgp", 90), ("Ping", 40))]
    imported = load_table(tmp_path, "time,metric,value", rows)
    assert name_series(imported.replay.series) == {(IR, "bgp"): 90, (IR, "ping-slash24"): 40}
    assert not imported.complaints


def test_the_rows_of_a_provider_are_its_networks_and_not_the_countrys(tmp_path: Path) -> None:
    rows = [f"{at},{name},{size}" for at in STEPS for name, size in (("MCI", 90), ("TCI", 40))]
    first, second = load_table(tmp_path, "time,isp,value", rows).replay.series
    assert (first.source, second.source) == ("MCI", "TCI")
    assert first.scope.country == "IR"
    assert first.scope.asn != second.scope.asn
    assert min(first.scope.asn, second.scope.asn) >= 4_200_000_000


@pytest.mark.parametrize(("name", "entity"), [("IR.csv", ""), ("table.csv", "IR")])
def test_a_column_named_by_a_network_is_its_level(name: str, entity: str, tmp_path: Path) -> None:
    rows = [f"{at},90,40" for at in STEPS]
    imported = load_table(tmp_path, "time,AS44244 Irancell,MCCI (AS197207)", rows, name, entity)
    assert name_series(imported.replay.series) == {
        (Scope("IR", asn=44244), "value"): 90,
        (Scope("IR", asn=197207), "value"): 40,
    }


def test_rows_that_no_single_column_parts_are_refused(tmp_path: Path) -> None:
    rows = [
        f"{at},{host},{outcome},{i}"
        for i, at in enumerate(STEPS)
        for host in ("a.org", "b.org")
        for outcome in ("match", "other")
    ]
    with pytest.raises(ImportRefusedError, match=r"no column parts them: keep one row"):
        load_table(tmp_path, "time,domain,outcome,count", rows)


def test_places_have_codes_of_three_letters_and_provinces(tmp_path: Path) -> None:
    rows = [
        f"IRN,{number},{name},{at},35.7,51.4,{number * 10}"
        for at in STEPS
        for number, name in ((1, "Fars"), (2, "Yazd"))
    ]
    imported = load_table(tmp_path, "iso,id_1,name_1,time_e_str,lat,lon,connectivity", rows)
    assert name_series(imported.replay.series) == {
        (Scope("IR", region="Fars"), "connectivity"): 10,
        (Scope("IR", region="Yazd"), "connectivity"): 20,
    }
    assert not imported.complaints
    assert "'lat' is a label, no level" in imported.notes[1]


@pytest.mark.parametrize(
    ("header", "places"),
    [
        ("asn", (Scope("IR", asn=1), Scope("IR", asn=2))),
        ("city", (Scope("IR", "1"), Scope("IR", "2"))),
    ],
)
def test_parts_without_a_country_are_of_the_files(
    header: str, places: Sequence[Scope], tmp_path: Path
) -> None:
    rows = [f"{at},{number},{number * 10}" for at in STEPS for number in (1, 2)]
    imported = load_table(tmp_path, f"time,{header},value", rows)
    first, second = places
    assert name_series(imported.replay.series) == {(first, "value"): 10, (second, "value"): 20}


def test_rows_of_continents_are_no_rows_of_a_country(tmp_path: Path) -> None:
    rows = [f"{at},{name},{size}" for at in STEPS for name, size in (("IR", 90), ("Asia", 400))]
    imported = load_table(tmp_path, "time,country,value", rows)
    assert name_series(imported.replay.series) == {(IR, "value"): 90}
    assert "'Asia' names no entity" in imported.complaints[0]


def test_losses_beside_levels_are_no_second_value_of_them(tmp_path: Path) -> None:
    rows = [
        f"{at},{name},{size}"
        for at in STEPS
        for name, size in (("ping-slash24", 90), ("ping-slash24-loss", 3), ("gtr-norm", 1))
    ]
    imported = load_table(tmp_path, "time,datasource,value", rows)
    assert name_series(imported.replay.series) == {(IR, "ping-slash24"): 90, (IR, "gtr-norm"): 1}


def test_names_of_countries_are_no_units_or_labels(tmp_path: Path) -> None:
    rows = [f"{at},90,40,20,150" for at in STEPS]
    imported = load_table(tmp_path, "time,US,ID,TZ,Total", rows)
    assert [series.scope.country for series in imported.replay.series] == ["US", "ID", "TZ"]
    assert "Total: no countries" in imported.notes[0]


def test_a_long_table_may_be_sorted_by_its_sources(tmp_path: Path) -> None:
    steps = [f"{1_767_830_400 + 600 * step}" for step in range(15_000)]
    rows = [f"{at},{name},{size}" for name, size in (("bgp", 90), ("ping", 40)) for at in steps]
    imported = load_table(tmp_path, "time,metric,value", rows)
    assert name_series(imported.replay.series) == {(IR, "bgp"): 90, (IR, "ping-slash24"): 40}


def test_what_describes_the_rows_of_a_publisher_is_no_source(tmp_path: Path) -> None:
    tor = [f"{at},ir,{n},,,80" for n, at in enumerate(STEPS)]
    imported = load_table(tmp_path, "date,country,users,lower,upper,frac", tor)
    assert [series.source for series in imported.replay.series] == ["users"]
    influx = [f",,0,{at},{n}" for n, at in enumerate(STEPS)]
    imported = load_table(tmp_path, ",result,table,_time,_value", influx)
    assert [series.source for series in imported.replay.series] == ["_value"]


@pytest.mark.parametrize(
    "name",
    ["timeout", "failed_tests", "prefixes down", "withdrawals", "alerts", "disconnects", "avg_ping",
     "response_time", "lat", "id", "weekday"],
)  # fmt: skip
def test_what_is_no_level_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match=r"counts? (of )?what answer"):
        load_table(tmp_path, f"time,{name}", [f"{at},{i}" for i, at in enumerate(STEPS)])


def test_an_index_and_a_speed_are_levels(tmp_path: Path) -> None:
    imported = load_table(tmp_path, "time,index,mbps_down", [f"{at},90,40" for at in STEPS])
    assert name_series(imported.replay.series) == {(IR, "index"): 90, (IR, "mbps_down"): 40}


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (("1.012", "987", "1.234.567"), (1012, 987, 1_234_567)),
        (("97.512", "98.25", "100"), (97.512, 98.25, 100)),
        (("62\u202f200", "987", "5"), (62_200, 987, 5)),
        (("62.2 K", "987", "1.1 Mil"), (62_200, 987, 1_100_000)),
        (("97,5", "98", "12,25"), (97.5, 98, 12.25)),
    ],
)
def test_numbers_are_read_as_all_of_their_column_have_them(
    cells: Sequence[str], values: Sequence[float], tmp_path: Path
) -> None:
    rows = [f"{at};{cell}" for at, cell in zip(STEPS, cells, strict=False)]
    (series,) = load_table(tmp_path, "Zeit;Adressen", rows).replay.series
    assert series.values == pytest.approx(values)


def test_quoted_decimals_may_have_commas(tmp_path: Path) -> None:
    rows = [f'{at},"{cell}","13,812"' for at, cell in zip(STEPS, ("97,5", "98"), strict=False)]
    first, second = load_table(tmp_path, "time,share,sum", rows).replay.series
    assert (first.values, second.values) == ((97.5, 98), (13_812, 13_812))


def test_an_apostrophe_may_separate_thousands(tmp_path: Path) -> None:
    values = ("1'012", "987", "12\u2019400")
    rows = [f"{at};{value}" for at, value in zip(STEPS, values, strict=False)]
    (series,) = load_table(tmp_path, "time;value", rows).replay.series
    assert series.values == (1012, 987, 12400)


def test_bars_may_separate_cells(tmp_path: Path) -> None:
    (series,) = load_table(tmp_path, "unix|up", ["1767830400|5", "1767831000|6"]).replay.series
    assert series.values == (5, 6)


def test_a_clock_that_strays_has_round_steps(tmp_path: Path) -> None:
    strays = [timedelta(seconds=7 + 11.37 * (step**2 % 5), minutes=10 * step) for step in range(60)]
    rows = ["2026-01-07 00:00:09,90", *(f"{(BEGAN + own).isoformat()},90" for own in strays)]
    (series,) = load_table(tmp_path, "time,value", rows).replay.series
    assert series.step_us == 10 * MINUTE_US
    assert sum(value is not None for value in series.values) == len(rows)


def test_mozillas_failures_are_in_each_answer_and_no_complaint(tmp_path: Path) -> None:
    signal = '{"entityType": "country", "entityCode": "IR", "from": 1767830400, "step": 3600, %s}'
    signals = (
        signal % '"datasource": "bgp", "values": [9, 9]',
        signal % '"datasource": "mozilla", "subtype": "proportion_timeout", "values": [1, 1]',
    )
    path = tmp_path / "IR.json"
    path.write_text(f'{{"requestParameters": {{}}, "data": [[{",".join(signals)}]]}}')
    imported = load_event(path)
    assert [series.source for series in imported.replay.series] == ["bgp"]
    assert not imported.complaints
    assert "counts failures" in imported.notes[0]


@pytest.mark.parametrize(
    "document",
    [
        [["time", "value"], ["2026-01-08 16:00", 5], ["2026-01-08 16:10", 6]],
        [[1767888000000, 5], [1767888600000, 6]],
        {"columns": ["time", "value"], "index": [0, 1], "data": [[1767888000, 5], [1767888600, 6]]},
        {"time": [1767888000, 1767888600], "value": [5, 6]},
        {"time": {"0": 1767888000, "1": 1767888600}, "value": {"0": 5, "1": 6}},
        {"value": {"1767888000000": 5, "1767888600000": 6}},
        {"2026-01-08T16:00:00Z": 5, "2026-01-08T16:10:00Z": 6},
        {"name": "x", "data": [[1767888000000, 5], [1767888600000, 6]]},
        {"data": [{"time": 1767888000, "value": 5}, {"time": 1767888600, "value": 6}]},
        {"ok": True, "rows": [{"time": 1767888000, "value": 5}, {"time": 1767888600, "value": 6}]},
    ],
)
def test_tables_in_json_need_no_objects(document: object, tmp_path: Path) -> None:
    path = tmp_path / "IR.json"
    path.write_text(json.dumps(document))
    (series,) = load_event(path).replay.series
    assert (series.scope, series.source, series.values) == (IR, "value", (5, 6))
    assert series.since_us == 1_767_888_000 * SECOND_US
