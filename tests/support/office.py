"""An Office whose people, clock and fleet a test makes, and the console that stands on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph.keys import SigningKey
from heliograph.plan import Plan
from heliograph.services import parse
from heliograph_collector.config.settings import ConfigError, parse_yaml
from heliograph_collector.console.access import Gate
from heliograph_collector.console.app import routes
from heliograph_collector.console.backend import Here, Ingest, NotSoError, Office, Rehearsal, Spoken
from heliograph_collector.fleet import Fleet, invite_line
from heliograph_collector.fleet.audit_log import Trail
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.passwords import hash_password
from heliograph_collector.fleet.plan_file import draft, render
from heliograph_collector.fleet.plans import issue
from heliograph_collector.fleet.registry import Sighting
from heliograph_collector.http.app import build
from support.fake_feed import World
from support.hand_clock import HandClock

PASSWORD = "correct horse battery"
VIEWER = "vera"
SERVICES = parse(
    b"""version: "test.1"
services:
  anchors: {title: Anchors, experiment: connectivity, endpoints: [
    {id: foreign-a, kind: tcp, host: 127.0.0.1, port: 1, group: foreign}]}
  telegram: {title: Telegram, experiment: telegram, endpoints: [
    {id: dc1, kind: tcp, host: 127.0.0.2, port: 443, group: dc}]}
""",
    "services.yml",
)
PLAN = """heartbeat_s: 15
tasks:
- {experiment: connectivity, service: anchors, interval_s: 60}
- {experiment: telegram, service: telegram, interval_s: 600}
"""
INGEST = Ingest(
    position=12_345,
    behind=0,
    received_us=1_641_380_000_000_000,
    free_bytes=48_000_000_000,
    problems=(),
    envelopes=(("stream", "stored", "", 12_000), ("post", "rejected", "bad_signature", 3)),
    measurements={"kept": 90_000, "bad": 0, "time_bad": 2},
)
Client = TestClient[web.Request, web.Application]


@dataclass
class Shop:
    """What the console stands on here; `place` is where all requests come from."""

    data: Path
    clock: HandClock = field(default_factory=HandClock)
    place: str = "somewhere"
    here: dict[bytes, Here] = field(default_factory=dict)
    ingest: Ingest = INGEST
    rehearsal: Rehearsal | None = None
    kept: int = 0  # codes
    pulse: dict[str, object] = field(default_factory=dict)
    standing: dict[str, int] = field(default_factory=dict)  # open incidents

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
            "fleet": self.fleet,
            "services": SERVICES,
            "services_place": "made up",
            "here": lambda: self.here,
            "invite": self._invite,
            "read_plan": _read_plan,
            "write_plan": render,
            "issue": self._issue,
            "ingest": lambda: self.ingest,
            "rehearse": self._rehearse,
            "rules": "7",
            "hear": self._hear,
            "pulse": lambda: self.pulse,
            "standing": lambda: self.standing,
        }
        return Office(**(made | changes))

    @cached_property
    def fleet(self) -> Fleet:
        return Fleet(self.data)

    def close(self) -> None:
        self.fleet.close()

    def now_s(self) -> int:
        return self.clock.wall_us() // 1_000_000

    def enrol(
        self, number: int, *, role: str = "volunteer", country: str = "KZ", asn: int = 9198
    ) -> bytes:
        """One more agent, seen an hour ago; its id."""
        token = self.fleet.invite(role=role, uses=1, now_s=0, expires_s=1)
        key = SigningKey(number.to_bytes(32, "big")).public
        agent = self.fleet.enrol(token, key, "0.9.1", 0).id
        self.fleet.saw([
            Sighting(agent=agent, at_s=self.now_s() - 3_000, version="0.9.1", country=country,
                     asn=asn, access="fixed")
        ])  # fmt: skip
        return agent

    def _invite(self, role: str, uses: int, life_s: int) -> str:
        now_s = self.now_s()
        token = self.fleet.invite(role=role, uses=uses, now_s=now_s, expires_s=now_s + life_s)
        return invite_line("127.0.0.1:7443", b"p" * 32, token)

    def _issue(self, plan: Plan) -> Plan:
        return issue(self.fleet, SigningKey(b"k" * 32), plan, self.now_s())

    async def _rehearse(self) -> Rehearsal:
        if self.rehearsal is None:
            raise NotSoError("The store does not answer.")
        return self.rehearsal

    def _hear(self, text: str, keep: bool) -> Spoken:
        if text.strip() != "12345":
            raise NotSoError("The code is wrong in its second group.")
        self.kept += keep
        lines = ("foreign sites: fail", "resolver: answers")
        return Spoken(agent="ab" * 16, made="2022-01-05 10:00 UTC", lines=lines, known=False)


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


def _read_plan(text: str, name: str) -> Plan:
    try:
        return draft(parse_yaml(text.encode(), Path(name)), SERVICES)
    except ConfigError as error:
        raise NotSoError(str(error)) from error


def here(link: str = "online", queued: int = 0) -> Here:
    return Here(country="KZ", region="KZ-75", access="fixed", link=link, queued=queued, leave=240)


@asynccontextmanager
async def console(office: Office) -> AsyncIterator[Caller]:
    app = build(World().feed())
    gate = routes(app, office)
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        yield Caller(client, app, gate)
