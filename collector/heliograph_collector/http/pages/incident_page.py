"""The page of an incident, and its embedded version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlencode

from markupsafe import Markup

from heliograph.timestamps import format_day, format_second, format_time
from heliograph_collector.aggregate.disclosure import FINE_FACTOR
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.backend import Publisher
from heliograph_collector.http.charts import episode_chart, incident_chart
from heliograph_collector.http.charts.incident_chart import ChartView
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import (
    OPEN_STATES,
    HistoryStep,
)
from heliograph_collector.http.pages import incident_facts as facts
from heliograph_collector.http.pages import incident_text
from heliograph_collector.http.pages.about import format_contact
from heliograph_collector.http.pages.first_seen import FirstSeenRow, list_first_seen
from heliograph_collector.http.pages.incident_facts import (
    AnnotationView,
    EvidenceRow,
    HistoryRow,
    PartRow,
)
from heliograph_collector.http.pages.recent_incidents import IncidentLine, build_line
from heliograph_collector.http.pages.structured_data import describe_article
from heliograph_collector.http.templates import PageContent, render_page
from heliograph_collector.incidents.incident import tested_service
from heliograph_collector.incidents.published.incident import IncidentDocument, IncidentSummary
from heliograph_collector.model.imported import ImportedHistory
from heliograph_collector.model.published.status import CellDocument

_MAX_HISTORY = 100
_MAX_EVIDENCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineData:
    """The rows of an incident's timeline; none while the store is unavailable."""

    frame: ChartView
    rows: Sequence[CellDocument] = ()
    k: int = 1

    @property
    def is_by_minute(self) -> bool:
        return self.frame.bin_s == incident_chart.MINUTE_S

    @property
    def least_by_minute(self) -> int:
        """Return how many vantages a minute needs to be public; 0: any number."""
        return FINE_FACTOR * self.k if self.k > 1 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """The page's address, the key of the log, and the current time."""

    base_url: str
    public_key: str
    now_us: int
    publisher: Publisher
    imported: ImportedHistory = field(default_factory=ImportedHistory)  # near its start


