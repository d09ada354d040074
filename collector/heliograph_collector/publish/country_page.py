"""A country's page: its incidents, and each service over two days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from heliograph_collector.publish import sentences, strip, words
from heliograph_collector.publish.frame import environment
from heliograph_collector.publish.incident_page import Recent
from heliograph_collector.publish.page import breakable
from heliograph_collector.publish.query import write_time
from heliograph_collector.publish.snapshot import Snapshot
from heliograph_collector.store.rows import Cell

BIN_S = 3_600
HOURS = 48
_FRESH = 2  # bins


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service in the whole country."""

    id: str
    title: Markup
    state: str  # class name; "nothing" without data
    symbol: str
    word: str
    how: str
    strip: Markup


def window(at_us: int) -> tuple[int, int]:
    """(since, until), aligned to hours; the last one is in progress."""
    width = BIN_S * 1_000_000
    until_us = (at_us // width + 1) * width
    return until_us - HOURS * width, until_us


def render(
    world: Snapshot,
    series: Mapping[str, Sequence[Cell | None]],
    recent: Recent,
    country: str,
    assets: Mapping[str, str],
) -> str:
    since_us, until_us = window(world.at_us)
    starts = range(since_us, until_us, BIN_S * 1_000_000)
    mine = replace(world, columns=tuple(c for c in world.columns if c.group.country == country))
    titles = dict(world.services)
    return (
        environment()
        .get_template("country.html")
        .render(
            chosen=words.country(country),
            code=country,
            query=f"?country={country}",
            recent=recent,
            headline=_headline(mine, country),
            rows=[
                _row(name, words.service(name, titles), cells, starts)
                for name, cells in series.items()
            ],
            networks=len(mine.columns),
            axis=strip.axis(starts),
            k=world.k,
            at=write_time(world.at_us // 1_000_000 * 1_000_000),
            assets=assets,
        )
    )


def _headline(mine: Snapshot, country: str) -> str:
    if not mine.columns:
        return f"{words.country(country)}: nobody measures, or too few to be shown."
    told, place = sentences.headline(mine), words.country(country)
    return told if told.startswith(place) else f"{place}: {told}"


def _row(name: str, title: str, cells: Sequence[Cell | None], starts: range) -> Row:
    states = [cell.state if cell and cell.vantages else None for cell in cells]
    fresh = [c for c in cells[-_FRESH:] if c and c.vantages]
    newest = fresh[-1] if fresh else None
    state = newest.state if newest else None
    return Row(
        id=strip.slug("service", name),
        title=breakable(title),
        state=state.value if state else "nothing",
        symbol=words.SYMBOLS[state] if state else sentences.DASH,
        word=words.STATES[state] if state else "no data",
        how=words.how(newest.layer, newest.method) if newest else "",
        strip=strip.draw(states, starts),
    )
