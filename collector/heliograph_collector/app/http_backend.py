"""Backend of the HTTP server: data from the store, ingest and the process."""

import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from prometheus_client import Gauge, ProcessCollector

from heliograph.experiments import is_for_controls
from heliograph.plan import Service
from heliograph.services import Services
from heliograph.units import MINUTE_US
from heliograph_collector.aggregate import rollup
from heliograph_collector.aggregate.k_anonymity import merge_small_cells
from heliograph_collector.aggregate.query_cache import CellQueryCache
from heliograph_collector.aggregate.rollup import roll_up
from heliograph_collector.detect import DETECT_VERSION, THRESHOLDS
from heliograph_collector.http import backend
from heliograph_collector.http.backend import Method, MethodRule
from heliograph_collector.http.basic_auth import hash_password
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.ingest.geo.lookup import find_origin
from heliograph_collector.judge import RULES, RULES_VERSION
from heliograph_collector.judge.comparisons import COMPARISONS, SERVICE_COMPARISON_RULES
from heliograph_collector.judge.confidence import FULL_US, STALE_FACTOR, STALE_US
from heliograph_collector.model.records import (
    Block,
    Cell,
    JudgedMeasurement,
    MeasurementFilter,
    MeasurementPage,
    SilenceCount,
    VerdictState,
    Vote,
)
from heliograph_collector.store.aggregation import AggregationQuery, AggregationRow
from heliograph_collector.store.store import Store, StoreError

if TYPE_CHECKING:
    from heliograph_collector.app.context import AppContext
    from heliograph_collector.app.detector_runner import DetectorRunner
    from heliograph_collector.ingest.build import IngestServices

ANCHORS = "anchors"
_T = TypeVar("_T")


