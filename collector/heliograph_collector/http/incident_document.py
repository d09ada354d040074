"""Incident documents of the feed, from the alert log, with counts in bands. Pure.

Times are rounded to the second, and brackets only widen: the exact time of an agent's last message
belongs to one person. Parts with fewer than k votes are withheld, and incidents of such parts too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import asdict, replace

from heliograph.timestamps import format_time, parse_timestamp
from heliograph.units import SECOND_US
from heliograph_collector.http import labels
from heliograph_collector.http.anonymity import floor_tenths, format_band
from heliograph_collector.http.i18n import DEFAULT, ENGLISH, Locale
from heliograph_collector.http.pages import incident_text
from heliograph_collector.incidents.incident import ONE_WAY, IncidentKind
from heliograph_collector.incidents.phases import list_phases
from heliograph_collector.incidents.public_cells import choose_step_us
from heliograph_collector.incidents.published.incident import (
    AlertDocument,
    BracketDocument,
    EvidenceDocument,
    IncidentDocument,
    IncidentLinks,
    IncidentSummary,
    OperatorStatements,
    PartDocument,
    TurnDocument,
)
from heliograph_collector.incidents.published.log import (
    CellRecord,
    DetectorBody,
    IncidentRecord,
    OperatorBody,
    PhaseRecord,
)
from heliograph_collector.incidents.state import (
    DETECTOR,
    IncidentHistory,
    LogEntry,
    LoggedIncident,
)

OPEN_STATES = ("suspected", "confirmed")
_UNCOUNTED_KINDS = ("collector_blocked", "power")


def build_document(
    entries: Sequence[LogEntry], titles: Mapping[str, str], k: int
) -> IncidentDocument | None:
    """Build an incident from all its entries; None if k-anonymity withholds it."""
    summary = build_state(IncidentHistory(entries).state(), titles, k)
    if summary is None:
        return None
    return IncidentDocument(
        **asdict(summary),
        evidence=tuple(
            _build_evidence(entry, entry.body)
            for entry in entries
            if isinstance(entry.body, DetectorBody)
        ),
        alerts=tuple(_build_alert(entry) for entry in entries),
        updated=_floor_second(entries[-1].body.at),
        links=IncidentLinks(
            document=f"/api/v1/incidents/{summary.id}",
            page=f"/incidents/{summary.id}",
            log=f"/api/v1/log?after={entries[-1].number - 1}&limit=1",
        ),
    )


class HistoryStep(NamedTuple):
    """One entry of the log, and the incident at that entry; None if withheld."""

    alert: AlertDocument
    incident: IncidentSummary | None


def build_history(
    entries: Sequence[LogEntry], titles: Mapping[str, str], k: int
) -> list[HistoryStep]:
    history = IncidentHistory()
    rows = []
    for entry in entries:
        history.add_entry(entry)
        state = build_state(history.state(), titles, k)
        rows.append(HistoryStep(_build_alert(entry), state))
    return rows


def build_state(
    logged: LoggedIncident, titles: Mapping[str, str], k: int
) -> IncidentSummary | None:
    """Build an incident's state; None if k-anonymity withholds it."""
    record = logged.record
    parts = _build_parts(record.parts, k)
    if not parts and k > 1:
        return None
    turns = (_build_turn(phase, k) for phase in record.turns)
    step_us = choose_step_us((cell.votes for cell in record.parts), k)
    summary = IncidentSummary(
        id=record.id,
        kind=record.kind,
        label=record.label,
        state=logged.state,
        detected=record.state,
        confirmed_by=logged.confirmed_by,
        withdrawn_by=logged.withdrawn_by,
        operator=_floor_statements(logged.operator) if logged.operator else None,
        scope=record.scope,
        title=_find_title(record, titles),
        sentence="",
        started=_widen_bracket(record.started, step_us),
        ended=_widen_bracket(record.ended, step_us) if record.ended else None,
        suspected=_floor_time(record.suspected, step_us),
        confirmed=_floor_optional(record.confirmed, step_us),
        closed=_floor_optional(record.closed, step_us),
        layer=record.layer,
        method="" if record.kind == IncidentKind.ISOLATION else record.method,
        confidence=record.confidence if k <= 1 else floor_tenths(record.confidence),
        parts=parts,
        turns=tuple(turn for turn in turns if turn.parts),
        phases=(),
        hints=record.hints,
        held=record.held,
    )
    kinds = [replace(kind, at=_floor_time(kind.at, step_us)) for kind in record.kinds]
    summary = replace(summary, phases=list_phases(summary, kinds))
    return replace(summary, sentence=incident_text.describe_incident(summary, ENGLISH))


def localize_sentence(incident: IncidentSummary, t: Locale) -> str:
    """Return the sentence in the reader's language; the document has the English one."""
    return incident.sentence if t.lang == DEFAULT else incident_text.describe_incident(incident, t)


def _find_title(record: IncidentRecord, titles: Mapping[str, str]) -> str:
    """Return the service's title; "" for an isolation, which is seen by anchors."""
    is_named = record.scope.service and record.kind != IncidentKind.ISOLATION
    return labels.service_title(record.scope.service, titles, DEFAULT) if is_named else ""


def _floor_statements(statements: OperatorStatements) -> OperatorStatements:
    """Round the times of the statements; authors appear only by their chosen name."""
    acknowledged = statements.acknowledged
    confirmed = statements.confirmed
    withdrawn = statements.withdrawn
    return OperatorStatements(
        acknowledged=acknowledged and replace(acknowledged, at=_floor_second(acknowledged.at)),
        confirmed=confirmed and replace(confirmed, at=_floor_second(confirmed.at)),
        withdrawn=withdrawn and replace(withdrawn, at=_floor_second(withdrawn.at)),
        notes=tuple(replace(note, at=_floor_second(note.at)) for note in statements.notes),
    )


