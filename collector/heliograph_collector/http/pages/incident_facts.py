"""Texts of an incident's page: facts, parts, history and evidence. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from heliograph_collector.http import anonymity, i18n, labels
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import HistoryStep
from heliograph_collector.http.pages import incident_text, place_text
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.incident import (
    AlertDocument,
    EvidenceDocument,
    IncidentSummary,
    PartDocument,
)
from heliograph_collector.model.published.annotation import AnnotatedEntity, AnnotationDocument

_SOURCE_NAMES = {"ris": "RIPE RIS (BGP)", "ioda": "IODA", "radar": "Cloudflare Radar"}
_MAX_ANNOTATIONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationView:
    verdict_class: str  # class name
    verdict: str
    source: str
    signal: str
    subject: str
    reason: str
    figures: str
    at: str
    url: str
    attribution: str


def list_annotations(annotations: Sequence[AnnotationDocument], t: Locale) -> list[AnnotationView]:
    """List the annotations, newest first."""
    newest = sorted(annotations, key=attrgetter("said"), reverse=True)
    return [_build_annotation(annotation, t) for annotation in newest[:_MAX_ANNOTATIONS]]


def _build_annotation(annotation: AnnotationDocument, t: Locale) -> AnnotationView:
    url = annotation.url
    return AnnotationView(
        verdict_class=annotation.what,
        verdict=labels.label_code("outside", annotation.what, t.lang),
        source=_SOURCE_NAMES.get(annotation.source, annotation.source),
        signal=labels.label_code("outside", f"signal_{annotation.signal}", t.lang),
        subject=_describe_entity(annotation.entity, t),
        reason=labels.label_code("outside", f"why_{annotation.why}", t.lang),
        figures=_describe_figures(annotation.figures, t),
        at=incident_text.format_timestamp(annotation.said, t),
        url=url if url.startswith("https://") else "",
        attribution=annotation.attribution,
    )


def _describe_entity(entity: AnnotatedEntity, t: Locale) -> str:
    place = f"AS{entity.asn}" if entity.asn else labels.country_name(entity.country, t.lang)
    return t("outside.about", place=place)


def _describe_figures(figures: Mapping[str, float], t: Locale) -> str:
    if "during" not in figures or "before" not in figures:
        return ""
    during, before = (i18n.format_percent(t.lang, figures[name]) for name in ("during", "before"))
    return t("outside.figures", during=during, before=before)


_REVISED_FIELDS = (
    "parts",
    "started",
    "ended",
    "turns",
    "layer",
    "method",
    "confidence",
    "hints",
    "held",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One entry of the log."""

    entry: int
    at: str
    change: str
    sentence: str  # "" if it equals the previous one
    is_alert: bool
    operator_text: str = ""  # written by an operator


def list_facts(incident: IncidentSummary, t: Locale) -> list[tuple[str, str]]:
    """List names and values in the order of readers' interest."""
    facts = [
        ("where", place_text.describe_place(incident.parts, incident.scope, t)),
        ("what", _describe_subject(incident, t)),
        ("began", incident_text.describe_bracket(incident.started, t)),
        ("ended", _describe_ended(incident, t)),
        ("how", _describe_method(incident, t)),
        ("suspected", incident_text.format_timestamp(incident.suspected, t)),
        ("confirmed", _describe_confirmed(incident, t)),
        ("how_sure", _describe_confidence(incident, t)),
    ]
    return [(t(f"incident.{name}"), value) for name, value in facts if value]


def _describe_subject(incident: IncidentSummary, t: Locale) -> str:
    """Describe the disturbed traffic: a service by its title, or all of it."""
    if incident.title:
        service = incident.scope.service
        return labels.service_title(service, {service: incident.title}, t.lang)
    is_isolation = incident.kind == IncidentKind.ISOLATION
    return t("kind.isolation") if is_isolation else t("incident.all_traffic")


def _describe_method(incident: IncidentSummary, t: Locale) -> str:
    method_text = labels.describe_method(incident.layer, incident.method, t.lang)
    if not method_text:
        return ""
    key = f"plainly.{incident.layer}"
    plain = f" \N{EM DASH} {t(key)}" if i18n.has_entry(t.lang, key) else ""
    return incident_text.mark_direction(method_text, t) + plain


def _describe_confidence(incident: IncidentSummary, t: Locale) -> str:
    """Describe the confidence; "" for a withdrawn incident, whose confidence is void."""
    return "" if incident.state == "withdrawn" else incident_text.describe_confidence(incident, t)


