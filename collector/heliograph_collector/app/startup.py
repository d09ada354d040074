"""All roles in one process, in the order in which they start.

Ingest starts first and acknowledges at once, because it needs only the journal. The store, which
takes seconds to load, and the HTTP server start after it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from heliograph.address import split_endpoint
from heliograph_collector.app.context import (
    AppContext,
    explain_errors,
    explain_port,
    open_context,
)
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import tls_file
from heliograph_collector.fleet.plans import announce_entrances
from heliograph_collector.ingest.build import IngestConfig, IngestServices, run_ingest
from heliograph_collector.ingest.geo.lookup import GeoError
from heliograph_collector.ingest.post_server import serve_post
from heliograph_collector.ingest.rate_limits import QueryRateLimit


@asynccontextmanager
async def run_collector(config: Config) -> AsyncIterator[None]:
    """Run the collector inside the block; a part that fails ends it with an error.

    Raises CannotServeError.
    """
    async with AsyncExitStack() as stack:
        context = await open_context(config, stack)
        stack.callback(context.endpoint_file.remove)
        ingest = await open_ingest(context, stack)
        # A late import: the libraries of the other roles take seconds to load.
        from heliograph_collector.app.workers import Workers

        workers = Workers(context, ingest)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(workers.run())
        stack.callback(task.cancel)
        yield


async def open_ingest(context: AppContext, stack: AsyncExitStack) -> IngestServices:
    """Start ingest with all its listeners; `stack` stops them. Raises CannotServeError."""
    config = context.config
    ingest = await _open_grpc(context, stack)
    context.endpoint_file.announce("grpc", config.grpc, ingest.port)
    post_port = await _open_post(context, ingest, stack) if config.post else 0
    announce_entrances(
        context.fleet,
        context.keyring.signing,
        config.list_entrances(ingest.port, post_port),
        context.clock.wall_us() // 1_000_000,
        beacon_zone=config.dns_zone,
    )
    if config.dns_listener:
        await _open_dns(context, ingest, stack)
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


async def _open_post(context: AppContext, ingest: IngestServices, stack: AsyncExitStack) -> int:
    config = context.config
    host, requested_port = split_endpoint(config.post)
    post_server = serve_post(
        ingest.responder,
        host,
        requested_port,
        tls_file(config.data),
        senders=ingest.responder.senders,
    )
    with explain_port("post", config.post):
        port = await stack.enter_async_context(post_server)
    context.endpoint_file.announce("post", config.post, port)
    return port


async def _open_dns(context: AppContext, ingest: IngestServices, stack: AsyncExitStack) -> None:
    from heliograph_collector.ingest.dns_server import serve_dns

    config = context.config
    host, requested_port = split_endpoint(config.dns)
    limit = QueryRateLimit(ingest.geo, context.clock)
    dns_server = serve_dns(ingest.beacon_handler, limit, host, requested_port, config.dns_zone)
    with explain_port("dns", config.dns):
        port = await stack.enter_async_context(dns_server)
    context.endpoint_file.announce("dns", config.dns, port)
