"""IODA's API, version 2: `signals/raw` as JSON. Each signal is one series of numbers.

An answer is `{"type": …, "data": [[signal, …], …]}`; a signal holds entityType, entityCode,
datasource, from, until, step (seconds) and values, with null for what is not known. Loss, latency
and sarima hold lists in place of numbers and are no levels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US
from heliograph_collector.sources.complaints import Complaints, place
from heliograph_collector.sources.entity import of_ioda
from heliograph_collector.sources.json_objects import MOST_STEPS, Json, number, objects, text
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.timestamps import moment


def series(path: Path, scope: Scope | None, complaints: Complaints) -> list[Series]:
    """`scope` takes the place of what the file says of the entity."""
    found: list[Series] = []
    for line, item in objects(path, complaints):
        for signal in _signals(item):
            made = _series(signal, scope, place(path, line), complaints)
            found += [made] if made else []
    return found


def is_ioda(item: Json) -> bool:
    return "datasource" in item or ("data" in item and "requestParameters" in item)


def _signals(item: Json) -> Iterator[Json]:
    """The envelope's lists of lists, or a signal that stands alone."""
    if "values" in item:
        yield item
        return
    for inner in _flat(item.get("data")):
        if isinstance(inner, dict):
            yield inner


def _flat(found: object, depth: int = 4) -> Iterator[object]:
    if isinstance(found, list) and depth:
        for item in found:
            yield from _flat(item, depth - 1)
    else:
        yield found


def _series(signal: Json, scope: Scope | None, where: str, complaints: Complaints) -> Series | None:
    source, values = text(signal.get("datasource"), 64), signal.get("values")
    since_us, step = moment(signal.get("from")), number(signal.get("step"))
    if not source or not isinstance(values, list):
        complaints.add(where, "a signal lacks its datasource or its values")
        return None
    if since_us is None or step is None or not 1 <= step <= 604_800:
        complaints.add(where, f"the signal {source!r} lacks a proper from or step")
        return None
    if len(values) > MOST_STEPS:
        complaints.add(where, f"the signal {source!r} has more than {MOST_STEPS} values")
        return None
    if any(isinstance(value, list | dict) for value in values):
        complaints.add(where, f"the signal {source!r} holds lists, no levels; it is left out")
        return None
    known = [number(value) for value in values]
    if all(value is None for value in known):
        complaints.add(where, f"the signal {source!r} has no value that is known")
        return None
    return Series(scope or of_ioda(signal), source, since_us, round(step * SECOND_US), _bare(known))


def _bare(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """A level is not negative: less than nothing is a mark for not known."""
    return tuple(None if value is not None and value < 0 else value for value in values)
