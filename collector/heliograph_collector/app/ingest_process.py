"""Ingest process: the entrances for agents and the journal, and nothing else.

Theory of operation. `serve` starts it with the number of a connected socket, and it ends when that
socket is closed. It opens the journal, reports that, and waits: `serve` creates the keys and the
plan meanwhile. Then it opens the entrances and acknowledges what comes, whatever the other stages
do. A flood at an entrance, or a crash here, costs the agents of this process a reconnection; they
send again what was not acknowledged. It has no detector, no store, no page and no console.

It reports positions of the journal soon after they are committed, sessions each SESSIONS_S, and its
metrics each STATUS_S. `serve` asks it to pass messages on to sessions, and to take up envelopes
that came to the HTTP server.
"""

import asyncio
import logging
import random
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from heliograph.clock import SystemClock
from heliograph.error_group import flatten_errors
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.garbage_search import limit_garbage_search
from heliograph_collector.app.ingest_link import IngestLink, LinkLostError, open_link
from heliograph_collector.app.ingest_messages import (
    VERSION,
    Accept,
    Accepted,
    BadMeasurements,
    Committed,
    FleetChanged,
    IngestMessage,
    IngestSetup,
    Listen,
    Listening,
    MetricsReport,
    Offer,
    Opened,
    Pace,
    Refused,
)
from heliograph_collector.app.listeners import OtherListeners, open_listeners
from heliograph_collector.app.log_lines import configure_logging
from heliograph_collector.app.session_report import SessionReporter
from heliograph_collector.app.thread_turns import shorten_turns
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.fleet import Fleet, KeysError, open_keyring
from heliograph_collector.ingest.build import IngestConfig, IngestServices
from heliograph_collector.ingest.grpc.server import LOGGER, MalformedRequestFilter
from heliograph_collector.ingest.pacing import JudgeLoad
from heliograph_collector.model.guarded_clock import BootClock, GuardedClock
from heliograph_collector.store.journal.journal import DirectoryInUseError, JournalError
from heliograph_collector.store.journal.opening import open_journal
from heliograph_collector.store.journal.protocol import JournalProtocol

SESSIONS_S = 1.0  # assumed; nobody decides by sessions within a second
STATUS_S = 5.0  # assumed: Prometheus asks each 15 s or more seldom
POSITION_S = 60.0  # of one wait for a commit
# Between two reports of positions. Assumed: a block of results is collected for a quarter of a
# second or more, and each report wakes all in `serve` that wait for rows.
REPORT_PAUSE_S = 0.05


