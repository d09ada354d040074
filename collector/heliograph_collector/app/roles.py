"""The other roles: each is built from the context and its ports.

`workers` runs all of them in one process. The control role asks for tests too: for visits of
controls, and for early runs of volunteers.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Protocol

from aiohttp import ThreadedResolver

from heliograph import __version__
from heliograph.address import format_dial_address, list_hosts, split_endpoint
from heliograph_collector.aggregate.cell_updater import CellUpdater, DailyUpdater
from heliograph_collector.alerting.service import AlertConfig, AlertService
from heliograph_collector.app.commands import build_store
from heliograph_collector.app.context import AppContext
from heliograph_collector.app.explained_errors import explain_errors, explain_port
from heliograph_collector.app.outside import build_source_settings
from heliograph_collector.app.rejudge import StoreDryRunner
from heliograph_collector.config import outgoing_http
from heliograph_collector.config.errors import (
    CannotServeError,
    explain_unusable_store,
)
from heliograph_collector.config.settings import Config
from heliograph_collector.console.alerts import Notifications
from heliograph_collector.console.live_backend import (
    ConsoleSources,
    EntranceBlocks,
    LiveConsoleBackend,
    LiveIngest,
    StoreProgress,
)
from heliograph_collector.control.agent_process import ControlAgent, keep_control
from heliograph_collector.control.early_runs import EarlyRunDispatcher, EarlyRunPlanner
from heliograph_collector.control.echo_server import EchoServer
from heliograph_collector.control.visit_dispatcher import VisitDispatcher
from heliograph_collector.control.visit_planner import VisitPlanner
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.corroborate import (
    Corroboration,
    PublishedFeed,
)
from heliograph_collector.detect.late_data import VoteHistory
from heliograph_collector.detect.runner import DetectorRunner, LogUnusableError
from heliograph_collector.detect.state import DetectorConfig
from heliograph_collector.fleet import KeysError
from heliograph_collector.fleet.operators import OperatorsError
from heliograph_collector.fleet.plans import list_public_names
from heliograph_collector.fleet.renewal import ControlInvites
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.dump_writer import DumpWriter
from heliograph_collector.http.history_writer import HistoryWriter
from heliograph_collector.http.live_feed import (
    LiveEvidence,
)
from heliograph_collector.http.published_incidents import IncidentEvents, PublishedIncidents
from heliograph_collector.http.running_day import FOLDER, RunningDay
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.agent_sessions import ControlSessions, VolunteerSessions
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.ingest.pacing import JudgeLoad
from heliograph_collector.ingest.presence import ConnectionTable
from heliograph_collector.ingest.quarantine_review import QuarantineReview
from heliograph_collector.ingest.voice_codes import VoiceCodeProver
from heliograph_collector.judge import RULES_VERSION
from heliograph_collector.judge.writer import BlockListener, StoreWriter
from heliograph_collector.store.backup.live import BackupServer
from heliograph_collector.store.clickhouse import WritePermission
from heliograph_collector.store.daily_totals import AnonymityRule
from heliograph_collector.store.history import FILE as HISTORY_FILE
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.retention import RetentionJob
from heliograph_collector.store.store import Store, StoreError

PACE_LOOK_S = 10.0  # assumed; a step of the share takes 45 s


def create_store(config: Config, permission: WritePermission | None = None) -> Store:
    """Build the store, not yet open. Raises CannotServeError."""
    try:
        return build_store(config, permission)
    except StoreError as error:
        raise explain_unusable_store(error) from error


def build_detector(context: AppContext, store: VoteHistory) -> DetectorRunner:
    """Build the detect role. Raises CannotServeError."""
    config = context.config
    detector_config = DetectorConfig(
        data=config.data,
        journal=context.journal.id,
        secret=context.keyring.secret,
        key=context.keyring.log,
        versions={
            "heliograph": __version__,
            "rules": str(RULES_VERSION),
            "services": context.services.version,
        },
        k_anonymity=config.k_anonymity,
        services=frozenset(context.services.titles),
        fence=context.fence,
    )
    with explain_errors(LogUnusableError):
        return DetectorRunner(
            detector_config,
            context.journal,
            store,
            clock=context.clock,
            publisher=IncidentEvents(context.bus, context.services.titles, config.k_anonymity),
            registry=context.registry,
        )


class JobsRole:
    """Rollups, daily files, corroboration, fleet reviews, retention, and backups."""

    def __init__(self, context: AppContext, store: Store, corroboration: Corroboration) -> None:
        config = context.config
        clock = context.clock
        self._corroboration = corroboration
        self.cell_updater = CellUpdater(store, clock)
        review = QuarantineReview(context.fleet, clock, Pseudonyms(context.keyring.secret))
        dumps = config.data / "dumps"
        history = config.data / HISTORY_FILE
        names = list_public_names(context.fleet, context.services)
        dump_writer = DumpWriter(
            store,
            dumps,
            clock,
            expiry=context.expiry,
            k_anonymity=config.k_anonymity,
            retention_days=config.dumps_days,
            services=names,
            license_name=config.license,
            history=HistoryWriter(dumps, history),
            running_day=RunningDay(store, config.data / FOLDER, history, config.k_anonymity, names),
        )
        self._loops = (
            self.cell_updater.run,
            DailyUpdater(store, clock, AnonymityRule(config.k_anonymity)).run,
            review.run,
            BackupServer(store, config.data).run,
            RetentionJob(store, context.journal, context.expiry).run,
            *([dump_writer.run] if config.dumps_days else []),
        )
        self.listeners: Sequence[BlockListener] = (self.cell_updater, review)

    async def run(self, feed: PublishedFeed) -> None:
        """Run until cancelled; the store must be open."""
        async with asyncio.TaskGroup() as group:
            for run_loop in self._loops:
                group.create_task(run_loop())
            group.create_task(self._corroboration.run(feed))


def build_corroboration(context: AppContext) -> Corroboration:
    """Build the corroboration by the configured sources. Raises CannotServeError."""
    config = context.config
    return Corroboration(
        config.data,
        config.corroborate,
        build_source_settings(config),
        clock=context.clock,
        rng=context.rng,
        sessions=outgoing_http,
    )


def build_alerts(context: AppContext, feed: Feed) -> AlertService:
    """Build the notifications. Raises CannotServeError."""
    config = context.config
    return AlertService(
        AlertConfig(data=config.data, receivers=config.alerts, public_url=config.public_url),
        feed.book,
        PublishedIncidents(feed),
        clock=context.clock,
        rng=context.rng,
        registry=context.registry,
        shared=context.records.alerts,
        permission=context.permission,
        health=feed,
    )


def build_console(
    context: AppContext,
    store: Store,
    feed: Feed,
    ingest: LiveIngest,
    writer: StoreProgress,
    alerts: Notifications,
    entrance_blocks: EntranceBlocks,
) -> LiveConsoleBackend:
    """Build the data of the console; close it. Raises CannotServeError."""
    sources = ConsoleSources(
        config=context.config,
        keyring=context.keyring,
        fleet=context.fleet,
        services=context.services,
        password_file=context.password_file,
        rules_version=str(RULES_VERSION),
        clock=context.clock,
        registry=context.registry,
        feed=feed,
        entrance_blocks=entrance_blocks,
        ingest=ingest,
        journal=context.journal,
        writer=writer,
        alerts=alerts,
        evidence=LiveEvidence(store, feed),
        dry_runner=StoreDryRunner(store, context.services.services, context.config.data),
        voice_codes=VoiceCodeProver(context.config.data, context.clock),
        operators=context.records.operators,
        trail=context.records.trail,
    )
    try:
        return LiveConsoleBackend(sources)
    except (KeysError, OperatorsError) as error:
        raise CannotServeError(f"{error}.") from error


class ConnectedAgents(Protocol):
    """The running ingest stage, as those see it who ask agents for tests."""

    @property
    def directory(self) -> AgentDirectory: ...
    @property
    def connections(self) -> ConnectionTable: ...
    @property
    def geo(self) -> GeoLookup: ...


class ControlRole:
    """The local control agent and the echo service, as far as they are configured."""

    def __init__(self, context: AppContext, grpc_port: int) -> None:
        self._context = context
        config = context.config
        endpoint = format_dial_address(split_endpoint(config.grpc)[0], grpc_port)
        self._control = ControlAgent(
            state_directory=config.data / "control",
            log_file=config.data / "control.log",
            endpoint=endpoint,
            invites=ControlInvites(context.fleet, context.keyring, endpoint, context.clock),
            rng=context.rng,
        )
        self.echo = EchoServer()

    async def run(self) -> None:
        if "local" in self._context.config.control_endpoints:
            await keep_control(self._control)

    async def run_echo(self, group: asyncio.TaskGroup) -> None:
        """Run the echo server until cancelled; connections are tasks of `group`.

        Raises CannotServeError.
        """
        endpoint = self._context.config.echo
        if not endpoint:
            return
        host, port = split_endpoint(endpoint)
        with explain_port("echo", endpoint):
            async with self.echo.open(host, port, group) as echo_port:
                self._context.endpoint_file.announce("echo", endpoint, echo_port)
                await asyncio.Event().wait()


def build_visits(context: AppContext, ingest: ConnectedAgents) -> VisitDispatcher:
    """Build the dispatcher; it listens to blocks, and has `run`."""
    config = context.config
    policy = VisitPolicy(ingest.geo, config.visit_networks)
    return VisitDispatcher(
        VisitPlanner(policy, context.rng),
        ControlSessions(ingest.connections, ingest.directory),
        context.keyring.signing,
        clock=context.clock,
        registry=context.registry,
        resolver=ThreadedResolver(),
        own_hosts=list_hosts(
            config.endpoint, config.grpc, config.post, config.http, config.dns, config.echo
        ),
    )


def build_early_runs(context: AppContext, ingest: ConnectedAgents) -> EarlyRunDispatcher:
    """Build what asks volunteers for early runs; it listens to blocks."""
    return EarlyRunDispatcher(
        EarlyRunPlanner(context.rng),
        VolunteerSessions(ingest.connections, ingest.directory),
        clock=context.clock,
        registry=context.registry,
    )


class _PacedSessions(Protocol):
    """The connected agents. Implemented by the ingest stage."""

    def set_pace(self, load: JudgeLoad, open_countries: Collection[str]) -> None:
        """Decide how often each connected volunteer is to test."""
        ...


class PaceRole:
    """Sets the pace that sessions send to agents, by load and incidents."""

    def __init__(
        self,
        context: AppContext,
        sessions: _PacedSessions,
        detector: DetectorRunner,
        writer: StoreWriter,
    ) -> None:
        self._journal = context.journal
        self._sessions = sessions
        self._detector = detector
        self._writer = writer

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(PACE_LOOK_S)
            behind = self._writer.behind
            if behind is None:  # the store has not answered yet
                continue
            arrived = self._journal.position
            load = JudgeLoad(arrived, arrived - behind, self._detector.judge_lag.lag_us)
            self._sessions.set_pace(load, self._detector.list_open_countries())
