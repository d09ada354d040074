"""Behind the door: store, writer with its judge, persisted cells, page and API."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from heliograph import __version__
from heliograph_collector.aggregate.cell_updater import CellKeeper, DayKeeper
from heliograph_collector.app.alerting import Alerts
from heliograph_collector.app.console_backend import Bureau, Sources
from heliograph_collector.app.corroboration import Corroboration
from heliograph_collector.app.detector_runner import Detector
from heliograph_collector.app.dump_writer import DumpKeeper
from heliograph_collector.app.endpoint_file import Notice, read_password
from heliograph_collector.app.http_backend import Desk
from heliograph_collector.app.incident_views import Casebook, courier, with_pulse
from heliograph_collector.app.readiness import Readiness
from heliograph_collector.config.settings import Config, split_endpoint
from heliograph_collector.console import alerts, incidents
from heliograph_collector.console.app import routes as console_routes
from heliograph_collector.control import Assessor
from heliograph_collector.control.agent_process import dialled
from heliograph_collector.control.echo_server import Echo, PortTakenError
from heliograph_collector.detect.recovery import Recall
from heliograph_collector.detect.state import Study
from heliograph_collector.errors import CannotServeError
from heliograph_collector.http.api.aggregation import KNOWN
from heliograph_collector.http.api.announcer import Announcer
from heliograph_collector.http.app import build
from heliograph_collector.http.event_bus import Bus
from heliograph_collector.http.slow_clients import Guard
from heliograph_collector.http.snapshot_cache import Desk as World
from heliograph_collector.ingest.quarantine_review import Trials
from heliograph_collector.judge import judge
from heliograph_collector.judge.clock_check import TimeCheck
from heliograph_collector.judge.rules import RULES_VERSION
from heliograph_collector.judge.writer import Writer
from heliograph_collector.model.records import Block
from heliograph_collector.store.daily_totals import By
from heliograph_collector.store.migrations import SchemaError
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import DirectoryInUseError, Store, StoreError

if TYPE_CHECKING:
    from heliograph_collector.app.context import House
    from heliograph_collector.ingest.build import Intake

log = logging.getLogger("heliograph")

_SHUTDOWN_S = 0.5  # for open pages; a live stream would never end by itself
_AGAIN_S = 5.0
_HEADER_BYTES = 4_096
_KEEPALIVE_S = 20.0


class Rooms:
    def __init__(self, house: "House", door: "Intake", notice: Notice) -> None:
        config = house.config
        self._house, self._notice = house, notice
        # No two neighbours of a restart may look alike: readers resume by it.
        bus = Bus(secrets.token_hex(4))
        self._store = _store(config)
        self._detector = Detector(
            _study(house),
            house.journal,
            self._store,
            clock=house.clock,
            bus=bus,
            registry=house.registry,
            titles={s.name: s.title for s in house.services.services},
        )
        self._desk = Desk(house, door, self._store, self._detector)
        self._corroboration = Corroboration(house)
        self._alerts = Alerts(house, self._detector.book, bus)
        feed = self._desk.feed(bus, read_password(house.password))
        dumps = config.data / "dumps"
        self._feed = replace(
            feed,
            annotations=self._corroboration.annotations,
            dumps=dumps if config.dumps_days else None,
        )
        self._dumps = DumpKeeper(
            self._store, dumps, house.clock, config.k_anonymity, config.dumps_days
        )
        self._world = World(self._feed)
        self._announcer = Announcer(self._feed, self._world)
        self._echo = Echo()
        self._ready = Readiness(
            lambda: house.journal.alive(house.clock.wall_us()), self._store.health, config.data
        )
        self._cells = CellKeeper(self._store, house.clock)
        names = Pseudonyms(house.keyring.secret)
        self._recall = Recall(house.journal, self._store, names)
        self._trials = Trials(house.fleet, house.clock, names)
        self._days = DayKeeper(self._store, house.clock, By(config.k_anonymity, KNOWN))
        self._writer = Writer(
            house.journal,
            self._store,
            TimeCheck(Assessor(judge, house.services.services)),
            names,
            clock=house.clock,
            rng=house.rng,
            on_block=self._on_block,
        )
        self._sources = Sources(
            house=house,
            door=door,
            store=self._store,
            problems=self._desk.problems,
            behind=lambda: self._writer.behind,
            received_us=lambda: self._feed.agents().last_received_us,
        )

    async def run(self) -> None:
        """Until cancelled. Raises CannotServeError."""
        async with AsyncExitStack() as stack:
            guard = await self._open_page(stack)
            async with asyncio.TaskGroup() as group:
                group.create_task(guard.run())
                group.create_task(self._detector.run())  # silence is told without the store
                group.create_task(self._alerts.run())
                await self._open_store(stack)
                self._desk.opened(self._problems)
                if self._house.config.echo:
                    group.create_task(self._answer_echo(self._house.config.echo, group))
                group.create_task(self._take_up())
                group.create_task(self._ready.run())
                group.create_task(self._writer.run())
                group.create_task(self._announcer.run())
                group.create_task(self._world.kept.run())
                group.create_task(self._desk.counting.kept.run())
                group.create_task(self._cells.run())
                group.create_task(self._trials.run())
                group.create_task(self._days.run())
                if self._house.config.dumps_days:
                    group.create_task(self._dumps.run())
                group.create_task(self._corroboration.run(self._feed))

    async def _take_up(self) -> None:
        """Go on with what the process before us had in mind alone."""
        waiting = (lambda: self._cells.after,)
        after, found = await self._detector.recall(self._recall, waiting)
        self._cells.touch(found.moments_us, after)

    async def _open_store(self, stack: AsyncExitStack) -> None:
        told = ""
        while True:
            try:
                await self._store.open()
            except (DirectoryInUseError, SchemaError) as error:
                raise CannotServeError(str(error)) from error
            except StoreError as error:
                if str(error) != told:
                    log.error("%s Agents are acknowledged; trying again.", error)
                told = str(error)
                self._desk.trouble = told
                await asyncio.sleep(_AGAIN_S)
            else:
                stack.push_async_callback(self._store.close)
                return

    async def _open_page(self, stack: AsyncExitStack) -> Guard:
        host, port = split_endpoint(self._house.config.http)
        app = build(self._feed, self._world)
        bureau = Bureau(self._sources)
        stack.callback(bureau.close)
        book, told = self._detector.book, self._alerts
        casebook = Casebook(self._feed, self._detector.act)
        office = replace(bureau.office(), standing=casebook.standing)
        gate = console_routes(app, with_pulse(office, lambda: book.head, lambda: told.changes))
        add = gate.add(app)
        incidents.routes(add, gate, casebook.registry())
        alerts.routes(add, gate, courier(self._alerts))
        runner = web.AppRunner(
            app,
            keepalive_timeout=_KEEPALIVE_S,
            access_log=None,  # it would hold addresses
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_S,
            max_field_size=_HEADER_BYTES,
            max_line_size=_HEADER_BYTES,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            guard = Guard(lambda: runner.server())  # type: ignore[misc] # it is set up
            served = await asyncio.get_running_loop().create_server(guard, host, port)
        except OSError as error:
            raise CannotServeError(
                f"{self._house.config.http} cannot be listened on ({error.strerror}): "
                "stop what listens there, or say --http HOST:PORT."
            ) from error
        stack.callback(served.close)
        place = dialled(host, int(served.sockets[0].getsockname()[1]))
        self._notice.post(http=place)
        log.info("Page:   http://%s/", place)
        log.info("Operator's password: in %s", self._house.password)
        return guard

    async def _answer_echo(self, endpoint: str, group: asyncio.TaskGroup) -> None:
        """Until cancelled. Raises CannotServeError."""
        host, port = split_endpoint(endpoint)
        try:
            async with self._echo.open(host, port, group) as opened:
                self._notice.post(echo=dialled(host, opened))
                log.info("Echo:   %s (TCP)", self._notice.echo)
                await asyncio.Event().wait()
        except PortTakenError as error:
            raise CannotServeError(
                f"{endpoint} cannot be listened on: free it, or say --echo HOST:PORT."
            ) from error

    def _problems(self) -> list[str]:
        parts = (self._writer, self._detector, self._echo, self._ready)
        return [problem for part in parts for problem in part.problems()]

    def _on_block(self, block: Block) -> None:
        self._detector.took(block)
        self._desk.took(block)
        self._cells.touch(_times(block), block.first - 1)
        self._trials.took(block)
        self._announcer.touch(_times(block))


def _store(config: Config) -> Store:
    """Raises CannotServeError."""
    try:
        return Store(
            config.store,
            observations_days=config.observations_days,
            verdicts_days=config.verdicts_days,
        )
    except StoreError as error:
        raise CannotServeError(f"{error} Correct store.url.") from error


def _study(house: "House") -> Study:
    return Study(
        data=house.config.data,
        journal=house.journal.id,
        secret=house.keyring.secret,
        key=house.keyring.log,
        versions={
            "heliograph": __version__,
            "rules": str(RULES_VERSION),
            "services": house.services.version,
        },
        k_anonymity=house.config.k_anonymity,
    )


def _times(block: Block) -> Sequence[int]:
    """Moments whose cells this block may have changed."""
    return [taken.started_us for taken, _ in block.judged] + [p.received_us for p in block.presence]
