"""The hours of a past day, from its daily file.

The rows of a daily file are released atoms, and a count in it is the least number of its band. The
state of an hour is decided from these numbers alone, by the thresholds of a cell: cells of five
minutes vote with as many votes as vantages measured. So history reveals no more than the file.

A service in a country has the state of its worst network, with the share of the judged networks
that have it; a place has that of its worst service.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from heliograph.units import HOUR_US
from heliograph_collector.aggregate.cell_state import (
    decide_state,
    is_partial,
    most_common_cause,
)
from heliograph_collector.model.history import (
    HOURS,
    MARK_CODES,
    MARKS,
    TROUBLE_MARKS,
    Axis,
    DayRow,
)
from heliograph_collector.model.records import VerdictState

FULL_SHARE = 255
_TROUBLES = tuple(MARK_CODES[name] for name in TROUBLE_MARKS)
_SILENT = MARK_CODES["silent"]
_REACHABLE = MARK_CODES["reachable"]
_UNKNOWN = MARK_CODES["unknown"]
_KEYS = ("country", "region", "asn", "access", "service", "state", "layer", "method")


class RowKey(NamedTuple):
    """Subject of a row; empty fields are merged over."""

    axis: Axis
    country: str
    region: str = ""
    asn: int = 0
    access: str = ""
    service: str = ""


class HourCount(NamedTuple):
    """The cells of one hour with the same place, service, state and cause, summed."""

    country: str
    region: str
    asn: int
    access: str
    service: str
    state: str
    layer: str
    method: str
    votes: int  # vantages, over the hour's bins
    vantages: int  # in one bin
    silent: int


class _Day:
    """The rows of a day, while its hours are added."""

    def __init__(self) -> None:
        self.marks: dict[RowKey, bytearray] = {}
        self.shares: dict[RowKey, bytearray] = {}
        self.vantages: Counter[RowKey] = Counter()
        self.causes: dict[RowKey, Counter[tuple[str, str]]] = {}

    def set_mark(self, key: RowKey, hour: int, code: int, share: int = FULL_SHARE) -> None:
        self.marks.setdefault(key, bytearray(HOURS))[hour] = code
        self.shares.setdefault(key, bytearray(HOURS))[hour] = share

    def note_cause(self, keys: Sequence[RowKey], count: HourCount) -> None:
        if count.state == VerdictState.BLOCKED:
            for key in keys:
                self.causes.setdefault(key, Counter())[count.layer, count.method] += count.votes

    def note_vantages(self, keys: Sequence[RowKey], vantages: int) -> None:
        for key in keys:
            self.vantages[key] = max(self.vantages[key], vantages)


def read_day_rows(files: Iterable[Path], day_us: int) -> list[DayRow]:
    """Read a daily file, or the files of a day's hours. Raises OSError.

    A file that is no Parquet is an OSError too (pyarrow raises ValueError).
    """
    by_hour: dict[int, list[HourCount]] = {}
    for file in files:
        by_hour |= _read_hours(file, day_us)
    return build_day_rows(by_hour, day_us)


def _read_hours(file: Path, day_us: int) -> dict[int, list[HourCount]]:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped] # it ships no types

    by_hour: dict[int, list[HourCount]] = {}
    try:
        with pq.ParquetFile(file) as parquet:
            columns = [*_KEYS, "start", "vantages", "silent"]
            for index in range(parquet.num_row_groups):
                table = parquet.read_row_group(index, columns)
                start_us = table.column("start").cast(pa.int64())[0].as_py()
                counts = by_hour.setdefault((start_us - day_us) // HOUR_US, [])
                counts += _count_group(table)
    except (pa.ArrowException, ValueError) as error:
        raise OSError(f"{file} is no daily file: {error}") from error
    return by_hour


def build_day_rows(by_hour: Mapping[int, Sequence[HourCount]], day_us: int) -> list[DayRow]:
    """Build the rows of a day from the counts of its hours."""
    day = _Day()
    for hour, counts in by_hour.items():
        if 0 <= hour < HOURS:
            add_hour(day, hour, counts)
    return _build_rows(day, day_us)


def _count_group(table: object) -> list[HourCount]:
    grouped = table.group_by(list(_KEYS)).aggregate(  # type: ignore[attr-defined] # pyarrow
        [("vantages", "sum"), ("vantages", "max"), ("silent", "max")]
    )
    names = [*_KEYS, "vantages_sum", "vantages_max", "silent_max"]
    columns = [grouped.column(name).to_pylist() for name in names]
    return [HourCount(*values) for values in zip(*columns, strict=True)]


def add_hour(day: _Day, hour: int, counts: Sequence[HourCount]) -> None:
    """Add an hour: first each service of each place, then their summary."""
    votes: dict[RowKey, Counter[VerdictState]] = {}
    silent_places: set[RowKey] = set()
    for count in counts:
        keys, places = _list_keys(count)
        if count.silent:
            silent_places.update(places)
        if count.service and count.vantages:
            for key in keys:
                votes.setdefault(key, Counter())[VerdictState(count.state)] += count.votes
            keys.append(_service_key(count.country, count.service))
            day.note_cause(keys, count)
            day.note_vantages([*keys, *places], count.vantages)
    codes = {key: _decide_mark(states) for key, states in votes.items()}
    for key, code in codes.items():
        day.set_mark(key, hour, code)
    merged = _merge_codes(codes)
    for key, parts in merged.items():
        day.set_mark(key, hour, *find_worst(parts))
    for key in silent_places - merged.keys():
        day.set_mark(key, hour, _SILENT)


def _list_keys(count: HourCount) -> tuple[list[RowKey], list[RowKey]]:
    """Return the keys of a service in its places, and those of the places."""
    country = count.country
    axis = Axis.NETWORK_SITE if is_site(count.service) else Axis.NETWORK_SERVICE
    keys = [RowKey(axis, country, "", count.asn, count.access, count.service)]
    places = [RowKey(Axis.NETWORK, country, "", count.asn, count.access)]
    if count.region:
        keys.append(RowKey(Axis.REGION_SERVICE, country, count.region, service=count.service))
        places.append(RowKey(Axis.REGION, country, count.region))
    return keys, places


def is_site(service: str) -> bool:
    """Return whether a service is a single target."""
    return "/" in service


def _service_key(country: str, service: str) -> RowKey:
    axis = Axis.SITE if is_site(service) else Axis.SERVICE
    return RowKey(axis, country, service=service)


def _decide_mark(states: Counter[VerdictState]) -> int:
    """Decide the mark of a service in a place by the thresholds of a cell."""
    partial_count = states[VerdictState.PARTIAL]
    folded = states.copy()
    folded[VerdictState.REACHABLE] += folded.pop(VerdictState.PARTIAL, 0)
    state = decide_state(folded)
    if state is VerdictState.REACHABLE and is_partial(partial_count, folded):
        state = VerdictState.PARTIAL
    return MARK_CODES[state.value]


def _merge_codes(codes: Mapping[RowKey, int]) -> dict[RowKey, list[int]]:
    """List the marks of each service by network, and of each place by service."""
    merged: dict[RowKey, list[int]] = {}
    for key, code in codes.items():
        if key.axis is not Axis.REGION_SERVICE:
            merged.setdefault(_service_key(key.country, key.service), []).append(code)
            place = key._replace(axis=Axis.NETWORK, service="")
        else:
            place = key._replace(axis=Axis.REGION, service="")
        merged.setdefault(place, []).append(code)
    return merged


def find_worst(codes: Iterable[int]) -> tuple[int, int]:
    """Return the worst mark, and its share of judged ones in 255ths; (0, 0) for none.

    Of troubles the most frequent one is shown.
    """
    marks = bytes(codes)
    counts = [marks.count(code) for code in range(len(MARKS))]
    judged = len(marks) - counts[0] - counts[_UNKNOWN]
    if len(marks) == counts[0]:
        return 0, 0
    troubles = [code for code in _TROUBLES if counts[code]]
    if not troubles:
        return (_REACHABLE if counts[_REACHABLE] else _UNKNOWN), FULL_SHARE
    worst = max(troubles, key=lambda code: (counts[code], -_TROUBLES.index(code)))
    return worst, max(1, FULL_SHARE * counts[worst] // judged)


def _build_rows(day: _Day, day_us: int) -> list[DayRow]:
    _mark_silent_services(day)
    rows = []
    for key, hours in day.marks.items():
        if key.axis is Axis.REGION_SERVICE and is_site(key.service):
            continue  # most of the rows, and no page has them
        layer, method = most_common_cause(day.causes.get(key, Counter()))
        rows.append(
            DayRow(
                **key._asdict(),
                day_us=day_us,
                hours=bytes(hours),
                shares=bytes(day.shares[key]),
                vantages=day.vantages[key],
                layer=layer,
                method=method,
            )
        )
    return rows


def _mark_silent_services(day: _Day) -> None:
    """Mark untested services of silent places, and those of silent countries."""
    networks: dict[str, list[bytearray]] = {}
    for key, marks in day.marks.items():
        if key.axis is Axis.NETWORK:
            networks.setdefault(key.country, []).append(marks)
    for key, marks in list(day.marks.items()):
        if key.service:
            is_merged = key.axis in (Axis.SERVICE, Axis.SITE)
            places = networks.get(key.country, []) if is_merged else [_find_place(day, key)]
            for hour in range(HOURS):
                if not marks[hour] and {place[hour] for place in places} - {0} == {_SILENT}:
                    day.set_mark(key, hour, _SILENT)


def _find_place(day: _Day, key: RowKey) -> bytearray:
    """Return the marks of the place of a service's row."""
    axis = Axis.REGION if key.axis is Axis.REGION_SERVICE else Axis.NETWORK
    return day.marks.get(key._replace(axis=axis, service=""), bytearray(HOURS))
