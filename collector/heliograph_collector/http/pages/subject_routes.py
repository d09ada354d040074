"""Routes of the pages of services, networks and regions, and of the search."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence

from aiohttp import web

from heliograph.regions import find_region
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.api.parameter_types import ASN_MAX
from heliograph_collector.http.api.parameters import (
    COUNTRY,
    FIRST_DAY,
    LAST_DAY,
    QUERY,
    REGION,
)
from heliograph_collector.http.backend import Feed, find_service
from heliograph_collector.http.dark_places import DarkPlaces
from heliograph_collector.http.day_range import read_day_range
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_cache import IncidentCache, rank_severity
from heliograph_collector.http.incident_document import IncidentFilter, is_of_whole_country
from heliograph_collector.http.known_networks import ALLOWED, KnownNetworks
from heliograph_collector.http.pages import subject_page
from heliograph_collector.http.pages.archive_page import parse_form
from heliograph_collector.http.pages.history_routes import (
    DAY_PARAMETERS,
    HistoryPages,
    find_last_days,
    wants_days,
)
from heliograph_collector.http.pages.present import read_present
from heliograph_collector.http.pages.recent_incidents import select_recent
from heliograph_collector.http.pages.responses import form_response, unavailable_response
from heliograph_collector.http.pages.search_page import MAX_QUERY, SearchIndex, render_search
from heliograph_collector.http.pages.subject_page import Subject, SubjectView, network_path
from heliograph_collector.http.problem import Handler, unknown_name
from heliograph_collector.http.request_addresses import find_site_address
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.model.scope import Scope
from heliograph_collector.store.clickhouse import StoreError

_NETWORK = re.compile("(AS)?([0-9]{1,10})", re.IGNORECASE | re.ASCII)


class SubjectRoutes:
    def __init__(
        self,
        feed: Feed,
        incident_cache: IncidentCache,
        snapshot_cache: SnapshotCache,
        known_networks: KnownNetworks,
        history_pages: HistoryPages,
        assets: Mapping[str, str],
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache
        self._known_networks = known_networks
        self._history_pages = history_pages
        self._assets = assets

    async def show_service(self, request: web.Request) -> web.Response:
        """Respond with a service across countries. Raises Problem 404 for one not listed."""
        _check_parameters(request)
        claim = request.match_info["id"]
        name = find_service(self._feed, claim) or self._find_past_service(claim)
        if not name:
            raise unknown_name("service", claim, ", ".join(self._feed.services))
        lang = i18n.request_locale(request).lang
        title = labels.service_title(name, self._feed.services, lang)
        subject = Subject(
            kind="service",
            title=title,
            path=f"/services/{name}",
            parents=(),
            filters={"service": name},
            timeline={"service": name},
        )
        if wants_days(request):
            return await self._history_pages.respond(request, subject)
        snapshot = await self._read_snapshot()
        part = snapshot and subject_page.select_service(snapshot, name, title)
        return await self._respond(request, subject, part, IncidentFilter(service=name))

    async def show_network(self, request: web.Request) -> web.Response:
        """Respond with a network, by AS9198 or as9198; a bare number leads there.

        Raises Problem 404 for a network that nothing public names.
        """
        _check_parameters(request)
        claim = request.match_info["asn"]
        match = _NETWORK.fullmatch(claim)
        asn = int(match.group(2)) if match else 0
        if match is None or not 0 < asn <= ASN_MAX:
            raise unknown_name("network", claim, ALLOWED)
        if not match.group(1):
            return _redirect(request, network_path(asn))
        await self._known_networks.require(asn)
        snapshot = await self._read_snapshot()
        part = snapshot and subject_page.select_network(snapshot, asn)
        incident_filter = IncidentFilter(asn=asn)
        countries = self._find_countries(asn, part)
        name = self._feed.site.network_names.name_network(asn)
        t = i18n.request_locale(request)
        subject = Subject(
            kind="network",
            title=_title_network(asn, name),
            path=network_path(asn),
            parents=[(labels.country_name(c, t.lang), f"/countries/{c}") for c in countries[:1]],
            filters={"asn": f"AS{asn}"},
            timeline={"asn": f"AS{asn}"},
        )
        if wants_days(request):
            return await self._history_pages.respond(request, subject)
        return await self._respond(request, subject, part, incident_filter, countries)

    async def show_region(self, request: web.Request) -> web.Response:
        """Respond with a region, by its code with or without the country's."""
        _check_parameters(request)
        country = labels.find_country(request.match_info["code"])
        if not country:
            raise unknown_name("country", request.match_info["code"], COUNTRY.allowed)
        region = find_region(country, request.match_info["region"])
        if not region:
            raise unknown_name("region", request.match_info["region"], REGION.allowed)
        t = i18n.request_locale(request)
        subject = Subject(
            kind="region",
            title=labels.region_name(region, t.lang),
            path=f"/countries/{country}/{region}",
            parents=((labels.country_name(country, t.lang), f"/countries/{country}"),),
            filters={"country": country, "region": region},
            timeline={"country": country, "region": region},
        )
        if wants_days(request):
            return await self._history_pages.respond(request, subject)
        snapshot = await self._read_snapshot()
        part = snapshot and subject_page.select_region(snapshot, country, region)
        incident_filter = IncidentFilter(country=country, region=region)
        return await self._respond(request, subject, part, incident_filter, [country])

    async def search(self, request: web.Request) -> web.Response:
        """Respond with the pages that a text names.

        These are of countries, regions, services and networks. With days they lead to those days,
        except incidents.
        """
        values = parse_form(request, (QUERY, *DAY_PARAMETERS))
        t = i18n.request_locale(request)
        query = values.get(QUERY, "").strip()[:MAX_QUERY]
        snapshot = await self._read_snapshot()
        index = SearchIndex(
            services=self._feed.services,
            targets=self._feed.targets,
            networks=self._list_networks(snapshot),
            names=self._feed.site.network_names,
            incidents=self._incident_cache.all_incidents(),
        )
        days = None
        now_us = self._feed.clock.wall_us()
        if FIRST_DAY in values or LAST_DAY in values:
            days = read_day_range(values, now_us)
        return form_response(
            await asyncio.to_thread(render_search, query, days, now_us, index, t, self._assets)
        )

    def _find_past_service(self, claim: str) -> str:
        """Return a service that only a public incident names, not the plan; "" for none."""
        incidents = self._incident_cache.all_incidents()
        names = {i.scope.service for i in incidents if i.scope.service}
        return next((name for name in names if name.casefold() == claim.casefold()), "")

    async def _read_snapshot(self) -> Snapshot | None:
        """Read a snapshot of the same log entry as the incidents until the next await."""
        try:
            return (await read_present(self._snapshot_cache, self._incident_cache)).snapshot
        except StoreError:
            return None

    async def _respond(
        self,
        request: web.Request,
        subject: Subject,
        snapshot: Snapshot | None,
        incident_filter: IncidentFilter,
        countries: Iterable[str] = (),
    ) -> web.Response:
        t = i18n.request_locale(request)
        if snapshot is None:
            return unavailable_response("The store does not answer.", self._assets, t)
        under_way, ended = self._incident_cache.recent_incidents(
            "", snapshot.at_us, incident_filter
        )
        places: Sequence[Scope] = ()
        if subject.kind != "service":
            places = _list_places(subject, snapshot, countries)
            under_way += self._list_wider(under_way, places, snapshot.at_us)
            under_way.sort(key=rank_severity)
        recent = select_recent(self._feed.is_watched, under_way, ended, t, places)
        view = SubjectView(
            subject=subject,
            snapshot=snapshot,
            incidents=recent,
            silences=self._describe_silences(snapshot, t) if subject.kind == "service" else "",
            names=self._feed.site.network_names,
            last_days=("", "")
            if snapshot.columns
            else await find_last_days(self._feed, subject, t),
        )
        base = find_site_address(self._feed, request)
        return form_response(subject_page.render_subject(view, t, self._assets, base))

    def _describe_silences(self, snapshot: Snapshot, t: Locale) -> str:
        """Describe the gravest silences among a service's networks: where, since when."""
        countries = {column.group.country for column in snapshot.columns}
        under_way, _ = self._incident_cache.recent_incidents("", snapshot.at_us)
        dark = [
            incident
            for incident in under_way
            if incident.kind in (IncidentKind.SILENCE, IncidentKind.POWER)
            and incident.scope.country in countries
        ]
        recent = select_recent(self._feed.is_watched, dark, [], t)
        lead = recent.lead.lead if recent.lead else ""
        return " ".join(filter(None, (lead, recent.beside_lead)))

    def _list_wider(
        self, named: Iterable[IncidentDocument], places: Sequence[Scope], at_us: int
    ) -> list[IncidentDocument]:
        """List the open incidents of a wider place, in which the subject still is."""
        ids = {incident.id for incident in named}
        wider: list[IncidentDocument] = []
        for country in dict.fromkeys(place.country for place in places):
            under_way, _ = self._incident_cache.recent_incidents(country, at_us)
            wider += [i for i in under_way if i.id not in ids and _concerns(i, places)]
        return wider

    def _find_countries(self, asn: int, part: Snapshot | None) -> list[str]:
        """List the countries in which anything public names a network."""
        columns = part.columns if part else ()
        incidents = self._incident_cache.list_incidents(IncidentFilter(asn=asn))
        codes = [c.group.country for c in columns] + [i.scope.country for i in incidents]
        return list(dict.fromkeys(codes))

    def _list_networks(self, snapshot: Snapshot | None) -> list[tuple[int, str]]:
        """List (number, country) of the networks that are public now or in an incident."""
        columns = snapshot.columns if snapshot else ()
        networks = {(c.group.asn, c.group.country) for c in columns}
        networks |= {
            (part.asn, part.country)
            for incident in self._incident_cache.all_incidents()
            for part in incident.parts
        }
        return sorted(network for network in networks if network[0])


