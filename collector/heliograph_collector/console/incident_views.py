"""Views of incidents for the console, with texts ready to be shown. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_collector.console.formats import format_second
from heliograph_collector.http import labels
from heliograph_collector.http.i18n import ENGLISH
from heliograph_collector.http.incident_document import OPEN_STATES, parse_us
from heliograph_collector.http.pages import incident_text
from heliograph_collector.http.pages.incident_text import describe_bracket
from heliograph_collector.http.pages.place_text import (
    describe_cell,
    describe_place,
    describe_spared,
)
from heliograph_collector.incidents.published.incident import (
    AlertDocument,
    IncidentDocument,
    PartDocument,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """One incident in the list; `marks` are labels beside its state."""

    id: str
    sentence: str
    state: str
    is_open: bool
    country: str
    service: str
    facts: Sequence[str]
    marks: Sequence[str]
    updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntryView:
    """One log entry of an incident."""

    entry: int
    at: str
    change: str
    by: str  # detector or operator
    comment: str
    name: str
    is_alert: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PartView:
    """One affected cell, in words."""

    place: str
    votes: str
    share: str
    networks: int
    spared: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentDetail:
    """One incident of the log; `allowed_acts` are those that an operator may record."""

    row: IncidentRow
    newest_entry: int
    allowed_acts: Sequence[str]
    facts: Sequence[tuple[str, str]]
    counter_evidence: Sequence[str]
    hints: Sequence[str]
    parts: Sequence[PartView]
    turns: Sequence[tuple[str, str]]
    log_entries: Sequence[LogEntryView]
    page: str


def count_open(incidents: Sequence[IncidentDocument]) -> dict[str, int]:
    """Count the open incidents by state."""
    states = [incident.state for incident in incidents]
    return {state: states.count(state) for state in OPEN_STATES}


def build_row(incident: IncidentDocument) -> IncidentRow:
    marks = []
    operator = incident.operator
    if operator and operator.acknowledged:
        marks.append("seen")
    if "operator" in incident.confirmed_by:
        marks.append("confirmed by operator")
    if incident.withdrawn_by == "operator":
        marks.append("withdrawn by operator")
    if operator and operator.notes:
        marks.append(f"{len(operator.notes)} note{'s' if len(operator.notes) > 1 else ''}")
    parts = incident.parts
    facts = [
        labels.kind_label(incident.kind, incident.scope.service),
        labels.describe_confidence(incident.confidence),
    ]
    facts += [f"{_format_band(parts[0].votes)} vantage points"] if parts else []
    return IncidentRow(
        id=incident.id,
        sentence=incident.sentence,
        state=incident.state,
        is_open=incident.state in OPEN_STATES,
        country=incident.scope.country,
        service=incident.scope.service,
        facts=facts,
        marks=marks,
        updated=format_second(parse_us(incident.updated)),
    )


def build_detail(incident: IncidentDocument) -> IncidentDetail:
    country = incident.scope.country
    return IncidentDetail(
        row=build_row(incident),
        newest_entry=incident.alerts[-1].entry,
        allowed_acts=_list_allowed_acts(incident),
        facts=_build_facts(incident),
        counter_evidence=[labels.label_code("held", code) for code in incident.held],
        hints=[labels.label_code("hint", code) for code in incident.hints],
        parts=[_build_part(part, country) for part in incident.parts],
        turns=incident_text.list_steps(incident, ENGLISH),
        log_entries=[_build_log_entry(alert) for alert in reversed(incident.alerts)],
        page=incident.links.page,
    )


def _list_allowed_acts(incident: IncidentDocument) -> list[str]:
    """List the acts that the state allows; the log makes the final check."""
    allowed_acts = ["annotated"]
    if not (incident.operator and incident.operator.acknowledged):
        allowed_acts.append("acknowledged")
    if incident.state != "withdrawn":
        allowed_acts.append("withdrawn")
    if "operator" not in incident.confirmed_by and incident.withdrawn_by != "detector":
        allowed_acts.append("confirmed")
    return allowed_acts


def describe_publication(incident: IncidentDocument) -> list[tuple[str, str]]:
    """Describe scope and times of an incident, as its public page does."""
    facts = [
        ("Where", describe_place(incident.parts, incident.scope, ENGLISH)),
        ("What", incident.title or "all traffic"),
        ("Began", describe_bracket(incident.started, ENGLISH)),
        ("Ended", describe_bracket(incident.ended, ENGLISH) if incident.ended else ""),
        ("How", labels.describe_method(incident.layer, incident.method)),
    ]
    return [(name, value) for name, value in facts if value]


def _build_facts(incident: IncidentDocument) -> list[tuple[str, str]]:
    confirmed_at = (
        incident_text.format_timestamp(incident.confirmed, ENGLISH)
        if incident.confirmed
        else "not confirmed"
    )
    facts = [
        *describe_publication(incident),
        ("Detector", f"{incident.detected}; {confirmed_at}"),
        ("Operator", _describe_operator(incident)),
        ("Confidence", incident_text.describe_confidence(incident, ENGLISH)),
    ]
    return [(name, value) for name, value in facts if value]


def _describe_operator(incident: IncidentDocument) -> str:
    if incident.operator is None:
        return ""
    confirmation = incident.operator.confirmed
    withdrawal = incident.operator.withdrawn
    for name, verdict in (("confirmed", confirmation), ("withdrawn", withdrawal)):
        if verdict and verdict.until is None:
            reason = f": “{verdict.text}”" if verdict.text else ""
            return f"{name} at {incident_text.format_timestamp(verdict.at, ENGLISH)}{reason}"
    return ""


def _build_part(part: PartDocument, country: str) -> PartView:
    return PartView(
        place=describe_cell(part, ENGLISH) or f"all of {labels.country_name(country)}",
        votes=_format_band(part.votes),
        share=f"{part.share:.0%}",
        networks=part.networks,
        spared=", ".join(describe_spared(part, other, ENGLISH) for other in part.spared),
    )


def _build_log_entry(alert: AlertDocument) -> LogEntryView:
    return LogEntryView(
        entry=alert.entry,
        at=format_second(parse_us(alert.at)),
        change=labels.label_code("change", alert.change),
        by=alert.by,
        comment=alert.text,
        name=alert.name,
        is_alert=alert.called,
    )


def _format_band(band: str) -> str:
    """Format the band of a count for people."""
    return band.replace("-", "\N{EN DASH}")
