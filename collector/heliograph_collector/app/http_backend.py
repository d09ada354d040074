"""Answers what publish asks: of the store once it is open, of intake, of itself."""

import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import Gauge, ProcessCollector

from heliograph.experiments import is_for_controls
from heliograph.plan import Service
from heliograph.services import Services
from heliograph_collector.aggregate.query_cache import Wide
from heliograph_collector.aggregate.rollup import cells, merge_small
from heliograph_collector.http import backend as f
from heliograph_collector.http.basic_auth import hash_password
from heliograph_collector.http.event_bus import Bus
from heliograph_collector.ingest.geo.lookup import origin
from heliograph_collector.model.records import (
    Block,
    Cell,
    Judged,
    MeasurementFilter,
    MeasurementPage,
    Silence,
    Vote,
)
from heliograph_collector.store.aggregation import Total, Wanted
from heliograph_collector.store.store import Store, StoreError

if TYPE_CHECKING:
    from heliograph_collector.app.context import House
    from heliograph_collector.app.detector_runner import Detector
    from heliograph_collector.ingest.build import Intake
from dataclasses import asdict
from typing import Protocol

from heliograph_collector.aggregate import rollup
from heliograph_collector.detect import DETECT_VERSION, THRESHOLDS
from heliograph_collector.http.pages.method_data import Method, Rule
from heliograph_collector.judge import RULES, RULES_VERSION
from heliograph_collector.judge.comparisons import READINGS, SERVICE_ROWS
from heliograph_collector.judge.confidence import AT_STALE, FULL_US, STALE_US
from heliograph_collector.model.records import State

_MINUTE_US = 60_000_000


class _Row(Protocol):
    """What rows of all tables of rules have."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def layer(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def strength(self) -> float: ...
    @property
    def says(self) -> str: ...


def method() -> Method:
    readings = {name: _rules(reading.rows) for name, reading in sorted(READINGS.items())}
    return Method(
        rules_version=RULES_VERSION,
        detect_version=DETECT_VERSION,
        rules=_rules(RULES),
        readings={**readings, "services": _rules(SERVICE_ROWS)},
        control={
            "full_min": FULL_US // _MINUTE_US,
            "stale_min": STALE_US // _MINUTE_US,
            "at_stale": AT_STALE,
        },
        cells=asdict(rollup.THRESHOLDS),
        detect=asdict(THRESHOLDS),
    )


def _rules(rows: Sequence[_Row]) -> list[Rule]:
    return [
        Rule(
            id=row.id,
            state=row.state.value,
            layer=row.layer,
            method=row.method,
            strength=row.strength,
            says=row.says,
        )
        for row in rows
    ]


ANCHORS = "anchors"
_T = TypeVar("_T")


class Desk:
    def __init__(self, house: "House", door: "Intake", store: Store, detector: "Detector") -> None:
        self._house, self._door, self._store, self._detector = house, door, store, detector
        self.counting = Wide(store, house.clock)
        self._problems: Callable[[], Sequence[str]] | None = None
        self._last_received_us: int | None = None
        self.trouble = ""  # why the store is not open yet

    def opened(self, problems: Callable[[], Sequence[str]]) -> None:
        """The store answers from now on; `problems` says how it keeps up."""
        self._problems = problems

    def took(self, block: Block) -> None:
        newest = max((taken.received_us for taken, _ in block.judged), default=0)
        self._last_received_us = max(newest, self._last_received_us or 0) or None

    def feed(self, bus: Bus, password: str) -> f.Feed:
        house = self._house
        readers = Gauge(
            "heliograph_stream_readers", "Readers of live events.", registry=house.registry
        )
        readers.set_function(lambda: bus.readers)
        ProcessCollector(registry=house.registry)
        troubles = Gauge("heliograph_problems", "Reasons not to be ready.", registry=house.registry)
        troubles.set_function(lambda: len(self.problems()))
        return f.Feed(
            clock=house.clock,
            votes=self._votes,
            silences=self._silences,
            totals=self._totals,
            wide=self._wide,
            cells=cells,
            merge_small=merge_small,
            measurements=self._measurements,
            measurement=self._measurement,
            accept=lambda envelope, way, elsewhere: self._door.accept(
                envelope, way, elsewhere=elsewhere
            ),
            problems=self.problems,
            links=self._links,
            agents=self._agents,
            bus=bus,
            registry=house.registry,
            services={s.name: s.title for s in _in_order(house.services)},
            k_anonymity=house.config.k_anonymity,
            who=self._who,
            requests_a_minute=house.config.requests_a_minute,
            metrics_open=house.config.metrics == "open",
            book=self._detector.book,
            blind=self._detector.blind,
            public_key=house.keyring.log.public,
            method=method(),
            operator_hash=hash_password(password, secrets.token_bytes(16)),
        )

    def problems(self) -> list[str]:
        if self._problems is None:
            return [self.trouble or "The store is starting."]
        return list(self._problems())

    async def _ask(self, question: Callable[[], Awaitable[_T]]) -> _T:
        """Raises StoreError."""
        if self._problems is None:
            raise StoreError(self.trouble or "The store is starting.")
        return await question()

    async def _votes(self, *window: int, **place: Any) -> list[Vote]:
        since_us, until_us, bin_s = window
        return await self._ask(lambda: self._store.votes(since_us, until_us, bin_s, **place))

    async def _silences(self, *window: int, **place: Any) -> list[Silence]:
        since_us, until_us, bin_s = window
        return await self._ask(lambda: self._store.silences(since_us, until_us, bin_s, **place))

    def _who(self, way: str) -> str:
        """Whom a request is counted for; this machine is not, nor are who come by its own proxy
        that is not trusted to name them: they would all be one."""
        found = origin(way, self._house.config.trusted_proxies)
        return "" if found is None or found.is_loopback else str(found)

    async def _wide(self, *window: int, wider: Collection[str], **only: Any) -> list[Cell]:
        since_us, until_us, bin_s = window
        return await self._ask(
            lambda: self.counting.cells(since_us, until_us, bin_s, wider=wider, **only)
        )

    async def _totals(self, wanted: Wanted) -> list[Total]:
        return await self._ask(lambda: self._store.totals(wanted))

    async def _measurements(
        self, wanted: MeasurementFilter, cursor: str, limit: int
    ) -> MeasurementPage:
        return await self._ask(lambda: self._store.measurements(wanted, cursor, limit))

    async def _measurement(self, id_: str) -> Judged | None:
        return await self._ask(lambda: self._store.measurement(id_))

    def _links(self) -> list[f.LinkCount]:
        return [
            f.LinkCount(country=country, asn=asn, access=access, link=link, vantages=count)
            for (country, asn, access, link), count in self._door.presence.links().items()
        ]

    def _agents(self) -> f.AgentCounts:
        live = self._door.presence.agents()
        return f.AgentCounts(
            volunteers=live["volunteer"],
            controls=live["control"],
            enrolled=self._door.roll.enrolled(),
            last_received_us=self._last_received_us,
        )


def _in_order(services: Services) -> list[Service]:
    """As listed, but the anchors, which are nobody's service, come last.

    What controls alone measure is no vantage's state, so it has no row.
    """
    shown = [s for s in services.services if not is_for_controls(s.experiment)]
    return sorted(shown, key=lambda service: service.name == ANCHORS)
