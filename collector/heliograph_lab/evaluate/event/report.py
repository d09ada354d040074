"""Event report: the alarms on an imported event, and their delay after each truth.

There is no scorecard, because one event is no sample and most imports have no vantages. A truth is
detected if a confirmed alarm of its service, in a cell that holds it or lies in it, begins within
it or up to two hours before it, because publishers date roughly. The report names the first one.

Truths come from files in one of three formats:
- Own (YAML): `truths:`, a list of {id, kind, country, region, asn, access, service, from, until,
  label, scoreable}.
- InetIntel (CSV): investigated outages of "Destination Unreachable"; times are UTC.
- IODA (JSON): `outages/events`, events of one entity with start and duration.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TypedDict, cast, get_args

import msgspec

from heliograph.timestamps import format_timestamp
from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope, scope_label
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    ImportResult,
    describe_location,
)
from heliograph_collector.sources.entity import UNKNOWN_COUNTRY, IodaEntity, parse_ioda_scope
from heliograph_collector.sources.json_objects import looks_like_json, read_file, read_objects
from heliograph_collector.sources.replay import Alarm, Detector, Replay, Truth, TruthKind
from heliograph_collector.sources.timestamps import Timestamp, parse_timestamp
from heliograph_collector.sources.typed_reader import Text256, read_struct
from heliograph_lab.evaluate.detectors import (
    CONTENDERS,
    OWN_DETECTOR,
    detect_hourly,
    detect_level_drops,
)
from heliograph_lab.evaluate.document import Section, read_document

_ACCESS = ("mobile", "fixed", "hosting")
EARLY_US = 7_200 * SECOND_US  # assumed
MAX_LINES = 40  # alarms of one detector in the text; assumed

_ROWS: Mapping[str, Detector] = {"hourly": detect_hourly, "ooni": CONTENDERS["ooni"].run}
_LEVELS: Mapping[str, Detector] = {"level": detect_level_drops, "ioda": CONTENDERS["ioda"].run}
DETECTORS_BY_FORMAT: Mapping[str, Mapping[str, Detector]] = {
    "ioda": _LEVELS,
    "csv": _LEVELS,
    "radar": _LEVELS,
    "atlas": {name: CONTENDERS[name].run for name in (OWN_DETECTOR, "ioda", "disco")},
    "ooni": _ROWS,
    "ooni-rows": _ROWS,
}


@dataclass(frozen=True, slots=True)
class EventReport:
    """The alarms on an imported event, and the first alarm of each truth."""

    imported: ImportResult
    alarms: Mapping[str, Sequence[Alarm]]  # by detector
    first_alarms: Sequence[tuple[Truth, Mapping[str, Alarm | None]]]

    @property
    def replay(self) -> Replay:
        return self.imported.replay


def build_report(imported: ImportResult) -> EventReport:
    """Run the detectors that apply to this format."""
    replay = imported.replay
    alarms = {name: run(replay) for name, run in DETECTORS_BY_FORMAT[imported.format].items()}
    first_alarms = [
        (truth, {name: _find_first_alarm(truth, rows) for name, rows in alarms.items()})
        for truth in replay.truths
        if truth.kind != "confounder"
    ]
    return EventReport(imported, alarms, first_alarms)


def _find_first_alarm(truth: Truth, alarms: Sequence[Alarm]) -> Alarm | None:
    fits = (alarm for alarm in alarms if alarm.confirmed and _is_match(truth, alarm))
    return min(fits, key=attrgetter("at_us"), default=None)


def _is_match(truth: Truth, alarm: Alarm) -> bool:
    begins_us = alarm.started[1] if alarm.started else alarm.at_us
    until_us = truth.until_us if truth.until_us is not None else begins_us
    return (
        alarm.service == truth.service
        and (alarm.kind == "cut") == (truth.kind == "cut")
        and truth.since_us - EARLY_US <= begins_us <= until_us
        and _is_nested(alarm.scope, truth.scope)
    )


def _is_nested(first: Scope, second: Scope) -> bool:
    """Return whether one scope lies in the other; an unknown country matches any."""
    if UNKNOWN_COUNTRY in (first.country, second.country):
        first = first._replace(country="")
        second = second._replace(country="")
    return first.is_within(second) or second.is_within(first)


class ScopeDocument(TypedDict):
    country: str
    region: str
    asn: int
    access: str


class SeriesDocument(TypedDict):
    scope: ScopeDocument
    source: str


class AlarmDocument(TypedDict):
    at: str
    scope: ScopeDocument
    service: str
    kind: str
    label: str
    layer: str
    confirmed: bool
    started: list[str] | None
    over: str | None


class TruthDocument(TypedDict):
    id: str
    scope: ScopeDocument
    service: str
    since: str
    scoreable: bool
    told_after_s: dict[str, float | None]  # by detector


EventDocument = TypedDict(  # `from` is no name of a class's field
    "EventDocument",
    {
        "name": str,
        "format": str,
        "from": str,
        "until": str,
        "vantages": int,
        "series": list[SeriesDocument],
        "left_out": list[str],
        "alarms": dict[str, list[AlarmDocument]],
        "truths": list[TruthDocument],
    },
)


def report_document(report: EventReport) -> EventDocument:
    """Return the report as JSON values; times are RFC 3339."""
    replay = report.replay
    return {
        "name": replay.name,
        "format": report.imported.format,
        "from": format_timestamp(replay.since_us),
        "until": format_timestamp(replay.until_us),
        "vantages": len(replay.vantages),
        "series": [
            {"scope": _scope_document(series.scope), "source": series.source}
            for series in replay.series
        ],
        "left_out": list(report.imported.complaints),
        "alarms": {name: [_alarm_row(a) for a in rows] for name, rows in report.alarms.items()},
        "truths": [
            {
                "id": truth.id,
                "scope": _scope_document(truth.scope),
                "service": truth.service,
                "since": format_timestamp(truth.since_us),
                "scoreable": truth.scoreable,
                "told_after_s": {
                    name: _delay_s(truth, alarm) if alarm else None for name, alarm in by.items()
                },
            }
            for truth, by in report.first_alarms
        ],
    }


def _scope_document(scope: Scope) -> ScopeDocument:
    return {
        "country": scope.country,
        "region": scope.region,
        "asn": scope.asn,
        "access": scope.access,
    }


def _alarm_row(alarm: Alarm) -> AlarmDocument:
    return {
        "at": format_timestamp(alarm.at_us),
        "scope": _scope_document(alarm.scope),
        "service": alarm.service,
        "kind": alarm.kind,
        "label": alarm.label,
        "layer": alarm.layer,
        "confirmed": alarm.confirmed,
        "started": [format_timestamp(us) for us in alarm.started] if alarm.started else None,
        "over": format_timestamp(alarm.ended_at_us) if alarm.ended_at_us is not None else None,
    }


def _delay_s(truth: Truth, alarm: Alarm) -> float:
    return (alarm.at_us - truth.since_us) / SECOND_US


def format_report(report: EventReport) -> str:
    """Format a line for each confirmed alarm, then one for each truth."""
    replay = report.replay
    subject = (
        f"{len(replay.vantages)} vantages" if replay.vantages else f"{len(replay.series)} series"
    )
    span = f"{_minute_text(replay.since_us)} to {_minute_text(replay.until_us)} UTC"
    lines = [f"{replay.name} ({report.imported.format}): {subject}, {span}"]
    for name, rows in report.alarms.items():
        confirmed = [alarm for alarm in rows if alarm.confirmed]
        lines += ["", f"{name}: {len(confirmed)} confirmed, {len(rows) - len(confirmed)} suspected"]
        lines += [_alarm_line(alarm) for alarm in confirmed[:MAX_LINES]]
        lines += [f"  … {len(confirmed) - MAX_LINES} more"] if len(confirmed) > MAX_LINES else []
    for truth, by in report.first_alarms:
        lines += [
            "",
            f"truth {truth.id}, {_scope_text(truth.scope)}, from {_minute_text(truth.since_us)}",
        ]
        lines += [f"  {name}: {_delay_text(truth, alarm)}" for name, alarm in by.items()]
    return "\n".join(lines)


def _alarm_line(alarm: Alarm) -> str:
    over = f", over {_minute_text(alarm.ended_at_us)}" if alarm.ended_at_us is not None else ""
    began = ""
    if alarm.started:
        began = f", began {_minute_text(alarm.started[0])} to {_minute_text(alarm.started[1])}"
    parts = (_scope_text(alarm.scope), alarm.service, alarm.kind, alarm.label, alarm.layer)
    summary = " ".join(part for part in parts if part)
    return f"  {_minute_text(alarm.at_us)}  {summary}{began}{over}"


def _delay_text(truth: Truth, alarm: Alarm | None) -> str:
    if alarm is None:
        return "not told"
    minutes = _delay_s(truth, alarm) / 60
    return f"told {minutes:.1f} min after" if minutes >= 0 else f"told {-minutes:.1f} min before"


def _scope_text(scope: Scope) -> str:
    network = f"AS{scope.asn}" if scope.asn else ""
    return " ".join(part for part in (scope.country, scope.region, network, scope.access) if part)


def _minute_text(at_us: int) -> str:
    return format_timestamp(at_us)[:16].replace("T", " ")


def read_truths(
    path: Path, complaints: Complaints, countries: Mapping[str, str] | None = None
) -> tuple[Truth, ...]:
    """Read truths. Raises ImportRefusedError or YamlError.

    Args:
        countries: Codes by country name, for InetIntel's table.
    """
    if path.suffix in (".yml", ".yaml"):
        top = read_document(path)
        parsed = [
            _parse_truth(row, f"truth-{i}") for i, row in enumerate(top.sections("truths"), 1)
        ]
        top.text("note", "")
        top.check_unknown_keys()
    elif looks_like_json(path):
        parsed = list(_read_ioda_events(path, complaints))
    else:
        parsed = list(_read_investigated(path, complaints, countries or {}))
    if not parsed:
        raise ImportRefusedError(f"{path} holds no event.")
    return tuple(sorted(parsed, key=attrgetter("since_us", "id")))


def with_truths(replay: Replay, all_truths: Iterable[Truth]) -> Replay:
    """Return the replay with the truths of its time and its countries."""
    countries = {vantage.place.country for vantage in replay.vantages}
    countries |= {series.scope.country for series in replay.series}
    own_truths = tuple(
        truth
        for truth in all_truths
        if truth.since_us < replay.until_us
        and (truth.until_us is None or truth.until_us > replay.since_us)
        and (UNKNOWN_COUNTRY in countries or truth.scope.country in {*countries, UNKNOWN_COUNTRY})
    )
    return replace(replay, truths=own_truths)


def _parse_truth(row: Section, otherwise: str) -> Truth:
    kind = cast("TruthKind", row.one_of("kind", get_args(TruthKind), "cut"))
    scope = Scope(
        row.text("country"),
        row.text("region", ""),
        row.integer("asn", 0),
        row.one_of("access", _ACCESS, ""),
    )
    since_us = row.timestamp("from")
    until_us = row.timestamp("until") if "until" in row else None
    if until_us is not None and until_us <= since_us:
        raise row.error_at("until", "until must lie after from: give a later time")
    truth = Truth(
        id=row.text("id", otherwise),
        kind=kind,
        scope=scope,
        service=row.text("service", ""),
        since_us=since_us,
        until_us=until_us,
        label=row.text("label", scope_label([scope])),
        scoreable=row.flag("scoreable", True),
    )
    row.text("note", "")
    row.check_unknown_keys()
    return truth


def _read_ioda_events(path: Path, complaints: Complaints) -> Iterator[Truth]:
    for item in read_objects(path, complaints):
        rows = item.fields.get("data", [item.fields])
        for index, row in enumerate(rows if isinstance(rows, list) else (), 1):
            truth = _parse_ioda_event(read_struct(_IodaEvent, row), index)
            if truth is None:
                complaints.add(
                    describe_location(path, item.line), f"event {index} lacks a start or a duration"
                )
            else:
                yield truth


class _IodaEvent(msgspec.Struct, frozen=True):
    location: Text256 = ""  # country/KZ
    location_name: Text256 = ""
    start: Timestamp = None
    duration: float | None = None


def _parse_ioda_event(event: _IodaEvent, index: int) -> Truth | None:
    if event.start is None or event.duration is None or event.duration <= 0:
        return None
    kind, _, code = event.location.partition("/")
    scope = parse_ioda_scope(IodaEntity(kind, code, event.location_name))
    until_us = event.start + round(event.duration * SECOND_US)
    return Truth(f"event-{index}", "cut", scope, "", event.start, until_us, scope_label([scope]))


def _read_investigated(
    path: Path, complaints: Complaints, countries: Mapping[str, str]
) -> Iterator[Truth]:
    rows = csv.DictReader(io.StringIO(read_file(path).decode("utf-8", "replace")))
    if not {"Begin time", "End time", "Country"} <= set(rows.fieldnames or ()):
        raise ImportRefusedError(
            f"{path} is no table of truths: it needs the columns Begin time, End time and Country, "
            "or write them as YAML."
        )
    for row in rows:
        cells = {str(key).strip(): str(value or "").strip() for key, value in row.items()}
        since_us = parse_timestamp(cells["Begin time"])
        until_us = parse_timestamp(cells["End time"])
        if since_us is None or until_us is None or until_us <= since_us:
            complaints.add(describe_location(path, rows.line_num), "its times cannot be read")
            continue
        yield _parse_investigated(cells, since_us, until_us, countries)


def _parse_investigated(
    cells: Mapping[str, str], since_us: int, until_us: int, countries: Mapping[str, str]
) -> Truth:
    name = cells["Country"]
    extent = next((v for k, v in cells.items() if k.startswith("Scope")), "")
    region = extent.partition("(")[2].rstrip(")") if extent.startswith("Region") else ""
    scope = Scope(countries.get(name, UNKNOWN_COUNTRY), region=(cells.get("Region") or region)[:64])
    return Truth(
        id=cells.get("ID") or f"{name}-{since_us}",
        kind="cut",
        scope=scope,
        service="",
        since_us=since_us,
        until_us=until_us,
        label=cells.get("Cause") or scope_label([scope]),
        scoreable=cells.get("Confirmation Status", "").lower() != "unconfirmed",
    )
