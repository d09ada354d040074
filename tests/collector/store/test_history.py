"""Past days in a separate file: replaced as a whole, read by place, bounded."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.units import DAY_US
from heliograph_collector.model.history import (
    HOURS,
    MARK_CODES,
    Axis,
    CellHistory,
    DayRow,
    HistoryFilter,
)
from heliograph_collector.store import history as history_module
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.history import HistoryError, HistoryReader, HistoryTable
from support.past_days import JAN_1, SITE, write_history

ALL = HistoryFilter(axes=tuple(Axis), since_us=JAN_1, until_us=JAN_1 + 9 * DAY_US)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_history(tmp_path / "history.db")
    return tmp_path / "history.db"


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ({"axes": [Axis.SERVICE]}, 12),
        ({"axes": [Axis.SERVICE], "service": "telegram"}, 4),
        ({"axes": [Axis.NETWORK_SERVICE], "asn": 9198}, 12),
        ({"axes": [Axis.NETWORK, Axis.REGION], "until_us": JAN_1 + 1}, 4),
        ({"axes": [Axis.REGION_SERVICE], "region": "KZ-75"}, 12),
        ({"axes": [Axis.SITE], "only_trouble": True}, 1),
        ({"axes": [Axis.SERVICE], "country": "UZ"}, 0),
        ({"axes": [Axis.SERVICE], "since_us": JAN_1 + 4 * DAY_US}, 0),
    ],
)
def test_filters(file: Path, filters: dict[str, object], rows: int) -> None:
    values = {"since_us": JAN_1, "until_us": JAN_1 + 9 * DAY_US, **filters}
    history = HistoryReader(file).read(HistoryFilter(**values))  # type: ignore[arg-type] # a table
    assert len(history.rows) == rows
    assert (history.first_us, history.last_us) == (JAN_1, JAN_1 + 3 * DAY_US)


def test_a_day_is_replaced_and_dropped_as_a_whole(file: Path) -> None:
    with closing(HistoryTable(file)) as history:
        assert history.read_digests()[JAN_1] == "digest 0"
        history.replace_day(JAN_1, "digest 9", [])
        assert history.read_digests()[JAN_1] == "digest 9"
        assert all(row.day_us > JAN_1 for row in history.read(ALL).rows)
        history.drop_day(JAN_1 + DAY_US)
        assert JAN_1 + DAY_US not in history.read_digests()
        rows = history.read(ALL).rows
    assert {row.day_us for row in rows} == {JAN_1 + 2 * DAY_US, JAN_1 + 3 * DAY_US}
    assert SITE in {row.service for row in rows}


_MARKS = tuple(MARK_CODES.values())
_FILTERS = [{"service": "telegram"}, {"service": SITE}, {"country": "KZ"}, {"asn": 2}]


@given(st.data())
def test_the_engine_counts_blocking_networks_as_their_rows_do(data: st.DataObject) -> None:
    key = st.tuples(
        st.sampled_from([Axis.NETWORK_SERVICE, Axis.NETWORK_SITE, Axis.SERVICE]),
        st.sampled_from(["KZ", "IR"]),
        st.integers(1, 3),
        st.sampled_from(["mobile", "fixed"]),
        st.sampled_from(["telegram", SITE]),
        st.integers(0, 3),
    )
    rows = data.draw(st.dictionaries(key, st.lists(st.sampled_from(_MARKS), max_size=HOURS)))
    values = data.draw(st.sampled_from(_FILTERS))
    axes = [data.draw(st.sampled_from([Axis.NETWORK_SERVICE, Axis.NETWORK_SITE]))]
    filters = HistoryFilter(
        axes=axes,
        since_us=JAN_1 + DAY_US,
        until_us=JAN_1 + 3 * DAY_US,
        only_trouble=True,
        **values,  # type: ignore[arg-type] # a table
    )
    with TemporaryDirectory() as folder, closing(HistoryTable(Path(folder) / "h.db")) as history:
        for day in range(4):
            history.replace_day(JAN_1 + day * DAY_US, "d", _build_rows(rows, day))
        counted = {row[:3]: row.days for row in history.count_blocking_networks(filters)}
        expected = Counter(
            (row.country, row.service, row.asn)
            for row in history.read(filters).rows
            if MARK_CODES["blocked"] in row.hours
        )
    assert counted == expected


def _build_rows(
    rows: Mapping[tuple[Axis, str, int, str, str, int], Sequence[int]], day: int
) -> list[DayRow]:
    return [
        DayRow(axis, country, "", asn, access, service, JAN_1 + day * DAY_US, bytes(hours), b"", 5)
        for (axis, country, asn, access, service, of_day), hours in rows.items()
        if of_day == day
    ]


def test_a_reader_does_not_wait_for_the_writer(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert HistoryReader(file).read(ALL).rows


def test_too_many_rows_and_files_that_are_none(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HistoryReader(tmp_path / "none.db").read(ALL) == CellHistory()
    assert HistoryReader(tmp_path / "none.db").count_blocking_networks(ALL) == []
    assert not (tmp_path / "none.db").exists()
    monkeypatch.setattr(history_module, "MAX_ROWS", 5)
    with pytest.raises(TooMuchError, match="fewer days"):
        HistoryReader(file).read(ALL)
    (tmp_path / "bad.db").write_bytes(b"no database" * 100)
    with pytest.raises(HistoryError, match="delete it"):
        HistoryReader(tmp_path / "bad.db").read(ALL)
