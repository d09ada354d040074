"""The running console's data: from the fleet, ingest, the writer and the rules."""

import hashlib
import hmac
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from heliograph.address import (
    WILDCARD_HOSTS,
    enclosing_network,
    format_dial_address,
    split_endpoint,
)
from heliograph.clock import Clock
from heliograph.observation import Link
from heliograph.plan import Entrance, Plan
from heliograph.services import Services
from heliograph.units import DAY_US, HOUR_US, SECOND_US
from heliograph.yaml_document import YamlError, parse_yaml
from heliograph_collector.console.alerts import AlertPages, Notifications
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
from heliograph_collector.console.health_summary import (
    UnreachedEntrance,
    describe_blocked,
    describe_lost_times,
)
from heliograph_collector.console.incident_views import count_open
from heliograph_collector.console.incidents import IncidentPages
from heliograph_collector.console.measurements import MeasurementPages
from heliograph_collector.console.publication import OperatorLog
from heliograph_collector.console.rules import DryRunner, DryRuns
from heliograph_collector.fleet import EnrolledAgent, Fleet, Keyring, KeysError, format_invite
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.entrances import own_entrance
from heliograph_collector.fleet.operators import OperatorDocument, Operators
from heliograph_collector.fleet.password_file import read_password
from heliograph_collector.fleet.plan_file import parse_plan
from heliograph_collector.fleet.plans import issue_plan, load_current_plan
from heliograph_collector.fleet.session_records import SessionEnd
from heliograph_collector.fleet.trust_chain import ensure_charter, load_charter_digest
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_evidence import EvidenceSource
from heliograph_collector.http.live_ports import ConnectionCounts, EnrolledAgents, OriginFinder
from heliograph_collector.http.rate_limit import LOCAL_ORIGIN
from heliograph_collector.incidents.silence_search import find_silence

_PULSE_US = 5_000_000  # interval at which constantly changing figures are published