def _check_parameters(request: web.Request) -> None:
    """Refuse unknown parameters before anything is read. Raises Problem."""
    parse_form(request, DAY_PARAMETERS)


def _list_places(subject: Subject, snapshot: Snapshot, countries: Iterable[str]) -> Sequence[Scope]:
    """List the places of a network's or region's page: its networks, or all of it.

    A network that a silence spares is no place of it.
    """
    region = subject.filters.get("region", "")
    columns = snapshot.columns
    places = [
        Scope(column.group.country, where, column.group.asn, column.group.access)
        for column in columns
        if not column.is_spared
        for where in ([region] if region else ["", *filter(None, column.regions)])
    ]
    is_network = subject.kind == "network"
    if is_network and columns:
        return places
    asn = int(subject.filters["asn"].removeprefix("AS")) if is_network else 0
    return [*places, *(Scope(country, region, asn, "") for country in countries)]


def _concerns(incident: IncidentDocument, places: Sequence[Scope]) -> bool:
    """Return whether an incident lasts in one of the places that are not back."""
    if incident.kind == IncidentKind.COLLECTOR_BLOCKED:
        return is_of_whole_country(incident)
    incident_places = DarkPlaces([incident])
    return any(
        incident_places.is_dark(place) or incident_places.blocked_since(place) for place in places
    )


