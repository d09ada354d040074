"""An incident in plain sentences, only from its published document.

The API has them in English; pages in the reader's language, from the catalogues.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from heliograph_collector.http import i18n, labels
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.onset import covers_all, find_onset
from heliograph_collector.http.pages.place_text import MAX_NAMED, describe_extent, describe_place
from heliograph_collector.incidents.incident import MOST_SERVICES, ONE_WAY
from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    CellScope,
    IncidentSummary,
    PartDocument,
    TurnDocument,
)
from heliograph_collector.model.scope import Scope

_SILENCE_STORIES = {
    "network_silence": "story.offline",
    "collector_blocked": "story.disturbed",
    "power": "story.power",
}
_ONE_WAY_TURNS = {"opening": "story.turn_heard", "cut": "story.turn_silent"}
_MAY_BE = {  # of what is only suspected
    "story.offline": "story.may_offline",
    "story.power": "story.may_power",
    "story.blocking_on": "story.may_blocking_on",
    "story.blocking_in": "story.may_blocking_in",
    "story.blocks_on": "story.may_blocks_on",
    "story.blocks_in": "story.may_blocks_in",
    "story.isolated": "story.may_isolated",
}
_MAX_TURNS = 2  # the newest, described with an open incident; its page lists all
_PRECISE_S = 300  # shorter brackets are given to the second
_ABOUT = timedelta(minutes=2)  # a headline states the middle of shorter ones; assumed


def describe_incident(incident: IncidentSummary, t: Locale) -> str:
    """Describe place, time and certainty of an incident, and its last turns, in UTC."""
    return " ".join([describe_lead(incident, t), *_describe_latest_turns(incident, t)])


def describe_blocks(blocks: Sequence[IncidentSummary], t: Locale) -> str:
    """Describe blocks of one place and state in one sentence, the earliest first."""
    first = blocks[0]
    titles = [block.title for block in blocks]
    is_in_network = all(part.asn or part.access for part in first.parts)
    key = "story.blocks_on" if is_in_network else "story.blocks_in"
    statement = t(
        _MAY_BE[key] if first.state == "suspected" else key,
        titles=_join_titles(titles, t),
        place=describe_place(first.parts, first.scope, t),
        began=describe_about(first.started, t),
    )
    if first.confirmed is None:
        return t("story.not_confirmed", text=statement)
    return statement[0].upper() + statement[1:]


def _join_titles(titles: Sequence[str], t: Locale) -> str:
    if len(titles) <= MAX_NAMED:
        return i18n.join_names(t.lang, titles)
    named = titles[: MAX_NAMED - 1]
    rest = t("story.more_services", n=len(titles) - len(named))
    return i18n.join_names(t.lang, [*named, rest])


def describe_lead(incident: IncidentSummary, t: Locale) -> str:
    """Describe an incident in the one sentence that a headline has space for."""
    statement = _describe_plainly(incident, t)
    if incident.state == "withdrawn":
        by_operator = incident.withdrawn_by == "operator"
        key = "story.withdrawn_by_operator" if by_operator else "story.withdrawn"
        return t(key, text=statement)
    if incident.confirmed is None:
        by_operator = "operator" in incident.confirmed_by
        return t("story.by_operator" if by_operator else "story.not_confirmed", text=statement)
    return statement[0].upper() + statement[1:]


def _describe_plainly(incident: IncidentSummary, t: Locale) -> str:
    values = {
        "place": describe_extent(incident, t),
        "began": describe_about(find_onset(incident), t),
        "ended": _describe_end(incident, t),
    }
    if _is_one_way(incident):
        return t("story.silence", **values)
    key = _SILENCE_STORIES.get(incident.kind, _block_story(incident, incident.parts))
    if incident.state == "suspected":
        key = _MAY_BE.get(key, key)
    what = labels.kind_label(incident.kind, incident.scope.service, t.lang)
    return t(key, what=what, title=incident.title, **values)


def _block_story(incident: IncidentSummary, parts: Sequence[PartDocument]) -> str:
    is_in_network = all(part.asn or part.access for part in parts)
    blocking = "story.blocking_on" if is_in_network else "story.blocking_in"
    story = "story.isolated" if incident.kind == "isolation" else blocking
    return "story.degraded" if incident.scope.service == MOST_SERVICES else story


def mark_direction(label: str, t: Locale) -> str:
    """Prefix a right-to-left mark, for a label that begins with a foreign name."""
    return f"\u200f{label}" if t.direction == "rtl" else label


def _is_one_way(incident: IncidentSummary) -> bool:
    """Return whether only one way to us is known to be silent, so not "offline"."""
    return incident.kind == "network_silence" and ONE_WAY in incident.hints


def _describe_end(incident: IncidentSummary, t: Locale) -> str:
    silence = incident.kind == "network_silence"
    is_one_way = _is_one_way(incident)
    if incident.ended:
        when = describe_about(incident.ended, t, _stated_day(find_onset(incident)))
        back = "story.heard_again" if is_one_way else "story.came_back"
        return t(back if silence else "story.over", when=when)
    if incident.state not in ("suspected", "confirmed"):
        return ""
    if silence and _is_partly_back(incident):
        return t("story.partly_heard" if is_one_way else "story.partly_back")
    if incident.state == "suspected" and not is_one_way:
        return ""  # it may be: nothing is known to last
    if not silence:
        return t("story.goes_on")
    return t("story.still_silent" if is_one_way else "story.no_return")


def _describe_latest_turns(incident: IncidentSummary, t: Locale) -> list[str]:
    """Describe the other parts of an open incident by the last turn of each."""
    if incident.state != "confirmed":
        return []
    turns = _list_latest_turns(incident)[-_MAX_TURNS:]
    stated = [find_onset(incident), *(turn.when for turn in turns)]
    days = [_stated_day(bracket) for bracket in stated]
    sentences = []
    for turn, day in zip(turns, days, strict=False):
        place_text = describe_place(turn.parts, incident.scope, t, is_country_stated=True)
        when = describe_about(turn.when, t, day)
        sentences.append(_describe_turn(incident, turn, place_text, when, t))
    return sentences


def _list_latest_turns(incident: IncidentSummary) -> list[TurnDocument]:
    """List the last turn of each place, in order of time."""
    latest: dict[tuple[Scope, ...], TurnDocument] = {}
    for turn in incident.turns:
        if turn.parts:
            cells = tuple(part.to_scope() for part in turn.parts)
            latest = {old: told for old, told in latest.items() if not covers_all(cells, old)}
            latest[cells] = turn
    return list(latest.values())


def _is_partly_back(incident: IncidentSummary) -> bool:
    """Return whether a place within the first parts came back, and was not cut again."""
    return any(
        part.to_scope().is_within(first.to_scope())
        for turn in _list_latest_turns(incident)
        if turn.way == "opening"
        for part in turn.parts
        for first in incident.parts
    )


def describe_bracket(bracket: BracketDocument, t: Locale, stated_day: date | None = None) -> str:
    """Describe a bracket as "between 10:03 and 10:05 UTC on 5 January 2022".

    The day is omitted if it is `stated_day`.
    """
    low, high, is_precise = round_bracket(bracket)
    first, last = (i18n.format_clock(t.lang, when, seconds=is_precise) for when in (low, high))
    if low == high:
        return t("story.at", time=first, day=_describe_day(low, stated_day, t))
    if low.date() == high.date():
        return t("story.between", low=first, high=last, day=_describe_day(low, stated_day, t))
    days = {"low_day": _describe_day(low, stated_day, t), "high_day": _describe_day(high, None, t)}
    return t("story.between_days", low=first, high=last, **days)


def describe_about(bracket: BracketDocument, t: Locale, stated_day: date | None = None) -> str:
    """Describe a bracket to the minute, as "about 10:04 UTC on 5 January 2022".

    A wide one is "between 10:03 and 10:14 UTC"; the bracket itself stands in the details.
    """
    if _is_narrow(bracket):
        middle = _round_middle(bracket)
        clock = i18n.format_clock(t.lang, middle)
        return t("story.about", time=clock, day=_describe_day(middle, stated_day, t))
    low = parse_time(bracket.earliest).replace(second=0, microsecond=0)
    high = ceil_minute(parse_time(bracket.latest))
    return describe_bracket(BracketDocument(low.isoformat(), high.isoformat()), t, stated_day)


def _is_narrow(bracket: BracketDocument) -> bool:
    return parse_time(bracket.latest) - parse_time(bracket.earliest) <= _ABOUT


def _round_middle(bracket: BracketDocument) -> datetime:
    low = parse_time(bracket.earliest)
    middle = low + (parse_time(bracket.latest) - low) / 2 + timedelta(seconds=30)
    return middle.replace(second=0, microsecond=0)


def _stated_day(bracket: BracketDocument) -> date:
    """Return the last day that `describe_about` states."""
    is_narrow = _is_narrow(bracket)
    when = _round_middle(bracket) if is_narrow else ceil_minute(parse_time(bracket.latest))
    return when.date()


def round_bracket(bracket: BracketDocument) -> tuple[datetime, datetime, bool]:
    """Return (earliest, latest, whether to the second), widened to minutes if not."""
    low = parse_time(bracket.earliest)
    high = parse_time(bracket.latest)
    is_whole = low.second == 0 == high.second
    if (high - low).total_seconds() < _PRECISE_S and not is_whole:
        return low, high, True
    return low.replace(second=0, microsecond=0), ceil_minute(high), False


def ceil_minute(when: datetime) -> datetime:
    minute = when.replace(second=0, microsecond=0)
    return minute if minute == when else minute + timedelta(minutes=1)


def format_timestamp(timestamp: str, t: Locale) -> str:
    """Format a time such as "10:03:20 UTC on 5 January 2022"."""
    utc_time = parse_time(timestamp)
    time_text = i18n.format_clock(t.lang, utc_time, seconds=True)
    return t("story.moment", time=time_text, day=i18n.format_day(t.lang, utc_time))


def describe_phase_change(incident: IncidentSummary, turn: TurnDocument, t: Locale) -> str:
    """Describe a part that was restored, or cut later than the first or again."""
    whole_country = CellScope(country=incident.scope.country, region="", asn=0, access="")
    place_text = describe_place(turn.parts, whole_country, t)
    return _describe_turn(incident, turn, place_text, describe_bracket(turn.when, t), t)


def _describe_turn(
    incident: IncidentSummary, turn: TurnDocument, place_text: str, when: str, t: Locale
) -> str:
    if incident.kind not in _SILENCE_STORIES:
        statement = _describe_block_turn(incident, turn, place_text, when, t)
    else:
        key = _ONE_WAY_TURNS[turn.way] if _is_one_way(incident) else f"story.{turn.way}"
        statement = t(key, place=place_text, when=when)
    return statement[0].upper() + statement[1:]


def _describe_block_turn(
    incident: IncidentSummary, turn: TurnDocument, place_text: str, when: str, t: Locale
) -> str:
    """Describe a block's later start, or its end, in a part of its places."""
    what = labels.kind_label(incident.kind, incident.scope.service, t.lang)
    began = when
    ended = ""
    if turn.way == "opening":
        cells = [part.to_scope() for part in turn.parts]
        cuts = [c for c in incident.turns[: incident.turns.index(turn)] if c.way == "cut"]
        here = [c.when for c in cuts if covers_all([part.to_scope() for part in c.parts], cells)]
        began = describe_about([incident.started, *here][-1], t)
        ended = t("story.over", when=when)
    key = _block_story(incident, turn.parts)
    return t(key, what=what, title=incident.title, place=place_text, began=began, ended=ended)


