"""The page as a pure function of a snapshot. What the script refreshes is made here too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from markupsafe import Markup

from heliograph.observation import Link
from heliograph_collector.publish import sentences, strip, words
from heliograph_collector.publish.bands import band
from heliograph_collector.publish.frame import environment
from heliograph_collector.publish.query import write_time
from heliograph_collector.publish.sentences import dashed
from heliograph_collector.publish.snapshot import Column, Reading, Snapshot
from heliograph_collector.publish.status import total_band
from heliograph_collector.store.rows import State

MAX_COLUMNS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    id: str
    country: str
    network: str
    access: str
    link: str
    link_class: str
    vantages: str
    silent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One cell of the table, in words."""

    id: str
    where: str
    state: str  # class name; "nothing" without data
    symbol: str
    word: str
    how: str
    facts: Sequence[str]
    strip: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str
    title: Markup
    boxes: Sequence[Box]


def render(whole: Snapshot, assets: Mapping[str, str], recent: object, country: str = "") -> str:
    """HTML, of one country if told. `assets` maps a static file's name to its address."""
    chosen = tuple(c for c in whole.columns if country in ("", c.group.country))
    snapshot = replace(whole, columns=chosen)
    columns, coverage = chosen[:MAX_COLUMNS], whole.coverage
    return (
        environment()
        .get_template("page.html")
        .render(
            snapshot=snapshot,
            heads=[head(column, whole.k) for column in columns],
            rows=[_row(service, title, columns, whole) for service, title in whole.services],
            recent=recent,
            query=f"?country={country}" if country else "",
            headline=sentences.headline(snapshot),
            lines=[(strip.slug(c.group), _mood(c), sentences.of_group(c, whole)) for c in columns],
            hidden=len(chosen) - len(columns),
            countries=_countries(whole),
            chosen=words.country(country) if country else "",
            code=country,
            connected=coverage.agents.volunteers,
            vantages=_vantages(sum(c.vantages for c in chosen), whole.k),
            blind=[(strip.clock(a), strip.clock(b)) for a, b in coverage.blind],
            voted=None if coverage.first_us is None else strip.clock(coverage.first_us),
            at=write_time(whole.at_us // 1_000_000 * 1_000_000),
            axis=strip.axis(whole.bins),
            first=strip.clock(whole.since_us),
            shape=_shape(columns, whole),
            assets=assets,
        )
    )


def render_away(reason: str, assets: Mapping[str, str]) -> str:
    """Instead of the page while the store does not answer; it asks for itself again."""
    return environment().get_template("away.html").render(reason=reason, assets=assets)


def _countries(snapshot: Snapshot) -> list[tuple[str, str]]:
    codes = {column.group.country for column in snapshot.columns}
    return sorted(((code, words.country(code)) for code in codes), key=lambda item: item[1])


def _shape(columns: Sequence[Column], snapshot: Snapshot) -> str:
    """Changes when rows or columns do: then the script takes the whole table."""
    text = repr(([c.group for c in columns], snapshot.services))
    return sha256(text.encode()).hexdigest()[:12]


def _mood(column: Column) -> str:
    states = {reading.state for reading in column.readings.values()}
    if column.link is Link.OFFLINE:
        return "offline"
    for state in (State.BLOCKED, State.DOWN, State.REACHABLE, State.UNKNOWN):
        if state in states:
            return state.value
    return "nothing"


def head(column: Column, k: int) -> Head:
    group = column.group
    return Head(
        id=strip.slug("head", group),
        country=words.country(group.country),
        network=words.network(group.asn, group.access),
        access=words.access(group.access) if group.access else "",
        link=words.LINKS[column.link],
        link_class=column.link.value,
        vantages=_vantages(column.vantages, k),
        silent=f"{dashed(band(column.silent, k))} fell silent"
        if column.silent >= max(k, 1)
        else "",
    )


def _vantages(count: int, k: int) -> str:
    """In bands; exact where nobody asked for anonymity."""
    if k <= 1:
        return f"{count} vantage{'' if count == 1 else 's'}"
    return dashed(f"{total_band(count, k)} vantages")


def _row(service: str, title: str, columns: Sequence[Column], snapshot: Snapshot) -> Row:
    return Row(
        name=service,
        title=breakable(title),
        boxes=[
            box(column, column.readings[service], snapshot, sentences.place(column.group))
            for column in columns
        ],
    )


def breakable(title: str) -> Markup:
    """Long names break before a dot."""
    return Markup("<wbr>.").join(title.split("."))


def box(column: Column, reading: Reading, snapshot: Snapshot, where: str) -> Box:
    state = reading.state
    troubled = state in (State.BLOCKED, State.DOWN)
    return Box(
        id=strip.slug("cell", column.group, reading.service),
        where=where,
        state=state.value if state else "nothing",
        symbol=words.SYMBOLS[state] if state else sentences.DASH,
        word=words.STATES[state] if state else "no data",
        how=_how(column, reading, troubled),
        facts=_facts(reading, snapshot.k),
        strip=strip.draw(reading.strip, snapshot.bins),
    )


def _how(column: Column, reading: Reading, troubled: bool) -> str:
    if column.link is Link.OFFLINE:
        return "vantages are offline: nothing is judged"
    if reading.cell is None:
        return "nobody measured in the last 15 minutes"
    how = words.how(reading.cell.layer, reading.cell.method) if troubled else ""
    if reading.state is State.DOWN:
        return f"{how}, at the control too" if how else "at the control too"
    return how or _doubt(column) if reading.state is not State.REACHABLE else ""


def _doubt(column: Column) -> str:
    if column.link in (Link.ONLINE, Link.UNKNOWN):
        return "not enough to judge"
    return "the link is not whole: not judged"


def _facts(reading: Reading, k: int) -> list[str]:
    cell = reading.cell
    if cell is None:
        return []
    sure = "" if cell.state is State.UNKNOWN else words.sure(cell.confidence)
    votes = f"{_counts(reading, k)} · {sure}" if sure else _counts(reading, k)
    return [fact for fact in (votes, sentences.since(reading.since)) if fact]


def _counts(reading: Reading, k: int) -> str:
    """As "10-19 of 20-49 vantages", with proper dashes."""
    cell = reading.cell
    if cell is None:
        return ""
    count, people = getattr(cell, cell.state.value), _vantages(cell.vantages, k)
    if count == cell.vantages:
        return people if count == 1 else f"all {people}"
    return f"{count if k <= 1 else dashed(band(count, k))} of {people}"
