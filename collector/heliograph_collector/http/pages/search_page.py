"""Search: the page of each country, region, service, network and incident that a text names.

It reads memory alone, and knows no name that is not public.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import urlencode

from heliograph.regions import list_regions
from heliograph_collector.http import labels
from heliograph_collector.http.backend import NetworkNamer
from heliograph_collector.http.day_range import DayRange
from heliograph_collector.http.i18n import LANGS, Locale
from heliograph_collector.http.pages.incident_text import describe_incident
from heliograph_collector.http.pages.subject_page import network_path
from heliograph_collector.http.templates import render_template
from heliograph_collector.incidents.published.incident import IncidentDocument

MAX_QUERY = 100  # characters; a longer text names nothing
_MAX_RESULTS = 30  # of one kind
_MAX_INCIDENTS = 5
_MAX_NAMES = 300  # of networks with such a name, of which those with data come first
_NUMBER = re.compile("(?:as)?([0-9]{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchIndex:
    """What can be found beside countries and regions."""

    services: Mapping[str, str]  # name → title
    targets: Collection[str]
    networks: Sequence[tuple[int, str]]  # number, country; of those that are public now
    names: NetworkNamer
    incidents: Sequence[IncidentDocument]


@dataclass(frozen=True, slots=True)
class SearchResult:
    title: str
    path: str
    about: str = ""


def render_search(
    query: str, days: DayRange | None, index: SearchIndex, t: Locale, assets: Mapping[str, str]
) -> str:
    """Render the form with what was found; `days` are those that the results lead to."""
    chosen = {} if days is None else days.parameters
    suffix = f"?{urlencode(chosen)}" if chosen else ""
    groups = find_results(query, index, t) if query else []
    return render_template(
        "search.html",
        t=t,
        assets=assets,
        query=query,
        groups=[
            (t(f"search.{kind}"), results if kind == "incidents" else _add_days(results, suffix))
            for kind, results in groups
            if results
        ],
        services=list(index.services.items()),
        days=suffix,
        chosen_since=chosen.get("since", ""),
        chosen_until=chosen.get("until", ""),
    )


def _add_days(results: Iterable[SearchResult], suffix: str) -> list[SearchResult]:
    return [replace(result, path=f"{result.path}{suffix}") for result in results]


def find_results(query: str, index: SearchIndex, t: Locale) -> list[tuple[str, list[SearchResult]]]:
    """Find (kind, results), names that begin with the text first."""
    text = _fold(query)
    countries = [
        SearchResult(labels.country_name(code, t.lang), f"/countries/{code}", code)
        for code in _match(text, _country_names())
    ]
    regions = [
        SearchResult(
            labels.region_name(code, t.lang),
            f"/countries/{code[:2]}/{code}",
            labels.country_name(code[:2], t.lang),
        )
        for code in _match(text, _region_names())
    ]
    found_countries = {result.about for result in countries[:3]}
    return [
        ("services", _find_services(text, index)),
        ("countries", countries[:_MAX_RESULTS]),
        ("regions", regions[:_MAX_RESULTS]),
        ("networks", _find_networks(text, index, t)),
        ("incidents", _find_incidents(text, found_countries, index, t)),
    ]


def _find_services(text: str, index: SearchIndex) -> list[SearchResult]:
    names = {name: [_fold(name), _fold(title)] for name, title in index.services.items()}
    names |= {target: [_fold(labels.format_target(target))] for target in index.targets}
    return [
        SearchResult(labels.service_title(name, index.services), f"/services/{name}", name)
        for name in _match(text, names)
        if "/" not in name
    ][:_MAX_RESULTS]


def _find_networks(text: str, index: SearchIndex, t: Locale) -> list[SearchResult]:
    """Find networks by number, or by their operators' names; those with data lead."""
    countries = dict(index.networks)
    if number := _NUMBER.fullmatch(text):
        asn = int(number.group(1))
        found = [n for n in countries if str(n).startswith(str(asn))]
        found += [asn] if asn not in countries and index.names.name_network(asn) else []
    else:
        named = index.names.find_networks(text, _MAX_NAMES) if len(text) > 2 else ()
        found = sorted(named, key=lambda n: n not in countries)
    return [_describe_network(n, countries.get(n, ""), index, t) for n in found[:_MAX_RESULTS]]


def _describe_network(asn: int, country: str, index: SearchIndex, t: Locale) -> SearchResult:
    about = [index.names.name_network(asn), country and labels.country_name(country, t.lang)]
    return SearchResult(f"AS{asn}", network_path(asn), " · ".join(filter(None, about)))


def _find_incidents(
    text: str, countries: Collection[str], index: SearchIndex, t: Locale
) -> list[SearchResult]:
    """Find an incident by its id, and the newest of the services and countries that are named."""
    return [
        SearchResult(describe_incident(incident, t), f"/incidents/{incident.id}")
        for incident in index.incidents
        if incident.id == text
        or incident.scope.country in countries
        or (incident.scope.service and text in _fold(incident.scope.service))
    ][:_MAX_INCIDENTS]


def _match(text: str, names: Mapping[str, Iterable[str]]) -> list[str]:
    """List the keys of which a name holds the text; exact ones first, then beginnings."""
    ranks = {
        key: min((_rank(text, name) for name in key_names), default=3)
        for key, key_names in names.items()
    }
    return sorted((key for key, rank in ranks.items() if rank < 3), key=lambda key: ranks[key])


def _rank(text: str, name: str) -> int:
    if name == text:
        return 0
    if name.startswith(text):
        return 1
    return 2 if len(text) > 2 and text in name else 3


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


@cache
def _country_names() -> Mapping[str, list[str]]:
    return {
        code: [code.casefold(), *(_fold(labels.country_name(code, lang)) for lang in LANGS)]
        for code in labels.list_countries()
    }


@cache
def _region_names() -> Mapping[str, list[str]]:
    return {
        code: [code.casefold(), *(_fold(labels.region_name(code, lang)) for lang in LANGS)]
        for country in labels.list_countries()
        for code in list_regions(country)
    }
