"""The times at which an incident cut a place, and at which it came back. Pure."""

from collections.abc import Iterable

from heliograph_collector.http.incident_document import parse_us
from heliograph_collector.http.onset import find_onset
from heliograph_collector.http.snapshot import ChangeBracket
from heliograph_collector.incidents.incident import PhaseDirection
from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    IncidentSummary,
    PartDocument,
)
from heliograph_collector.model.scope import Scope

NOT_BACK_US = 1 << 62  # later than every bin


def find_return(incident: IncidentSummary, place: Scope) -> int:
    """Return when the place came back: NOT_BACK_US while it is cut, 0 if not in it."""
    dark_until_us = NOT_BACK_US if covers_place(incident.parts, place) else 0
    for turn in incident.turns:
        if covers_place(turn.parts, place):
            is_back = turn.way == PhaseDirection.OPENING
            dark_until_us = parse_us(turn.when.earliest) if is_back else NOT_BACK_US
    return dark_until_us


def find_last_end(spans: Iterable[tuple[int, int]]) -> int:
    return max((until_us for _, until_us in spans if until_us < NOT_BACK_US), default=0)


def list_scopes(incident: IncidentSummary) -> set[Scope]:
    turns = (part for turn in incident.turns for part in turn.parts)
    return {part.to_scope() for part in (*incident.parts, *turns)}


def list_spans(incident: IncidentSummary, place: Scope) -> list[tuple[int, int]]:
    """List the certain times of an incident in a place.

    Where the brackets overlap no time is certain: then it is where they do, so that nothing short
    vanishes.
    """
    spans: list[tuple[int, int]] = []
    is_covered = covers_place(incident.parts, place)
    since_us = parse_us(find_onset(incident, place).latest) if is_covered else None
    for turn in incident.turns:
        if not covers_place(turn.parts, place):
            continue
        if turn.way == PhaseDirection.CUT:
            since_us = since_us or parse_us(turn.when.latest)
        elif since_us:
            spans.append((since_us, parse_us(turn.when.earliest)))
            since_us = None
    if since_us:
        end = incident.ended.earliest if incident.ended else incident.closed
        spans.append((since_us, parse_us(end) if end else NOT_BACK_US))
    return [(min(span), max(span)) for span in spans]


def find_latest_cut(incident: IncidentSummary, place: Scope) -> int:
    """Return the latest time at which the place can have been cut last; else 0."""
    cuts = [(incident.parts, find_onset(incident, place)), *list_cuts(incident)]
    return max(
        (parse_us(when.latest) for parts, when in cuts if covers_place(parts, place)), default=0
    )


def find_open_since(incidents: Iterable[IncidentSummary], place: Scope) -> int:
    """Return the latest time at which a lasting incident can have reached the place.

    0: there is none.
    """
    lasting = (i for i in incidents if find_return(i, place) == NOT_BACK_US)
    return max((find_latest_cut(incident, place) for incident in lasting), default=0)


def find_cut(incident: IncidentSummary, place: Scope) -> BracketDocument:
    """Return when the place was cut last; the incident's start in it without a turn."""
    cuts = [when for parts, when in list_cuts(incident) if covers_place(parts, place)]
    return cuts[-1] if cuts else find_onset(incident, place)


def read_change(when: BracketDocument) -> ChangeBracket:
    return ChangeBracket(parse_us(when.earliest), parse_us(when.latest))


def list_cuts(
    incident: IncidentSummary,
) -> list[tuple[tuple[PartDocument, ...], BracketDocument]]:
    return [(turn.parts, turn.when) for turn in incident.turns if turn.way == PhaseDirection.CUT]


def covers_place(parts: Iterable[PartDocument], place: Scope) -> bool:
    return any(
        place.is_within(part.to_scope())
        and not any(place.is_within(spared.to_scope()) for spared in part.spared)
        for part in parts
    )
