"""Search: the page of each country, region, service, network and incident that a text names.

It reads memory alone, and knows no name that is not public.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from urllib.parse import urlencode

from heliograph.regions import list_regions
from heliograph.units import SECOND_US
from heliograph_collector.http import labels
from heliograph_collector.http.backend import NetworkNamer
from heliograph_collector.http.day_range import DayRange
from heliograph_collector.http.i18n import LANGS, Locale, list_month_names
from heliograph_collector.http.pages.incident_text import describe_incident
from heliograph_collector.http.pages.subject_page import network_path
from heliograph_collector.http.templates import render_template
from heliograph_collector.incidents.published.incident import IncidentDocument

MAX_QUERY = 100  # characters; a longer text names nothing
_MAX_RESULTS = 30  # of one kind
_MAX_INCIDENTS = 5
_MAX_NAMES = 300  # of networks with such a name, of which those with data come first
_YEAR = re.compile("(199[0-9]|20[0-9]{2})(?:-(0[1-9]|1[0-2]))?", re.ASCII)
_PLAIN = str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789", "\u0654")  # no hamza above a Persian letter
_IN = ("in", "во", "в", "در")  # before a month
_LEAST_STEM = 4  # letters
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
    """Render the form with what was found; `days` are those that the results lead to.

    Without them a month or a year in the text is: "Kazakhstan January 2022" is what readers write.
    """
    if days is None:
        query, days = split_days_off(query)
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


def split_days_off(query: str) -> tuple[str, DayRange | None]:
    """Split a text into what is sought and the month or year in it, in any of the languages."""
    parts = query.translate(_PLAIN).split()
    for position, part in enumerate(parts):
        if match := _YEAR.fullmatch(part.rstrip(".,")):
            year = int(match[1])
            month = int(match[2] or 0)
            names = {
                n: _find_month(parts[n])
                for n in (position - 1, position + 1)
                if 0 <= n < len(parts)
            }
            named = next((n for n, number in names.items() if number and not month), position)
            sought = [p for n, p in enumerate(parts) if n not in (position, named)]
            while sought and sought[-1].casefold() in _IN:
                sought.pop()
            if sought:
                return " ".join(sought).rstrip(","), _span_days(year, month or names.get(named, 0))
    return query, None


def _find_month(claim: str) -> int:
    """Return the number of a month's name, in any of its cases; 0 for another word."""
    text = _fold(claim.rstrip(".,"))
    return next((n for n, names in _month_names().items() if _is_month(text, names)), 0)


def _is_month(text: str, names: Collection[str]) -> bool:
    """Compare names; of longer ones without the last letter, which is another in each case."""
    stems = {name[:-1] for name in names if len(name) > _LEAST_STEM}
    return text in names or (len(text) > _LEAST_STEM and text[:-1] in stems)


def _span_days(year: int, month: int) -> DayRange:
    first = datetime(year, month or 1, 1, tzinfo=UTC)
    after = first.replace(year=year + (month in (0, 12)), month=month % 12 + 1)
    return DayRange(*(int(at.timestamp()) * SECOND_US for at in (first, after)))


@cache
def _month_names() -> Mapping[int, Collection[str]]:
    return {
        number: {
            _fold(name).rstrip(".") for lang in LANGS for name in list_month_names(lang, number)
        }
        for number in range(1, 13)
    }


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


def load_names() -> None:
    """Read all names, so that no first search waits for them (60 ms of CPU)."""
    _country_names()
    _region_names()
    _month_names()


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
