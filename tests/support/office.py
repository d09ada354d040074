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
from heliograph.services import parse_services
from heliograph.yaml_document import YamlError, parse_yaml
from heliograph_collector.config.plan_file import parse_plan
from heliograph_collector.console.access import AccessControl
from heliograph_collector.console.app import add_routes
from heliograph_collector.console.backend import (
    ConsoleBackend,
    DryRun,
    IngestStatus,
    InvalidInputError,
    LiveAgent,
    VoiceReport,
)
from heliograph_collector.fleet import Fleet, format_invite
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.passwords import hash_password
from heliograph_collector.fleet.plans import issue_plan
from heliograph_collector.fleet.registry import AgentSighting
from heliograph_collector.http.app import build_app
from heliograph_collector.ingest.voice_codes import ProvenReport
from support.fake_feed import World
from support.hand_clock import HandClock

PASSWORD = "correct horse battery"
VIEWER = "vera"
SERVICES = parse_services(
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
INGEST = IngestStatus(
    position=12_345,
    lag_entries=0,
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
    here: dict[bytes, LiveAgent] = field(default_factory=dict)
    ingest: IngestStatus = INGEST
    rehearsal: DryRun | None = None
    kept: int = 0  # codes
    pulse: dict[str, object] = field(default_factory=dict)
    standing: dict[str, int] = field(default_factory=dict)  # open incidents

    def office(self) -> ConsoleBackend:
        return ShopBackend(self)

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
        token = self.fleet.create_invite(role=role, uses=1, now_s=0, expires_s=1)
        key = SigningKey(number.to_bytes(32, "big")).public
        agent = self.fleet.enrol_agent(token, key, "0.9.1", 0).id
        self.fleet.record_sightings([
            AgentSighting(agent=agent, at_s=self.now_s() - 3_000, version="0.9.1", country=country,
                     asn=asn, access="fixed")
        ])  # fmt: skip
        return agent


class ShopBackend(ConsoleBackend):
    """The console's data from a Shop."""

    services = SERVICES
    services_source = "made up"
    secret = b"s" * 32
    rules_version = "7"

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.clock = shop.clock
        self.fleet = shop.fleet
        self.trail = AuditLog(shop.data)
        self.operators = Operators(shop.data, PASSWORD)
        if VIEWER not in self.operators.read_people():
            self.operators.add(VIEWER, "viewer", hash_password(PASSWORD), 0)

    def name_origin(self, forwarded_for: str) -> str:
        return self.shop.place

    def list_live_agents(self) -> dict[bytes, LiveAgent]:
        return self.shop.here

    def create_invite(self, role: str, uses: int, lifetime_s: int) -> str:
        now_s = self.shop.now_s()
        token = self.fleet.create_invite(
            role=role, uses=uses, now_s=now_s, expires_s=now_s + lifetime_s
        )
        return format_invite("127.0.0.1:7443", b"p" * 32, token)

    def read_plan(self, yaml_text: str, name: str) -> Plan:
        try:
            return parse_plan(parse_yaml(yaml_text.encode(), name), SERVICES)
        except YamlError as error:
            raise InvalidInputError(str(error)) from error

    def issue_plan(self, plan: Plan) -> Plan:
        return issue_plan(self.fleet, SigningKey(b"k" * 32), plan, self.shop.now_s())

    def read_ingest_status(self) -> IngestStatus:
        return self.shop.ingest

    async def dry_run(self) -> DryRun:
        if self.shop.rehearsal is None:
            raise InvalidInputError("The store does not answer.")
        return self.shop.rehearsal

    def prove_voice_code(self, voice_text: str, *, is_kept: bool) -> VoiceReport:
        if voice_text.strip() != "12345":
            raise InvalidInputError("The code is wrong in its second group.")
        self.shop.kept += is_kept
        return ProvenReport(
            agent="ab" * 16, created="2022-01-05 10:00 UTC", is_stored=False,
            lines=("foreign sites: fail", "resolver: answers"),
        )  # fmt: skip

    def read_change_markers(self) -> dict[str, object]:
        return self.shop.pulse

    def count_incidents(self) -> dict[str, int]:
        return self.shop.standing


@dataclass
class Caller:
    """A browser's manners over a plain client: cookies, Origin, the token of the last form."""

    client: Client
    app: web.Application
    gate: AccessControl
    token: str = ""

    @property
    def origin(self) -> str:
        return f"http://{self.client.host}:{self.client.port}"

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        sent = {"Accept": "text/html", **headers}
        status, text = await self._ask("GET", path, headers=sent)
        _, found, rest = text.partition('name="token" value="')
        self.token = rest.partition('"')[0] if found else self.token
        return status, text

    async def post(
        self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """With the last token and our own Origin unless `fields` and `headers` say otherwise."""
        sent = {"Accept": "text/html", "Origin": self.origin, **(headers or {})}
        headers = {name: value for name, value in sent.items() if value}
        return await self._ask("POST", path, data={"token": self.token, **fields}, headers=headers)

    async def _ask(self, method: str, path: str, **request: Any) -> tuple[int, str]:
        """The status, and the text or where it redirects to."""
        async with self.client.request(method, path, allow_redirects=False, **request) as answer:
            location = answer.headers.get("Location") if answer.status == 303 else None
            return answer.status, location or await answer.text()

    async def log_in(self, name: str = "operator", **fields: str) -> int:
        await self.get("/console/login")
        status, _ = await self.post(
            "/console/login", {"name": name, "password": PASSWORD, **fields}
        )
        await self.get("/console")
        return status


def here(link: str = "online", queued: int = 0) -> LiveAgent:
    return LiveAgent(
        country="KZ", region="KZ-75", access="fixed", link=link, queued_envelopes=queued,
        remaining_batches=240,
    )  # fmt: skip


@asynccontextmanager
async def console(office: ConsoleBackend) -> AsyncIterator[Caller]:
    app = build_app(World().feed())
    async with open_console(app, add_routes(app, office)) as caller:
        yield caller


@asynccontextmanager
async def open_console(app: web.Application, gate: AccessControl) -> AsyncIterator[Caller]:
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        yield Caller(client, app, gate)
