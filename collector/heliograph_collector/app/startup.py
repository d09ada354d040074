"""Wiring of the stages, in the order in which they start.

Ingest starts first and acknowledges at once, because it needs only the journal. The store, which
takes seconds to load, and the HTTP server start after it.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from heliograph.clock import Clock
from heliograph.plan import Carrier, Entrance
from heliograph.services import load_services, load_shipped_services
from heliograph.token_bucket import TokenBucket, TokenBuckets
from heliograph.yaml_document import YamlError
from heliograph_collector.app.context import AppContext
from heliograph_collector.app.endpoint_file import EndpointFile, find_password_file
from heliograph_collector.config.settings import Config, split_endpoint
from heliograph_collector.control.agent_process import (
    ControlAgent,
    format_dial_address,
    keep_control,
)
from heliograph_collector.errors import CannotServeError, PortTakenError
from heliograph_collector.fleet import Fleet, KeysError, format_invite, open_keyring, tls_file
from heliograph_collector.fleet.plans import announce_entrances, refresh_plan
from heliograph_collector.fleet.trust_chain import (
    WARN_BEFORE_S,
    ensure_charter,
    load_charter_digest,
)
from heliograph_collector.ingest.build import IngestConfig, IngestServices, run_ingest
from heliograph_collector.ingest.geo.lookup import GeoError, GeoLookup
from heliograph_collector.ingest.post_server import serve_post
from heliograph_collector.ingest.rate_limits import MAX_RATE_KEYS
from heliograph_collector.store.journal.journal import DirectoryInUseError, Journal, JournalError

log = logging.getLogger("heliograph")

RENEWAL_S = 21_600.0
_INVITE_S = 600  # a control uses its invite within seconds
_WILDCARD_HOSTS = {"0.0.0.0", "::"}  # noqa: S104 - compared, to keep them out of announcements
PREFIX_PER_S = 20.0
ALL_PER_S = 200.0
BURST_S = 10.0


def renew_keys(context: AppContext) -> None:
    """Renew charter and plan past half of their life. Raises KeysError, sqlite3.Error."""
    now_s = context.clock.wall_us() // 1_000_000
    left_s = (
        ensure_charter(context.fleet, context.config.data, context.keyring, now_s).expires_s - now_s
    )
    if left_s < WARN_BEFORE_S:
        log.warning(
            "The charter ends in %d days; then agents take no new plan. Bring the root keys and "
            "say `heliograph-collector keys renew`.",
            max(0, left_s // 86_400),
        )
    refresh_plan(context.fleet, context.keyring.signing, context.services, now_s)


async def renew_forever(context: AppContext) -> None:
    """Renew charter and plan every six hours; never return."""
    while True:
        await asyncio.sleep(RENEWAL_S)
        try:
            await asyncio.to_thread(renew_keys, context)
        except (KeysError, sqlite3.Error) as error:
            log.warning("%s", error)


@asynccontextmanager
async def run_collector(config: Config, stop: asyncio.Event) -> AsyncIterator[None]:
    """Run the collector inside the block; a part that fails ends it with an error.

    Raises CannotServeError.
    """
    async with AsyncExitStack() as stack:
        context = await _open_context(config, stack)
        endpoint_file = EndpointFile(config)
        stack.callback(endpoint_file.remove)
        ingest = await _start_ingest(context, stack)
        endpoint_file.publish(grpc=format_dial_address(split_endpoint(config.grpc)[0], ingest.port))
        log.info("Agents: %s (gRPC, TLS)", endpoint_file.grpc)
        await open_post(context, ingest, endpoint_file, stack)
        await open_dns(context, ingest, endpoint_file, stack)
        await _start_workers(context, ingest, endpoint_file, stack)
        yield


async def _open_context(config: Config, stack: AsyncExitStack) -> AppContext:
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        services = (
            load_services(config.services_file) if config.services_file else load_shipped_services()
        )
        journal = Journal(config.data / "journal.db")
    except OSError as error:
        raise CannotServeError(
            f"{config.data} cannot be used ({error.strerror}): name another --data directory."
        ) from error
    except (DirectoryInUseError, JournalError, YamlError) as error:
        raise CannotServeError(str(error)) from error
    stack.push_async_callback(journal.close)
    try:
        fleet = Fleet(config.data)
        stack.callback(fleet.close)
        endpoints = [endpoint for endpoint in (config.grpc, config.endpoint) if endpoint]
        keyring = open_keyring(config.data, [split_endpoint(endpoint)[0] for endpoint in endpoints])
    except sqlite3.Error as error:
        raise CannotServeError(
            f"{config.data / 'fleet.db'} cannot be used ({error}): restore it from a backup."
        ) from error
    except KeysError as error:
        raise CannotServeError(str(error)) from error
    context = AppContext(
        config=config,
        fleet=fleet,
        keyring=keyring,
        journal=journal,
        services=services,
        password_file=find_password_file(config),
    )
    try:
        renew_keys(context)
    except KeysError as error:
        raise CannotServeError(str(error)) from error
    return context


async def _start_ingest(context: AppContext, stack: AsyncExitStack) -> IngestServices:
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
    try:
        ingest = await stack.enter_async_context(run_ingest(ingest_config))
    except PortTakenError as error:
        raise CannotServeError(
            f"{config.grpc} cannot be listened on, it is probably taken: "
            "stop what listens there, or say --grpc HOST:PORT."
        ) from error
    except GeoError as error:
        raise CannotServeError(str(error)) from error
    if ingest.geo.missing_tables:
        log.info(
            "No %s table: %s unknown unless volunteers declare it (`geo install` adds tables).",
            " and no ".join(ingest.geo.missing_tables),
            "places are" if len(ingest.geo.missing_tables) > 1 else "that is",
        )
    return ingest


async def _start_workers(
    context: AppContext, ingest: IngestServices, endpoint_file: EndpointFile, stack: AsyncExitStack
) -> None:
    """Start everything but ingest, each part in one task group."""
    from heliograph_collector.app.workers import Workers

    workers = Workers(context, ingest, endpoint_file)
    group = await stack.enter_async_context(asyncio.TaskGroup())
    tasks = [group.create_task(workers.run()), group.create_task(renew_forever(context))]
    if "local" in context.config.control_endpoints:
        tasks.append(group.create_task(keep_control(_build_control(context, ingest))))
    stack.callback(lambda: [task.cancel() for task in tasks])


def _build_control(context: AppContext, ingest: IngestServices) -> ControlAgent:
    endpoint = format_dial_address(split_endpoint(context.config.grpc)[0], ingest.port)

    async def invite() -> str:
        now_s = context.clock.wall_us() // 1_000_000
        token = await asyncio.to_thread(
            lambda: context.fleet.create_invite(
                role="control", uses=1, now_s=now_s, expires_s=now_s + _INVITE_S
            )
        )
        charter = await asyncio.to_thread(load_charter_digest, context.fleet)
        return format_invite(endpoint, context.keyring.pin, token, charter=charter)

    return ControlAgent(
        state_directory=context.config.data / "control",
        log_file=context.config.data / "control.log",
        endpoint=endpoint,
        invite=invite,
        rng=context.rng,
    )


async def open_dns(
    context: AppContext,
    ingest: IngestServices,
    endpoint_file: EndpointFile,
    stack: AsyncExitStack,
) -> None:
    """Open the DNS server, if configured. Raises CannotServeError."""
    config = context.config
    if bool(config.dns) != bool(config.dns_zone):
        raise CannotServeError("dns.listen and dns.zone go together: set both, or neither.")
    if not config.dns:
        return
    from heliograph_collector.ingest.dns_server import serve_dns

    host, requested_port = split_endpoint(config.dns)
    is_allowed = QueryRateLimit(ingest.geo, context.clock)
    try:
        dns_server = serve_dns(
            ingest.handle_beacon, is_allowed, host, requested_port, config.dns_zone
        )
        port = await stack.enter_async_context(dns_server)
    except PortTakenError as error:
        raise CannotServeError(
            f"{config.dns} cannot be listened on (ports below 1024 need a right of their own): "
            "free it, or correct dns.listen."
        ) from error
    endpoint_file.publish(dns=format_dial_address(host, port))
    log.info("Last words: %s (DNS, %s)", format_dial_address(host, port), config.dns_zone)


class QueryRateLimit:
    """Rate limit of DNS queries by network prefix and in total; stores no address."""

    def __init__(self, geo: GeoLookup, clock: Clock) -> None:
        self._geo = geo
        self._clock = clock
        self._prefix_rates: TokenBuckets[str] = TokenBuckets(
            per_s=PREFIX_PER_S, capacity=PREFIX_PER_S * BURST_S, max_keys=MAX_RATE_KEYS
        )
        burst = ALL_PER_S * BURST_S
        self._total_rate = TokenBucket(ALL_PER_S, burst, level=burst, at_us=clock.monotonic_us())

    def __call__(self, address: str) -> bool:
        now_us = self._clock.monotonic_us()
        prefix = self._geo.locate(address, self._clock.wall_us()).prefix
        return not self._prefix_rates.take(prefix, now_us) and not self._total_rate.take(1, now_us)


async def open_post(
    context: AppContext,
    ingest: IngestServices,
    endpoint_file: EndpointFile,
    stack: AsyncExitStack,
) -> None:
    """Open the HTTPS server for envelopes, if configured. Raises CannotServeError."""
    config = context.config
    port = 0
    if config.post:
        host, requested_port = split_endpoint(config.post)
        post_server = serve_post(ingest.submit, host, requested_port, tls_file(config.data))
        try:
            port = await stack.enter_async_context(post_server)
        except PortTakenError as error:
            raise CannotServeError(
                f"{config.post} cannot be listened on: free it, or say --post HOST:PORT."
            ) from error
        endpoint_file.publish(post=format_dial_address(host, port))
        log.info("Agents: %s (HTTPS, one envelope a connection)", format_dial_address(host, port))
    announced = build_entrances(config, ingest.port, port)
    now_s = context.clock.wall_us() // 1_000_000
    announce_entrances(
        context.fleet, context.keyring.signing, announced, now_s, beacon_zone=config.dns_zone
    )


def build_entrances(config: Config, grpc_port: int, post_port: int) -> tuple[Entrance, ...]:
    """Return the configured entrances, else those open to agents.

    The gRPC stream alone needs no entrance, because every agent knows it from its invite.
    """
    if config.entrances or not post_port:
        return config.entrances
    host, port = split_endpoint(config.endpoint or config.grpc)
    if host in _WILDCARD_HOSTS:
        log.warning("Agents are not told of %s: set the key endpoint or entrances.", config.post)
        return ()
    stream = Entrance(carrier=Carrier.STREAM, host=host, port=port or grpc_port)
    return stream, replace(stream, carrier=Carrier.POST, port=post_port)
