"""The current state in plain sentences, in the reader's language."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter, itemgetter

from heliograph.observation import Link
from heliograph_collector.aggregate.cell_state import list_functions
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.anonymity import format_band
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.snapshot import (
    ChangeBracket,
    NetworkColumn,
    NetworkGroup,
    ServiceReading,
    Snapshot,
    Withheld,
)
from heliograph_collector.model.records import VerdictState

DASH = "\N{EN DASH}"
_NETWORKS = ("mobile", "fixed", "hosting")
_MAX_NAMED = 3  # services in one sentence
_CUT_LINKS = (Link.OFFLINE, Link.DOMESTIC_ONLY)
_TROUBLES = (VerdictState.BLOCKED, VerdictState.PARTIAL, VerdictState.DOWN)


def format_clock(timestamp_us: int, t: Locale) -> str:
    """Format a time such as "13:05"."""
    return i18n.format_clock(t.lang, datetime.fromtimestamp(timestamp_us // 1_000_000, UTC))


def describe_outdated(snapshot: Snapshot, t: Locale) -> str:
    """Return the time of the measurements while the store is slow or away; else ""."""
    if not snapshot.is_outdated:
        return ""
    return t("now.outdated", time=format_clock(snapshot.at_us, t))


def format_group(group: NetworkGroup, t: Locale) -> str:
    """Format a group as "Kazakhstan, AS9198 fixed".

    "Kazakhstan, a fixed network" if the ASN is unknown.
    """
    country = labels.country_name(group.country, t.lang)
    if not group.asn and group.access in _NETWORKS:
        return t("place.inside", country=country, network=t(f"place.a_{group.access}"))
    if not group.asn and group.country == "ZZ":
        return country
    network = labels.network_name(group.asn, group.access, t.lang)
    if group.access in ("", "unknown"):
        return t("place.inside", country=country, network=network)
    access = labels.access_name(group.access, t.lang)
    return t("place.inside_access", country=country, network=network, access=access)


def format_network(group: NetworkGroup, t: Locale) -> str:
    """Format a network as "AS9198 fixed", for use beside its country."""
    if not group.asn and group.access in _NETWORKS:
        return t(f"place.a_{group.access}")
    network = labels.network_name(group.asn, group.access, t.lang)
    if group.access in ("", "unknown"):
        return network
    access = labels.access_name(group.access, t.lang)
    return t("place.network_access", network=network, access=access)


def describe_since(bracket: ChangeBracket | None, t: Locale) -> str:
    """Describe a bracket; "before" if the change is older than the window."""
    if bracket is None:
        return ""
    high = format_clock(bracket.latest_us, t)
    if bracket.earliest_us is not None:
        return t("now.since", low=format_clock(bracket.earliest_us, t), high=high)
    return t("now.since_before", high=high)


def describe_group(
    column: NetworkColumn, snapshot: Snapshot, t: Locale, group_title: str = ""
) -> str:
    """Describe one network: its link, then its problems, then the rest."""
    group_title = group_title or format_group(column.group, t)
    silence = describe_silent(column, snapshot.k, t)
    parts = [t("story.silent")] if column.is_one_way and not silence else []
    if column.link is Link.OFFLINE and not (silence or parts):
        return t("now.offline", place=group_title)
    if column.link is not Link.UNKNOWN and not column.is_one_way:
        parts.append(labels.label_code("link", column.link.value, t.lang))
    parts += [t("now.partly_dark")] if column.is_partly_dark else []
    parts += [silence] if silence else []
    if column.link is not Link.OFFLINE:
        parts += _list_troubles(column, dict(snapshot.services), t) + _describe_rest(column, t)
    return t("now.group", place=group_title, parts=t("now.semicolon").join(parts))


def describe_silent(column: NetworkColumn, k: int, t: Locale) -> str:
    """Describe the vantages that recently fell silent; "" for fewer than k."""
    if column.silent < max(k, 1):
        return ""
    return t(
        "now.silent",
        n=column.silent,
        count=i18n.localize_band(t.lang, format_band(column.silent, k)),
    )


def _list_troubles(column: NetworkColumn, titles: Mapping[str, str], t: Locale) -> list[str]:
    sentences = []
    for state in _TROUBLES:
        for service, reading in column.readings.items():
            if reading.state is state:
                sentences.append(_describe_trouble(titles[service], reading, t))
    return sentences


def _describe_trouble(title: str, reading: ServiceReading, t: Locale) -> str:
    cell = reading.cell
    state = reading.state
    layer = labels.LAYERS.get(cell.layer, "") if cell else ""
    cause = t("now.layer", layer=layer) if layer else ""
    if state is VerdictState.DOWN:
        cause = t("now.everybody")
    if cell and (functions := labels.describe_functions(list_functions(cell), t.lang)):
        cause = f"({functions})"
    state_label = labels.label_code("state", state.value, t.lang) if state else ""
    phrases = (
        t("now.trouble", service=title, state=state_label),
        cause,
        describe_since(reading.since, t),
    )
    return " ".join(part for part in phrases if part)


def _describe_rest(column: NetworkColumn, t: Locale) -> list[str]:
    states = [reading.state for reading in column.readings.values()]
    reachable_count, unknown_count, missing_count = (
        states.count(s) for s in (VerdictState.REACHABLE, VerdictState.UNKNOWN, None)
    )
    troubled_count = len(states) - reachable_count - unknown_count - missing_count
    withheld = [reading.withheld for reading in column.readings.values() if reading.withheld]
    phrases = [t("now.how_awaited")] if Withheld.AWAITED in withheld else []
    unknown_count += withheld.count(Withheld.DOUBTED)
    if reachable_count and Withheld.DOUBTED not in withheld:
        is_all_else = reachable_count + troubled_count == len(states) and troubled_count
        phrases.append(t("now.rest") if is_all_else else t("now.reachable", n=reachable_count))
    if unknown_count:
        phrases.append(t("now.unknown", n=unknown_count))
    return phrases or ([] if troubled_count else [t("now.unmeasured")])


def describe_networks(snapshot: Snapshot, t: Locale) -> str:
    """Summarize all shown networks."""
    columns = snapshot.columns
    if not columns:
        return t("now.none")
    if len(columns) == 1:
        return describe_group(columns[0], snapshot, t)
    phrases = list_troubles(columns, snapshot.services, t)
    if phrases:
        summary = t("now.semicolon").join(phrases)
        return f"{summary[0].upper()}{summary[1:]}."
    if has_reachable(columns):
        return t("now.fine", n=len(columns))
    return t("now.unjudged", n=len(columns))


def name_country(headline: str, snapshot: Snapshot, country: str, t: Locale) -> str:
    """Return the summary of one country's networks with the country's name."""
    country_title = labels.country_name(country, t.lang)
    if not snapshot.columns:
        return t("country.nobody", country=country_title)
    if headline.startswith(country_title):
        return headline
    return t("country.title", country=country_title, told=headline)


def has_reachable(columns: Sequence[NetworkColumn]) -> bool:
    """Return whether any service is known to be reachable."""
    good_states = (VerdictState.REACHABLE, VerdictState.PARTIAL)
    return any(r.state in good_states for c in columns for r in c.readings.values())


def list_troubles(
    columns: Sequence[NetworkColumn], services: Sequence[tuple[str, str]], t: Locale
) -> list[str]:
    """List blocked services, one that is down, a partly blocked one, offline networks."""
    return [
        *_describe_blocked(columns, services, t),
        *describe_down(columns, services, t),
        *_describe_partial(columns, services, t),
        *_describe_links(columns, t),
    ]


def _describe_blocked(
    columns: Sequence[NetworkColumn], services: Sequence[tuple[str, str]], t: Locale
) -> list[str]:
    counts = [
        (sum(c.readings[service].state is VerdictState.BLOCKED for c in columns), service, title)
        for service, title in services
    ]
    blocked_counts = sorted((c for c in counts if c[0]), key=itemgetter(0), reverse=True)
    if not blocked_counts:
        return []
    (n, service, title), *other_counts = blocked_counts
    since = _describe_first_change(columns, service, VerdictState.BLOCKED, t)
    phrases = [t("now.blocked", service=title, n=n, total=len(columns)) + since]
    other_counts = other_counts[: _MAX_NAMED - 1]
    phrases += [t("now.and_in", service=title, n=n) for n, _, title in other_counts]
    if len(blocked_counts) > _MAX_NAMED:
        phrases.append(t("now.more", n=len(blocked_counts) - _MAX_NAMED))
    return [t("list.comma").join(phrases)]


def _describe_first_change(
    columns: Sequence[NetworkColumn], service: str, state: VerdictState, t: Locale
) -> str:
    """Describe since when the first of the networks has been in a state, or ""."""
    readings = [c.readings[service] for c in columns]
    brackets = [r.since for r in readings if r.state is state and r.since is not None]
    first = min(brackets, key=attrgetter("latest_us"), default=None)
    since = describe_since(first, t)
    return f" {since} (UTC)" if since else ""


def describe_down(
    columns: Sequence[NetworkColumn], services: Sequence[tuple[str, str]], t: Locale
) -> list[str]:
    """Name the service that fails in most networks and at controls, and since when."""
    counts = [
        (sum(c.readings[service].state is VerdictState.DOWN for c in columns), service, title)
        for service, title in services
    ]
    n, service, title = max(counts, key=itemgetter(0), default=(0, "", ""))
    if not n:
        return []
    since_utc = _describe_first_change(columns, service, VerdictState.DOWN, t)
    return [t("now.down", service=title, since=since_utc, n=n, total=len(columns))]


def _describe_partial(
    columns: Sequence[NetworkColumn], services: Sequence[tuple[str, str]], t: Locale
) -> list[str]:
    """Name the service that is partly blocked in most networks."""
    counts = [
        (sum(c.readings[service].state is VerdictState.PARTIAL for c in columns), title)
        for service, title in services
    ]
    n, title = max(counts, key=itemgetter(0), default=(0, ""))
    return [t("now.partly", service=title, n=n, total=len(columns))] if n else []


def _describe_links(columns: Sequence[NetworkColumn], t: Locale) -> list[str]:
    phrases = []
    for link, key in zip(_CUT_LINKS, ("offline", "cut_off"), strict=True):
        n = sum(c.link is link for c in columns)
        if n:
            phrases.append(t(f"now.are_{key}", n=n, total=len(columns)))
    return phrases


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncidents:
    """The countries of open incidents, and the sentences of the gravest."""

    confirmed: Sequence[str] = ()
    suspected: Sequence[str] = ()
    first: str = ""
    beside: str = ""  # the gravest of the others, of those confirmed and of those suspected
    is_disturbed: bool = False  # all are of the way to us or of power, and one is confirmed


def describe_world(
    snapshot: Snapshot, open_: OpenIncidents, is_watched: bool, t: Locale
) -> tuple[str, str]:
    """Return (headline, subheadline or ""); the gravest incident is the headline.

    The number of incidents follows, because it shows neither their kind nor their time, and then
    the gravest of the others, so that no headline hides a cut that is suspected or a block.

    `is_watched`: a detector runs, so an empty list of incidents means that there is none.
    """
    current_headline = describe_present(snapshot, t)
    has_trouble = bool(list_troubles(snapshot.columns, snapshot.services, t))
    # A headline on a silence gets no subheadline that reports no blocking.
    subheadline = current_headline if has_reachable(snapshot.columns) and has_trouble else ""
    if open_.beside:
        down = describe_down(snapshot.columns, snapshot.services, t)
        subheadline = " ".join(f"{sentence}." for sentence in down)
    if open_.confirmed or open_.suspected or open_.is_disturbed:
        sentences = (_count_incidents(open_, t), open_.beside, subheadline)
        return open_.first, " ".join(filter(None, sentences))
    if not is_watched or len(snapshot.columns) < 2 or not has_reachable(snapshot.columns):
        return current_headline, ""
    calm_headline = _describe_calm(snapshot, t)
    # A block without an incident leads, or the map below is louder than its headline.
    return (current_headline, calm_headline) if has_trouble else (calm_headline, "")


def _count_incidents(open_: OpenIncidents, t: Locale) -> str:
    """Say how many incidents are open and where, unless the headline is all of it."""
    if len(open_.confirmed) > 1:
        places = _join_countries(open_.confirmed, t)
        return t("front.confirmed", n=len(open_.confirmed), places=places)
    if open_.suspected and not open_.confirmed:
        places = _join_countries(open_.suspected, t)
        return t("front.suspected", n=len(open_.suspected), places=places)
    return ""


def describe_present(snapshot: Snapshot, t: Locale) -> str:
    """Describe the country with most trouble; a service down everywhere has no place."""
    country = _find_lead_country(snapshot.columns)
    if not country:
        return describe_networks(snapshot, t)
    columns = tuple(column for column in snapshot.columns if column.group.country == country)
    own_snapshot = replace(snapshot, columns=columns)
    return name_country(describe_networks(own_snapshot, t), own_snapshot, country, t)


def _find_lead_country(columns: Sequence[NetworkColumn]) -> str:
    """Return the country with most networks that block, then with most that are cut."""
    blocked_counts = Counter(c.group.country for c in columns if _has_block(c))
    cut_counts = Counter(c.group.country for c in columns if c.link in _CUT_LINKS)
    codes = blocked_counts or cut_counts
    ranked = sorted((blocked_counts[code], cut_counts[code], code) for code in codes)
    return ranked[-1][2] if ranked else ""


def _has_block(column: NetworkColumn) -> bool:
    blocked_states = (VerdictState.BLOCKED, VerdictState.PARTIAL)
    return any(reading.state in blocked_states for reading in column.readings.values())


def _describe_calm(snapshot: Snapshot, t: Locale) -> str:
    networks = t("front.in_networks", n=len(snapshot.columns))
    codes = {column.group.country for column in snapshot.columns}
    if len(codes) == 1:
        return t("front.calm_in", country=_join_countries([*codes], t), networks=networks)
    return t("front.calm", networks=networks, countries=t("front.in_countries", n=len(codes)))


def _join_countries(codes: Sequence[str], t: Locale) -> str:
    names = [labels.country_name(code, t.lang) for code in dict.fromkeys(codes)]
    listed_names = names[:_MAX_NAMED]
    if len(names) > _MAX_NAMED:
        listed_names.append(t("front.more_places", n=len(names) - _MAX_NAMED))
    return i18n.join_names(t.lang, listed_names)
