"""The console's incident pages over the evening of 5 January 2022, and a log to be added to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph_collector.alerting.outbox import Delivery
from heliograph_collector.alerting.service import collect_alerts
from heliograph_collector.config.receivers import Receiver, ReceiverKind
from heliograph_collector.console import templates
from heliograph_collector.console.access import NOBODY, AccessControl
from heliograph_collector.console.access import VIEWER as VIEWERS
from heliograph_collector.console.alerts import AlertPages
from heliograph_collector.console.app import ConsoleEventStream
from heliograph_collector.console.backend import ConsoleBackend
from heliograph_collector.console.incidents import IncidentPages
from heliograph_collector.console.login import LoginPages
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.passwords import hash_password
from heliograph_collector.http.app import build_app
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.published_incidents import IncidentEvents
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, EntryBasis
from heliograph_collector.incidents.log_writer import IncidentLogWriter
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.state import LogEntry
from heliograph_collector.model.records import Vantage
from support import rows
from support.casebook import KEY, MINUTE, VERSIONS, ago, evening_book
from support.evening import evening
from support.fake_feed import NOW_US, TITLES, World, published
from support.office import PASSWORD, VIEWER, Caller

FIXED = Vantage(country="KZ", asn=9198, access="fixed")
RECEIVERS = (
    Receiver(name="newsroom", kind=ReceiverKind.WEBHOOK, url="https://desk.example.org/x"),
    Receiver(
        name="night", kind=ReceiverKind.EMAIL, to=("night@example.org",), countries=("KZ", "IR")
    ),
)


@dataclass
class Scene:
    """A collector that finds what a test says, and whose operator may say something of it."""

    data: Path
    world: World = field(default_factory=evening)
    bus: EventBus = field(default_factory=lambda: EventBus("t"))
    origin: str = ""
    caller: Caller = field(init=False)  # a plain client of it
    sent: list[str] = field(default_factory=list)  # messages that were sent again
    _now_us: int = NOW_US - MINUTE

    def __post_init__(self) -> None:
        file = self.data / LOG_FILE_NAME
        file.write_bytes(b"".join(entry.line + b"\n" for entry in evening_book().entries))
        self.world.judged += [
            (rows.taken(n, at_us=ago(n), vantage=FIXED), (rows.blocked(),)) for n in range(1, 4)
        ]
        self.ledger = IncidentLogWriter(file, KEY, 5)
        self.feed = self.world.feed(
            bus=self.bus, book=self.ledger.book, public_key=KEY.public, k_anonymity=5
        )

    def log_incidents(self, *incidents: Incident) -> None:
        """Beside all that is open."""
        self._now_us += 2 * MINUTE
        grounds = EntryBasis(1, 9, ago(60), self._now_us, VERSIONS)
        known = {one.id for one in incidents}
        kept = [one for id_, one in self.ledger.last_logged.items() if id_ not in known]
        for entry in self.ledger.write_changes([*kept, *incidents], grounds, self._now_us):
            self._publish(entry.incident)

    async def record_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        self._now_us += MINUTE
        entry = self.ledger.write_operator_entry(operator_entry, self._now_us)
        self._publish(entry.incident)
        return entry

    def _publish(self, id_: str) -> None:
        IncidentEvents(self.bus, TITLES, 5).publish_incident(self.ledger.book, id_)

    def deliveries(self) -> list[Delivery]:
        told = collect_alerts(self.ledger.book, self.ledger.book.entries, published())
        called = [one for one in told if one["called"]]
        states = ("arrived", "waiting", "given_up")
        said = ("answered 200", "no whole answer in 20 s", "answered 410")
        return [
            Delivery(
                id=f"msg_{n:032x}",
                receiver=RECEIVERS[n % 2].name,
                alerts=called[n : n + 1 + 3 * (n == 2)],
                more=0,
                made_us=ago(5 + 9 * n),
                due_us=ago(-3) if n == 1 else None,
                tries=(1, 4, 1)[n],
                state=states[n],
                tried_us=ago(4 + 9 * n),
                reply=said[n],
            )
            for n in range(3)
        ]


class _FakeAlertService:
    """The delivery log."""

    receivers = RECEIVERS

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    @property
    def change_count(self) -> int:
        return len(self._scene.sent)

    async def list_deliveries(self, limit: int) -> list[Delivery]:
        return self._scene.deliveries()[:limit]

    async def resend(self, id_: str) -> bool:
        self._scene.sent.append(id_)
        return id_ == "msg_" + "0" * 32


async def home(request: web.Request) -> web.StreamResponse:
    """Where one comes after the login."""
    return templates.redirect("/console/incidents")


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Scene]:
    scene = Scene(data)
    operators = Operators(data, PASSWORD)
    operators.add(VIEWER, "viewer", hash_password(PASSWORD), 0)
    made: Any = SimpleNamespace(
        clock=scene.world.clock,
        operators=operators,
        trail=AuditLog(data),
        secret=b"s" * 32,
        name_origin=lambda way: "here",
        read_change_markers=lambda: {"log": scene.ledger.book.head, "alerts": len(scene.sent)},
    )
    app = build_app(scene.feed)
    gate = AccessControl(cast("ConsoleBackend", made))
    add = gate.route_adder(app)
    LoginPages(gate).routes(add)
    ConsoleEventStream(gate, poll_s=0.05).routes(add)
    add("GET", "/console/static/{name}", NOBODY, templates.serve_static)
    add("GET", "/console", VIEWERS, home)
    IncidentPages(gate, scene.feed, scene).routes(add)
    AlertPages(gate, _FakeAlertService(scene)).routes(add)
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        scene.caller = Caller(client, app, gate)
        scene.origin = scene.caller.origin
        yield scene


async def log_in(reader: Any, name: str = "operator") -> None:
    await reader.goto("/console/login")
    await reader.page.fill("input[name=name]", name)
    await reader.page.fill("input[name=password]", PASSWORD)
    async with reader.page.expect_navigation():
        await reader.page.click("main button")
