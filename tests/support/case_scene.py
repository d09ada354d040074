"""The console's incident pages over the evening of 5 January 2022, and a log to be added to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web

from heliograph_collector.alerting.outbox import Delivery
from heliograph_collector.app.alerting import Alerts, news
from heliograph_collector.app.detector_runner import Herald
from heliograph_collector.app.incident_views import Casebook, courier
from heliograph_collector.config.receiver import Kind, Receiver
from heliograph_collector.console import alerts, incidents, templates
from heliograph_collector.console.access import NOBODY, Gate
from heliograph_collector.console.access import VIEWER as VIEWERS
from heliograph_collector.console.backend import Office
from heliograph_collector.console.event_stream import Live
from heliograph_collector.console.login import Login
from heliograph_collector.fleet.audit_log import Trail
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.passwords import hash_password
from heliograph_collector.http.app import build
from heliograph_collector.http.event_bus import Bus
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.log_file import FILE, Grounds
from heliograph_collector.incidents.log_writer import Ledger
from heliograph_collector.incidents.operator_entries import Saying
from heliograph_collector.model.records import Vantage
from support import rows
from support.casebook import KEY, MINUTE, VERSIONS, ago, evening_book
from support.evening import evening
from support.fake_feed import NOW_US, TITLES, World

PASSWORD, VIEWER = "correct horse battery", "vera"
FIXED = Vantage(country="KZ", asn=9198, access="fixed")
RECEIVERS = (
    Receiver(name="newsroom", kind=Kind.WEBHOOK, url="https://desk.example.org/x"),
    Receiver(name="night", kind=Kind.EMAIL, to=("night@example.org",), countries=("KZ", "IR")),
)


@dataclass
class Scene:
    """A collector that finds what a test says, and whose operator may say something of it."""

    data: Path
    world: World = field(default_factory=evening)
    bus: Bus = field(default_factory=lambda: Bus("t"))
    origin: str = ""
    sent: list[str] = field(default_factory=list)  # messages that were sent again
    _now_us: int = NOW_US - MINUTE

    def __post_init__(self) -> None:
        file = self.data / FILE
        file.write_bytes(b"".join(entry.line + b"\n" for entry in evening_book().entries))
        self.world.judged += [
            (rows.taken(n, at_us=ago(n), vantage=FIXED), (rows.blocked(),)) for n in range(1, 4)
        ]
        self.ledger = Ledger(file, KEY, 5)
        self.feed = self.world.feed(
            bus=self.bus, book=self.ledger.book, public_key=KEY.public, k_anonymity=5
        )

    def finds(self, *incidents: Incident) -> None:
        """Beside all that is open."""
        self._now_us += 2 * MINUTE
        grounds = Grounds(1, 9, ago(60), self._now_us, VERSIONS)
        known = {one.id for one in incidents}
        kept = [one for id_, one in self.ledger.said.items() if id_ not in known]
        for entry in self.ledger.say([*kept, *incidents], grounds, self._now_us):
            self._tell(entry.incident)

    async def says(self, saying: Saying) -> None:
        self._now_us += MINUTE
        self._tell(self.ledger.act(saying, self._now_us).incident)

    def _tell(self, id_: str) -> None:
        Herald(self.bus, TITLES, 5).incident(self.ledger.book, id_)

    def deliveries(self) -> list[Delivery]:
        told = news(self.ledger.book, self.ledger.book.entries, TITLES, 5)
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
                said=said[n],
            )
            for n in range(3)
        ]


class _Courier:
    """As much of `Alerts` as the page asks."""

    receivers = RECEIVERS

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def deliveries(self, limit: int = 100) -> list[Delivery]:
        return self._scene.deliveries()[:limit]

    async def again(self, id_: str) -> bool:
        self._scene.sent.append(id_)
        return id_ == "msg_" + "0" * 32


async def home(request: web.Request) -> web.StreamResponse:
    """Where one comes after the login."""
    return templates.away("/console/incidents")


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Scene]:
    scene = Scene(data)
    operators = Operators(data, PASSWORD)
    operators.add(VIEWER, "viewer", hash_password(PASSWORD), 0)
    made: Any = SimpleNamespace(
        clock=scene.world.clock,
        operators=operators,
        trail=Trail(data),
        secret=b"s" * 32,
        place=lambda way: "here",
        pulse=lambda: {"log": scene.ledger.book.head, "alerts": len(scene.sent)},
    )
    app = build(scene.feed)
    gate = Gate(cast("Office", made))
    add = gate.add(app)
    Login(gate).routes(add)
    Live(gate, look_s=0.05).routes(add)
    add("GET", "/console/static/{name}", NOBODY, templates.static)
    add("GET", "/console", VIEWERS, home)
    incidents.routes(add, gate, Casebook(scene.feed, scene.says).registry())
    alerts.routes(add, gate, courier(cast("Alerts", _Courier(scene))))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        scene.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield scene
    finally:
        await asyncio.wait_for(runner.cleanup(), 10)


async def log_in(reader: Any, name: str = "operator") -> None:
    await reader.goto("/console/login")
    await reader.page.fill("input[name=name]", name)
    await reader.page.fill("input[name=password]", PASSWORD)
    async with reader.page.expect_navigation():
        await reader.page.click("main button")