def _title_network(asn: int, name: str) -> str:
    return f"{name} (AS{asn})" if name else f"AS{asn}"


def _redirect(request: web.Request, path: str) -> web.Response:
    query = f"?{request.query_string}" if request.query_string else ""
    return web.Response(status=308, headers={"Location": f"{path}{query}"})


# Other addresses that people guess; each thing has one address.
_OTHER_PATHS = (
    (re.compile(r"/(?:country|countries)/([A-Za-z]{2})/?"), "/countries/{0}"),
    (
        re.compile(r"/(?:country|countries)/([A-Za-z]{2})/([A-Za-z0-9-]{1,6})/?"),
        "/countries/{0}/{1}",
    ),
    (re.compile(r"/regions?/(([A-Za-z]{2})-[A-Za-z0-9]{1,3})/?"), "/countries/{1}/{0}"),
    (re.compile(r"/services?/([!-.0-~]{1,512})/?"), "/services/{0}"),
    (re.compile(r"/(?:networks?|asn?)/(?:AS)?([0-9]{1,10})/?", re.IGNORECASE), "/networks/AS{0}"),
    (re.compile(r"/incidents?/([A-Za-z0-9_-]{1,64})/?"), "/incidents/{0}"),
    (re.compile(r"/(incidents|search|about|methodology)/"), "/{0}"),
    (re.compile(r"/dumps?"), "/dumps/"),
    (re.compile(r"/(?:countries|country|networks|services)/?"), "/search"),
)


def find_other_path(path: str) -> str:
    """Return the address that a guessed path means; "" for none, or its own."""
    for pattern, address in _OTHER_PATHS:
        if match := pattern.fullmatch(path):
            target = address.format(*match.groups())
            return target if target != path else ""
    return ""


@web.middleware
async def redirect_other_paths(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lead from a guessed path to the address of the same thing (308)."""
    if request.match_info.http_exception is not None and request.method in ("GET", "HEAD"):
        path = find_other_path(request.path)
        if path:
            return _redirect(request, path)
    return await handler(request)
