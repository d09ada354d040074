"""The other roles: each is built from the context and its ports, and has `run`.

`workers` runs all of them in one process; a later version may run each in a separate process.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiohttp import web

from heliograph import __version__
from heliograph.address import split_endpoint
from heliograph_collector.aggregate.cell_updater import CellUpdater, DailyUpdater
from heliograph_collector.alerting.service import AlertConfig, AlertService
from heliograph_collector.app.commands import build_store
from heliograph_collector.app.context import AppContext, explain_errors
from heliograph_collector.app.rejudge import StoreDryRunner
from heliograph_collector.config import outgoing_http
from heliograph_collector.config.errors import (
    CannotServeError,
    explain_taken_port,
    explain_unusable_store,
)
from heliograph_collector.config.named_files import read_prefixes, read_token
from heliograph_collector.config.settings import Config
from heliograph_collector.console.alerts import AlertPages, Notifications
from heliograph_collector.console.app import add_routes
from heliograph_collector.console.incidents import IncidentPages, OperatorLog
from heliograph_collector.console.live_backend import (
    ConsoleSources,
    LiveConsoleBackend,
    LiveIngest,
    StoreProgress,
)
from heliograph_collector.control import Assessor
from heliograph_collector.corroborate import (
    CorroborationSettings,
    IodaConfig,
    PublishedFeed,
    RadarConfig,
    RisConfig,
)
from heliograph_collector.corroborate.service import Corroboration
from heliograph_collector.detect.late_data import VoteHistory
from heliograph_collector.detect.runner import DetectorRunner, LogUnusableError
from heliograph_collector.detect.state import DetectorConfig
from heliograph_collector.fleet import KeysError
from heliograph_collector.fleet.operators import OperatorsError
from heliograph_collector.fleet.password_file import read_password
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.http.api.stream import CellEvents
from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import Feed, build_method
from heliograph_collector.http.dump_writer import DumpWriter
from heliograph_collector.http.live_feed import (
    AgentSessions,
    AnnotationSource,
    DetectorLog,
    FeedSettings,
    LiveEvidence,
    LiveFeed,
)
from heliograph_collector.http.published_incidents import IncidentEvents, PublishedIncidents
from heliograph_collector.http.server import open_http
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.ingest.quarantine_review import QuarantineReview
from heliograph_collector.ingest.voice_codes import VoiceCodeProver
from heliograph_collector.judge import RULES, RULES_VERSION, judge
from heliograph_collector.judge.comparisons import list_comparison_rules
from heliograph_collector.judge.confidence import CONTROL_FRESHNESS
from heliograph_collector.judge.watching_judge import WatchingAssessor
from heliograph_collector.judge.writer import BlockListener, StoreWriter
from heliograph_collector.store.backup.live import BackupServer
from heliograph_collector.store.daily_totals import AnonymityRule
from heliograph_collector.store.imported_results import FILE, ImportedReader
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.retention import RetentionJob
from heliograph_collector.store.store import Store, StoreError

log = logging.getLogger("heliograph")


def create_store(config: Config) -> Store:
    """Build the store, not yet open. Raises CannotServeError."""
    try:
        return build_store(config)
    except StoreError as error:
        raise explain_unusable_store(error) from error


class JudgeRole:
    """Judges the journal into the store, and passes on the stored blocks."""

    def __init__(
        self, context: AppContext, store: Store, listeners: Sequence[BlockListener] = ()
    ) -> None:
        assessor = Assessor(judge, context.services.services)
        self.writer = StoreWriter(
            context.journal,
            store,
            WatchingAssessor(assessor, SignedLists(context.config.data)),
            Pseudonyms(context.keyring.secret),
            clock=context.clock,
            expiry=context.expiry,
            rng=context.rng,
            listeners=listeners,
            profiles=assessor,
        )

    async def run(self) -> None:
        await self.writer.run()


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
        services=frozenset(context.titles),
    )
    with explain_errors(LogUnusableError):
        return DetectorRunner(
            detector_config,
            context.journal,
            store,
            clock=context.clock,
            publisher=IncidentEvents(context.bus, context.titles, config.k_anonymity),
            registry=context.registry,
        )


class PublishRole:
    """The public pages, the API, and the live events."""

    def __init__(
        self,
        context: AppContext,
        store: Store,
        sessions: AgentSessions,
        detector: DetectorLog,
        annotations: AnnotationSource,
    ) -> None:
        config = context.config
        self._context = context
        self.feed = LiveFeed(
            FeedSettings(
                services=context.services,
                password=read_password(context.password_file),
                public_key=context.keyring.log.public,
                method=build_method(
                    RULES, list_comparison_rules(), RULES_VERSION, CONTROL_FRESHNESS
                ),
                targets=context.targets,
                k_anonymity=config.k_anonymity,
                requests_a_minute=config.requests_a_minute,
                metrics_open=config.metrics == "open",
                public_url=config.public_url,
                security_contact=config.security_contact,
                dumps=config.data / "dumps" if config.dumps_days else None,
            ),
            store=store,
            sessions=sessions,
            detector=detector,
            annotations=annotations,
            imported=ImportedReader(config.data / FILE),
            clock=context.clock,
            bus=context.bus,
            registry=context.registry,
        )
        self._snapshot_cache = SnapshotCache(self.feed)
        self._cell_events = CellEvents(self.feed, self._snapshot_cache)
        self.app = build_app(self.feed, self._snapshot_cache)
        self.listeners: Sequence[BlockListener] = (self.feed, self._cell_events)

    async def open_http(self, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        """Listen for readers; `stack` closes the server. Raises CannotServeError."""
        config = self._context.config
        host, requested_port = split_endpoint(config.http)
        try:
            guard, port = await open_http(self.app, host, requested_port, stack)
        except OSError as error:
            raise explain_taken_port("http", config.http, error.strerror) from error
        group.create_task(guard.run())
        self._context.endpoint_file.announce("http", config.http, port)
        log.info("Operator's password: in %s", self._context.password_file)

    async def run(self) -> None:
        """Keep the answers fresh until cancelled; the store must be open."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cell_events.run())
            group.create_task(self._snapshot_cache.page_cache.run())
            group.create_task(self.feed.cell_queries.cache.run())


