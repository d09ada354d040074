"""The screen of `top`: made for 80 by 24 and larger, drawn anew only where something changed."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Static

from heliograph.clock import Clock, SystemClock
from heliograph_collector.cli.top.client import Wire, WireError, opened, refresh, take
from heliograph_collector.cli.top.model import Picture, Row, Tally, age

EVERY_S = 30.0  # between two looks where no stream lives …
SELDOM_S = 120.0  # … and where one does
_AGAIN_S = (2.0, 5.0, 10.0, 30.0)
_COLUMN = 9
_COLOURS = {"blocked": "bold red", "down": "yellow", "reachable": "green", "unknown": "dim"}


class Top(App[None]):
    """A picture of the world, kept true by two tasks: one asks, one listens."""

    CSS = """
    #head { height: 2; background: $panel; padding: 0 1; }
    #world { height: 1fr; }
    #open { height: 7; border-top: solid $panel-lighten-2; overflow-x: hidden; }
    #told { height: 3; padding: 0 1; background: $panel; }
    DataTable { scrollbar-size: 1 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("r", "ask", "Ask now"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, url: str, password: str = "", clock: Clock | None = None) -> None:
        super().__init__()
        self._url, self._password, self._clock = url, password, clock or SystemClock()
        self.picture = Picture()
        self._heard_us: int | None = None  # when we last knew how things are
        self._live, self._trouble = False, "asking"
        self._ask = asyncio.Event()
        self._columns: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield DataTable(id="world", cursor_type="row", zebra_stripes=True)
        yield DataTable(id="open", cursor_type="row", show_header=False)
        yield Static(id="told")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#open", DataTable).add_columns("state", "what")
        self.draw()
        self.set_interval(1.0, self._draw_head)
        self.run_worker(self._work(), name="wire")

    def action_ask(self) -> None:
        self._ask.set()

    async def _work(self) -> None:
        async with opened(self._url, self._password) as wire, asyncio.TaskGroup() as group:
            group.create_task(self._look(wire))
            group.create_task(self._listen(wire))

    async def _look(self, wire: Wire) -> None:
        """Ask for everything now and then, and when somebody wants it."""
        tries = 0
        while True:
            self._ask.clear()
            try:
                await refresh(wire, self.picture, figures=bool(self._password))
            except WireError as error:
                self._trouble = str(error)
                wait_s = _AGAIN_S[min(tries, len(_AGAIN_S) - 1)]
                tries += 1
            else:
                self._knows()
                wait_s, tries = SELDOM_S if self._live else EVERY_S, 0
            self.draw()
            await _within(self._ask, wait_s)

    async def _listen(self, wire: Wire) -> None:
        tries = 0
        while True:
            try:
                async for name, data in wire.events():
                    if not self._live or not take(self.picture, name, data):
                        self._ask.set()  # what was between is not known
                    self._live, tries = True, 0
                    self._knows()
                    if name:
                        self.draw()
            except WireError as error:
                self._live, self._trouble = False, str(error)
            self._draw_head()
            await asyncio.sleep(_AGAIN_S[min(tries, len(_AGAIN_S) - 1)])
            tries += 1

    def _knows(self) -> None:
        self._heard_us, self._trouble = self._clock.monotonic_us(), ""

    def draw(self) -> None:
        self._draw_head()
        self._draw_world()
        self._draw_open()

    def _draw_head(self) -> None:
        line = Text.assemble(("Heliograph", "bold"), f"  {self._url}  ", self._freshness())
        self.query_one("#head", Static).update(Text("\n").join([line, self._health()]))

    def _freshness(self) -> Text:
        """Whether this is now, and otherwise how old it is: a dead line must not look calm."""
        if self._heard_us is None:
            return Text(f"nothing known yet: {self._trouble}", "yellow")
        old = age((self._clock.monotonic_us() - self._heard_us) / 1e6)
        if self._live:
            return Text.assemble(("● live", "green"), f", {old} old")
        why = self._trouble or "no stream, asking now and then"
        return Text.assemble((f"○ {old} old", "bold red"), f" ({why})")

    def _health(self) -> Text:
        seen, cover = self.picture, self.picture.coverage
        if seen.problems is None:
            told = Text("readiness not known")
        elif seen.problems:
            told = Text(f"not ready: {seen.problems[0]}", "red")
        else:
            told = Text("ready", "green")
        if cover:
            told.append(f" · {cover['vantages']} vantages · {cover['controls']} controls")
            told.append(f" · {cover['groups']} networks")
        behind = seen.figures.get("heliograph_detector_behind_seconds")
        if behind is not None:
            measured = int(seen.figures.get("heliograph_measurements_total", 0))
            told.append(f" · {behind:.0f} s behind · {measured:,} taken in")
        return told

    def _draw_world(self) -> None:
        table: DataTable[Text] = self.query_one("#world", DataTable)
        services = tuple(self.picture.services())
        if services != self._columns or not table.columns:
            table.clear(columns=True)
            table.add_column("Where", width=6)
            table.add_column("Nets", width=4)
            table.add_column("Open", width=4)
            for name in services:
                title = self.picture.titles.get(name, name).removeprefix("www.")
                table.add_column(title[:_COLUMN], width=_COLUMN)
            self._columns = services
        rows = [
            [
                Text(row.country),
                Text(str(row.networks), justify="right"),
                _open(row),
                *(_cell(row.services[name]) for name in services),
            ]
            for row in self.picture.rows()
        ]
        _fill(table, rows, [row[0].plain for row in rows])

    def _draw_open(self) -> None:
        table: DataTable[Text] = self.query_one("#open", DataTable)
        found = self.picture.under_way()
        rows = [[_state(str(one["state"])), Text(str(one["sentence"]))] for one in found]
        _fill(table, rows, [str(one["id"]) for one in found])
        self._show()

    @on(DataTable.RowHighlighted, "#open")
    def _show(self) -> None:
        """The whole of what the line is cut off from."""
        table, found = self.query_one("#open", DataTable), self.picture.under_way()
        if not found:
            self._tell("No incident is open." if self._heard_us is not None else "")
        elif 0 <= table.cursor_row < len(found):
            self._tell(str(found[table.cursor_row]["sentence"]))

    def _tell(self, text: str) -> None:
        self.query_one("#told", Static).update(Text(text))


def _open(row: Row) -> Text:
    """Incidents: "2" are confirmed, "1?" is only suspected."""
    if row.confirmed:
        return Text(str(row.confirmed), "bold red", justify="right")
    told = f"{row.suspected}?" if row.suspected else "·"
    return Text(told, "yellow" if row.suspected else "dim", justify="right")


def _fill(table: "DataTable[Text]", rows: Sequence[Sequence[Text]], keys: Sequence[str]) -> None:
    """In place where the rows are the same ones, so that nothing jumps under the cursor."""
    if [str(key.value) for key in table.rows] != list(keys):
        at = table.cursor_row
        table.clear()
        for key, row in zip(keys, rows, strict=True):
            table.add_row(*row, key=key)
        table.move_cursor(row=min(at, max(0, len(rows) - 1)))
        return
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            if table.get_cell_at(Coordinate(number, column)) != value:
                table.update_cell_at(Coordinate(number, column), value)


def _cell(tally: Tally) -> Text:
    if not tally.counts:
        return Text("·", "dim")
    partly = tally.worst == "reachable" and not tally.whole
    return Text(tally.sign, "" if partly else _COLOURS[tally.worst])


def _state(state: str) -> Text:
    return Text(state, "bold red" if state == "confirmed" else "yellow")


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
