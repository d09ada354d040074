"""Reader of `signals/raw` of IODA's API, version 2: one series per signal.

An answer is `{"type": …, "data": [[signal, …], …]}`. A signal holds entityType, entityCode,
datasource, subtype, from, until, step (seconds) and values, where null means unknown. Loss, latency
and sarima hold lists instead of numbers, and Mozilla's shares count failures. They are no levels:
each answer has them, so they get a note and no complaint. Google's has a subtype for each of its
services.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from heliograph.units import SECOND_US
from heliograph_collector.sources.complaints import Complaints, describe_location
from heliograph_collector.sources.entity import IodaEntity, parse_ioda_scope
from heliograph_collector.sources.json_objects import (
    MAX_STEPS,
    JsonObject,
    iterate_objects,
    read_objects,
)
from heliograph_collector.sources.level_names import find_misfit
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.timestamps import Timestamp
from heliograph_collector.sources.typed_reader import Text64, as_number, read_struct

MAX_STEP_S = 604_800  # a week; assumed
_USUAL_SUBTYPES = ("", "WEB_SEARCH")  # what `gtr` means without a subtype


def _read_values(value: object) -> list[object] | None:
    return value if isinstance(value, list) else None


class IodaSignal(IodaEntity, frozen=True, rename={"since_us": "from"}):
    """One signal; an item of `values` that is no number is unknown."""

    datasource: Text64 = ""
    subtype: Text64 = ""
    since_us: Timestamp = None
    step: float | None = None
    values: Annotated[list[object] | None, _read_values] = None


class _NoLevelError(ValueError):
    """Error for a signal that is no level, as some of each answer are."""


def read_series(path: Path, complaints: Complaints) -> list[Series]:
    """Read all series of a file."""
    series_list: list[Series] = []
    for item in read_objects(path, complaints):
        location = describe_location(path, item.line)
        if error_text := item.fields.get("error"):
            complaints.add(location, f"IODA answered with an error ({str(error_text)[:120]})")
        if str(item.fields.get("type")).startswith("outages"):
            complaints.add(location, "these are reports of outages: ask for /signals/raw instead")
            continue
        if item.fields.get("data") == [[]]:
            complaints.add(location, "IODA answered with no signal: ask for other days")
        for signal in _iterate_signals(item):
            try:
                series_list.append(_build_series(signal))
            except _NoLevelError as error:
                complaints.add_note(location, str(error))
            except ValueError as error:
                complaints.add(location, str(error))
    return series_list


def is_ioda(item: JsonObject) -> bool:
    fields = item.fields
    is_signal = "datasource" in fields and "value" not in fields  # with one it is a row of a table
    return is_signal or ("data" in fields and "requestParameters" in fields)


def _iterate_signals(item: JsonObject) -> Iterator[IodaSignal]:
    signals = item.fields if "values" in item.fields else item.fields.get("data")
    return (read_struct(IodaSignal, fields) for fields in iterate_objects(signals))


def _build_series(signal: IodaSignal) -> Series:
    """Build the series of a signal.

    Raises ValueError with the reason why it is left out.
    """
    source = signal.datasource
    if signal.subtype not in _USUAL_SUBTYPES:
        source = f"{source}.{signal.subtype.lower()}"[:64]
    if not source or signal.values is None:
        raise ValueError("a signal lacks its datasource or its values")
    if signal.since_us is None or signal.step is None or not 1 <= signal.step <= MAX_STEP_S:
        raise ValueError(f"the signal {source!r} lacks a proper from or step")
    if len(signal.values) > MAX_STEPS:
        raise ValueError(f"the signal {source!r} has more than {MAX_STEPS} values")
    if any(isinstance(value, list | dict) for value in signal.values):
        raise _NoLevelError(f"the signal {source!r} holds lists, no levels; it is left out")
    levels = [as_number(value) for value in signal.values]
    if misfit := find_misfit(source, levels):
        raise _NoLevelError(misfit)
    if all(level is None for level in levels):
        raise _NoLevelError(f"the signal {source!r} has no value that is known")
    step_us = round(signal.step * SECOND_US)
    return Series(
        parse_ioda_scope(signal),
        source,
        signal.since_us,
        step_us,
        tuple(None if level is not None and level < 0 else level for level in levels),  # unknown
    )
