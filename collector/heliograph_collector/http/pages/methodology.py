"""The methodology page: rules, thresholds and versions in use, in plain words.

The numbers come from the code that decides (`http.backend.build_method`), so they stay current.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph.timestamps import format_second
from heliograph_collector.http import i18n
from heliograph_collector.http.api.parameters import LANG, parse
from heliograph_collector.http.backend import Feed, Method, MethodRule, Number
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.pages.responses import html_response
from heliograph_collector.http.templates import PageContent, render_page

PAGE_PARAMETERS = (LANG,)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodologyContent(PageContent):
    template: ClassVar[str] = "methodology.html"
    method: Method
    cell_numbers: Mapping[str, Number]
    detect_numbers: Mapping[str, Number]
    windows: str
    services: str
    tables: Sequence[tuple[str, Sequence[MethodRule]]]
    numbers: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    k: int
    key: str
    at: str


def render_methodology(
    method: Method,
    services: Sequence[str],
    k: int,
    key: str,
    t: Locale,
    assets: Mapping[str, str],
    at: str,
) -> str:
    return render_page(
        MethodologyContent(
            method=method,
            cell_numbers={name: _strip_decimals(value) for name, value in method.cells.items()},
            detect_numbers={name: _strip_decimals(value) for name, value in method.detect.items()},
            windows=_format_window_range(method, t),
            services=i18n.join_names(t.lang, services),
            tables=[("", method.rules), *method.rules_by_experiment.items()],
            numbers=_list_thresholds(method),
            k=k,
            key=key,
            t=t,
            at=at,
            assets=assets,
        )
    )


def _format_window_range(method: Method, t: Locale) -> str:
    windows_s = method.detect["windows_s"]
    ends = (
        (min(windows_s), max(windows_s)) if isinstance(windows_s, tuple) else (windows_s, windows_s)
    )
    low, high = (f"{float(end) / 60:g}" for end in ends)
    return i18n.localize_band(t.lang, f"{low}-{high}")


def _strip_decimals(value: Number) -> Number:
    """Remove zero decimals: 2.0 becomes 2."""
    return int(value) if isinstance(value, float) and value == int(value) else value


def _list_thresholds(method: Method) -> list[tuple[str, list[tuple[str, str]]]]:
    tables = (("rollup", method.cells), ("detect", method.detect))
    return [
        (name, [(key, _format_threshold(v)) for key, v in table.items()]) for name, table in tables
    ]


def _format_threshold(value: Number) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{part:g}" for part in value)
    return value if isinstance(value, str) else f"{value:g}"


class MethodologyPage:
    def __init__(self, feed: Feed, assets: Mapping[str, str]) -> None:
        self._feed = feed
        self._assets = assets
        self._pages: dict[tuple[str, bool], str] = {}  # changes only with the program

    async def page(self, request: web.Request) -> web.Response:
        parse(request.query, PAGE_PARAMETERS)
        if not self._feed.site.method.rules:
            raise web.HTTPNotFound
        t = i18n.request_locale(request)
        cached_page = self._pages.get((t.lang, t.is_explicit))
        if cached_page is None:
            cached_page = self._pages[t.lang, t.is_explicit] = self._render(t)
        return html_response(cached_page)

    def _render(self, t: Locale) -> str:
        feed = self._feed
        at = format_second(feed.clock.wall_us())
        titles = list(feed.services.values())
        key = feed.public_key.hex()
        return render_methodology(
            feed.site.method, titles, feed.k_anonymity, key, t, self._assets, at
        )
