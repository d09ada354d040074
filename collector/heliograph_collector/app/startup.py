"""The configured roles in one process, in the order in which they start.

Ingest starts first and acknowledges at once, because it needs only the journal. The store, which
takes seconds to load, and the HTTP server start after it. Ingest alone keeps what arrives in the
journal, and the next `serve` with the other roles judges it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from heliograph_collector.app.context import (
    AppContext,
    explain_errors,
    explain_port,
    open_context,
)
from heliograph_collector.config.roles import INGEST, STORE_ROLES
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet.plans import announce_entrances
from heliograph_collector.ingest.build import IngestConfig, IngestServices, run_ingest
from heliograph_collector.ingest.geo.lookup import GeoError


@asynccontextmanager
async def run_collector(config: Config) -> AsyncIterator[None]:
    """Run the collector inside the block; a part that fails ends it with an error.

    Raises CannotServeError.
    """
    async with AsyncExitStack() as stack:
        context = await open_context(config, stack)
        stack.callback(context.endpoint_file.remove)
        ingest = await open_ingest(context, stack)
        runs = [context.renewal.run]
        if config.roles.isdisjoint(STORE_ROLES):
            context.endpoint_file.publish(roles=INGEST)
        else:
            # A late import: the libraries of the other roles take seconds to load.
            from heliograph_collector.app.workers import Workers

            runs.append(Workers(context, ingest).run)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for run in runs:
            stack.callback(group.create_task(run()).cancel)
        yield


async def open_ingest(context: AppContext, stack: AsyncExitStack) -> IngestServices:
    """Start ingest with all its listeners; `stack` stops them. Raises CannotServeError."""
    config = context.config
    ingest = await _open_grpc(context, stack)
    context.endpoint_file.announce("grpc", config.grpc, ingest.port)
    post_port = 0
    if config.post:
        post_server = ingest.serve_post(config.post, config.data)
        post_port = await _open_listener(context, stack, "post", config.post, post_server)
    announce_entrances(
        context.fleet,
        context.keyring.signing,
        config.list_entrances(ingest.port, post_port),
        context.clock.wall_us() // 1_000_000,
        beacon_zone=config.dns_zone,
    )
    ingest.directory.reload_fleet(force=True)  # who joins at once learns of the entrances too
    if config.dns_listener:
        dns_server = ingest.serve_dns(config.dns, config.dns_zone, context.clock)
        await _open_listener(context, stack, "dns", config.dns, dns_server)
    return ingest


async def _open_grpc(context: AppContext, stack: AsyncExitStack) -> IngestServices:
    config = context.config
    ingest_config = IngestConfig(
        endpoint=config.grpc,
        data=config.data,
        fleet=context.fleet,
        keyring=context.keyring,
        journal=context.journal,
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
    with explain_port("grpc", config.grpc), explain_errors(GeoError):
        ingest = await stack.enter_async_context(run_ingest(ingest_config))
    ingest.geo.report_missing_tables()
    return ingest


async def _open_listener(
    context: AppContext,
    stack: AsyncExitStack,
    name: str,
    endpoint: str,
    server: AbstractAsyncContextManager[int],
) -> int:
    with explain_port(name, endpoint):
        port = await stack.enter_async_context(server)
    context.endpoint_file.announce(name, endpoint, port)
    return port
