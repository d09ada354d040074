"""Routes of the country page."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiohttp import web

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.aggregate.disclosure import find_instant
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.api.parameters import (
    COUNTRY,
    COUNTRY_PAGE_PARAMETERS,
    LAST_DAY,
    MINUTES,
    WINDOW,
    parse,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.cell_queries import feed_disclosure, query_cells
from heliograph_collector.http.day_range import LAST_DAYS, encode_last_days
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_document import IncidentFilter
from heliograph_collector.http.pages import (
    country_page,
    country_timeline,
)
from heliograph_collector.http.pages.country_timeline import (
    WINDOWS,
    ChosenWindow,
    CountryTimeline,
    choose_window,
)
from heliograph_collector.http.pages.day_charts import AXES, DayCharts, compose_hours
from heliograph_collector.http.pages.history_routes import HistoryPages, find_last_days, wants_days
from heliograph_collector.http.pages.present import Present, read_present
from heliograph_collector.http.pages.recent_incidents import select_recent
from heliograph_collector.http.pages.responses import (
    form_response,
    html_response,
    unavailable_response,
)
from heliograph_collector.http.pages.subject_page import build_country
from heliograph_collector.http.problem import render_problem, unknown_name
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.history import HistoryFilter
from heliograph_collector.model.scope import Scope, ScopeFilter
from heliograph_collector.store.clickhouse import StoreError, TooMuchError, TooSlowError

_NEWEST_US = 2 * HOUR_US  # which the history may lack: its last hour, and the one in progress


class CountryRoutes:
    def __init__(
        self,
        feed: Feed,
        incident_cache: IncidentCache,
        snapshot_cache: SnapshotCache,
        day_charts: DayCharts,
        history_pages: HistoryPages,
        assets: Mapping[str, str],
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache
        self._day_charts = day_charts
        self._history_pages = history_pages
        self._assets = assets

    async def show_country(self, request: web.Request) -> web.Response:
        t = i18n.request_locale(request)
        code = labels.find_country(request.match_info["code"])
        if not code:
            problem = unknown_name("country", request.match_info["code"], COUNTRY.allowed)
            return html_response(render_problem(problem.document, self._assets, t), 404)
        if wants_days(request):
            return await self._history_pages.respond(request, build_country(code, t))
        values = parse(request.query, COUNTRY_PAGE_PARAMETERS)
        is_by_minute = values.get(MINUTES) is not None
        name = "hour" if is_by_minute else values.get(WINDOW, country_page.DEFAULT_WINDOW)
        now_us = self._feed.clock.wall_us()
        has_days = await self._has_days(now_us)
        if has_days and name in LAST_DAYS:  # those days are counted already
            return _lead_to_days(request, code, encode_last_days(now_us, LAST_DAYS[name]))
        try:
            now = await read_present(self._snapshot_cache, self._incident_cache, code)
        except StoreError as error:
            return unavailable_response(str(error), self._assets, t)
        window = choose_window(name, values.get(LAST_DAY), now_us)
        return await self._respond(code, now, window, now_us, t, has_days=has_days)

    async def _respond(
        self,
        country: str,
        now: Present,
        window: ChosenWindow,
        now_us: int,
        t: Locale,
        *,
        has_days: bool,
    ) -> web.Response:
        snapshot = now.snapshot
        day_starts = WINDOWS["day"].bin_starts(now_us)
        present, is_too_much = await self._read_if_drawable(snapshot, country, day_starts)
        timeline = present  # of one question, so that nobody waits for it twice
        if window.starts != day_starts:
            timeline, is_too_much = await self._read_if_drawable(snapshot, country, window.starts)
        if not (present.instant_us or is_too_much):  # the store has not given the bins in time
            snapshot = replace(snapshot, is_outdated=True)
        in_window = IncidentFilter(since_us=min(day_starts.start, window.starts.start))
        is_measured = any(column.group.country == country for column in snapshot.columns)
        view = country_page.CountryView(
            country=country,
            window=window,
            incidents=[incident for incident in now.incidents if in_window.matches(incident)],
            recent=select_recent(
                self._feed.is_watched, now.under_way, now.ended, t, [Scope(country)]
            ),
            too_much=is_too_much,
            has_days=has_days,
            names=self._feed.site.network_names,
            titles=self._feed.services,
            last_days=("", "")
            if is_measured
            else await find_last_days(self._feed, build_country(country, t), t),
        )
        return form_response(
            await asyncio.to_thread(
                country_page.render_country, snapshot, present, timeline, view, t, self._assets
            )
        )

    async def _has_days(self, now_us: int) -> bool:
        """Return whether the history is kept: it has yesterday or the day in progress."""
        filters = HistoryFilter(axes=(), since_us=now_us - DAY_US, until_us=now_us)
        try:
            last_us = (await self._feed.read_history(filters)).last_us
        except StoreError:
            return False
        return last_us is not None and last_us >= (now_us // DAY_US - 2) * DAY_US

    async def _read_if_drawable(
        self, snapshot: Snapshot, country: str, starts: range
    ) -> tuple[CountryTimeline, bool]:
        """Return (bins, whether they are too many); without the store the rows alone."""
        is_too_much = False
        try:
            return await self.read_country_timeline(country, starts), False
        except TooSlowError:
            pass
        except TooMuchError:
            is_too_much = True
        except StoreError:
            pass
        groups = [c.group for c in snapshot.columns if c.group.country == country]
        services = [name for name, _ in snapshot.services]
        return country_timeline.blank_timeline(starts, services, groups), is_too_much

    async def read_country_timeline(self, country: str, starts: range) -> CountryTimeline:
        """Read the data of a country's page, or the last that was read. Raises StoreError."""
        feed = self._feed
        names = tuple(name for name in feed.services if name not in feed.untested)
        if starts == WINDOWS["day"].bin_starts(feed.clock.wall_us()) and (
            timeline_at_hand := self._day_charts.find_timeline(country, names)
            or await self._read_hours(country, starts, names)
        ):
            return timeline_at_hand
        is_current = starts.stop > feed.clock.wall_us()

        async def read() -> CountryTimeline:
            bins = _move_to(starts, feed.clock.wall_us()) if is_current else starts
            window = (bins.start, bins.stop, bins.step // 1_000_000)
            scope_filter = ScopeFilter(country=country)
            network_cells, region_cells = [
                await query_cells(feed, *window, scope_filter, merged_fields, keep_empty=False)
                for merged_fields in country_timeline.MERGED_FIELDS
            ]
            return await asyncio.to_thread(
                country_timeline.compose_timeline,
                feed_disclosure(feed),
                network_cells,
                region_cells,
                bins,
                names,
            )

        key = (country, (starts.step, len(starts)) if is_current else starts)
        timeline = await self._snapshot_cache.read_page_data(key, read)
        return country_timeline.move_window(timeline, starts)

    async def _read_hours(
        self, country: str, starts: range, names: Sequence[str]
    ) -> CountryTimeline | None:
        """Return the last day of the bins in memory; None without their history."""
        now_us = self._feed.clock.wall_us()
        if not await self._has_days(now_us):
            return None
        filters = HistoryFilter(
            axes=AXES, since_us=starts.start, until_us=starts.stop, country=country
        )
        days = (await self._feed.read_history(filters)).rows
        newest = self._snapshot_cache.list_cells(country, now_us - _NEWEST_US)
        instant_us = find_instant(now_us, self._feed.k_anonymity)
        return await asyncio.to_thread(compose_hours, days, newest, starts, names, instant_us)


def _move_to(starts: range, now_us: int) -> range:
    """Return as many bins up to the one in progress."""
    until_us = (now_us // starts.step + 1) * starts.step
    return range(until_us - len(starts) * starts.step, until_us, starts.step)


def _lead_to_days(request: web.Request, code: str, days: str) -> web.Response:
    language = f"&lang={request.query['lang']}" if "lang" in request.query else ""
    location = f"/countries/{code}?{days}{language}"
    return web.Response(status=307, headers={"Location": location})
