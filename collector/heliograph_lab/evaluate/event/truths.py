"""Files that say what happened, to hold an imported event against.

Ours (YAML): `truths:`, a list of {id, kind, country, region, asn, access, service, from, until,
label, scoreable}. The table of investigated outages of "Destination Unreachable" (InetIntel, CSV;
times are UTC). IODA's `outages/events` (JSON): events of one entity with start and duration.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

from heliograph_collector.incidents.scope import Scope, label
from heliograph_collector.model.signals import SECOND_US
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError, place
from heliograph_collector.sources.entity import UNTOLD, of_ioda
from heliograph_collector.sources.json_objects import (
    Json,
    looks_like_json,
    number,
    objects,
    text,
    whole,
)
from heliograph_collector.sources.replay import Replay, Truth, TruthKind
from heliograph_collector.sources.timestamps import moment
from heliograph_lab.evaluate.document import Section, read

_ACCESS = ("mobile", "fixed", "hosting")


def truths(
    path: Path, complaints: Complaints, countries: Mapping[str, str] | None = None
) -> tuple[Truth, ...]:
    """Raises ImportRefusedError or ScenarioError. `countries`: codes of names, for InetIntel's."""
    if path.suffix in (".yml", ".yaml"):
        top = read(path)
        found = [_ours(row, f"truth-{i}") for i, row in enumerate(top.sections("truths"), 1)]
        top.text("note", "")
        top.done()
    elif looks_like_json(path):
        found = list(_events(path, complaints))
    else:
        found = list(_investigated(path, complaints, countries or {}))
    if not found:
        raise ImportRefusedError(f"{path} tells of nothing that happened.")
    return tuple(sorted(found, key=lambda truth: (truth.since_us, truth.id)))


def held(replay: Replay, every: Iterable[Truth]) -> Replay:
    """The replay with those of its own time and country; who is in no known country has all."""
    places = [w.place.country for w in replay.vantages]
    own = {*places, *(series.scope.country for series in replay.series)}
    kept = tuple(
        truth
        for truth in every
        if truth.since_us < replay.until_us
        and (truth.until_us is None or truth.until_us > replay.since_us)
        and (truth.scope.country in own or UNTOLD in (truth.scope.country, *own))
    )
    return replace(replay, truths=kept)


def _ours(row: Section, otherwise: str) -> Truth:
    kind = cast("TruthKind", row.one_of("kind", get_args(TruthKind), "cut"))
    scope = Scope(
        row.text("country"),
        row.text("region", ""),
        row.whole("asn", 0),
        row.one_of("access", _ACCESS, ""),
    )
    since_us = row.moment("from")
    until_us = row.moment("until") if "until" in row else None
    if until_us is not None and until_us <= since_us:
        raise row.wrong("until", "until must lie after from: give a later time")
    made = Truth(
        id=row.text("id", otherwise),
        kind=kind,
        scope=scope,
        service=row.text("service", ""),
        since_us=since_us,
        until_us=until_us,
        label=row.text("label", label([scope])),
        scoreable=row.flag("scoreable", True),
    )
    row.text("note", "")
    row.done()
    return made


def _events(path: Path, complaints: Complaints) -> Iterator[Truth]:
    for line, item in objects(path, complaints):
        rows = item.get("data") if "data" in item else [item]
        for at, row in enumerate(rows if isinstance(rows, list) else (), 1):
            made = _event(row, at) if isinstance(row, dict) else None
            if made is None:
                complaints.add(place(path, line), f"event {at} lacks a start or a duration")
            else:
                yield made


def _event(row: Json, at: int) -> Truth | None:
    since_us, lasts = moment(row.get("start")), number(row.get("duration"))
    if since_us is None or lasts is None or lasts <= 0:
        return None
    kind, _, code = text(row.get("location")).partition("/")
    scope = of_ioda(
        {"entityType": kind, "entityCode": code, "entityName": row.get("location_name")}
    )
    until_us = since_us + round(lasts * SECOND_US)
    return Truth(f"event-{at}", "cut", scope, "", since_us, until_us, label([scope]))


def _investigated(
    path: Path, complaints: Complaints, countries: Mapping[str, str]
) -> Iterator[Truth]:
    rows = csv.DictReader(io.StringIO(whole(path).decode("utf-8", "replace")))
    if not {"Begin time", "End time", "Country"} <= set(rows.fieldnames or ()):
        raise ImportRefusedError(
            f"{path} is no table of truths: it needs the columns Begin time, End time and Country, "
            "or write them as YAML."
        )
    for row in rows:
        cells = {str(key).strip(): str(value or "").strip() for key, value in row.items()}
        since_us, until_us = moment(cells["Begin time"]), moment(cells["End time"])
        if since_us is None or until_us is None or until_us <= since_us:
            complaints.add(place(path, rows.line_num), "its times cannot be read")
            continue
        yield _row(cells, since_us, until_us, countries)


def _row(
    cells: Mapping[str, str], since_us: int, until_us: int, countries: Mapping[str, str]
) -> Truth:
    name, extent = (
        cells["Country"],
        next((v for k, v in cells.items() if k.startswith("Scope")), ""),
    )
    region = extent.partition("(")[2].rstrip(")") if extent.startswith("Region") else ""
    scope = Scope(countries.get(name, UNTOLD), region=(cells.get("Region") or region)[:64])
    return Truth(
        id=cells.get("ID") or f"{name}-{since_us}",
        kind="cut",
        scope=scope,
        service="",
        since_us=since_us,
        until_us=until_us,
        label=cells.get("Cause") or label([scope]),
        scoreable=cells.get("Confirmation Status", "").lower() != "unconfirmed",
    )
