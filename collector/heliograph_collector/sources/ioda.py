"""Reader of `signals/raw` of IODA's API, version 2: one series per signal.

An answer is `{"type": …, "data": [[signal, …], …]}`. A signal holds entityType, entityCode,
datasource, from, until, step (seconds) and values, where null means unknown. Loss, latency and
sarima hold lists instead of numbers and are no levels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import Complaints, describe_location
from heliograph_collector.sources.entity import parse_ioda_scope
from heliograph_collector.sources.json_objects import (
    MAX_STEPS,
    Json,
    as_number,
    as_text,
    read_objects,
)
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.timestamps import parse_timestamp


def read_series(path: Path, scope: Scope | None, complaints: Complaints) -> list[Series]:
    """Read all series of a file; `scope` replaces the entity in the file."""
    series_list: list[Series] = []
    for line, item in read_objects(path, complaints):
        for signal in _iterate_signals(item):
            signal_series = _parse_series(signal, scope, describe_location(path, line), complaints)
            series_list += [signal_series] if signal_series else []
    return series_list


def is_ioda(item: Json) -> bool:
    return "datasource" in item or ("data" in item and "requestParameters" in item)


def _iterate_signals(item: Json) -> Iterator[Json]:
    """Yield the signals of an answer, or a single signal."""
    if "values" in item:
        yield item
        return
    for inner in _flatten(item.get("data")):
        if isinstance(inner, dict):
            yield inner


def _flatten(value: object, depth: int = 4) -> Iterator[object]:
    if isinstance(value, list) and depth:
        for item in value:
            yield from _flatten(item, depth - 1)
    else:
        yield value


def _parse_series(
    signal: Json, scope: Scope | None, location: str, complaints: Complaints
) -> Series | None:
    source = as_text(signal.get("datasource"), 64)
    values = signal.get("values")
    since_us = parse_timestamp(signal.get("from"))
    step = as_number(signal.get("step"))
    if not source or not isinstance(values, list):
        complaints.add(location, "a signal lacks its datasource or its values")
        return None
    if since_us is None or step is None or not 1 <= step <= 604_800:
        complaints.add(location, f"the signal {source!r} lacks a proper from or step")
        return None
    if len(values) > MAX_STEPS:
        complaints.add(location, f"the signal {source!r} has more than {MAX_STEPS} values")
        return None
    if any(isinstance(value, list | dict) for value in values):
        complaints.add(location, f"the signal {source!r} holds lists, no levels; it is left out")
        return None
    levels = [as_number(value) for value in values]
    if all(value is None for value in levels):
        complaints.add(location, f"the signal {source!r} has no value that is known")
        return None
    return Series(
        scope or parse_ioda_scope(signal),
        source,
        since_us,
        round(step * SECOND_US),
        _drop_negative(levels),
    )


def _drop_negative(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Replace negative values by None, because they mark unknown levels."""
    return tuple(None if value is not None and value < 0 else value for value in values)
