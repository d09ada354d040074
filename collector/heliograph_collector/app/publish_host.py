"""Run a host of a cluster that only publishes: `serve --roles publish`.

Theory of operation. Pages need the store, the alert log and the leader's reports. The store is a
ClickHouse server that all use. The log is read from the journal's servers, and each entry is
verified by the key that the leader names. A report comes each two seconds, and replaces the one
before. After STALE_US without a report, nothing is known of the present: the host is not ready,
coverage has a gap since the last report, and no state of the present is shown. The past can still
be read.

The host writes nothing, holds no key of agents or of the log, and decides nothing. Any number of
them stand behind a proxy, and a flood of readers costs neither receipts nor detection anything.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from heliograph.services import load_services
from heliograph.units import HOUR_US, MINUTE_US
from heliograph.yaml_document import YamlError
from heliograph_collector.app.cluster_messages import MessageError
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.leader_mirror import (
    LeaderMirror,
    MirroredFeed,
)
from heliograph_collector.app.public_report import PUBLIC, PublicReport, decode_public
from heliograph_collector.app.publish_role import PublishRole, build_feed_settings
from heliograph_collector.app.roles import create_store
from heliograph_collector.config.endpoint_file import EndpointFile
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.settings import Config
from heliograph_collector.detect.log_takeover import ForgedLogError
from heliograph_collector.fleet import KeysError
from heliograph_collector.fleet.password_file import find_password_file
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.published_incidents import IncidentEvents
from heliograph_collector.http.readiness import Readiness
from heliograph_collector.ingest.geo.lookup import GeoError, GeoLookup
from heliograph_collector.model.guarded_clock import BootClock, GuardedClock
from heliograph_collector.store.history import FILE as HISTORY_FILE
from heliograph_collector.store.history import HistoryReader
from heliograph_collector.store.imported_results import FILE, ImportedReader
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.opening import open_published
from heliograph_collector.store.migrations import SchemaError
from heliograph_collector.store.store import DirectoryInUseError, Store

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.bus import Bus

WAIT_S = 60.0  # for the first report: a leader takes over within 15 s, and reads its log
log = logging.getLogger("heliograph")


@dataclass(frozen=True, slots=True)
class HostParts:
    """Parts of this host that follow the leader's reports."""

    mirror: LeaderMirror
    store: Store
    readiness: Readiness
    publish: PublishRole
    events: IncidentEvents


@asynccontextmanager
async def run_publish_host(config: Config, servers: JournalSettings) -> AsyncIterator[None]:
    """Run a host that only publishes inside the block. Raises CannotServeError."""
    if not config.store_url.startswith("clickhouse"):
        raise CannotServeError(
            "A host that only publishes reads the store of the others: set store.url to their "
            "ClickHouse server."
        )
    async with AsyncExitStack() as stack:
        with explain_errors(JournalError):
            published = await stack.enter_async_context(open_published(servers))
        clock = GuardedClock(BootClock(), 0)
        reports = read_reports(published.bus)
        first = await _wait_for_leader(reports)
        mirror = LeaderMirror(first, published.log, _open_geo(config), clock, published.bus)
        with explain_errors(JournalError, ForgedLogError):
            await mirror.take(first)
        endpoint_file = EndpointFile(config)
        stack.callback(endpoint_file.remove)
        parts = _build_parts(config, mirror, clock, endpoint_file)
        stack.push_async_callback(parts.store.close)  # after all that reads from it
        group = await stack.enter_async_context(asyncio.TaskGroup())
        await parts.publish.open_http(stack, group)
        for run in (_serve_pages(parts), follow_reports(parts, reports)):
            stack.callback(group.create_task(run).cancel)
        yield


def _open_geo(config: Config) -> GeoLookup:
    """Open the tables for readers' networks; names of lines are never stored here."""
    with explain_errors(GeoError):
        return GeoLookup(
            config.geo_file("country"),
            config.geo_file("asn"),
            secrets.token_bytes(32),
            config.trusted_proxies,
        )


async def read_reports(bus: "Bus") -> AsyncIterator[PublicReport]:
    """Yield the reports of leaders; never end."""
    last_error = ""
    async for _, content in bus.listen(PUBLIC):
        try:
            report = decode_public(content)
        except MessageError as error:
            if str(error) != last_error:  # one of another version sends one each two seconds
                log.warning("A report of the leader is not understood: %s", error)
            last_error = str(error)
        else:
            yield report


async def _wait_for_leader(reports: AsyncIterator[PublicReport]) -> PublicReport:
    """Return the first report. Raises CannotServeError."""
    try:
        async with asyncio.timeout(WAIT_S):
            return await anext(reports)
    except TimeoutError:
        raise CannotServeError(
            "No collector leads: start the one with the other roles first, of this version."
        ) from None


def _build_parts(
    config: Config, mirror: LeaderMirror, clock: GuardedClock, endpoint_file: EndpointFile
) -> HostParts:
    report = mirror.report
    with explain_errors(KeysError, YamlError, data=config.data):
        services = load_services(config.services_file)
        password_file = find_password_file(config.data, config.password_file)
    if services.version != report.services_version:
        raise CannotServeError(
            f"The list of services here is {services.version}, and that of the collector that "
            f"leads is {report.services_version}: install the same version or services_file."
        )
    settings = build_feed_settings(
        config,
        services,
        password_file,
        public_key=report.public_key,
        k_anonymity=report.k_anonymity,
        targets=report.targets,
        untested=frozenset(report.untested),
    )
    bus = EventBus(secrets.token_hex(4))
    store = create_store(config)
    feed = MirroredFeed(
        settings,
        store=store,
        sessions=mirror,
        detector=mirror,
        annotations=mirror,
        imported=ImportedReader(config.data / FILE),
        history=HistoryReader(config.data / HISTORY_FILE),
        clock=clock,
        bus=bus,
        registry=CollectorRegistry(),
    )
    feed.mirror = mirror
    events = IncidentEvents(bus, feed.services, report.k_anonymity)
    publish = PublishRole(feed, config, endpoint_file, password_file)
    readiness = Readiness(None, store, config.data, clock)
    return HostParts(mirror, store, readiness, publish, events)


async def _serve_pages(parts: HostParts) -> None:
    with explain_errors(DirectoryInUseError, SchemaError):
        await parts.publish.feed.open_store((parts.mirror, parts.readiness))
    async with asyncio.TaskGroup() as group:
        group.create_task(parts.readiness.run())
        group.create_task(parts.publish.run())


async def follow_reports(parts: HostParts, reports: AsyncIterator[PublicReport]) -> None:
    """Take up each report and notify live readers; never return.

    Raises CannotServeError.
    """
    async for report in reports:
        earlier = parts.mirror.report
        try:
            changed = await parts.mirror.take(report)
        except JournalError as error:
            log.warning("The alert log is not read: %s", error)
            continue
        except ForgedLogError as error:
            raise CannotServeError(str(error)) from error
        parts.publish.touch(list_touched(earlier, report))
        for incident in changed:
            parts.events.publish_incident(parts.mirror.book, incident)
        for gap in report.gaps:
            if gap not in earlier.gaps:
                parts.events.publish_gap(parts.mirror.book, gap)


def list_touched(earlier: PublicReport, report: PublicReport) -> Sequence[int]:
    """List the times that changed: all of the last hour if a report was lost."""
    follows = report.run == earlier.run and report.number == earlier.number + 1
    if follows and report.touched_us is not None:
        return report.touched_us
    return range(report.at_us - HOUR_US, report.at_us, MINUTE_US)
