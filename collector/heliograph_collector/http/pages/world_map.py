"""The world map and its list of countries: one state per country, worst first.

A withheld country looks like one without vantages, so that it reveals nobody.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from operator import attrgetter

from heliograph.observation import Link
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.api.status import format_total
from heliograph_collector.http.charts.sparkline import build_slug
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import is_counted, is_of_whole_country
from heliograph_collector.http.pages import headlines
from heliograph_collector.http.pages.headlines import DASH
from heliograph_collector.http.snapshot import NetworkColumn, Snapshot, Withheld
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.model.records import VerdictState

SYMBOLS = {  # worst first
    "silent": "○",
    "partly_silent": "◌",
    "isolated": "⊘",
    "blocked": "✕",
    "suspected": "!",
    "disturbed": "!",
    "down": "▼",
    "partial": "◐",
    "reachable": "✓",
    "unknown": "?",
    "nothing": DASH,
}
TROUBLED_STATES = ("silent", "partly_silent", "isolated", "blocked", "down", "partial")
_MAX_LINES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLine:
    """One network in a sentence."""

    id: str
    state: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountrySummary:
    """A country with data."""

    code: str
    name: str
    state: str
    symbol: str
    label: str
    incidents: int
    networks: int
    vantages: str
    lines: Sequence[NetworkLine]
    omitted_count: int  # networks without a line


@dataclass(frozen=True, slots=True)
class MapShape:
    """An outline on the map; `id` is its part of world.svg; "none" has no country."""

    id: str
    state: str
    title: str


def summarize_countries(
    snapshot: Snapshot, under_way: Sequence[IncidentSummary], t: Locale
) -> list[CountrySummary]:
    """Summarize the countries; `under_way` are the open incidents."""
    by_code: dict[str, tuple[list[NetworkColumn], list[IncidentSummary]]] = {}
    for column in snapshot.columns:
        by_code.setdefault(column.group.country, ([], []))[0].append(column)
    for incident in under_way:
        by_code.setdefault(incident.scope.country, ([], []))[1].append(incident)
    summaries = [
        _summarize_country(code, *country_data, snapshot, t)
        for code, country_data in by_code.items()
    ]
    by_name = sorted(summaries, key=attrgetter("name"))
    return [summary for state in SYMBOLS for summary in by_name if summary.state == state]


def _summarize_country(
    code: str,
    columns: Sequence[NetworkColumn],
    open_incidents: Sequence[IncidentSummary],
    snapshot: Snapshot,
    t: Locale,
) -> CountrySummary:
    state = country_state(columns, open_incidents)
    vantages = sum(column.vantages for column in columns)
    return CountrySummary(
        code=code,
        name=labels.country_name(code, t.lang),
        state=state,
        symbol=SYMBOLS[state],
        label=_label_country(state, columns, t),
        incidents=len(open_incidents),
        networks=len(columns),
        vantages=format_vantages(vantages, snapshot.k, t) if columns else "",
        lines=[
            NetworkLine(
                id=build_slug("line", column.group),
                state=_line_state(column, snapshot.k),
                sentence=_capitalize(
                    headlines.describe_group(
                        column, snapshot, t, headlines.format_network(column.group, t)
                    )
                ),
            )
            for column in columns[:_MAX_LINES]
        ],
        omitted_count=len(columns[_MAX_LINES:]),
    )


def _capitalize(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def country_state(
    columns: Sequence[NetworkColumn], open_incidents: Sequence[IncidentSummary]
) -> str:
    """Return a country's state: confirmed incidents, then problems, then good news."""
    counted = [i for i in open_incidents if is_counted(i)]
    confirmed = {i.kind for i in counted if i.state == "confirmed"}
    network_states = {network_state(column) for column in columns}
    if network_states == {"offline"}:
        return "silent"
    if "network_silence" in confirmed:
        return "silent" if _is_all_silent(columns) else "partly_silent"
    if "isolation" in confirmed:
        return "isolated"
    if confirmed or "blocked" in network_states:
        return "blocked"
    if counted:
        return "suspected"
    has_failed = any(i.kind == "power" and i.state == "confirmed" for i in open_incidents)
    is_partly_dark = any(column.is_partly_dark for column in columns)
    if "offline" in network_states or (has_failed and is_partly_dark):
        return "partly_silent"
    fallback_states = ("down", "partial", "reachable", "unknown")
    state = next((state for state in fallback_states if state in network_states), "nothing")
    # What works was measured before, or by the few who reach us another way: no good news.
    return "disturbed" if state == "reachable" and _is_disturbed(open_incidents) else state


