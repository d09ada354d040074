"""Publish the public pages, the API, the live events, and findings for volunteers.

It runs beside the other roles, or alone on a host of a cluster (`publish_host`).

Each session of an agent gets what is published about its network. The same readings are on the
public page, so that nothing is disclosed. They travel in the session, so that no volunteer has to
visit the collector's page, and only when a state has changed.
"""

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from heliograph.address import split_endpoint
from heliograph.services import Services
from heliograph.units import SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.aggregate.cell_updater import list_cell_times
from heliograph_collector.app.context import AppContext
from heliograph_collector.config.endpoint_file import EndpointFile
from heliograph_collector.config.errors import explain_taken_port
from heliograph_collector.config.licenses import LICENSES
from heliograph_collector.config.named_files import read_partners
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet.password_file import log_password_file, read_password
from heliograph_collector.fleet.plans import list_targets, list_untested
from heliograph_collector.http.anonymity import format_band
from heliograph_collector.http.api.stream import CellEvents
from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import Publisher, SiteSettings, build_method
from heliograph_collector.http.basic_auth import hash_password
from heliograph_collector.http.live_feed import FeedSettings, LiveFeed
from heliograph_collector.http.live_ports import AgentSessions, AnnotationSource, DetectorLog
from heliograph_collector.http.pages.day_charts import DayCharts
from heliograph_collector.http.server import open_http
from heliograph_collector.http.snapshot import NetworkColumn, Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.ingest.geo.network_names import open_names
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from heliograph_collector.judge import RULES, RULES_VERSION
from heliograph_collector.judge.comparisons import list_comparison_rules
from heliograph_collector.judge.comparisons.throttling import GOODPUT_THRESHOLDS
from heliograph_collector.judge.confidence import CONTROL_FRESHNESS
from heliograph_collector.model.records import UNPLACED, Block
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.history import FILE as HISTORY_FILE
from heliograph_collector.store.history import HistoryReader
from heliograph_collector.store.imported_results import FILE, ImportedReader
from heliograph_collector.store.store import Store

__all__ = ["FindingsRole", "PublishRole", "build_feed_settings", "build_live_feed", "tell_findings"]
_FINDINGS_LOOK_S = 60.0  # assumed; bins of the snapshot are longer
_PLACE_ALONE = b"place"  # in place of states
_OTHERS = 0  # the network of the column "other networks"
_Place = tuple[str, str]  # country, service


def build_publisher(config: Config) -> Publisher:
    return Publisher(
        operator=config.operator,
        contact=config.contact,
        license=config.license,
        license_url=LICENSES[config.license],
        measurements_days=config.observations_days,
        partners=read_partners(config.partners_file),
    )


def build_feed_settings(
    config: Config,
    services: Services,
    password_file: Path,
    *,
    public_key: bytes,
    k_anonymity: int,
    targets: tuple[str, ...],
    untested: frozenset[str],
) -> FeedSettings:
    """Build what the feed shows and allows. Raises CannotServeError."""
    site = SiteSettings(
        operator_hash=hash_password(read_password(password_file), secrets.token_bytes(16)),
        method=build_method(
            RULES,
            list_comparison_rules(),
            RULES_VERSION,
            CONTROL_FRESHNESS,
            GOODPUT_THRESHOLDS.ratio,
        ),
        requests_a_minute=config.requests_a_minute,
        metrics_open=config.metrics == "open",
        public_url=config.public_url,
        security_contact=config.security_contact,
        publisher=build_publisher(config),
        network_names=open_names(config.geo_file("asn").with_suffix(".names")),
        dumps=config.data / "dumps" if config.dumps_days else None,
    )
    return FeedSettings(
        services=services,
        public_key=public_key,
        targets=targets,
        untested=untested,
        k_anonymity=k_anonymity,
        site=site,
    )


def build_live_feed(
    context: AppContext,
    store: Store,
    sessions: AgentSessions,
    detector: DetectorLog,
    annotations: AnnotationSource,
) -> LiveFeed:
    """Build the feed of a collector that runs all roles. Raises CannotServeError."""
    config = context.config
    settings = build_feed_settings(
        config,
        context.services,
        context.password_file,
        public_key=context.keyring.log.public,
        k_anonymity=config.k_anonymity,
        targets=list_targets(context.fleet),
        untested=list_untested(context.fleet, context.services),
    )
    return LiveFeed(
        settings,
        store=store,
        sessions=sessions,
        detector=detector,
        annotations=annotations,
        imported=ImportedReader(config.data / FILE),
        history=HistoryReader(config.data / HISTORY_FILE),
        clock=context.clock,
        bus=context.bus,
        registry=context.registry,
    )