def list_steps(incident: IncidentSummary, t: Locale) -> list[tuple[str, str]]:
    """List (class, sentence) of phases: parts cut and restored, other explanations."""
    steps = [(turn.way, describe_phase_change(incident, turn, t)) for turn in incident.turns]
    kinds = [phase.kind for phase in incident.phases if phase.kind != "recovery"]
    for phase in incident.phases:
        is_first_of_kind = phase.kind in kinds[1:] and phase.kind != kinds[0]
        if is_first_of_kind and phase.confirmed_at:
            kinds = [kind for kind in kinds if kind != phase.kind]
            what = labels.label_code("kind", phase.kind, t.lang)
            when = format_timestamp(phase.confirmed_at, t)
            steps.append(("explained", t("story.explained", when=when, what=what)))
    return steps


def describe_confidence(incident: IncidentSummary, t: Locale) -> str:
    """Describe the confidence and the votes behind it."""
    parts = incident.parts
    value = float(f"{incident.confidence:g}")
    confidence_label = labels.describe_confidence(incident.confidence, t.lang)
    statement = t(
        "story.sure", word=confidence_label, value=int(value) if value == int(value) else value
    )
    for part in parts[:1]:
        statement = t(
            "story.sure_by",
            sure=statement,
            votes=i18n.localize_band(t.lang, part.votes),
            n=part.networks,
            share=_describe_share(part.share, t),
            hit=t("story.silent" if incident.kind in _SILENCE_STORIES else "story.failing"),
        )
    return t("story.more_places", text=statement, n=len(parts) - 1) if len(parts) > 1 else statement


def _describe_share(share: float, t: Locale) -> str:
    least = i18n.format_percent(t.lang, share)
    return t("story.all") if share >= 1 else t("story.at_least", share=least)


def _describe_day(when: datetime, stated_day: date | None, t: Locale) -> str:
    return "" if when.date() == stated_day else t("story.on_day", day=i18n.format_day(t.lang, when))


def parse_time(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp).astimezone(UTC)