def list_brief_facts(incident: IncidentSummary, t: Locale) -> list[tuple[str, str]]:
    """List the facts beside a simple chart: confidence and counter-evidence."""
    counter_evidence = [labels.label_code("held", code, t.lang) for code in incident.held]
    facts = [
        ("how_sure", _describe_confidence(incident, t)),
        ("against", counter_evidence[0] if counter_evidence else ""),
        ("suspected", incident_text.format_timestamp(incident.suspected, t)),
    ]
    return [(t(f"incident.{name}"), value) for name, value in facts if value]


def _describe_confirmed(incident: IncidentSummary, t: Locale) -> str:
    """Describe when the operator and the detector confirmed the incident, separately."""
    detector_time = (
        incident_text.format_timestamp(incident.confirmed, t)
        if incident.confirmed
        else t("incident.not_yet")
    )
    verdict = incident.operator.confirmed if incident.operator else None
    if verdict is None or "operator" not in incident.confirmed_by:
        return detector_time
    operator_time = incident_text.format_timestamp(verdict.at, t)
    return t("incident.confirmed_by", when=operator_time, own=detector_time)


def _describe_ended(incident: IncidentSummary, t: Locale) -> str:
    if incident.ended:
        return incident_text.describe_bracket(incident.ended, t)
    if incident.state == "withdrawn":
        return t("incident.withdrawn")
    return t("incident.not_known" if incident.state == "closed" else "incident.not_yet")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """One affected cell, in words."""

    place: str
    votes: str
    share: str
    networks: str
    spared: str


def build_part(part: PartDocument, country: str, t: Locale) -> PartRow:
    return PartRow(
        place=place_text.describe_cell(part, t)
        or t("incident.all_of", country=labels.country_name(country, t.lang)),
        votes=i18n.localize_band(t.lang, part.votes),
        share=i18n.format_percent(t.lang, part.share),
        networks=i18n.format_number(t.lang, part.networks),
        spared=i18n.join_names(
            t.lang, [place_text.describe_spared(part, other, t) for other in part.spared]
        ),
    )


def build_history(history: Sequence[HistoryStep], t: Locale) -> list[HistoryRow]:
    """Build the history; a sentence appears only if it differs from the previous one."""
    rows: list[HistoryRow] = []
    previous: IncidentSummary | None = None
    for alert, incident in history:
        change = labels.label_code("change", alert.change, t.lang)
        revision = _describe_revision(previous, incident, t)
        if alert.change == "revised" and revision:
            change = t("incident.revised", change=change, news=revision)
        is_same = previous and incident and previous.sentence == incident.sentence
        rows.append(
            HistoryRow(
                entry=alert.entry,
                at=incident_text.format_timestamp(alert.at, t),
                change=change,
                sentence=""
                if is_same or incident is None
                else incident_text.describe_incident(incident, t),
                is_alert=alert.called,
                operator_text=_quote_operator(alert),
            )
        )
        previous = incident
    return rows


def _quote_operator(alert: AlertDocument) -> str:
    by = f" ({alert.name})" if alert.name else ""
    return f"“{alert.text}”{by}" if alert.text else by.strip()


def _describe_revision(
    previous: IncidentSummary | None, incident: IncidentSummary | None, t: Locale
) -> str:
    if previous is None or incident is None:
        return ""
    changed_fields = [
        t(f"incident.news_{name}")
        for name in _REVISED_FIELDS
        if getattr(previous, name) != getattr(incident, name)
    ]
    return t("list.comma").join(changed_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """The input from which an entry was computed, in words."""

    entry: int
    hash: str
    window: str
    versions: str


def build_evidence(evidence: EvidenceDocument) -> EvidenceRow:
    since = incident_text.parse_time(evidence.window.since)
    until = incident_text.parse_time(evidence.window.until)
    return EvidenceRow(
        entry=evidence.entry,
        hash=evidence.hash,
        window=f"{since:%Y-%m-%d %H:%M:%S}\N{EN DASH}{until:%H:%M:%S}",
        versions=", ".join(f"{n} {v[:12]}" for n, v in evidence.versions.items()),
    )


def format_least(count: int, k: int, t: Locale) -> str:
    """Format the band of a lower bound from the timeline; exact if k is at most 1."""
    is_exact = k <= 1 or count == 0
    band = str(count) if is_exact else anonymity.format_band(count, k)
    return i18n.localize_band(t.lang, band)
