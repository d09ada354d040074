"""The collector that leads a cluster, and those that wait to take its place.

Theory of operation. All roles but ingest run in one process, which holds the lease of the journal.
Others of the same configuration wait for it, with a data directory and the same keys of their own.
The next leader reads the fleet and the alert log from the servers, and begins as after a
restart: all agents are awaited, and those that hosts report have arrived. Each entry of the log and
each row of the fleet is written over the version read last. So a leader that lost the lease without
knowing cannot write any more; it ends.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge

from heliograph.address import list_hosts
from heliograph_collector.app.cluster_ingest import ClusterIngest
from heliograph_collector.app.cluster_messages import (
    ASK,
    FleetReply,
    MessageError,
    decode_request,
    encode,
)
from heliograph_collector.app.console_records import take_over_records
from heliograph_collector.app.context import AppContext, open_context, open_geo
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.fleet_sharing import (
    POLL_S,
    FleetFollower,
    FleetPublisher,
    apply_request,
)
from heliograph_collector.app.handovers import (
    DetectorHandover,
    FileHandover,
    Handover,
    NotesFile,
    RevisionsFile,
    run_handover,
)
from heliograph_collector.app.public_report import PublicReporter
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.settings import Config
from heliograph_collector.detect.log_takeover import AlertLogError, adopt_lines, list_own_lines
from heliograph_collector.fleet import Fleet, KeysError, VoiceCodeStore, open_keyring
from heliograph_collector.fleet.plans import announce_entrances
from heliograph_collector.fleet.replica import ReplicaError, read_rows
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.voice_reports import watch_codes
from heliograph_collector.store.journal.journal import (
    DirectoryInUseError,
    JournalBusyError,
    JournalError,
)
from heliograph_collector.store.journal.opening import open_leading

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.bus import SharedLog
    from heliograph_collector.store.journal.jetstream.cluster import LeadingJournal

PUBLISH_S = 60.0  # of one entry; longer than the servers need to choose a leader


class LogFence:
    """Publish entries of the alert log before they are written; called from a thread.

    After a failure it is not known which entries are published: the process ends, and the next
    leader reads them.
    """

    def __init__(self, shared: "SharedLog") -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self.failure: asyncio.Future[str] = self._loop.create_future()

    def publish(self, first: int, lines: Sequence[bytes]) -> None:
        """Publish entries from number `first` on. Raises AlertLogError."""
        for number, line in enumerate(lines, first):
            future = asyncio.run_coroutine_threadsafe(self._shared.append(number, line), self._loop)
            try:
                future.result(PUBLISH_S)
            except Exception as error:
                sentence = f"Entry {number} of the alert log is not published: {error}"
                self._loop.call_soon_threadsafe(self._fail, sentence)
                raise AlertLogError(sentence) from error

    def _fail(self, sentence: str) -> None:
        if not self.failure.done():
            self.failure.set_result(sentence)


@asynccontextmanager
async def run_leader(config: Config, servers: JournalSettings) -> AsyncIterator[None]:
    """Wait for the lease, then lead inside the block. Raises CannotServeError."""
    if "control" in config.roles:
        raise CannotServeError(
            "The role control needs ingest in the same process: leave it out of roles, and run "
            "controls as agents (control.endpoints: [])."
        )
    # Late imports, for hosts that run no such role: these libraries take seconds to load. Who waits
    # loads them meanwhile, and who has the lease can renew it then.
    from heliograph_collector.app.judge_role import RemoteWorkers
    from heliograph_collector.app.workers import Workers

    async with AsyncExitStack() as stack:
        with explain_errors(DirectoryInUseError, JournalError, data=config.data):
            leading = await stack.enter_async_context(open_leading(servers, config.data))
            publisher = await _take_over_fleet(config, leading, stack)
            fence = await _take_over_log(config.data, leading)
            handovers = await _take_over_files(config, leading)
        shared = await take_over_records(config, servers, leading.term, stack)
        context = open_context(config, leading.journal, stack, fence, shared.records, leading.lease)
        _measure_lease(leading, context.registry)
        stack.callback(context.endpoint_file.remove)
        ingest = build_ingest(context, leading)
        remote = RemoteWorkers(leading.bus, leading.term, context.services.services)
        reporter = PublicReporter(leading.bus, secrets.token_hex(8), context.services.version)
        workers = Workers(context, ingest, (ingest,), (reporter,), (remote,))
        with explain_errors(JournalError, ReplicaError):
            await publisher.publish()
            await ingest.start()
        runs: list[Callable[[], Coroutine[None, None, None]]] = [
            context.renewal.run,
            ingest.directory.watch_fleet,
            partial(watch_codes, VoiceCodeStore(context.fleet), ingest.directory, leading.journal),
            partial(_publish_fleet, publisher),
            partial(_end_with_lease, leading, fence),
            ingest.run,
            remote.run,
            workers.run,
            partial(workers.report, reporter),
            shared.run,
            *(partial(run_handover, handover) for handover in handovers),
        ]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        answerer = partial(_answer_request, context.fleet, publisher)
        await stack.enter_async_context(leading.bus.answer(ASK, answerer))
        for run in runs:
            stack.callback(group.create_task(run()).cancel)
        yield


def _measure_lease(leading: "LeadingJournal", registry: CollectorRegistry) -> None:
    """Add metrics of the leader: its term, and whether its lease is held."""
    term = "Number of the lease by which this collector leads and does all jobs."
    Gauge("heliograph_leader_term", term, registry=registry).set(leading.term)
    help_text = "1 while this collector may work by its lease, 0 while another may lead."
    gauge = Gauge("heliograph_leader_lease_held", help_text, registry=registry)
    gauge.set_function(lambda: float(leading.lease.is_held))


def build_ingest(context: AppContext, leading: "LeadingJournal") -> ClusterIngest:
    """Build the mirror of the hosts, and send agents the entrances."""
    config = context.config
    announce_entrances(
        context.fleet,
        context.keyring.signing,
        config.entrances,
        context.clock.wall_us() // 1_000_000,
        beacon_zone="",
    )
    directory = AgentDirectory(context.fleet)
    return ClusterIngest(leading.bus, leading.journal, directory, open_geo(context), context.clock)


async def _take_over_fleet(
    config: Config, leading: "LeadingJournal", stack: AsyncExitStack
) -> FleetPublisher:
    """Make fleet.db equal to the last leader's; a first leader keeps its own."""
    data = config.data
    with explain_errors(KeysError, ReplicaError, data=data):
        keyring = open_keyring(data, list_hosts(config.grpc, config.endpoint))
        fleet = Fleet(data)
        try:
            is_there = await FleetFollower(fleet, leading.table).load(keyring)
            rows = await asyncio.to_thread(read_rows, fleet) if is_there else {}
        finally:
            fleet.close()
    publisher = FleetPublisher(data, leading.table, keyring)
    stack.callback(publisher.close)
    publisher.note_loaded(rows)
    return publisher


