"""The configured roles, in the order in which they start.

Ingest starts first and acknowledges at once, because it needs only the journal. The store, which
takes seconds to load, and the HTTP server start after it. Ingest alone keeps what arrives in the
journal, and the next `serve` with the other roles judges it.

Unless the machine is small, or `intake.processes` is 0, ingest runs in a separate process
(`ingest_process`), and the others see it through a `RemoteIngest`.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from heliograph.address import list_hosts
from heliograph_collector.app.console_records import take_over_records
from heliograph_collector.app.context import (
    AppContext,
    open_context,
    open_geo,
    open_own_journal,
    open_shared_journal,
    prepare_directory,
)
from heliograph_collector.app.ingest_host import run_ingest_host
from heliograph_collector.app.ingest_messages import VERSION, FleetChanged, IngestSetup
from heliograph_collector.app.ingest_supervisor import IngestSupervisor
from heliograph_collector.app.judge_host import run_judge_host
from heliograph_collector.app.leader import run_leader
from heliograph_collector.app.listeners import ListenerPorts, OtherListeners, open_listeners
from heliograph_collector.app.remote_ingest import RemoteIngest
from heliograph_collector.app.worker_count import choose_ingest_count
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.named_files import check_named_files
from heliograph_collector.config.roles import INGEST, JUDGE, PUBLISH, STORE_ROLES
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet.plans import announce_entrances
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.build import IngestConfig, IngestServices
from heliograph_collector.store.journal.protocol import JournalProtocol
from heliograph_collector.store.journal.shared_journal import SharedJournal

MISSING_INGEST = (
    "The role ingest is missing: add it, or name servers in store.journal and run it on other "
    "hosts. Agents that cannot come would count as silent."
)

MISSING_SERVERS = (
    "The roles judge and publish run alone beside a collector that leads, by servers: name them in "
    "store.journal, or add the other roles."
)


@asynccontextmanager
async def run_collector(config: Config) -> AsyncIterator[None]:
    """Run the collector inside the block; a part that fails ends it with an error.

    Raises CannotServeError.
    """
    is_ingest_alone = config.roles.isdisjoint(STORE_ROLES)
    prepare_directory(config.data)
    if not (is_ingest_alone or config.roles == {JUDGE}):
        check_named_files(config)
    if open_part := _find_cluster_part(config):
        async with open_part(config):
            yield
        return
    supervisor = None
    if not is_ingest_alone and _has_ingest_process(config):
        supervisor = build_supervisor(config)
    runs: list[Callable[[], Coroutine[None, None, None]]] = []
    async with AsyncExitStack() as stack:
        if supervisor is None:
            own_journal = await open_own_journal(config, stack)
            records = None
            if config.journal is not None:
                shared = await take_over_records(config, config.journal, own_journal.term, stack)
                records = shared.records
                runs.append(shared.run)
            context = open_context(config, own_journal, stack, records=records)
            stack.callback(context.endpoint_file.remove)
            ingest: IngestServices | RemoteIngest = await open_ingest(context, own_journal, stack)
        else:
            journal = await stack.enter_async_context(open_shared_journal(config.data, supervisor))
            context = open_context(config, journal, stack)
            stack.callback(context.endpoint_file.remove)
            ingest = remote = await open_remote_ingest(context, journal, supervisor)
            runs += (
                partial(supervisor.run, remote),
                remote.directory.watch_fleet,
            )
        runs.append(context.renewal.run)
        if is_ingest_alone:
            context.endpoint_file.publish(roles=INGEST)
        else:
            # A late import: the libraries of the other roles take seconds to load.
            from heliograph_collector.app.workers import Workers

            problems = () if supervisor is None else (supervisor,)
            runs.append(Workers(context, ingest, problems).run)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for run in runs:
            stack.callback(group.create_task(run()).cancel)
        yield


def _find_cluster_part(
    config: Config,
) -> Callable[[Config], AbstractAsyncContextManager[None]] | None:
    """Return what runs this process's part of a cluster; None for a whole collector.

    Raises CannotServeError.
    """
    servers = config.journal
    if config.roles in ({JUDGE}, {PUBLISH}):
        if servers is None:
            raise CannotServeError(MISSING_SERVERS)
        if config.roles == {JUDGE}:
            return partial(run_judge_host, servers=servers)
        # A late import: the libraries of pages and store take seconds to load.
        from heliograph_collector.app.publish_host import run_publish_host

        return partial(run_publish_host, servers=servers)
    if INGEST not in config.roles:
        if servers is None:
            raise CannotServeError(MISSING_INGEST)
        return partial(run_leader, servers=servers)
    if servers is not None and config.roles.isdisjoint(STORE_ROLES):
        return partial(run_ingest_host, servers=servers)
    return None


def _has_ingest_process(config: Config) -> bool:
    """Return whether ingest runs beside `serve`.

    With a journal on servers it does only if configured.
    """
    if config.ingest_processes is None and config.journal is not None:
        return False
    return choose_ingest_count(config.ingest_processes) > 0


def build_supervisor(config: Config) -> IngestSupervisor:
    """Build what starts the ingest process. Raises CannotServeError."""
    if config.journal is not None:
        raise CannotServeError(
            "intake.processes and store.journal do not go together yet: take one of them out."
        )
    return IngestSupervisor(
        IngestSetup(
            version=VERSION,
            log=config.log,
            data=str(config.data.absolute()),
            grpc=config.grpc,
            public_endpoint=config.endpoint or config.grpc,
            post=config.post,
            dns=config.dns_listener,
            dns_zone=config.dns_zone,
            country_file=str(config.geo_file("country").absolute()),
            asn_file=str(config.geo_file("asn").absolute()),
            certificate_hosts=list_hosts(config.grpc, config.endpoint),
            trusted_proxies=[str(network) for network in config.trusted_proxies],
            sessions=config.sessions,
            batches_per_hour=config.batches_per_hour,
            allows_strangers=config.strangers,
        ),
        random.SystemRandom(),
    )


async def open_ingest(
    context: AppContext, journal: JournalProtocol, stack: AsyncExitStack
) -> IngestServices:
    """Start ingest in this process; `stack` stops it. Raises CannotServeError."""
    config = context.config
    ingest_config = IngestConfig(
        endpoint=config.grpc,
        public_endpoint=config.endpoint or config.grpc,
        data=config.data,
        fleet=context.fleet,
        keyring=context.keyring,
        journal=journal,
        registry=context.registry,
        clock=context.clock,
        rng=context.rng,
        country_file=config.geo_file("country"),
        asn_file=config.geo_file("asn"),
        sessions=config.sessions,
        batches_per_hour=config.batches_per_hour,
        trusted_proxies=config.trusted_proxies,
        allows_strangers=config.strangers,
    )
    others = OtherListeners(post=config.post, dns=config.dns_listener, dns_zone=config.dns_zone)
    ingest, ports = await open_listeners(ingest_config, others, stack)
    _announce(context, ports)
    ingest.directory.reload_fleet(force=True)  # who joins at once learns of the entrances too
    return ingest


async def open_remote_ingest(
    context: AppContext, journal: SharedJournal, supervisor: IngestSupervisor
) -> RemoteIngest:
    """Let the ingest process open its entrances. Raises CannotServeError."""
    geo = open_geo(context)
    ports = await supervisor.listen()
    _announce(context, ports)
    supervisor.offer(FleetChanged())
    ingest = RemoteIngest(supervisor, journal, AgentDirectory(context.fleet), geo, ports.grpc)
    context.registry.register(ingest.metrics)
    return ingest


def _announce(context: AppContext, ports: ListenerPorts) -> None:
    """Tell other processes and agents of the entrances."""
    config = context.config
    context.endpoint_file.announce("grpc", config.grpc, ports.grpc)
    if ports.post:
        context.endpoint_file.announce("post", config.post, ports.post)
    announce_entrances(
        context.fleet,
        context.keyring.signing,
        config.list_entrances(ports.grpc, ports.post),
        context.clock.wall_us() // 1_000_000,
        beacon_zone=config.dns_zone,
    )
    if ports.dns:
        context.endpoint_file.announce("dns", config.dns, ports.dns)
