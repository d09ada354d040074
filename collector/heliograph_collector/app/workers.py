"""Run all roles but ingest in one process, and connect them to each other."""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from heliograph.v1.intake_pb2 import Receipt
from heliograph_collector.app.context import AppContext
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.judge_role import build_judge, build_writer
from heliograph_collector.app.judge_workers import WorkerSource
from heliograph_collector.app.outside import PublishedAnnotations
from heliograph_collector.app.public_report import PublicReporter
from heliograph_collector.app.publish_role import FindingsRole, PublishRole, build_live_feed
from heliograph_collector.app.roles import (
    ConnectedAgents,
    ControlRole,
    JobsRole,
    PaceRole,
    build_alerts,
    build_console,
    build_corroboration,
    build_detector,
    build_early_runs,
    build_visits,
    create_store,
)
from heliograph_collector.console.incident_socket import CommandServer
from heliograph_collector.detect.recovery import VerdictRecovery
from heliograph_collector.http.live_ports import ProblemSource
from heliograph_collector.http.published_incidents import PublishedIncidents
from heliograph_collector.http.readiness import Readiness
from heliograph_collector.ingest.pacing import JudgeLoad
from heliograph_collector.judge.writer import BlockListener
from heliograph_collector.store.migrations import SchemaError
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import DirectoryInUseError


class IngestStage(ConnectedAgents, Protocol):
    """The running ingest stage: `IngestServices` of this process, or a `RemoteIngest`."""

    @property
    def port(self) -> int: ...
    @property
    def block_listener(self) -> BlockListener:
        """Return the observer of judged blocks."""
        ...

    def accept(
        self, envelope: bytes, forwarded_for: str, *, elsewhere: bool
    ) -> Coroutine[None, None, Receipt]: ...
    def remaining_batches(self, agent: bytes) -> int | None: ...
    def set_pace(self, load: JudgeLoad, open_countries: Collection[str]) -> None: ...


class Workers:
    """The roles of a process; the constructor raises CannotServeError."""

    def __init__(
        self,
        context: AppContext,
        ingest: IngestStage,
        others: Sequence[ProblemSource],
        listeners: Sequence[BlockListener] = (),
        elsewhere: Sequence[WorkerSource] = (),
    ) -> None:
        """Build all roles around a running ingest stage.

        Args:
            others: Parts outside of these roles that can keep the collector from being ready.
            listeners: Parts outside of these roles that observe judged blocks.
            elsewhere: Sources of judge processes on other hosts.
        """
        self._context = context
        self._others = others
        self._store = create_store(context.config, context.permission)
        self._detector = build_detector(context, self._store)
        corroboration = build_corroboration(context)
        self._annotations = PublishedAnnotations(corroboration)
        feed = build_live_feed(context, self._store, ingest, self._detector, self._annotations)
        self._publish = PublishRole(
            feed, context.config, context.endpoint_file, context.password_file
        )
        self._jobs = JobsRole(context, self._store, corroboration)
        self._visits = build_visits(context, ingest)
        all_listeners: tuple[BlockListener, ...] = (
            self._visits,
            build_early_runs(context, ingest),
            ingest.block_listener,
            self._publish,
            *self._jobs.listeners,
            *listeners,
            self._detector,  # last: it stores how far all of them have got
        )
        self._judge = build_judge(context, elsewhere)
        self._writer = build_writer(context, self._store, self._judge, all_listeners)
        self._pace = PaceRole(context, ingest, self._detector, self._writer)
        self._findings = FindingsRole(self._publish.snapshot_cache, ingest.connections)
        self._control = ControlRole(context, ingest.port)
        self._readiness = Readiness(
            context.journal, self._store, context.config.data, context.clock
        )
        self._alerts = build_alerts(context, feed)
        self._console = build_console(
            context, self._store, feed, ingest, self._writer, self._alerts, self._detector
        )
        self._commands = CommandServer(
            self._detector, feed, context.records.trail, context.config.data, context.clock
        )

    async def report(self, reporter: PublicReporter) -> None:
        """Report the public state to other hosts, until cancelled."""
        await reporter.run(self._publish.feed, self._annotations)

    async def run(self) -> None:
        """Run all roles until cancelled. Raises CannotServeError."""
        roles = self._context.config.roles
        async with AsyncExitStack() as stack:
            stack.callback(self._console.close)
            if "console" in roles:
                self._console.add_routes(self._publish.app, self._detector)
            # Closed after the pages that read from it, and opened after they listen.
            store_stack = await stack.enter_async_context(AsyncExitStack())
            async with asyncio.TaskGroup() as group:
                await self._publish.open_http(stack, group)
                if "control" in roles:
                    group.create_task(self._control.run())
                group.create_task(self._detector.run())  # silence detection needs no store
                group.create_task(self._alerts.run())
                group.create_task(self._commands.run())
                group.create_task(self._pace.run())
                await self._open_store(store_stack)
                if "control" in roles:
                    group.create_task(self._control.run_echo(group))
                group.create_task(self._recover_pending())
                group.create_task(self._readiness.run())
                group.create_task(self._judge.run())
                group.create_task(self._writer.run())
                group.create_task(self._visits.run())
                group.create_task(self._publish.run())
                group.create_task(self._console.run_dry_runs())
                group.create_task(self._findings.run())
                group.create_task(self._jobs.run(PublishedIncidents(self._publish.feed)))

    async def _open_store(self, stack: AsyncExitStack) -> None:
        parts: tuple[ProblemSource, ...] = (
            self._context.clock,
            self._writer,
            self._detector,
            self._control.echo,
            self._readiness,
            *self._others,
        )
        with explain_errors(DirectoryInUseError, SchemaError):
            await self._publish.feed.open_store(parts)
        stack.push_async_callback(self._store.close)

    async def _recover_pending(self) -> None:
        """Replay what the previous process held only in memory."""
        context = self._context
        recovery = VerdictRecovery(
            context.journal,
            self._store,
            Pseudonyms(context.keyring.secret),
            frozenset(context.services.titles),
        )
        cell_updater = self._jobs.cell_updater
        after, recovered = await self._detector.recover_verdicts(recovery, (cell_updater,))
        cell_updater.touch(recovered.minutes_us, after)