async def _take_over_log(data: Path, leading: "LeadingJournal") -> LogFence:
    """Read other leaders' entries into the alert log, or publish a first leader's own."""
    own = await asyncio.to_thread(list_own_lines, data)
    shared = await leading.log.read_after(0)
    if not shared:
        for number, line in enumerate(own, 1):
            await leading.log.append(number, line)
    elif own != shared[: len(own)]:
        raise CannotServeError(
            f"The alert log in {data} is not that of this cluster: move alerts.jsonl away, and it "
            "is read from the servers."
        )
    else:
        await asyncio.to_thread(adopt_lines, data, shared[len(own) :])
    return LogFence(leading.log)


async def _take_over_files(config: Config, leading: "LeadingJournal") -> Sequence[Handover]:
    """Write the state of the last leader's detectors, sources and jobs into our data."""
    data = config.data
    with explain_errors(KeysError, data=data):
        secret = open_keyring(data, list_hosts(config.grpc, config.endpoint)).secret
    detectors = DetectorHandover(leading.detectors, secret, data)
    notes = FileHandover(leading.notes, secret, NotesFile(data))
    revisions = FileHandover(leading.revisions, secret, RevisionsFile(data / "dumps"))
    for handover in (detectors, notes, revisions):
        await handover.take_over()
    return detectors, notes, revisions


async def _publish_fleet(publisher: FleetPublisher) -> None:
    """Publish the fleet's changes; never return. Raises FencedError if another leads."""
    while True:
        await asyncio.sleep(POLL_S)
        with suppress(JournalBusyError):  # without a quorum nobody else can write them either
            await publisher.publish()


async def _end_with_lease(leading: "LeadingJournal", fence: LogFence) -> None:
    """End this collector when another leads. Raises CannotServeError."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_raise_failure(fence))
        await leading.wait_until_lost()
        raise CannotServeError("Another collector leads: this one ends.")


async def _raise_failure(fence: LogFence) -> None:
    raise CannotServeError(await fence.failure)


async def _answer_request(fleet: Fleet, publisher: FleetPublisher, content: bytes) -> bytes:
    """Change the fleet as a host asks, and answer after the servers have it."""
    try:
        request = decode_request(content)
    except MessageError:
        return encode(FleetReply(is_done=False, refused="update"))
    reply = await asyncio.to_thread(apply_request, fleet, request)
    await publisher.publish()
    return encode(reply)