class _RuleRow(Protocol):
    """The attributes that the rows of all rule tables have."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> VerdictState: ...
    @property
    def layer(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def strength(self) -> float: ...
    @property
    def says(self) -> str: ...


def describe_method() -> Method:
    rules_by_experiment = {
        name: _build_rules(comparison.rules) for name, comparison in sorted(COMPARISONS.items())
    }
    return Method(
        rules_version=RULES_VERSION,
        detect_version=DETECT_VERSION,
        rules=_build_rules(RULES),
        rules_by_experiment={
            **rules_by_experiment,
            "services": _build_rules(SERVICE_COMPARISON_RULES),
        },
        control={
            "full_min": FULL_US // MINUTE_US,
            "stale_min": STALE_US // MINUTE_US,
            "at_stale": STALE_FACTOR,
        },
        cells=asdict(rollup.THRESHOLDS),
        detect=asdict(THRESHOLDS),
    )


def _build_rules(rows: Sequence[_RuleRow]) -> list[MethodRule]:
    return [
        MethodRule(
            id=row.id,
            state=row.state.value,
            layer=row.layer,
            method=row.method,
            strength=row.strength,
            says=row.says,
        )
        for row in rows
    ]


class HttpBackend:
    def __init__(
        self,
        context: "AppContext",
        ingest: "IngestServices",
        store: Store,
        detector: "DetectorRunner",
    ) -> None:
        self._context = context
        self._ingest = ingest
        self._store = store
        self._detector = detector
        self.cell_queries = CellQueryCache(store, context.clock)
        self._list_store_problems: Callable[[], Sequence[str]] | None = None
        self._last_received_us: int | None = None
        self.start_problem = ""  # the reason if the store is not open yet

    def on_store_open(self, list_problems: Callable[[], Sequence[str]]) -> None:
        """Start to answer from the store; `list_problems` reports why it lags."""
        self._list_store_problems = list_problems

    def on_block(self, block: Block) -> None:
        newest_us = max((record.received_us for record, _ in block.judged), default=0)
        self._last_received_us = max(newest_us, self._last_received_us or 0) or None

    def build_feed(self, bus: EventBus, password: str) -> backend.Feed:
        context = self._context
        reader_gauge = Gauge(
            "heliograph_stream_readers", "Readers of live events.", registry=context.registry
        )
        reader_gauge.set_function(lambda: bus.readers)
        ProcessCollector(registry=context.registry)
        problem_gauge = Gauge(
            "heliograph_problems", "Reasons not to be ready.", registry=context.registry
        )
        problem_gauge.set_function(lambda: len(self.list_problems()))
        return backend.Feed(
            clock=context.clock,
            votes=self._query_votes,
            silences=self._query_silences,
            totals=self._query_totals,
            wide=self._query_cells,
            cells=roll_up,
            merge_small=merge_small_cells,
            measurements=self._query_measurements,
            measurement=self._query_measurement,
            accept_envelope=lambda envelope, forwarded_for, is_elsewhere: self._ingest.accept(
                envelope, forwarded_for, elsewhere=is_elsewhere
            ),
            problems=self.list_problems,
            links=self._count_links,
            agents=self._count_agents,
            bus=bus,
            registry=context.registry,
            services={s.name: s.title for s in _order_services(context.services)},
            k_anonymity=context.config.k_anonymity,
            client_address=self._client_address,
            requests_a_minute=context.config.requests_a_minute,
            metrics_open=context.config.metrics == "open",
            book=self._detector.book,
            list_gaps=self._detector.list_gaps,
            public_key=context.keyring.log.public,
            method=describe_method(),
            operator_hash=hash_password(password, secrets.token_bytes(16)),
        )

    def list_problems(self) -> list[str]:
        if self._list_store_problems is None:
            return [self.start_problem or "The store is starting."]
        return list(self._list_store_problems())

    async def _query_store(self, query: Callable[[], Awaitable[_T]]) -> _T:
        """Run a query; fail while the store is not open. Raises StoreError."""
        if self._list_store_problems is None:
            raise StoreError(self.start_problem or "The store is starting.")
        return await query()

    async def _query_votes(self, *window: int, **filters: Any) -> list[Vote]:
        since_us, until_us, bin_s = window
        return await self._query_store(
            lambda: self._store.votes(since_us, until_us, bin_s, **filters)
        )

    async def _query_silences(self, *window: int, **filters: Any) -> list[SilenceCount]:
        since_us, until_us, bin_s = window
        return await self._query_store(
            lambda: self._store.silences(since_us, until_us, bin_s, **filters)
        )

    def _client_address(self, forwarded_for: str) -> str:
        """Return the client address that the rate limit counts; "" for none.

        Loopback is not counted: behind a local proxy without trust, all clients would share one
        count.
        """
        caller = find_origin(forwarded_for, self._context.config.trusted_proxies)
        return "" if caller is None or caller.is_loopback else str(caller)

    async def _query_cells(
        self, *window: int, wider: Collection[str], **filters: Any
    ) -> list[Cell]:
        since_us, until_us, bin_s = window
        return await self._query_store(
            lambda: self.cell_queries.cells(since_us, until_us, bin_s, wider=wider, **filters)
        )

    async def _query_totals(self, query: AggregationQuery) -> list[AggregationRow]:
        return await self._query_store(lambda: self._store.totals(query))

    async def _query_measurements(
        self, filters: MeasurementFilter, cursor: str, limit: int
    ) -> MeasurementPage:
        return await self._query_store(lambda: self._store.measurements(filters, cursor, limit))

    async def _query_measurement(self, id_: str) -> JudgedMeasurement | None:
        return await self._query_store(lambda: self._store.measurement(id_))

    def _count_links(self) -> list[backend.LinkCount]:
        return [
            backend.LinkCount(country=country, asn=asn, access=access, link=link, vantages=count)
            for (
                country,
                asn,
                access,
                link,
            ), count in self._ingest.connections.count_links().items()
        ]

    def _count_agents(self) -> backend.AgentCounts:
        live_counts = self._ingest.connections.count_by_role()
        return backend.AgentCounts(
            volunteers=live_counts["volunteer"],
            controls=live_counts["control"],
            enrolled=self._ingest.directory.count_enrolled(),
            last_received_us=self._last_received_us,
        )


def _order_services(services: Services) -> list[Service]:
    """Order services as listed, with the anchors last.

    Services that only controls measure have no row, because their state is not that of a vantage.
    """
    public_services = [s for s in services.services if not is_for_controls(s.experiment)]
    return sorted(public_services, key=lambda service: service.name == ANCHORS)
