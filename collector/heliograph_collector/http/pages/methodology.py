"""How it is known: the rules, thresholds and versions that are at work, in plain words.

The numbers come from the code that decides by them (app/method_source.py), so that no text can lag.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from aiohttp import web

from heliograph_collector.http import i18n
from heliograph_collector.http.api.parameters import LANG, parse, write_time
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.pages.front_page import html
from heliograph_collector.http.pages.method_data import Method, Number
from heliograph_collector.http.templates import environment

METHODOLOGY = (LANG,)


def render(
    method: Method,
    services: Sequence[str],
    k: int,
    key: str,
    t: Tongue,
    assets: Mapping[str, str],
    at: str,
) -> str:
    return (
        environment()
        .get_template("methodology.html")
        .render(
            m=method,
            c={name: _number(value) for name, value in method.cells.items()},
            d={name: _number(value) for name, value in method.detect.items()},
            share=partial(i18n.percent, t.lang),
            windows=_minutes(method, t),
            services=i18n.listed(t.lang, services),
            tables=[("", method.rules), *method.readings.items()],
            numbers=_tables(method),
            k=k,
            key=key,
            t=t,
            at=at,
            assets=assets,
        )
    )


def _minutes(method: Method, t: Tongue) -> str:
    """The shortest and the longest window of silence."""
    found = method.detect["windows_s"]
    ends = (min(found), max(found)) if isinstance(found, tuple) else (found, found)
    low, high = (f"{float(end) / 60:g}" for end in ends)
    return i18n.band(t.lang, f"{low}-{high}")


def _number(value: Number) -> Number:
    """2.0 as people write it: 2."""
    return int(value) if isinstance(value, float) and value == int(value) else value


def _tables(method: Method) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every number by its name in the code."""
    found = (("rollup", method.cells), ("detect", method.detect))
    return [(name, [(key, _told(v)) for key, v in table.items()]) for name, table in found]


def _told(value: Number) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{part:g}" for part in value)
    return value if isinstance(value, str) else f"{value:g}"


class Methodology:
    def __init__(self, feed: Feed, assets: Mapping[str, str]) -> None:
        self._feed, self._assets = feed, assets
        self._kept: dict[tuple[str, bool], str] = {}  # it changes with the program alone

    async def page(self, request: web.Request) -> web.Response:
        parse(request.query, METHODOLOGY)
        if not self._feed.method.rules:
            raise web.HTTPNotFound
        t = i18n.of(request)
        kept = self._kept.get((t.lang, t.asked))
        if kept is None:
            kept = self._kept[t.lang, t.asked] = self._render(t)
        return html(kept)

    def _render(self, t: Tongue) -> str:
        feed = self._feed
        at = write_time(feed.clock.wall_us() // 1_000_000 * 1_000_000)
        titles, key = list(feed.services.values()), feed.public_key.hex()
        return render(feed.method, titles, feed.k_anonymity, key, t, self._assets, at)