class PublishRole:
    """The pages, the API and the events over one feed."""

    def __init__(
        self, feed: LiveFeed, config: Config, endpoint_file: EndpointFile, password_file: Path
    ) -> None:
        self._config = config
        self._endpoint_file = endpoint_file
        self._password_file = password_file
        self.feed = feed
        self.snapshot_cache = SnapshotCache(feed)
        self._cell_events = CellEvents(feed, self.snapshot_cache)
        self._day_charts = DayCharts(feed)
        self.app = build_app(feed, self.snapshot_cache, self._day_charts)

    def on_block(self, block: Block) -> None:
        self.feed.on_block(block)
        self.touch(list_cell_times(block))

    def touch(self, times_us: Iterable[int]) -> None:
        """Mark times whose data have changed in the store."""
        times_us = list(times_us)
        self._cell_events.touch(times_us)
        self._day_charts.touch(times_us)

    async def open_http(self, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        """Listen for readers; `stack` closes the server. Raises CannotServeError."""
        config = self._config
        host, requested_port = split_endpoint(config.http)
        try:
            guard, port = await open_http(self.app, host, requested_port, stack)
        except OSError as error:
            raise explain_taken_port("http", config.http, error.strerror) from error
        group.create_task(guard.run())
        self._endpoint_file.announce("http", config.http, port)
        log_password_file(self._password_file)

    async def run(self) -> None:
        """Keep the answers fresh until cancelled; the store must be open."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cell_events.run())
            group.create_task(self.snapshot_cache.page_cache.run())
            group.create_task(self._day_charts.run())
            group.create_task(self.feed.cell_queries.cache.run())


class FindingsRole:
    """Sends findings from the newest snapshot to sessions."""

    def __init__(self, snapshots: SnapshotCache, connections: ConnectionTable) -> None:
        self._snapshots = snapshots
        self._connections = connections

    async def run(self) -> None:
        """Run until cancelled; the store must be open."""
        while True:
            await asyncio.sleep(_FINDINGS_LOOK_S)
            try:
                snapshot = await self._snapshots.current_snapshot()
            except StoreError:
                continue
            if not snapshot.is_outdated:
                tell_findings(snapshot, self._connections)


def tell_findings(snapshot: Snapshot, connections: ConnectionTable) -> None:
    """Queue the findings of each agent's network where a state is new to it."""
    columns = {(c.group.country, c.group.asn, c.group.access): c for c in snapshot.columns}
    states_of_networks = _count_states(snapshot)
    built: dict[int, tuple[pb.Findings, bytes]] = {}
    for connection in connections.list_newest():
        column = _find_column(columns, connection)
        if column is None:
            _tell_place(connection, snapshot.at_us)
            continue
        if id(column) not in built:
            built[id(column)] = _build_findings(snapshot, column, states_of_networks)
        findings, states = built[id(column)]
        is_new = states != connection.told_states
        if is_new and connection.offer(pb.CollectorMessage(findings=findings)):
            connection.told_states = states


def _tell_place(connection: AgentConnection, at_us: int) -> None:
    """Send an agent its country by address once, if its network has no findings.

    Its tests may leave by a VPN, and are then no evidence on the country that it declares.
    """
    country = connection.network[0]
    if connection.told_states or country == UNPLACED:
        return
    message = pb.CollectorMessage(findings=pb.Findings(at_s=at_us // SECOND_US, country=country))
    if connection.offer(message):
        connection.told_states = _PLACE_ALONE


def _find_column(
    columns: dict[tuple[str, int, str], NetworkColumn], connection: AgentConnection
) -> NetworkColumn | None:
    """Return the column of the agent's network, else of the country's other networks."""
    country, asn, access = connection.network
    return columns.get((country, asn, access)) or columns.get((country, _OTHERS, ""))


def _build_findings(
    snapshot: Snapshot, column: NetworkColumn, states_of_networks: Mapping[_Place, Counter[str]]
) -> tuple[pb.Findings, bytes]:
    """Build the message, and its states alone: a changed count sends no message.

    Of the country it counts networks whose state the page shows, so that it discloses no more.
    """
    titles = dict(snapshot.services)
    findings = pb.Findings(
        at_s=snapshot.at_us // SECOND_US, country=column.group.country, asn=column.group.asn
    )
    for name, reading in column.readings.items():
        if reading.cell is None:
            continue
        alike = states_of_networks.get((column.group.country, name), Counter())
        findings.findings.add(
            service=name,
            title=titles.get(name, name),
            state=reading.cell.state,
            since_s=reading.since.latest_us // SECOND_US if reading.since else 0,
            vantages=format_band(reading.cell.vantages, snapshot.k),
            networks=alike.total(),
            networks_alike=alike[reading.cell.state],
        )
    states = " ".join(f"{each.service}={each.state}" for each in findings.findings)
    return findings, f"{column.group.asn} {states}".encode()


def _count_states(snapshot: Snapshot) -> Mapping[_Place, Counter[str]]:
    """Count each country's networks by service and state, without withheld cells."""
    counts: defaultdict[_Place, Counter[str]] = defaultdict(Counter)
    for column in snapshot.columns:
        if column.group.asn != _OTHERS:
            for name, reading in column.readings.items():
                if reading.cell is not None:
                    counts[column.group.country, name][reading.cell.state] += 1
    return counts
