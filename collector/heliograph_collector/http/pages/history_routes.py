"""Serve pages of chosen days: `?since=…&until=…` at the address of a subject.

A subject is a country, region, network or service. These pages read the history of daily files and
memory alone: they never query the store.
"""

import asyncio
from collections.abc import Mapping, Sequence

from aiohttp import web

from heliograph.units import DAY_US
from heliograph_collector.http import i18n
from heliograph_collector.http.api.parameters import (
    FIRST_DAY,
    LANG,
    LAST_DAY,
    MINUTES,
    SERVICE,
    WINDOW,
    QueryValues,
)
from heliograph_collector.http.backend import Feed, find_service
from heliograph_collector.http.day_range import (
    LAST_DAYS,
    DayRange,
    encode_last_days,
    read_day_range,
)
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_document import IncidentFilter
from heliograph_collector.http.pages.archive_page import parse_form
from heliograph_collector.http.pages.history_page import HistoryView, render_history
from heliograph_collector.http.pages.imported_rows import MAX_TARGETS
from heliograph_collector.http.pages.responses import form_response, unavailable_response
from heliograph_collector.http.pages.subject_page import Subject
from heliograph_collector.http.problem import bad_parameter, unknown_name
from heliograph_collector.http.request_addresses import find_site_address
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.model.history import Axis, CellHistory, HistoryFilter
from heliograph_collector.model.imported import ImportedFilter, ImportedHistory
from heliograph_collector.store.clickhouse import StoreError, TooMuchError

DAY_PARAMETERS = (FIRST_DAY, LAST_DAY, LANG)
COUNTRY_DAY_PARAMETERS = (*DAY_PARAMETERS, SERVICE, WINDOW, MINUTES)
_AXES: Mapping[str, Sequence[Axis]] = {
    "country": (Axis.SERVICE, Axis.NETWORK, Axis.REGION),
    "service": (Axis.SERVICE, Axis.SITE),
    "network": (Axis.NETWORK_SERVICE,),
    "region": (Axis.REGION_SERVICE,),
}
# One axis, because an index is in the order of days only for one.
_LAST_AXES: Mapping[str, Axis] = {
    "country": Axis.SERVICE,
    "service": Axis.SERVICE,
    "network": Axis.NETWORK,
    "region": Axis.REGION,
}
_SITE_AXES: Mapping[str, Axis] = {"country": Axis.SITE, "network": Axis.NETWORK_SITE}


def wants_days(request: web.Request) -> bool:
    """Return whether a request names days; an hour by the minute has `until`, `bin`."""
    query = request.query
    return "since" in query or ("until" in query and "bin" not in query)


async def find_last_days(feed: Feed, subject: Subject, t: Locale) -> tuple[str, str]:
    """Return text and address of a subject's last month with data; "" without any.

    A reader of a page without present data sees at once where the history is.
    """
    service = subject.filters.get("service", "")
    filters = HistoryFilter(
        axes=(Axis.SITE if "/" in service else _LAST_AXES[subject.kind],),
        since_us=0,
        until_us=feed.clock.wall_us() + DAY_US,
        country=subject.filters.get("country", ""),
        region=subject.filters.get("region", ""),
        asn=read_asn(subject),
        service=service,
        only_newest=True,
    )
    try:
        rows = (await feed.read_history(filters)).rows
    except StoreError:
        return "", ""
    if not rows:
        return "", ""
    last_us = rows[0].day_us
    sentence = t("history.last_data", day=i18n.format_day(t.lang, i18n.to_datetime(last_us)))
    return sentence, f"{subject.path}?{encode_last_days(last_us, LAST_DAYS['month'])}"


