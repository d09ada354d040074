"""List the last week's incidents as a page's lines, and choose its headline. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.i18n import ENGLISH, Locale
from heliograph_collector.http.incident_document import (
    OPEN_STATES,
    is_confirmed,
    is_national_silence,
    parse_us,
)
from heliograph_collector.http.incident_times import covers_place
from heliograph_collector.http.onset import find_onset
from heliograph_collector.http.pages import incident_text, place_text
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    IncidentDocument,
    IncidentSummary,
)
from heliograph_collector.model.scope import Scope

MAX_OPEN = 12
MAX_ENDED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentLine:
    """One incident on the front page."""

    id: str
    sentence: str
    lead: str  # the sentence without the last turns …
    turns: str  # … which follow it
    began: str
    started: str  # RFC 3339, the latest possible time; "" where only the hour is known
    ended_us: int  # likewise, of a confirmed one; 0 while it lasts
    state: str
    kind: str
    is_whole: bool  # a silence of a whole country, or of all of the page's place
    facts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentIncidents:
    """Incidents on the front page; if `is_watched`, an empty list means no incident."""

    is_watched: bool = False
    under_way: Sequence[IncidentLine] = ()
    ended: Sequence[IncidentLine] = ()
    omitted_count: int = 0
    lead: IncidentLine | None = None  # the gravest, with the blocks of the same place
    beside_lead: str = ""  # the gravest of the others, of those confirmed and of those suspected


def select_recent(
    is_watched: bool,
    under_way: Sequence[IncidentDocument],
    ended: Sequence[IncidentDocument],
    t: Locale,
    places: Sequence[Scope] = (),
) -> RecentIncidents:
    """Select those that a page shows; `places` are the page's, if it has some.

    A possible silence of all of a page's place leads it, because no block can be measured there.
    """
    whole = [i for i in under_way if _may_silence(i, places)]
    lead = _list_lead([*whole, *under_way] if not _has_sure_silence(under_way) else under_way)
    others = [incident for incident in under_way if incident not in lead]
    beside = [
        _list_lead([incident for incident in others if incident.state == state])
        for state in OPEN_STATES[::-1]
    ]
    line = _build_lead(lead, t) if lead else None
    return RecentIncidents(
        lead=replace(line, is_whole=line.is_whole or lead[0] in whole) if line else None,
        beside_lead=" ".join(_build_lead(incidents, t).lead for incidents in beside if incidents),
        is_watched=is_watched,
        under_way=[build_line(i, t) for i in under_way[:MAX_OPEN]],
        ended=[build_line(i, t) for i in ended[:MAX_ENDED]],
        omitted_count=len(under_way[MAX_OPEN:]) + len(ended[MAX_ENDED:]),
    )


def _has_sure_silence(under_way: Sequence[IncidentSummary]) -> bool:
    return any(IncidentKind(i.kind).is_silence and i.state == "confirmed" for i in under_way)


def _may_silence(incident: IncidentSummary, places: Sequence[Scope]) -> bool:
    is_doubted = incident.kind == IncidentKind.SILENCE and incident.state == "suspected"
    is_all = bool(places) and all(covers_place(incident.parts, place) for place in places)
    return is_doubted and is_all


def _list_lead(under_way: Sequence[IncidentSummary]) -> list[IncidentSummary]:
    """List the leading incidents: the gravest, or all blocks of its place.

    The earliest block is the first. Readers assume that services a headline does not name work.
    """
    gravest = under_way[:1]
    blocks = [
        incident
        for incident in under_way
        for first in gravest
        if incident.kind == first.kind == IncidentKind.BLOCKING
        and incident.state == first.state
        and bool(incident.confirmed) == bool(first.confirmed) == (first.state == "confirmed")
        and place_text.describe_place(incident.parts, incident.scope, ENGLISH)
        == place_text.describe_place(first.parts, first.scope, ENGLISH)
    ]
    return sorted(blocks, key=attrgetter("started.latest")) if len(blocks) > 1 else [*gravest]


def _build_lead(incidents: Sequence[IncidentSummary], t: Locale) -> IncidentLine:
    line = build_line(incidents[0], t)
    if len(incidents) == 1:
        return line
    sentence = incident_text.describe_blocks(incidents, t)
    return replace(line, sentence=sentence, lead=sentence, turns="")


def build_line(incident: IncidentSummary, t: Locale) -> IncidentLine:
    line_facts = [
        labels.label_code("incident_state", incident.state, t.lang),
        labels.kind_label(incident.kind, incident.scope.service, t.lang),
    ]
    # "confirmed · low confidence" contradicts itself; the incident's page says how sure, and why.
    is_unclear = incident.state == "confirmed" and incident.confidence <= labels.LOW_CONFIDENCE
    if incident.state != "withdrawn" and not is_unclear:
        line_facts.append(labels.describe_confidence(incident.confidence, t.lang))
    if incident.parts:
        votes = i18n.localize_band(t.lang, incident.parts[0].votes)
        line_facts.append(t("incident.votes_fact", votes=votes))
    sentence = incident_text.describe_incident(incident, t)
    lead = incident_text.describe_lead(incident, t)
    return IncidentLine(
        id=incident.id,
        sentence=sentence,
        lead=lead,
        turns=sentence.removeprefix(lead).strip(),
        began=incident_text.describe_bracket(find_onset(incident), t),
        started=_date_onset(find_onset(incident)),
        ended_us=parse_us(incident.ended.latest)
        if incident.ended and is_confirmed(incident)
        else 0,
        state=incident.state,
        kind=incident.kind,
        is_whole=is_national_silence(incident),
        facts=line_facts,
    )


def _date_onset(onset: BracketDocument) -> str:
    """Return the latest possible time, from which a page counts; "" if nothing closer is known."""
    if parse_us(onset.latest) - parse_us(onset.earliest) >= HOUR_US:
        return ""
    return onset.latest


def find_headline_incident(recent: RecentIncidents, *, has_troubles: bool) -> IncidentLine | None:
    """Return the incident for the headline, None if present measurements are it.

    A suspected incident does not hide a known block, unless it is the silence of a whole country,
    or of all of the page's place.
    """
    lead = recent.lead
    if lead and (lead.state == "confirmed" or lead.is_whole or not has_troubles):
        return lead
    return None


def find_line(recent: RecentIncidents, headline: str) -> IncidentLine | None:
    """Return what leads, if its sentence is the headline."""
    return recent.lead if recent.lead and recent.lead.sentence == headline else None


def find_just_ended(recent: RecentIncidents, at_us: int) -> str:
    """Return the sentence of the gravest confirmed incident of the last day, or ""."""
    ended = [line for line in recent.ended if line.ended_us > at_us - DAY_US]
    ended.sort(key=attrgetter("ended_us"), reverse=True)
    silences = [line for line in ended if IncidentKind(line.kind).is_silence]
    return next((line.sentence for line in (*silences, *ended)), "")