class IngestProcess:
    """One run of the process, from the setup on."""

    def __init__(self, setup: IngestSetup, link: IngestLink) -> None:
        self._setup = setup
        self._link = link
        self._registry = CollectorRegistry()
        Gauge(
            "heliograph_ingest_cpu_seconds",
            "CPU time of the ingest process.",
            registry=self._registry,
        ).set_function(time.process_time)

    async def run(self) -> None:
        """Run until `serve` closes the stream. Raises CannotServeError, LinkLostError."""
        data = Path(self._setup.data)
        async with AsyncExitStack() as stack:
            with explain_errors(DirectoryInUseError, JournalError, data=data):
                journal = await stack.enter_async_context(open_journal(data, None))
            await self._link.send(Opened(position=journal.position))
            if not isinstance(await self._link.receive(), Listen):
                return
            config = self._open_config(journal, stack)
            others = OtherListeners(
                post=self._setup.post, dns=self._setup.dns, dns_zone=self._setup.dns_zone
            )
            ingest, ports = await open_listeners(config, others, stack)
            await self._link.send(Listening(grpc=ports.grpc, post=ports.post, dns=ports.dns))
            await self._report_and_answer(journal, ingest)

    def _open_config(self, journal: JournalProtocol, stack: AsyncExitStack) -> IngestConfig:
        setup = self._setup
        data = Path(setup.data)
        with explain_errors(KeysError, data=data):
            fleet = Fleet(data)
            stack.callback(fleet.close)
            keyring = open_keyring(data, setup.certificate_hosts)
        return IngestConfig(
            endpoint=setup.grpc,
            public_endpoint=setup.public_endpoint,
            data=data,
            fleet=fleet,
            keyring=keyring,
            journal=journal,
            registry=self._registry,
            clock=GuardedClock(BootClock(), journal.alive_before_us),
            rng=random.SystemRandom(),
            country_file=Path(setup.country_file),
            asn_file=Path(setup.asn_file),
            sessions=setup.sessions,
            batches_per_hour=setup.batches_per_hour,
            trusted_proxies=tuple(ip_network(network) for network in setup.trusted_proxies),
            allows_strangers=setup.allows_strangers,
        )

    async def _report_and_answer(self, journal: JournalProtocol, ingest: IngestServices) -> None:
        reporter = SessionReporter(ingest)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report_positions(journal))
            group.create_task(self._report_sessions(reporter))
            group.create_task(self._report_status())
            while True:
                self._answer(await self._link.receive(), ingest, reporter, group)

    async def _report_positions(self, journal: JournalProtocol) -> None:
        reported = 0
        while True:
            if await journal.wait_beyond(reported, POSITION_S):
                reported = journal.position
                await self._link.send(Committed(position=reported))
                await asyncio.sleep(REPORT_PAUSE_S)

    async def _report_sessions(self, reporter: SessionReporter) -> None:
        while True:
            report = reporter.compose()
            if report is not None:
                await self._link.send(report)
            await asyncio.sleep(SESSIONS_S)

    async def _report_status(self) -> None:
        while True:
            metrics = generate_latest(self._registry).decode()
            await self._link.send(MetricsReport(metrics=metrics))
            await asyncio.sleep(STATUS_S)

    def _answer(
        self,
        message: IngestMessage,
        ingest: IngestServices,
        reporter: SessionReporter,
        group: asyncio.TaskGroup,
    ) -> None:
        match message:
            case Accept():
                group.create_task(self._accept(message, ingest))
            case Offer():
                connection = reporter.find(message.key)
                if connection is not None:
                    connection.offer(pb.CollectorMessage.FromString(message.message))
            case Pace():
                load = JudgeLoad(message.arrived, message.judged, message.lag_us)
                ingest.set_pace(load, frozenset(message.countries))
            case BadMeasurements():
                ingest.block_listener.count_bad(message.count)
            case FleetChanged():
                ingest.directory.reload_fleet(force=True)
            case _:
                raise LinkLostError(f"{type(message).__name__} is no request")

    async def _accept(self, request: Accept, ingest: IngestServices) -> None:
        receipt = await ingest.accept(
            request.envelope, request.forwarded_for, elsewhere=request.elsewhere
        )
        await self._link.send(Accepted(number=request.number, receipt=receipt.SerializeToString()))


async def run_process(connection: socket.socket) -> None:
    """Run the process on its end of the pair of sockets."""
    link = await open_link(connection)
    try:
        setup = await link.receive()
        if not isinstance(setup, IngestSetup):
            return
        configure_logging(setup.log)
        logging.getLogger(LOGGER).addFilter(MalformedRequestFilter(SystemClock()))
        limit_garbage_search()
        shorten_turns()
        if setup.version != VERSION:
            raise CannotServeError(
                f"serve is version {setup.version}, and its files are {VERSION}: restart it."
            )
        await IngestProcess(setup, link).run()
    except Exception as error:
        sentences = [str(e) for e in flatten_errors(error) if isinstance(e, CannotServeError)]
        if not sentences:
            raise
        await link.send(Refused(sentence=sentences[0]))
    finally:
        link.close()


def main() -> None:
    """Run an ingest process on the socket whose number is the first argument."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # `serve` closes the socket
    try:
        asyncio.run(run_process(socket.socket(fileno=int(sys.argv[1]))))
    except* LinkLostError:
        pass  # `serve` has ended, or has ended this process


if __name__ == "__main__":
    main()
