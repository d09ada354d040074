"""A console backend with a user list, a clock and a fleet that the test sets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph.keys import SigningKey
from heliograph.plan import Plan
from heliograph.services import parse_services
from heliograph.yaml_document import YamlError, parse_yaml
from heliograph_collector.console.access import AccessControl
from heliograph_collector.console.app import add_routes
from heliograph_collector.console.backend import (
    ConsoleBackend,
    DryRunStatus,
    IngestStatus,
    InvalidInputError,
    LiveAgent,
    TriedList,
    VoiceReport,
)
from heliograph_collector.fleet import Fleet, format_invite
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operator_file import OperatorFile
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.passwords import hash_password
from heliograph_collector.fleet.plan_file import parse_plan
from heliograph_collector.fleet.plans import issue_plan
from heliograph_collector.fleet.registry import AgentSighting, EnrolledAgent
from heliograph_collector.fleet.session_records import SessionEnd
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


class FakeBackend(ConsoleBackend):
    """The console's data: a real fleet, and what a test sets.

    `origin` is that of all requests.
    """

    services = SERVICES
    services_source = "made up"
    secret = b"s" * 32
    rules_version = "7"

    def __init__(self, data: Path, clock: HandClock | None = None) -> None:
        self.clock: HandClock = clock or HandClock()
        self.origin = "somewhere"
        self.live_agents: dict[bytes, LiveAgent] = {}
        self.ends: dict[bytes, SessionEnd] = {}
        self.silences: dict[bytes, str] = {}
        self.ingest_status = INGEST
        self.dry_run_status = DryRunStatus()
        self.stored_codes = 0
        self.change_markers: dict[str, object] = {}
        self.open_incidents: dict[str, int] = {}
        self.data = data
        self.fleet = Fleet(data)
        self.trail = AuditLog(data)
        self.operators = Operators(OperatorFile(data), PASSWORD)
        if VIEWER not in self.operators.read_people():
            self.operators.add(VIEWER, "viewer", hash_password(PASSWORD), 0)

    def now_s(self) -> int:
        return self.clock.wall_us() // 1_000_000

    def enrol(
        self, number: int, *, role: str = "volunteer", country: str = "KZ", asn: int = 9198
    ) -> bytes:
        """Enrol an agent that was seen an hour ago; return its id."""
        token = self.fleet.create_invite(role=role, uses=1, now_s=0, expires_s=1)
        key = SigningKey(number.to_bytes(32, "big")).public
        agent = self.fleet.enrol_agent(token, key, "0.9.1", 0).id
        sighting = AgentSighting(
            agent=agent, at_s=self.now_s() - 3_000, version="0.9.1", country=country, asn=asn,
            access="fixed",
        )  # fmt: skip
        self.fleet.record_sightings([sighting])
        return agent

    def name_origin(self, forwarded_for: str) -> str:
        return self.origin

    def list_live_agents(self) -> dict[bytes, LiveAgent]:
        return self.live_agents

    def find_end(self, agent: bytes) -> SessionEnd | None:
        return self.ends.get(agent)

    def find_silence(self, agent: EnrolledAgent) -> str:
        return self.silences.get(agent.id, "")

    def create_invite(self, role: str, uses: int, lifetime_s: int) -> str:
        now_s = self.now_s()
        token = self.fleet.create_invite(
            role=role, uses=uses, now_s=now_s, expires_s=now_s + lifetime_s
        )
        return format_invite("127.0.0.1:7443", b"p" * 32, token)

    def read_plan(self, yaml_text: str, name: str) -> Plan:
        try:
            return parse_plan(parse_yaml(yaml_text.encode(), name), SERVICES)
        except YamlError as error:
            raise InvalidInputError(str(error)) from error

    def issue_plan(self, plan: Plan, after: int) -> Plan:
        return issue_plan(self.fleet, SigningKey(b"k" * 32), plan, self.now_s(), after)

    def read_ingest_status(self) -> IngestStatus:
        return self.ingest_status

    async def start_dry_run(self, tried: TriedList | None) -> None:
        if tried is not None and not tried.name.endswith(".csv"):
            raise InvalidInputError(f"{tried.name}: its ending is none of .csv.")
        if self.dry_run_status.is_running:
            raise InvalidInputError("The past is being judged already: wait for that to end.")
        name = tried.name if tried else ""
        self.dry_run_status = DryRunStatus(list_name=name, is_running=True, judged_count=800)

    def read_dry_run(self) -> DryRunStatus:
        return self.dry_run_status

    def prove_voice_code(self, voice_text: str, source: str, *, is_kept: bool) -> VoiceReport:
        if voice_text.strip() != "12345":
            raise InvalidInputError("The code is wrong in its second group.")
        self.stored_codes += is_kept
        return ProvenReport(
            agent="ab" * 16, created="2022-01-05 10:00 UTC", is_stored=False,
            lines=("foreign sites: fail", "resolver: answers"),
        )  # fmt: skip

    def read_change_markers(self) -> dict[str, object]:
        return self.change_markers

    def count_incidents(self) -> dict[str, int]:
        return self.open_incidents


@dataclass
class Caller:
    """A client that keeps cookies, Origin and the last form's token, like a browser."""

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
        """Post a form; add the last token and the Origin unless the arguments give others."""
        sent = {"Accept": "text/html", "Origin": self.origin, **(headers or {})}
        headers = {name: value for name, value in sent.items() if value}
        return await self._ask("POST", path, data={"token": self.token, **fields}, headers=headers)

    async def _ask(self, method: str, path: str, **request: Any) -> tuple[int, str]:
        """Send a request; return its status, and its text or its redirect."""
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


def live_agent(link: str = "online", queued: int = 0) -> LiveAgent:
    return LiveAgent(
        country="KZ", region="KZ-75", access="fixed", link=link, queued_envelopes=queued,
        remaining_batches=240,
    )  # fmt: skip


@asynccontextmanager
async def console(backend: ConsoleBackend) -> AsyncIterator[Caller]:
    app = build_app(World().feed())
    async with open_console(app, add_routes(app, backend)) as caller:
        yield caller


@asynccontextmanager
async def open_console(app: web.Application, gate: AccessControl) -> AsyncIterator[Caller]:
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        yield Caller(client, app, gate)
