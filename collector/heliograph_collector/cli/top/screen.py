"""Screen of `top`, for 80 by 24 and larger; only changed parts are redrawn."""

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
from heliograph_collector.cli.top.client import (
    ApiClient,
    ApiClientError,
    apply_event,
    open_client,
    refresh_model,
)
from heliograph_collector.cli.top.model import CountryLine, NetworkCount, WorldModel, format_age

POLL_S = 30.0  # assumed; between two polls without the stream …
STREAMING_POLL_S = 120.0  # … and with it
_RETRY_DELAYS_S = (2.0, 5.0, 10.0, 30.0)
_COLUMN_WIDTH = 9
_COLOURS = {
    "blocked": "bold red",
    "down": "yellow",
    "partial": "red",
    "reachable": "green",
    "unknown": "dim",
}


class Top(App[None]):
    """Terminal application with two tasks: polling and reading the stream."""

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
        self._clock = clock or SystemClock()
        self._url = url
        self._password = password
        self.world = WorldModel()
        self._last_known_us: int | None = None  # when the state was last known
        self._is_live = False
        self._problem = "asking"
        self._refresh_event = asyncio.Event()
        self._service_names: tuple[str, ...] = ()
        # Kept, because a message may still come while the screen closes and finds them no more.
        self._head = Static(id="head")
        self._world_table: DataTable[Text] = DataTable(
            id="world", cursor_type="row", zebra_stripes=True
        )
        self._open_table: DataTable[Text] = DataTable(
            id="open", cursor_type="row", show_header=False
        )
        self._told = Static(id="told")

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._world_table
        yield self._open_table
        yield self._told
        yield Footer()

    def on_mount(self) -> None:
        self._open_table.add_columns("state", "what")
        self.draw_all()
        self.set_interval(1.0, self._draw_head)
        self.run_worker(self._run_client(), name="wire")

    def action_ask(self) -> None:
        self._refresh_event.set()

    async def _run_client(self) -> None:
        async with open_client(self._url, self._password) as client, asyncio.TaskGroup() as group:
            group.create_task(self._poll_loop(client))
            group.create_task(self._stream_loop(client))

    async def _poll_loop(self, client: ApiClient) -> None:
        """Fetch everything at intervals and on request."""
        tries = 0
        while True:
            self._refresh_event.clear()
            try:
                await refresh_model(client, self.world, with_metrics=bool(self._password))
            except ApiClientError as error:
                self._problem = str(error)
                wait_s = _RETRY_DELAYS_S[min(tries, len(_RETRY_DELAYS_S) - 1)]
                tries += 1
            else:
                self._mark_known()
                wait_s = STREAMING_POLL_S if self._is_live else POLL_S
                tries = 0
            self.draw_all()
            await _wait_for_event(self._refresh_event, wait_s)

    async def _stream_loop(self, client: ApiClient) -> None:
        tries = 0
        while True:
            try:
                async for name, data in client.read_events():
                    if not self._is_live or not apply_event(self.world, name, data):
                        self._refresh_event.set()  # changes before this event are unknown
                    self._is_live = True
                    tries = 0
                    self._mark_known()
                    if name:
                        self.draw_all()
            except ApiClientError as error:
                if self._last_known_us is not None:  # before that, the poll says what is wrong
                    self._problem = str(error)
                self._is_live = False
            self._draw_head()
            await asyncio.sleep(_RETRY_DELAYS_S[min(tries, len(_RETRY_DELAYS_S) - 1)])
            tries += 1

    def _mark_known(self) -> None:
        self._last_known_us = self._clock.monotonic_us()
        self._problem = ""

    def draw_all(self) -> None:
        self._draw_head()
        self._draw_world()
        self._draw_open()

    def _draw_head(self) -> None:
        line = Text.assemble(("Heliograph", "bold"), f"  {self._url}  ", self._format_freshness())
        self._head.update(Text("\n").join([line, self._format_health()]))

    def _format_freshness(self) -> Text:
        """Format the age of the state, which shows clearly when the line is dead."""
        if self._last_known_us is None:
            return Text(f"nothing known yet: {self._problem}", "yellow")
        age_text = format_age((self._clock.monotonic_us() - self._last_known_us) / 1e6)
        if self._is_live:
            return Text.assemble(("● live", "green"), f", {age_text} old")
        reason = self._problem or "no stream, asking now and then"
        return Text.assemble((f"○ {age_text} old", "bold red"), f" ({reason})")

    def _format_health(self) -> Text:
        world = self.world
        coverage = self.world.coverage
        if world.problems is None:
            line = Text("readiness not known")
        elif world.problems:
            line = Text(f"not ready: {world.problems[0]}", "red")
        else:
            line = Text("ready", "green")
        if coverage:
            line.append(f" · {coverage['vantages']} vantages · {coverage['controls']} controls")
            line.append(f" · {coverage['groups']} networks")
        behind_s = world.metrics.get("heliograph_detector_behind_seconds")
        if behind_s is not None:
            measurement_count = int(world.metrics.get("heliograph_measurements_total", 0))
            line.append(f" · {behind_s:.0f} s behind · {measurement_count:,} taken in")
        return line

    def _draw_world(self) -> None:
        table = self._world_table
        services = tuple(self.world.list_services())
        if services != self._service_names or not table.columns:
            table.clear(columns=True)
            table.add_column("Where", width=6)
            table.add_column("Nets", width=4)
            table.add_column("Open", width=4)
            for name in services:
                title = self.world.titles.get(name, name).removeprefix("www.")
                table.add_column(title[:_COLUMN_WIDTH], width=_COLUMN_WIDTH)
            self._service_names = services
        rows = [
            [
                Text(row.country),
                Text(str(row.networks), justify="right"),
                _format_incidents(row),
                *(_format_cell(row.services[name]) for name in services),
            ]
            for row in self.world.build_rows()
        ]
        _fill_table(table, rows, [row[0].plain for row in rows])

    def _draw_open(self) -> None:
        incidents = self.world.list_open_incidents()
        rows = [
            [_format_state(str(incident["state"])), Text(str(incident["sentence"]))]
            for incident in incidents
        ]
        _fill_table(self._open_table, rows, [str(incident["id"]) for incident in incidents])
        self._show_selected()

    @on(DataTable.RowHighlighted, "#open")
    def _show_selected(self) -> None:
        """Show the full sentence of the selected incident."""
        incidents = self.world.list_open_incidents()
        if not incidents:
            self._show_sentence("No incident is open." if self._last_known_us is not None else "")
        elif 0 <= (selected := self._open_table.cursor_row) < len(incidents):
            self._show_sentence(str(incidents[selected]["sentence"]))

    def _show_sentence(self, sentence: str) -> None:
        self._told.update(Text(sentence))


def _format_incidents(row: CountryLine) -> Text:
    """Format incidents: "2" are confirmed, "1?" is only suspected."""
    if row.confirmed:
        return Text(str(row.confirmed), "bold red", justify="right")
    label = f"{row.suspected}?" if row.suspected else "·"
    return Text(label, "yellow" if row.suspected else "dim", justify="right")


def _fill_table(
    table: "DataTable[Text]", rows: Sequence[Sequence[Text]], keys: Sequence[str]
) -> None:
    """Update cells in place if the rows are the same, so that the cursor stays."""
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


def _format_cell(network_count: NetworkCount) -> Text:
    if not network_count.counts:
        return Text("·", "dim")
    is_partial = network_count.worst_state == "reachable" and not network_count.is_complete
    return Text(network_count.sign_text, "" if is_partial else _COLOURS[network_count.worst_state])


def _format_state(state: str) -> Text:
    return Text(state, "bold red" if state == "confirmed" else "yellow")


async def _wait_for_event(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