class ConsoleSettings(Protocol):
    """The collector's settings that the console reads."""

    @property
    def data(self) -> Path: ...
    @property
    def grpc(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def services_file(self) -> Path | None: ...


class NotedClock(Clock, Protocol):
    """A clock that notes what happened to the machine's time."""

    def notices(self) -> Sequence[str]: ...


class LiveSession(Protocol):
    """A live session, as the console shows it."""

    @property
    def agent(self) -> EnrolledAgent: ...
    @property
    def vantage(self) -> "SessionPlace": ...
    @property
    def link(self) -> Link: ...
    @property
    def queued_count(self) -> int: ...


class SessionPlace(Protocol):
    @property
    def country(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def access(self) -> str: ...


class EntranceBlocks(Protocol):
    """The blocks of the collector itself, for operators alone. Implemented by DetectorRunner."""

    def list_blocked(self, since_us: int) -> Sequence[UnreachedEntrance]:
        """List those that last or ended since."""
        ...


class SessionTable(ConnectionCounts, Protocol):
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[LiveSession]: ...


class KnownAgents(EnrolledAgents, Protocol):
    def find_end(self, agent: bytes) -> SessionEnd | None: ...


class LiveIngest(Protocol):
    """The running ingest stage, as the console sees it."""

    @property
    def port(self) -> int: ...
    @property
    def connections(self) -> SessionTable: ...
    @property
    def directory(self) -> KnownAgents: ...
    @property
    def geo(self) -> OriginFinder: ...
    def remaining_batches(self, agent: bytes) -> int | None: ...


class StoreProgress(Protocol):
    """Progress of the store's writer."""

    @property
    def behind(self) -> int | None:
        """Return the number of journal entries not stored; None before the first answer."""
        ...


class JournalEnd(Protocol):
    @property
    def position(self) -> int: ...


class VoiceCodes(Protocol):
    def prove_code(
        self, voice_text: str, fleet: Fleet, source: str, *, is_kept: bool
    ) -> VoiceReport:
        """Verify a code, and store it if `is_kept`. Raises ValueError with the reason."""
        ...


@dataclass(frozen=True, kw_only=True)
class ConsoleSources:
    """The parts of the running collector that the console reads."""

    config: ConsoleSettings
    keyring: Keyring
    fleet: Fleet  # the connection of ingest
    services: Services
    password_file: Path
    rules_version: str
    clock: NotedClock
    registry: CollectorRegistry
    feed: Feed
    entrance_blocks: EntranceBlocks
    ingest: LiveIngest
    journal: JournalEnd
    writer: StoreProgress
    alerts: Notifications
    evidence: EvidenceSource
    dry_runner: DryRunner
    voice_codes: VoiceCodes
    operators: OperatorDocument
    trail: AuditLog


class LiveConsoleBackend(ConsoleBackend):
    """The console's data and actions; close it.

    It has its own connection to the fleet database, so ingest sees its changes as it sees those of
    a command. Raises KeysError, OperatorsError.
    """

    def __init__(self, sources: ConsoleSources) -> None:
        config = sources.config
        self._sources = sources
        self._config = config
        self.clock = sources.clock
        self.operators = Operators(sources.operators, read_password(sources.password_file))
        self.trail = sources.trail
        self.secret = hmac.digest(sources.keyring.secret, b"heliograph console v1", "sha256")
        self.services = sources.services
        self.services_source = str(config.services_file or "shipped with this edition")
        self.rules_version = sources.rules_version
        self.fleet = Fleet(config.data)
        self._incident_cache = IncidentCache(sources.feed)
        self._dry_runs = DryRuns(sources.dry_runner, sources.clock)

    def close(self) -> None:
        self.fleet.close()

    def add_routes(self, app: web.Application, operator_log: OperatorLog) -> None:
        """Add all pages of the console to an application."""
        sources = self._sources
        access_control = add_routes(app, self)
        add_route = access_control.route_adder(app)
        IncidentPages(access_control, sources.feed, operator_log, sources.evidence).routes(
            add_route
        )
        AlertPages(access_control, sources.alerts).routes(add_route)
        MeasurementPages(access_control, sources.feed).routes(add_route)

    def _now_s(self) -> int:
        return self.clock.wall_us() // 1_000_000

    def name_origin(self, forwarded_for: str) -> str:
        """Return an opaque name of the client's /24 or /48, kept in memory only.

        A proxy on this machine names its client. Without such a proxy, the client is this machine.
        """
        hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
        is_own_proxy = hops[-1:] in (["127.0.0.1"], ["::1"])
        if is_own_proxy and len(hops) == 1:
            return LOCAL_ORIGIN
        caller = self._sources.ingest.geo.find_origin(",".join(hops[:-1] if is_own_proxy else hops))
        prefix = enclosing_network(str(caller)) if caller else "-"
        return hashlib.sha256(self.secret + prefix.encode()).hexdigest()[:16]

    def list_live_agents(self) -> Mapping[bytes, LiveAgent]:
        ingest = self._sources.ingest
        return {
            # A later connection of the same agent replaces an earlier one.
            connection.agent.id: LiveAgent(
                country=connection.vantage.country,
                region=connection.vantage.region,
                access=connection.vantage.access,
                link=connection.link.value,
                queued_envelopes=connection.queued_count,
                remaining_batches=ingest.remaining_batches(connection.agent.id),
            )
            for connection in ingest.connections
        }

    def find_end(self, agent: bytes) -> SessionEnd | None:
        return self._sources.ingest.directory.find_end(agent)

    def find_silence(self, agent: EnrolledAgent) -> str:
        seen_us = (agent.last_seen_s or 0) * SECOND_US
        incidents = self._sources.feed.book.incidents()
        return find_silence(incidents, agent.country, agent.asn, agent.access, seen_us)

    def create_invite(self, role: str, uses: int, lifetime_s: int) -> str:
        config = self._config
        fleet = self.fleet
        now_s = self._now_s()
        grpc = format_dial_address(split_endpoint(config.grpc)[0], self._sources.ingest.port)
        endpoint = config.endpoint or grpc
        bound_host = split_endpoint(config.endpoint or config.grpc)[0]
        if bound_host in WILDCARD_HOSTS:
            raise InvalidInputError(
                f"Agents cannot dial {config.grpc}: set the key endpoint to what they dial, and "
                "restart `serve`."
            )
        token = fleet.create_invite(role=role, uses=uses, now_s=now_s, expires_s=now_s + lifetime_s)
        ensure_charter(fleet, config.data, self._sources.keyring, now_s)
        current_plan = load_current_plan(fleet)
        entrances = () if current_plan is None else current_plan[0].entrances
        pin = self._sources.keyring.pin
        return format_invite(endpoint, pin, token, entrances, charter=load_charter_digest(fleet))

    def read_plan(self, yaml_text: str, name: str) -> Plan:
        try:
            new_plan = parse_plan(parse_yaml(yaml_text.encode(), name), self.services)
        except YamlError as error:
            raise InvalidInputError(str(error)) from error
        current_plan = load_current_plan(self.fleet)
        if current_plan is None:
            return new_plan
        active_plan = current_plan[0]  # fields of the collector's configuration stay
        return replace(
            new_plan,
            entrances=active_plan.entrances,
            beacon_zone=active_plan.beacon_zone,
            hello_profiles=active_plan.hello_profiles,
        )

    def issue_plan(self, plan: Plan, after: int) -> Plan:
        signing = self._sources.keyring.signing
        try:
            return issue_plan(self.fleet, signing, plan, self._now_s(), after)
        except KeysError as error:
            raise InvalidInputError(str(error)) from error

    def read_ingest_status(self) -> IngestStatus:
        sources = self._sources
        config = self._config
        envelopes, measurements = self._count_intake()
        now_us = self.clock.wall_us()
        gaps = sources.feed.list_gaps(now_us - DAY_US, now_us)
        return IngestStatus(
            position=self._sources.journal.position,
            lag_entries=sources.writer.behind,
            received_us=sources.feed.agents().last_received_us,
            free_bytes=shutil.disk_usage(config.data).free,
            problems=[*sources.feed.problems(), *self._list_blocked_entrances()],
            envelopes=envelopes,
            measurements=measurements,
            notices=[*sources.clock.notices(), *describe_lost_times(gaps, now_us)],
        )

    def _list_blocked_entrances(self) -> list[str]:
        """Return a sentence on each entrance that somebody did not reach in the last hour."""
        since_us = self.clock.wall_us() - HOUR_US
        entrances = self._list_entrances()
        listed = self._sources.entrance_blocks.list_blocked(since_us)
        return [describe_blocked(blocked, entrances) for blocked in listed]

    def _list_entrances(self) -> list[Entrance]:
        """List the entrance of invites, and those of the plan."""
        config = self._config
        current_plan = load_current_plan(self.fleet)
        listed = () if current_plan is None else current_plan[0].entrances
        own = own_entrance(config.endpoint or config.grpc, self._sources.ingest.port)
        return [own, *listed]

    def _count_intake(self) -> tuple[list[tuple[str, str, str, int]], dict[str, int]]:
        envelopes = []
        measurements = {}
        for family in self._sources.registry.collect():
            for sample in family.samples:
                sample_labels = sample.labels
                if sample.name == "heliograph_envelopes_total":
                    envelope_labels = (
                        sample_labels["carrier"],
                        sample_labels["status"],
                        sample_labels["reason"],
                    )
                    envelopes.append((*envelope_labels, int(sample.value)))
                elif sample.name == "heliograph_measurements_total":
                    measurements[sample_labels["outcome"]] = int(sample.value)
        return envelopes, measurements

    async def start_dry_run(self, tried: TriedList | None) -> None:
        await self._dry_runs.start(tried)

    def read_dry_run(self) -> DryRunStatus:
        return self._dry_runs.status

    async def run_dry_runs(self) -> None:
        """Run the dry runs that operators ask for, until cancelled."""
        await self._dry_runs.run()

    def prove_voice_code(self, voice_text: str, source: str, *, is_kept: bool) -> VoiceReport:
        try:
            return self._sources.voice_codes.prove_code(
                voice_text, self.fleet, source, is_kept=is_kept
            )
        except ValueError as error:
            sentence = str(error)
            raise InvalidInputError(f"{sentence[0].upper()}{sentence[1:]}.") from error

    def count_incidents(self) -> Mapping[str, int]:
        return count_open(self._incident_cache.all_incidents())

    def read_change_markers(self) -> Mapping[str, object]:
        ingest = self._sources.ingest
        clock = self.clock
        links = sorted(ingest.connections.count_links().items())
        fleet = (
            self.fleet.data_version(),
            self._sources.fleet.data_version(),
            ingest.directory.count_enrolled(),
        )
        return {
            "fleet": (fleet, len(ingest.connections), links),
            "log": self._sources.feed.book.head,
            "alerts": self._sources.alerts.change_count,
            "health": (tuple(self._sources.feed.problems()), clock.monotonic_us() // _PULSE_US),
            "rules": self._dry_runs.status,
        }