class JobsRole:
    """Rollups, daily files, corroboration, reviews of the fleet, retention, and backups."""

    def __init__(self, context: AppContext, store: Store, corroboration: Corroboration) -> None:
        config = context.config
        clock = context.clock
        self._context = context
        self._corroboration = corroboration
        self.cell_updater = CellUpdater(store, clock)
        self._daily_totals = DailyUpdater(store, clock, AnonymityRule(config.k_anonymity))
        self._dump_writer = DumpWriter(
            store,
            config.data / "dumps",
            clock,
            expiry=context.expiry,
            k_anonymity=config.k_anonymity,
            retention_days=config.dumps_days,
            services=context.public_names,
        )
        self._quarantine_review = QuarantineReview(
            context.fleet, clock, Pseudonyms(context.keyring.secret)
        )
        self._backup_server = BackupServer(store, config.data)
        self._retention = RetentionJob(store, context.journal, context.expiry)
        self.listeners: Sequence[BlockListener] = (self.cell_updater, self._quarantine_review)

    async def run(self, feed: PublishedFeed) -> None:
        """Run until cancelled; the store must be open."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cell_updater.run())
            group.create_task(self._daily_totals.run())
            group.create_task(self._quarantine_review.run())
            group.create_task(self._backup_server.run())
            group.create_task(self._retention.run())
            if self._context.config.dumps_days:
                group.create_task(self._dump_writer.run())
            group.create_task(self._corroboration.run(feed))


def build_source_settings(config: Config) -> CorroborationSettings:
    """Build the settings of the sources, with token and prefixes. Raises CannotServeError."""
    return CorroborationSettings(
        ris=RisConfig(
            url=config.ris_url or RisConfig().url,
            prefixes=read_prefixes(config.prefixes_file) if config.prefixes_file else {},
        ),
        ioda=IodaConfig(url=config.ioda_url or IodaConfig().url),
        radar=RadarConfig(
            url=config.radar_url or RadarConfig().url,
            token=read_token(config.radar_token_file) if "radar" in config.corroborate else "",
        ),
        private_hosts=config.source_private_hosts,
    )


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
    )


class ConsoleRole:
    """The console's pages, added to the application of the publish role; close it."""

    def __init__(
        self,
        context: AppContext,
        store: Store,
        feed: Feed,
        ingest: LiveIngest,
        writer: StoreProgress,
        alerts: Notifications,
        operator_log: OperatorLog,
    ) -> None:
        self._store = store
        self._feed = feed
        self._alerts = alerts
        self._operator_log = operator_log
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
            ingest=ingest,
            journal=context.journal,
            writer=writer,
            alerts=alerts,
            dry_runner=StoreDryRunner(store, context.services.services, context.config.data),
            voice_codes=VoiceCodeProver(context.config.data, context.clock),
        )
        try:
            self._backend = LiveConsoleBackend(sources)
        except (KeysError, OperatorsError) as error:
            raise CannotServeError(f"{error}.") from error

    def add_routes(self, app: web.Application) -> None:
        access_control = add_routes(app, self._backend)
        add_route = access_control.route_adder(app)
        evidence = LiveEvidence(self._store, self._feed)
        IncidentPages(access_control, self._feed, self._operator_log, evidence).routes(add_route)
        AlertPages(access_control, self._alerts).routes(add_route)

    def close(self) -> None:
        self._backend.close()