def _is_disturbed(open_incidents: Sequence[IncidentSummary]) -> bool:
    """Return whether reports from the whole country are confirmed to be disturbed."""
    return any(
        incident.kind == IncidentKind.COLLECTOR_BLOCKED
        and incident.state == "confirmed"
        and is_of_whole_country(incident)
        for incident in open_incidents
    )


def _is_all_silent(columns: Sequence[NetworkColumn]) -> bool:
    """Return whether a silence took all networks, but for those that it spared."""
    reached = [column for column in columns if not column.is_spared]
    return all(column.link is Link.OFFLINE for column in reached) and bool(reached or not columns)


def _label_country(state: str, columns: Sequence[NetworkColumn], t: Locale) -> str:
    """Say a country's state with the share of its networks that have it."""
    silent_count = sum(column.link is Link.OFFLINE for column in columns)
    blocked_count = sum(network_state(column) == "blocked" for column in columns)
    is_share = 0 < silent_count < len(columns) or any(column.is_one_way for column in columns)
    if state in ("silent", "partly_silent") and is_share:
        return t("now.are_offline", n=silent_count, total=len(columns))
    if state == "blocked" and 0 < blocked_count < len(columns):
        return t("map.blocked_in", n=blocked_count, total=len(columns))
    return t(f"map.{state}")


def network_state(column: NetworkColumn) -> str:
    """Return the worst state of a network's services; "offline" without a link."""
    states = {reading.state for reading in column.readings.values()}
    if column.link is Link.OFFLINE:
        return "offline"
    for state in (
        VerdictState.BLOCKED,
        VerdictState.DOWN,
        VerdictState.PARTIAL,
        VerdictState.REACHABLE,
        VerdictState.UNKNOWN,
    ):
        if state in states:
            is_doubted = any(r.withheld is Withheld.DOUBTED for r in column.readings.values())
            is_good = state is VerdictState.REACHABLE
            return VerdictState.UNKNOWN.value if is_good and is_doubted else state.value
    return "nothing"


def _line_state(column: NetworkColumn, k: int) -> str:
    """Return a network's state; "silent" if it has no data and enough fell silent.

    A network's working parts are no good news of its regions that fell silent.
    """
    current_state = network_state(column)
    if current_state == "reachable" and column.is_partly_dark:
        return "partial"
    return "silent" if current_state == "nothing" and column.silent >= max(k, 1) else current_state


def format_vantages(count: int, k: int, t: Locale) -> str:
    """Format a number of vantages in bands; exact if k is at most 1."""
    if k <= 1:
        return t("now.vantages", n=count)
    return t("now.vantages_band", count=i18n.localize_band(t.lang, format_total(count, k)))


def list_shapes(summaries: Sequence[CountrySummary], t: Locale) -> list[MapShape]:
    """List all outlines."""
    by_code: Mapping[str, CountrySummary] = {summary.code: summary for summary in summaries}
    map_shapes = []
    for code in list_outlines():
        summary = by_code.get(code)
        label = summary.label if summary else t("map.nothing")
        map_shapes.append(
            MapShape(
                code,
                summary.state if summary else "nothing",
                f"{labels.country_name(code, t.lang)}: {label}",
            )
        )
    return map_shapes


@cache
def list_outlines() -> tuple[str, ...]:
    """List the codes of the countries in world.svg."""
    return tuple(re.findall(r'<path id="([A-Z]{2})"', _read_svg()))


@cache
def read_view_box() -> str:
    match = re.search(r'viewBox="([0-9 ]+)"', _read_svg())
    return match.group(1) if match else ""


def _read_svg() -> str:
    return files("heliograph_collector.http").joinpath("static", "world.svg").read_text("utf-8")