def _build_parts(cells: Iterable[CellRecord], k: int) -> tuple[PartDocument, ...]:
    return tuple(
        PartDocument(
            country=cell.country,
            region=cell.region,
            asn=cell.asn,
            access=cell.access,
            votes=f"{cell.votes:g}" if k <= 1 else format_band(int(cell.votes), k),
            share=cell.share if k <= 1 else floor_tenths(cell.share),
            networks=cell.networks,
            spared=cell.spared,
        )
        for cell in cells
        if k <= 1 or cell.votes >= k
    )


def _build_turn(phase: PhaseRecord, k: int) -> TurnDocument:
    step_us = choose_step_us((cell.votes for cell in phase.parts), k)
    return TurnDocument(
        way=phase.way,
        parts=_build_parts(phase.parts, k),
        when=_widen_bracket(phase.when, step_us),
        seen=_floor_time(phase.seen, step_us),
    )


def _build_evidence(entry: LogEntry, body: DetectorBody) -> EvidenceDocument:
    return EvidenceDocument(
        entry=entry.number,
        hash=entry.hash,
        window=body.window,
        versions=body.versions,
    )


def _build_alert(entry: LogEntry) -> AlertDocument:
    """Build one alert: time, author, text, and whether subscribers were notified."""
    body = entry.body
    operator_body = body if isinstance(body, OperatorBody) else None
    return AlertDocument(
        entry=entry.number,
        by=operator_body.by if operator_body else DETECTOR,
        name=operator_body.name if operator_body else "",
        text=operator_body.text if operator_body else "",
        at=_floor_second(body.at),
        change=body.change,
        called=body.alert,
    )


def _widen_bracket(bracket: BracketDocument, step_us: int) -> BracketDocument:
    latest = -(-parse_us(bracket.latest) // step_us) * step_us
    return BracketDocument(_floor_time(bracket.earliest, step_us), format_time(latest))


def _floor_second(timestamp: str) -> str:
    return _floor_time(timestamp, SECOND_US)


def _floor_time(timestamp: str, step_us: int) -> str:
    return format_time(parse_us(timestamp) // step_us * step_us)


def _floor_optional(timestamp: str | None, step_us: int) -> str | None:
    return None if timestamp is None else _floor_time(timestamp, step_us)


@lru_cache(maxsize=16_384)  # each page reads those of all incidents
def parse_us(timestamp: str) -> int:
    """Parse a time of the log to microseconds since the epoch."""
    return parse_timestamp(timestamp)


def is_counted(incident: IncidentSummary) -> bool:
    """Return whether it is a cut or a block, and not a block of us or a power failure."""
    return incident.kind not in _UNCOUNTED_KINDS


def is_national_silence(incident: IncidentSummary) -> bool:
    """Return whether it is a silence, also a suspected one, of a whole country."""
    is_offline = incident.kind == IncidentKind.SILENCE and ONE_WAY not in incident.hints
    return is_offline and is_of_whole_country(incident)


def is_of_whole_country(incident: IncidentSummary) -> bool:
    return any(not (part.region or part.asn or part.access) for part in incident.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFilter:
    """A reader's filter; None matches everything, times select overlapping incidents."""

    country: str | None = None
    region: str | None = None  # one that the incident or one of its parts names …
    asn: int | None = None  # … and a network likewise
    service: str | None = None
    state: str | None = None
    kind: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def matches(self, incident: IncidentSummary) -> bool:
        return (
            self.country in (None, incident.scope.country)
            and self.service in (None, incident.scope.service)
            and self.state in (None, incident.state)
            and self.kind in (None, incident.kind)
            and (self.region is None or self.region in _list_regions(incident))
            and (self.asn is None or self.asn in _list_networks(incident))
            and self._overlaps(incident)
        )

    def _overlaps(self, incident: IncidentSummary) -> bool:
        end = end_time(incident)
        return (self.until_us is None or parse_us(incident.started.earliest) < self.until_us) and (
            self.since_us is None or end is None or parse_us(end) >= self.since_us
        )


def _list_regions(incident: IncidentSummary) -> set[str]:
    return {incident.scope.region, *(part.region for part in _list_parts(incident))}


def _list_networks(incident: IncidentSummary) -> set[int]:
    return {incident.scope.asn, *(part.asn for part in _list_parts(incident))}


def _list_parts(incident: IncidentSummary) -> list[PartDocument]:
    """List the first parts, and those that were cut or restored later."""
    return [*incident.parts, *(part for turn in incident.turns for part in turn.parts)]


def is_confirmed(incident: IncidentSummary) -> bool:
    """Return whether it is or was confirmed, by whomever, and is not withdrawn."""
    return incident.state == "confirmed" or (
        incident.state == "closed" and bool(incident.confirmed or incident.confirmed_by)
    )


def end_time(incident: IncidentSummary) -> str | None:
    """Return the latest time at which it ended or was closed; None while it is open."""
    return incident.ended.latest if incident.ended else incident.closed


def cut_page(
    incidents: Sequence[IncidentDocument], position: str, limit: int
) -> tuple[list[IncidentDocument], str]:
    """Return (at most `limit` incidents after `position`, the next position or "")."""
    rest = [i for i in incidents if not position or sort_key(i) < position]
    rows = rest[:limit]
    return rows, sort_key(rows[-1]) if len(rest) > limit else ""


def sort_key(incident: IncidentSummary) -> str:
    """Return the sort key, newest start first; it is stable as incidents are added."""
    return f"{parse_us(incident.started.earliest):020d} {incident.id}"
