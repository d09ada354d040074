"""An Office whose people, clock and fleet a test makes, and the console that stands on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph_collector.console.app import routes
from heliograph_collector.console.gate import Gate
from heliograph_collector.console.office import Office
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.passwords import hash_password
from heliograph_collector.fleet.trail import Trail
from heliograph_collector.publish.app import build
from support.fake_feed import World
from support.hand_clock import HandClock

PASSWORD = "correct horse battery"
VIEWER = "vera"
Client = TestClient[web.Request, web.Application]


@dataclass
class Shop:
    """What the console stands on here; `place` is where all requests come from."""

    data: Path
    clock: HandClock = field(default_factory=HandClock)
    place: str = "somewhere"

    def office(self, **changes: Any) -> Office:
        operators = Operators(self.data, PASSWORD)
        if VIEWER not in operators.people():
            operators.add(VIEWER, "viewer", hash_password(PASSWORD), 0)
        made: dict[str, Any] = {
            "clock": self.clock,
            "operators": operators,
            "trail": Trail(self.data),
            "secret": b"s" * 32,
            "place": lambda way: self.place,
        }
        return Office(**(made | changes))


@dataclass
class Caller:
    """A browser's manners over a plain client: cookies, Origin, the token of the last form."""

    client: Client
    app: web.Application
    gate: Gate
    token: str = ""

    @property
    def origin(self) -> str:
        return f"http://{self.client.host}:{self.client.port}"

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.client.get(
            path, headers={"Accept": "text/html", **headers}, allow_redirects=False
        ) as answer:
            text = await answer.text()
        _, found, rest = text.partition('name="token" value="')
        self.token = rest.partition('"')[0] if found else self.token
        return answer.status, text if answer.status != 303 else answer.headers["Location"]

    async def post(
        self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """With the last token and our own Origin unless `fields` and `headers` say otherwise."""
        sent = {"Accept": "text/html", "Origin": self.origin, **(headers or {})}
        async with self.client.post(
            path,
            data={"token": self.token, **fields},
            headers={name: value for name, value in sent.items() if value},
            allow_redirects=False,
        ) as answer:
            text = await answer.text()
        return answer.status, text if answer.status != 303 else answer.headers["Location"]

    async def log_in(self, name: str = "operator", **fields: str) -> int:
        await self.get("/console/login")
        status, _ = await self.post(
            "/console/login", {"name": name, "password": PASSWORD, **fields}
        )
        await self.get("/console")
        return status


@asynccontextmanager
async def console(office: Office) -> AsyncIterator[Caller]:
    app = build(World().feed())
    gate = routes(app, office)
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        yield Caller(client, app, gate)
