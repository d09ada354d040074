"""The feed of a running collector: data from the store, the sessions and the detectors."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from heliograph.clock import Clock
from heliograph.experiments import ANCHORS, is_for_controls
from heliograph.network_shares import NetworkKey
from heliograph.plan import EndpointKind, Service
from heliograph.services import Services
from heliograph.units import DAY_US, SECOND_US
from heliograph.v1.intake_pb2 import Receipt
from heliograph_collector.aggregate.disclosure import find_instant
from heliograph_collector.aggregate.query_cache import CellQueryCache
from heliograph_collector.http.backend import AgentCounts, Feed, LinkCount, SiteSettings
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.live_ports import (
    AgentSessions,
    AnnotationSource,
    DetectorLog,
    HistorySource,
    ImportedSource,
    ProblemSource,
)
from heliograph_collector.model.filters import MeasurementFilter, PlaceFilter
from heliograph_collector.model.history import BlockingNetwork, CellHistory, HistoryFilter
from heliograph_collector.model.imported import ImportedCell, ImportedFilter, ImportedHistory
from heliograph_collector.model.judgement import MeasurementPage
from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.model.records import (
    BlindTime,
    Block,
    Cell,
    JudgedMeasurement,
    SilenceCount,
    Vote,
)
from heliograph_collector.store.aggregation import AggregationQuery, AggregationRow
from heliograph_collector.store.certificates import add_certificates
from heliograph_collector.store.migrations import SchemaError
from heliograph_collector.store.store import DirectoryInUseError, Store, StoreError

_RETRY_S = 5.0
log = logging.getLogger("heliograph")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """What the feed reads by, fixed at the start, and the settings of the site."""

    services: Services
    public_key: bytes
    targets: tuple[str, ...]  # single targets of the plan
    untested: frozenset[str]  # services that the plan leaves out
    k_anonymity: int
    site: SiteSettings


class LiveFeed(Feed):
    """The feed over the running stages; it answers StoreError until `open_store`."""

    def __init__(
        self,
        settings: FeedSettings,
        *,
        store: Store,
        sessions: AgentSessions,
        detector: DetectorLog,
        annotations: AnnotationSource,
        imported: ImportedSource,
        history: HistorySource,
        clock: Clock,
        bus: EventBus,
        registry: CollectorRegistry,
    ) -> None:
        self.clock = clock
        self.bus = bus
        self.registry = registry
        self.services: Mapping[str, str] = {
            s.name: s.title for s in list_public_services(settings.services)
        }
        self.targets = settings.targets
        self.unlisted = {s.name for s in settings.services.services if _is_vantage_link(s)}
        self.untested = settings.untested
        self.k_anonymity = settings.k_anonymity
        self.book = detector.book
        self.public_key = settings.public_key
        self.site = settings.site
        self.cell_queries = CellQueryCache(store, clock, settings.k_anonymity)
        self._start_problem = ""  # the reason if the store is not open yet
        self._store = store
        self._sessions = sessions
        self._detector = detector
        self._annotations = annotations
        self._imported = imported
        self._history = history
        self._parts: Sequence[ProblemSource] | None = None
        self._last_received_us: int | None = None
        Gauge(
            "heliograph_stream_readers", "Readers of live events.", registry=registry
        ).set_function(self._count_readers)
        ProcessCollector(registry=registry)
        Gauge("heliograph_problems", "Reasons not to be ready.", registry=registry).set_function(
            self._count_problems
        )

    async def open_store(self, parts: Sequence[ProblemSource]) -> None:
        """Open the store, try again while it does not answer, and answer from it then.

        `parts` report why the store lags. Raises DirectoryInUseError, SchemaError.
        """
        while True:
            try:
                await self._store.open()
            except (DirectoryInUseError, SchemaError):
                raise
            except StoreError as error:
                if str(error) != self._start_problem:
                    log.error("%s Agents are acknowledged; trying again.", error)
                self._start_problem = str(error)
                await asyncio.sleep(_RETRY_S)
            else:
                self._parts = parts
                return

    def on_block(self, block: Block) -> None:
        # The last block's, not the latest ever: the clock may have been ahead.
        newest_us = max((record.received_us for record, _ in block.judged), default=0)
        self._last_received_us = newest_us or self._last_received_us

    def problems(self) -> list[str]:
        if self._parts is None:
            return [self._start_problem or "The store is starting."]
        return [problem for part in self._parts for problem in part.problems()]

    async def votes(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> list[Vote]:
        filters["received_before_us"] = self._last_instant()
        return await self._open_store(until_us).votes(since_us, until_us, bin_s, **filters)

    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> list[SilenceCount]:
        filters["received_before_us"] = self._last_instant()
        return await self._open_store(until_us).silences(since_us, until_us, bin_s, **filters)

    async def wide(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        wider: Collection[str],
        empty: bool = True,
        **filters: Unpack[PlaceFilter],
    ) -> list[Cell]:
        self._open_store(until_us)
        return await self.cell_queries.cells(
            since_us, until_us, bin_s, wider=wider, empty=empty, **filters
        )

    async def totals(self, query: AggregationQuery) -> list[AggregationRow]:
        return await self._open_store(query.until_us).totals(query)

    async def measurements(
        self, filters: MeasurementFilter, cursor: str, limit: int
    ) -> MeasurementPage:
        return await self._open_store().measurements(filters, cursor, limit)

    async def measurement(self, id_: str) -> JudgedMeasurement | None:
        store = self._open_store()
        judged = await store.measurement(id_)
        if judged is None:
            return None
        (record,) = await add_certificates(store, judged[:1])
        return record, judged[1]

    async def accept_envelope(
        self, envelope: bytes, forwarded_for: str, *, is_elsewhere: bool
    ) -> Receipt:
        return await self._sessions.accept(envelope, forwarded_for, elsewhere=is_elsewhere)

    def client_address(self, forwarded_for: str) -> str:
        """Return the client address that the rate limit counts; "" for none.

        Loopback is not counted: behind a local proxy without trust, all clients would share one
        count.
        """
        caller = self._sessions.geo.find_origin(forwarded_for)
        return "" if caller is None or caller.is_loopback else str(caller)

    def client_networks(self, forwarded_for: str) -> Sequence[NetworkKey]:
        """Return the client's networks, of which each has a share of the seats; () for loopback."""
        if not self.client_address(forwarded_for):
            return ()
        return self._sessions.geo.locate(forwarded_for, self.clock.wall_us()).networks

    def list_gaps(self, since_us: int, until_us: int) -> Sequence[BlindTime]:
        return self._detector.list_gaps(since_us, until_us)

    async def count_imported(self, filters: ImportedFilter) -> Sequence[ImportedCell]:
        return await asyncio.to_thread(self._imported.count_cells, filters, DAY_US // SECOND_US)

    async def read_imported(self, filters: ImportedFilter, most: int) -> ImportedHistory:
        return await asyncio.to_thread(self._imported.read_history, filters, most)

    async def read_history(self, filters: HistoryFilter) -> CellHistory:
        return await asyncio.to_thread(self._history.read, filters)

    async def count_blocking_networks(self, filters: HistoryFilter) -> Sequence[BlockingNetwork]:
        return await asyncio.to_thread(self._history.count_blocking_networks, filters)

    def annotations(self, incident: str) -> Sequence[AnnotationDocument]:
        return self._annotations.list_annotations(incident)

    def links(self) -> list[LinkCount]:
        connections = self._sessions.connections
        now_us = self.clock.wall_us()
        counts = (
            connections.count_links(now_us)
            if self.k_anonymity <= 1
            else connections.count_established_links(now_us)
        )
        return [
            LinkCount(country=country, asn=asn, access=access, link=link, vantages=count)
            for (country, asn, access, link), count in counts.items()
        ]

    def agents(self) -> AgentCounts:
        live_counts = self._sessions.connections.count_by_role()
        return AgentCounts(
            volunteers=live_counts["volunteer"],
            controls=live_counts["control"],
            enrolled=self._sessions.directory.count_enrolled(),
            last_received_us=self._last_received_us,
        )

    def _last_instant(self) -> int | None:
        """Return the last instant of publication; None if readers see everything at once."""
        k = self.k_anonymity
        return find_instant(self.clock.wall_us(), k) if k > 1 else None

    def _open_store(self, until_us: int = 0) -> Store:
        """Return the store, to be asked until a time. Raises StoreError while it is not open."""
        if self._parts is None:
            raise StoreError(self._start_problem or "The store is starting.")
        return self._store

    def _count_readers(self) -> int:
        return self.bus.readers

    def _count_problems(self) -> int:
        return len(self.problems())


class LiveEvidence:
    """What the operator sees of an incident: at once, as it is in the store."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self.clock = feed.clock
        self._store = store
        self._feed = feed

    async def votes(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> list[Vote]:
        return await self._store.votes(since_us, until_us, bin_s, **filters)

    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> list[SilenceCount]:
        return await self._store.silences(since_us, until_us, bin_s, **filters)

    async def measurements(
        self, filters: MeasurementFilter, cursor: str, limit: int
    ) -> MeasurementPage:
        return await self._feed.measurements(filters, cursor, limit)

    def links(self) -> Sequence[LinkCount]:
        return self._feed.links()


def list_public_services(services: Services) -> list[Service]:
    """List the services that readers know, as listed.

    The anchors and STUN servers tell of the vantage's own network, and what only controls measure
    is no state of a vantage.
    """
    return [
        s
        for s in services.services
        if not _is_vantage_link(s) and not is_for_controls(s.experiment)
    ]


def _is_vantage_link(service: Service) -> bool:
    is_stun = all(endpoint.kind is EndpointKind.STUN for endpoint in service.endpoints)
    return service.experiment == ANCHORS or is_stun