class HistoryPages:
    """The page of chosen days, for a subject that another route has found."""

    def __init__(
        self, feed: Feed, incident_cache: IncidentCache, assets: Mapping[str, str]
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._assets = assets

    async def respond(self, request: web.Request, subject: Subject) -> web.Response:
        """Respond with the page. Raises Problem."""
        is_country = subject.kind == "country"
        values = parse_form(request, COUNTRY_DAY_PARAMETERS if is_country else DAY_PARAMETERS)
        if WINDOW in values or MINUTES in values:
            raise bad_parameter(
                "since", "Days go without window and bin; leave these out.", FIRST_DAY.allowed
            )
        t = i18n.request_locale(request)
        try:
            view = await self.read_view(subject, values)
        except StoreError as error:
            return unavailable_response(str(error), self._assets, t)
        base = find_site_address(self._feed, request)
        return form_response(await asyncio.to_thread(render_history, view, t, self._assets, base))

    async def read_drawable(self, subject: Subject, values: QueryValues) -> HistoryView:
        """Read as `read_view` does. Raises TooMuchError, because no rows would look empty."""
        view = await self.read_view(subject, values)
        if view.too_much:
            raise TooMuchError("That is too much history for one answer; ask for fewer days.")
        return view

    async def read_view(
        self, subject: Subject, values: QueryValues, *, with_own: bool = True
    ) -> HistoryView:
        """Read all data on a subject in the chosen days, or only other projects' results.

        Raises Problem, StoreError.
        """
        feed = self._feed
        days = read_day_range(values, feed.clock.wall_us())
        claim = subject.filters.get("service", "") or values.get(SERVICE, "")
        listed = self._find_service(claim)
        service = listed or claim
        history = CellHistory()
        too_much = False
        blocking: Mapping[str, Mapping[int, int]] = {}
        if with_own:
            history, too_much = await self._read_history(subject, service, days)
        if with_own and not too_much:
            blocking = await self._count_blocking_networks(subject, service, days)
        imported = await self._read_imported(subject, service, days)
        if claim and not (listed or history.rows or imported.rows or too_much):
            raise unknown_name("service", claim, ", ".join(feed.services))
        return HistoryView(
            subject=subject,
            service=service,
            days=days,
            history=history,
            imported=imported,
            incidents=self._list_incidents(subject, service, days),
            services=feed.services,
            names=feed.site.network_names,
            too_much=too_much,
            blocking_networks=blocking,
            k=feed.k_anonymity,
            now_us=feed.clock.wall_us(),
        )

    def _find_service(self, claim: str) -> str:
        """Return a listed service, or one of a public incident; "" for another one.

        Of that the chosen days may know more: a plan forgets sites that its past days still name.
        """
        if not claim:
            return ""
        incidents = self._incident_cache.all_incidents()
        past = {i.scope.service for i in incidents if i.scope.service}
        return find_service(self._feed, claim) or (claim if claim in past else "")

    async def _read_history(
        self, subject: Subject, service: str, days: DayRange
    ) -> tuple[CellHistory, bool]:
        """Read our rows; and whether they are too many to be drawn."""
        filters = [_build_filter(subject, service, days)]
        if not service and subject.kind in _SITE_AXES:
            filters.append(_build_filter(subject, "", days, _SITE_AXES[subject.kind]))
        try:
            parts = [await self._feed.read_history(filter_) for filter_ in filters]
        except TooMuchError:
            return CellHistory(), True
        rows = [row for part in parts for row in part.rows]
        return CellHistory(rows=rows, first_us=parts[0].first_us, last_us=parts[0].last_us), False

    async def _count_blocking_networks(
        self, subject: Subject, service: str, days: DayRange
    ) -> Mapping[str, Mapping[int, int]]:
        """Count networks' blocked days, by a country's service or a service's country."""
        is_service = subject.kind == "service"
        if not is_service and (service or subject.kind != "country"):
            return {}
        axis = Axis.NETWORK_SITE if "/" in service else Axis.NETWORK_SERVICE
        filter_ = _build_filter(subject, service, days, axis)
        counts: dict[str, dict[int, int]] = {}
        for network in await self._feed.count_blocking_networks(filter_):
            key = network.country if is_service else network.service
            counts.setdefault(key, {})[network.asn] = network.days
        return counts

    async def _read_imported(
        self, subject: Subject, service: str, days: DayRange
    ) -> ImportedHistory:
        """Read what others measured; their data name no region of a country."""
        if subject.kind == "region":
            return ImportedHistory()
        is_site = "/" in service
        return await self._feed.read_imported(
            ImportedFilter(
                since_us=days.since_us,
                until_us=days.until_us,
                country=subject.filters.get("country", ""),
                asn=read_asn(subject) or None,
                test="" if is_site else service,
                target=service if is_site else None,
            ),
            MAX_TARGETS,
        )

    def _list_incidents(
        self, subject: Subject, service: str, days: DayRange
    ) -> list[IncidentDocument]:
        filters = subject.filters
        return self._incident_cache.list_incidents(
            IncidentFilter(
                country=filters.get("country"),
                region=filters.get("region"),
                asn=read_asn(subject) or None,
                service=service if subject.kind == "service" else None,
                since_us=days.since_us,
                until_us=days.until_us,
            )
        )


def _build_filter(
    subject: Subject, service: str, days: DayRange, extra_axis: Axis | None = None
) -> HistoryFilter:
    """Build the filter of a subject's rows; of another axis only those in trouble."""
    axes = _AXES[subject.kind]
    if service and subject.kind == "country":
        axes = (Axis.NETWORK_SERVICE, Axis.NETWORK_SITE)
    return HistoryFilter(
        axes=axes if extra_axis is None else (extra_axis,),
        since_us=days.since_us,
        until_us=days.until_us,
        country=subject.filters.get("country", ""),
        region=subject.filters.get("region", ""),
        asn=read_asn(subject),
        service=service,
        only_trouble=extra_axis is not None,
    )


def read_asn(subject: Subject) -> int:
    """Return the number of a network; 0 for another subject."""
    return int(subject.filters.get("asn", "AS0").removeprefix("AS"))