def draw_picture(
    incident: IncidentSummary, timeline_data: TimelineData, now_us: int, t: Locale
) -> Markup:
    """Draw the votes over time, or the incident's phases if there are no votes."""
    if incident_chart.has_votes(timeline_data.rows):
        alt = _describe_picture(incident, timeline_data, t)
        return incident_chart.draw_chart(incident, timeline_data.rows, timeline_data.frame, t, alt)
    return episode_chart.draw_episode(
        incident, now_us, incident_text.describe_incident(incident, t), t
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseColumn:
    """The counts of a phase, in the order of the table's rows; None: no data."""

    name: str
    counts: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentContent(PageContent):
    template: ClassVar[str] = "incident.html"
    incident: IncidentDocument
    sentence: str
    line: IncidentLine
    below: str
    country: str
    place: str
    badges: Sequence[tuple[str, str]]
    silence: bool
    linked_service: str
    picture: Markup
    charted: bool
    legend: Sequence[tuple[str, str]]
    columns: Sequence[str]
    phases: Sequence[PhaseColumn]
    note: str
    zooms: Sequence[tuple[str, str]]
    minutes_from: int
    rows: str
    facts: Sequence[tuple[str, str]]
    parts: Sequence[PartRow]
    turns: Sequence[tuple[str, str]]
    hints: Sequence[str]
    held_codes: Sequence[str]
    first_seen: Sequence[FirstSeenRow]
    outside: Sequence[AnnotationView]
    history_rows: Sequence[HistoryRow]
    earlier: int
    evidence: Sequence[EvidenceRow]
    k: int
    key: str
    base: str
    as_of: str
    at: str
    contact: Markup
    reference: str
    structured: Markup


def render_incident(
    incident: IncidentDocument,
    history: Sequence[HistoryStep],
    timeline_data: TimelineData,
    page_context: PageContext,
    t: Locale,
    assets: Mapping[str, str],
) -> str:
    country = incident.scope.country
    history_rows = facts.build_history(history, t)
    drawn = draw_picture(incident, timeline_data, page_context.now_us, t)
    line = build_line(incident, t)
    return render_page(
        IncidentContent(
            t=t,
            incident=incident,
            sentence=line.sentence,
            line=line,
            below="",
            country=country,
            place=labels.country_name(country, t.lang),
            badges=_list_badges(incident, t),
            silence=not incident.scope.service,
            linked_service="" if "/" in (name := tested_service(incident.scope.service)) else name,
            picture=drawn,
            charted=incident_chart.has_votes(timeline_data.rows),
            legend=list_legend(incident, drawn, t),
            columns=incident_chart.count_columns(incident),
            phases=_build_phases(incident, timeline_data, t),
            note=_describe_chart(timeline_data, t),
            zooms=_list_zooms(incident, timeline_data, page_context.now_us, t),
            minutes_from=timeline_data.least_by_minute if timeline_data.is_by_minute else 0,
            rows=_timeline_path(incident, timeline_data.frame),
            facts=facts.list_facts(incident, t),
            parts=[facts.build_part(part, country, t) for part in incident.parts],
            turns=incident_text.list_steps(incident, t),
            hints=[labels.label_code("hint", hint, t.lang) for hint in incident.hints],
            held_codes=[labels.label_code("held", code, t.lang) for code in incident.held],
            first_seen=list_first_seen(incident, page_context.imported, page_context.publisher, t),
            outside=facts.list_annotations(incident.corroboration or (), t),
            history_rows=history_rows[-_MAX_HISTORY:],
            earlier=len(history_rows[:-_MAX_HISTORY]),
            evidence=[
                facts.build_evidence(evidence) for evidence in incident.evidence[-_MAX_EVIDENCE:]
            ],
            k=timeline_data.k,
            key=page_context.public_key,
            base=page_context.base_url,
            as_of=incident_text.format_timestamp(format_time(page_context.now_us), t),
            at=format_second(page_context.now_us),
            assets=assets,
            contact=format_contact(page_context.publisher.contact),
            reference=_format_reference(incident, line.sentence, page_context),
            structured=_describe_article(incident, line.sentence, page_context, t),
        )
    )


def _format_reference(incident: IncidentDocument, sentence: str, page_context: PageContext) -> str:
    """Format a citation: it names the entry, since a later one may differ."""
    operator = page_context.publisher.operator
    author = f"Heliograph ({operator})" if operator else "Heliograph"
    entry = f", log entry {incident.alerts[-1].entry}" if incident.alerts else ""
    return (
        f"{author}: {sentence} {page_context.base_url}{incident.links.page}{entry}, "
        f"{format_day(page_context.now_us)}. {page_context.publisher.license}."
    )


def _describe_article(
    incident: IncidentDocument, sentence: str, page_context: PageContext, t: Locale
) -> Markup:
    """Describe the page for search engines; a withdrawn incident is no event."""
    if incident.state == "withdrawn":
        return Markup()
    return describe_article(
        incident,
        sentence,
        labels.country_name(incident.scope.country, t.lang),
        page_context.publisher,
        page_context.base_url,
        t.lang,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEmbedContent(PageContent):
    template: ClassVar[str] = "embed.html"
    incident: IncidentSummary
    sentence: str
    line: IncidentLine
    badges: Sequence[tuple[str, str]]
    picture: Markup
    charted: bool
    legend: Sequence[tuple[str, str]]
    as_of: str


def render_embed(
    incident: IncidentSummary,
    timeline_data: TimelineData,
    page_context: PageContext,
    t: Locale,
    assets: Mapping[str, str],
) -> str:
    """Render a page for frames of other sites: sentence, chart and a link to the rest."""
    drawn = draw_picture(incident, timeline_data, page_context.now_us, t)
    line = build_line(incident, t)
    return render_page(
        IncidentEmbedContent(
            t=t,
            incident=incident,
            sentence=line.sentence,
            line=line,
            badges=_list_badges(incident, t),
            picture=drawn,
            charted=incident_chart.has_votes(timeline_data.rows),
            legend=list_legend(incident, drawn, t),
            as_of=incident_text.format_timestamp(format_time(page_context.now_us), t),
            assets=assets,
        )
    )


def _list_badges(incident: IncidentSummary, t: Locale) -> list[tuple[str, str]]:
    """List (class, label); the log's label is shown only in English."""
    state = labels.label_code("incident_state", incident.state, t.lang)
    if incident.state in OPEN_STATES:
        state = t("incident.open", state=state)
    kind = labels.kind_label(incident.kind, incident.scope.service, t.lang)
    label = [("", incident.label)] if t.lang == i18n.DEFAULT else []
    return [(incident.state, state), ("", kind), *label]


def list_legend(incident: IncidentSummary, drawn: Markup, t: Locale) -> list[tuple[str, str]]:
    """List (class, label) of the bars in a chart of votes; none for a chart of phases."""
    names = [(name, f"chart.is_{name}") for name in incident_chart.bar_kinds(incident)]
    bar_keys = [*names, ("back", "incident.key_opening")]
    return [
        (name, t(label_key)) for name, label_key in bar_keys if f'<rect class="{name}"' in drawn
    ]


def format_badge(incident: IncidentSummary, t: Locale) -> str:
    """Format kind and state for the share image."""
    state = labels.label_code("incident_state", incident.state, t.lang)
    return t(
        "share.badge",
        kind=labels.kind_label(incident.kind, incident.scope.service, t.lang),
        state=state,
    )


def _describe_chart(timeline_data: TimelineData, t: Locale) -> str:
    step = t(f"chart.step_{timeline_data.frame.bin_s}")
    return t("chart.note" if timeline_data.k > 1 else "chart.note_exact", step=step)


def _list_zooms(
    incident: IncidentSummary, timeline_data: TimelineData, now_us: int, t: Locale
) -> list[tuple[str, str]]:
    """List (label, path) of the chart's other views: by the minute, and the whole.

    Too few vantages in each bin of five minutes are too few in each of its minutes.
    """
    if timeline_data.is_by_minute and incident_chart.is_short(incident, now_us):
        return []  # minutes are its whole
    path = f"/incidents/{incident.id}"
    first = incident_chart.choose_minutes(incident, now_us, None)
    last = incident_chart.choose_minutes(incident, now_us, now_us)
    start = (t("incident.by_minute"), f"{path}?bin=1m")
    if first != last:
        start = (t("incident.start_by_minute"), start[1])
    end = (
        t("incident.end_by_minute"),
        f"{path}?bin=1m&until={format_time(last.until_us)}",
    )
    if not timeline_data.is_by_minute:
        most = max((row.vantages for row in timeline_data.rows), default=0)
        minutes = [start] if first == last else [start, end]
        return minutes if most >= max(timeline_data.least_by_minute, 1) else []
    is_first = timeline_data.frame.until_us == first.until_us
    other = [end if is_first else start] if first != last else []
    return [(t("incident.whole"), path), *other]


def _timeline_path(incident: IncidentSummary, frame: ChartView) -> str:
    query = {
        **incident_chart.timeline_filter(incident).keywords(),
        "since": format_time(frame.since_us),
        "until": format_time(frame.until_us),
        "bin": frame.bin_s,
    }
    return f"/api/v1/timeline?{urlencode(query)}"


def _build_phases(
    incident: IncidentSummary, timeline_data: TimelineData, t: Locale
) -> list[PhaseColumn]:
    if not incident_chart.has_votes(timeline_data.rows):
        return []
    return [
        PhaseColumn(
            name=t(f"chart.{phase.name}"),
            counts=None
            if phase.counts is None
            else [facts.format_least(count, timeline_data.k, t) for count in phase.counts.values()],
        )
        for phase in incident_chart.count_phases(incident, timeline_data.rows, timeline_data.frame)
    ]


def _describe_picture(incident: IncidentSummary, timeline_data: TimelineData, t: Locale) -> str:
    phrases = [
        t(
            "chart.alt",
            phase=t(f"chart.{phase.name}"),
            told=_describe_counts(phase, timeline_data.k, t),
        )
        for phase in incident_chart.count_phases(incident, timeline_data.rows, timeline_data.frame)
    ]
    return "; ".join(phrases)


def _describe_counts(phase: incident_chart.PhaseCounts, k: int, t: Locale) -> str:
    if phase.counts is None:
        return t("chart.nothing")
    counts = phase.counts
    named = [name for name, count in counts.items() if count] or list(counts)[:1]
    return i18n.join_names(
        t.lang,
        [
            t("chart.count", what=t(f"chart.is_{n}"), count=facts.format_least(counts[n], k, t))
            for n in named
        ],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingContent(PageContent):
    template: ClassVar[str] = "missing.html"


def render_missing(assets: Mapping[str, str], t: Locale) -> str:
    return render_page(MissingContent(assets=assets, t=t))
