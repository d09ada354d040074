"""Everything but ingest: store, writer with its judge, detectors, pages and API."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from heliograph import __version__
from heliograph_collector.aggregate.cell_updater import CellUpdater, DailyUpdater
from heliograph_collector.app.alerting import AlertService, build_alerts_backend
from heliograph_collector.app.console_backend import ConsoleSources, LiveConsoleBackend
from heliograph_collector.app.corroboration import Corroboration
from heliograph_collector.app.detector_runner import DetectorRunner
from heliograph_collector.app.dump_writer import DumpWriter
from heliograph_collector.app.endpoint_file import EndpointFile, read_password
from heliograph_collector.app.http_backend import HttpBackend
from heliograph_collector.app.incident_views import IncidentViews, add_change_markers
from heliograph_collector.app.readiness import Readiness
from heliograph_collector.config.settings import Config, split_endpoint
from heliograph_collector.console import alerts, incidents
from heliograph_collector.console.app import add_routes as console_routes
from heliograph_collector.control import Assessor
from heliograph_collector.control.agent_process import format_dial_address
from heliograph_collector.control.echo_server import EchoServer
from heliograph_collector.detect.recovery import VerdictRecovery
from heliograph_collector.detect.state import DetectorConfig
from heliograph_collector.errors import CannotServeError, PortTakenError
from heliograph_collector.http.api.aggregation import CONFIRMED_METHODS
from heliograph_collector.http.api.stream import CellEvents
from heliograph_collector.http.app import build_app
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.slow_clients import SlowClientGuard
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.ingest.quarantine_review import QuarantineReview
from heliograph_collector.judge import judge
from heliograph_collector.judge.rules import RULES_VERSION
from heliograph_collector.judge.writer import ClockCheck, StoreWriter
from heliograph_collector.model.records import Block
from heliograph_collector.store.daily_totals import AnonymityRule
from heliograph_collector.store.migrations import SchemaError
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import DirectoryInUseError, Store, StoreError

if TYPE_CHECKING:
    from heliograph_collector.app.context import AppContext
    from heliograph_collector.ingest.build import IngestServices

log = logging.getLogger("heliograph")

_SHUTDOWN_S = 0.5  # for open responses; a live stream would never end by itself
_RETRY_S = 5.0
_HEADER_BYTES = 4_096
_KEEPALIVE_S = 20.0


class Workers:
    def __init__(
        self, context: "AppContext", ingest: "IngestServices", endpoint_file: EndpointFile
    ) -> None:
        config = context.config
        self._context = context
        self._endpoint_file = endpoint_file
        # A random id, different after each restart: readers resume by it.
        bus = EventBus(secrets.token_hex(4))
        self._store = _create_store(config)
        self._detector = DetectorRunner(
            _build_detector_config(context),
            context.journal,
            self._store,
            clock=context.clock,
            bus=bus,
            registry=context.registry,
            titles={s.name: s.title for s in context.services.services},
        )
        self._backend = HttpBackend(context, ingest, self._store, self._detector)
        self._corroboration = Corroboration(context)
        self._alerts = AlertService(context, self._detector.book, bus)
        feed = self._backend.build_feed(bus, read_password(context.password_file))
        dumps = config.data / "dumps"
        self._feed = replace(
            feed,
            annotations=self._corroboration.list_annotations,
            dumps=dumps if config.dumps_days else None,
        )
        self._dump_writer = DumpWriter(
            self._store, dumps, context.clock, config.k_anonymity, config.dumps_days
        )
        self._snapshot_cache = SnapshotCache(self._feed)
        self._cell_events = CellEvents(self._feed, self._snapshot_cache)
        self._echo = EchoServer()
        self._readiness = Readiness(
            lambda: context.journal.mark_alive(context.clock.wall_us()),
            self._store.health,
            config.data,
        )
        self._cell_updater = CellUpdater(self._store, context.clock)
        pseudonyms = Pseudonyms(context.keyring.secret)
        self._recovery = VerdictRecovery(context.journal, self._store, pseudonyms)
        self._quarantine_review = QuarantineReview(context.fleet, context.clock, pseudonyms)
        self._daily_totals = DailyUpdater(
            self._store, context.clock, AnonymityRule(config.k_anonymity, CONFIRMED_METHODS)
        )
        self._writer = StoreWriter(
            context.journal,
            self._store,
            ClockCheck(Assessor(judge, context.services.services)),
            pseudonyms,
            clock=context.clock,
            rng=context.rng,
            on_block=self._on_block,
        )
        self._sources = self._build_console_sources(ingest)

    def _build_console_sources(self, ingest: "IngestServices") -> ConsoleSources:
        return ConsoleSources(
            context=self._context,
            ingest=ingest,
            store=self._store,
            list_problems=self._backend.list_problems,
            read_lag=lambda: self._writer.behind,
            last_received_us=lambda: self._feed.agents().last_received_us,
        )

    async def run(self) -> None:
        """Run all parts until cancelled. Raises CannotServeError."""
        async with AsyncExitStack() as stack:
            slow_client_guard = await self._open_http(stack)
            async with asyncio.TaskGroup() as group:
                group.create_task(slow_client_guard.run())
                group.create_task(self._detector.run())  # silence detection needs no store
                group.create_task(self._alerts.run())
                await self._open_store(stack)
                self._backend.on_store_open(self._list_problems)
                if self._context.config.echo:
                    group.create_task(self._run_echo(self._context.config.echo, group))
                group.create_task(self._recover_pending())
                group.create_task(self._readiness.run())
                group.create_task(self._writer.run())
                group.create_task(self._cell_events.run())
                group.create_task(self._snapshot_cache.page_cache.run())
                group.create_task(self._backend.cell_queries.cache.run())
                group.create_task(self._cell_updater.run())
                group.create_task(self._quarantine_review.run())
                group.create_task(self._daily_totals.run())
                if self._context.config.dumps_days:
                    group.create_task(self._dump_writer.run())
                group.create_task(self._corroboration.run(self._feed))

    async def _recover_pending(self) -> None:
        """Replay what the previous process held only in memory."""
        other_positions = (lambda: self._cell_updater.oldest_position,)
        after, recovery = await self._detector.recover_verdicts(self._recovery, other_positions)
        self._cell_updater.touch(recovery.minutes_us, after)

    async def _open_store(self, stack: AsyncExitStack) -> None:
        last_reason = ""
        while True:
            try:
                await self._store.open()
            except (DirectoryInUseError, SchemaError) as error:
                raise CannotServeError(str(error)) from error
            except StoreError as error:
                if str(error) != last_reason:
                    log.error("%s Agents are acknowledged; trying again.", error)
                last_reason = str(error)
                self._backend.start_problem = last_reason
                await asyncio.sleep(_RETRY_S)
            else:
                stack.push_async_callback(self._store.close)
                return

    async def _open_http(self, stack: AsyncExitStack) -> SlowClientGuard:
        host, port = split_endpoint(self._context.config.http)
        app = build_app(self._feed, self._snapshot_cache)
        console_backend = LiveConsoleBackend(self._sources)
        stack.callback(console_backend.close)
        book = self._detector.book
        alert_service = self._alerts
        incident_views = IncidentViews(self._feed, self._detector.record_operator_entry)
        backend = replace(
            console_backend.build_backend(), count_incidents=incident_views.count_open
        )
        access_control = console_routes(
            app, add_change_markers(backend, lambda: book.head, lambda: alert_service.change_count)
        )
        add_route = access_control.route_adder(app)
        incidents.add_routes(add_route, access_control, incident_views.build_actions())
        alerts.routes(add_route, access_control, build_alerts_backend(self._alerts))
        runner = web.AppRunner(
            app,
            keepalive_timeout=_KEEPALIVE_S,
            access_log=None,  # it would contain addresses
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_S,
            max_field_size=_HEADER_BYTES,
            max_line_size=_HEADER_BYTES,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            slow_client_guard = SlowClientGuard(lambda: runner.server())  # type: ignore[misc] # it is set up
            server = await asyncio.get_running_loop().create_server(slow_client_guard, host, port)
        except OSError as error:
            raise CannotServeError(
                f"{self._context.config.http} cannot be listened on ({error.strerror}): "
                "stop what listens there, or say --http HOST:PORT."
            ) from error
        stack.callback(server.close)
        endpoint = format_dial_address(host, int(server.sockets[0].getsockname()[1]))
        self._endpoint_file.publish(http=endpoint)
        log.info("Page:   http://%s/", endpoint)
        log.info("Operator's password: in %s", self._context.password_file)
        return slow_client_guard

    async def _run_echo(self, endpoint: str, group: asyncio.TaskGroup) -> None:
        """Run the echo server until cancelled. Raises CannotServeError."""
        host, port = split_endpoint(endpoint)
        try:
            async with self._echo.open(host, port, group) as echo_port:
                self._endpoint_file.publish(echo=format_dial_address(host, echo_port))
                log.info("Echo:   %s (TCP)", self._endpoint_file.echo)
                await asyncio.Event().wait()
        except PortTakenError as error:
            raise CannotServeError(
                f"{endpoint} cannot be listened on: free it, or say --echo HOST:PORT."
            ) from error

    def _list_problems(self) -> list[str]:
        components = (self._writer, self._detector, self._echo, self._readiness)
        return [problem for part in components for problem in part.problems()]

    def _on_block(self, block: Block) -> None:
        self._detector.on_block(block)
        self._backend.on_block(block)
        self._cell_updater.touch(_list_timestamps(block), block.first - 1)
        self._quarantine_review.on_block(block)
        self._cell_events.touch(_list_timestamps(block))


def _create_store(config: Config) -> Store:
    """Create the store, not yet open. Raises CannotServeError."""
    try:
        return Store(
            config.store,
            observations_days=config.observations_days,
            verdicts_days=config.verdicts_days,
        )
    except StoreError as error:
        raise CannotServeError(f"{error} Correct store.url.") from error


def _build_detector_config(context: "AppContext") -> DetectorConfig:
    return DetectorConfig(
        data=context.config.data,
        journal=context.journal.id,
        secret=context.keyring.secret,
        key=context.keyring.log,
        versions={
            "heliograph": __version__,
            "rules": str(RULES_VERSION),
            "services": context.services.version,
        },
        k_anonymity=context.config.k_anonymity,
    )


def _list_timestamps(block: Block) -> Sequence[int]:
    """List the times whose cells a block may change."""
    return [record.started_us for record, _ in block.judged] + [
        p.received_us for p in block.presence
    ]
