"""A Feed of lists: by default the evening of 5 January 2022 in Kazakhstan."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import structs
from prometheus_client import CollectorRegistry

from heliograph.network_shares import NetworkKey
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.http.backend import (
    AgentCounts,
    Feed,
    LinkCount,
    Method,
    NetworkNamer,
    Publisher,
    SiteSettings,
)
from heliograph_collector.http.cell_queries import roll_up_merged
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.published_incidents import PublishedIncidents
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.imported import ImportedCell, ImportedFilter
from heliograph_collector.model.judgement import MeasurementPage
from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.model.records import (
    BlindTime,
    Cell,
    JudgedMeasurement,
    SilenceCount,
    VerdictState,
    Vote,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.aggregation import AggregationQuery, AggregationRow
from support.hand_clock import HandClock

_Row = TypeVar("_Row", Vote, SilenceCount)
BIN_US = 300_000_000
NOW_US = 1_641_390_200_000_000  # 2022-01-05 13:43:20 UTC
TITLES = {
    "telegram": "Telegram",
    "whatsapp": "WhatsApp",
    "signal": "Signal",
}


class NoNames(NetworkNamer):
    """No table of names is installed."""

    def name_network(self, asn: int) -> str:
        return ""

    def find_networks(self, text: str, limit: int) -> Sequence[int]:
        return ()


@dataclass
class World:
    """The data of a collector; a test's changes show in the next answer."""

    votes: list[Vote] = field(default_factory=list)
    silences: list[SilenceCount] = field(default_factory=list)
    links: list[LinkCount] = field(default_factory=list)
    agents: AgentCounts = field(default_factory=AgentCounts)
    judged: list[JudgedMeasurement] = field(default_factory=list)
    envelopes: list[tuple[bytes, str]] = field(default_factory=list)
    receipt: pb.Receipt = field(default_factory=lambda: pb.Receipt(status=pb.STATUS_STORED))
    problems: list[str] = field(default_factory=list)
    asked: list[MeasurementFilter] = field(default_factory=list)
    imported: list[ImportedCell] = field(default_factory=list)
    clock: HandClock = field(default_factory=lambda: HandClock(wall=NOW_US))

    def feed(self, **changes: Any) -> Feed:
        feed = FakeFeed(self)
        for name, value in changes.items():
            if hasattr(feed.site, name):
                feed.site = replace(feed.site, **{name: value})
            else:
                setattr(feed, name, value)
        return feed


class FakeFeed(Feed):
    """A feed over a World; a test replaces its attributes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = world.clock
        self.bus = EventBus("t")
        self.registry = CollectorRegistry()
        self.services = TITLES
        self.k_anonymity = 5
        self.book = IncidentBook()
        self.public_key = b""
        self.site = SiteSettings(
            operator_hash="",
            method=Method(),
            publisher=Publisher(),
            network_names=NoNames(),
            metrics_open=True,
        )

    async def votes(self, since_us: int, until_us: int, bin_s: int, **filters: Any) -> list[Vote]:
        rows = self.world.votes
        return [_rebin(v, bin_s) for v in _within(rows, since_us, until_us, filters)]

    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **filters: Any
    ) -> list[SilenceCount]:
        largest: dict[tuple[object, ...], SilenceCount] = {}  # none is silent twice in a bin
        for row in _within(self.world.silences, since_us, until_us, filters):
            silent = _rebin(row, bin_s)
            at = (silent.country, silent.region, silent.asn, silent.access, silent.start_us)
            largest[at] = max(silent, largest.get(at, silent), key=attrgetter("vantages"))
        return list(largest.values())

    async def wide(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        wider: Collection[str],
        empty: bool = True,
        **filters: Any,
    ) -> list[Cell]:
        window = (since_us, until_us, bin_s)
        votes = await self.votes(*window, **filters)
        filters.pop("service", None)
        silences = await self.silences(*window, **filters)
        cells = roll_up_merged(votes, silences, window, wider)
        return [cell for cell in cells if empty or cell.vantages or cell.silent]

    async def totals(self, query: AggregationQuery) -> list[AggregationRow]:
        nothing = AggregationRow(axis_values=(), anomaly=0, confirmed=0, failure=0, ok=0)
        return [] if query.axes else [nothing]

    async def measurements(
        self, filters: MeasurementFilter, cursor: str, limit: int
    ) -> MeasurementPage:
        self.world.asked.append(filters)
        first = int(cursor or 0)
        since_us, until_us = filters.since_us or 0, filters.until_us or 1 << 62
        rows = [
            j
            for j in self.world.judged
            if since_us <= j[0].started_us < until_us
            and filters.role in ("", j[0].role)
            and filters.target in ("", j[0].measurement.target)
        ]
        rest = rows[first:]
        return MeasurementPage(
            items=tuple(rest[:limit]), next=str(first + limit) if len(rest) > limit else ""
        )

    async def measurement(self, id_: str) -> JudgedMeasurement | None:
        return next((judged for judged in self.world.judged if judged[0].id == id_), None)

    async def accept_envelope(
        self, envelope: bytes, forwarded_for: str, *, is_elsewhere: bool
    ) -> pb.Receipt:
        self.world.envelopes.append((envelope, "elsewhere" if is_elsewhere else forwarded_for))
        return self.world.receipt

    def client_address(self, forwarded_for: str) -> str:
        return forwarded_for.rpartition(",")[2]

    def client_networks(self, forwarded_for: str) -> tuple[NetworkKey, ...]:
        address = self.client_address(forwarded_for)
        return () if address == "127.0.0.1" else (NetworkKey("24", address.rpartition(".")[0]),)

    def problems(self) -> list[str]:
        return self.world.problems

    def links(self) -> list[LinkCount]:
        return self.world.links

    def agents(self) -> AgentCounts:
        return self.world.agents

    def list_gaps(self, since_us: int, until_us: int) -> list[BlindTime]:
        return []

    async def count_imported(self, filters: ImportedFilter) -> list[ImportedCell]:
        cells = self.world.imported
        return [c for c in cells if filters.country in ("", c.country)]

    def annotations(self, incident: str) -> list[AnnotationDocument]:
        return []


def published(titles: dict[str, str] = TITLES) -> PublishedIncidents:
    return PublishedIncidents(World().feed(services=titles))


def _within(
    rows: Iterable[_Row], since_us: int, until_us: int, scope: dict[str, Any]
) -> Iterator[_Row]:
    for row in rows:
        if since_us <= row.start_us < until_us:
            for name, value in scope.items():
                if getattr(row, name) != value:
                    break
            else:
                yield row


@lru_cache(maxsize=65_536)  # the same rows are asked for by each page
def _rebin(row: _Row, bin_s: int) -> _Row:
    width = bin_s * 1_000_000
    start_us = row.start_us // width * width
    if start_us == row.start_us:
        return row
    if isinstance(row, Vote):
        return structs.replace(row, start_us=start_us)
    return replace(row, start_us=start_us)


def vote(
    nym: str,
    state: VerdictState,
    start_us: int,
    *,
    country: str = "KZ",
    asn: int = 9198,
    access: str = "fixed",
    service: str = "telegram",
    how: tuple[str, str] = ("", ""),
    functions: str = "",
) -> Vote:
    """Return a vote; a partial one names blocked functions and counts as reachable."""
    return Vote(
        country=country,
        region="",
        asn=asn,
        access=access,
        service=service,
        start_us=start_us // BIN_US * BIN_US,
        pseudonym=nym,
        prefix=nym,
        layer=how[0],
        method=how[1],
        seniority=Seniority.ESTABLISHED,
        reachable=int(state is VerdictState.REACHABLE),
        blocked=int(state is VerdictState.BLOCKED),
        down=int(state is VerdictState.DOWN),
        unknown=int(state is VerdictState.UNKNOWN),
        partial=int(bool(functions)),
        function=functions,
    )


def crowd(n: int, state: VerdictState, first_us: int, until_us: int, **where: Any) -> list[Vote]:
    """Return votes of `n` vantages of one network, the same state in every bin."""
    return list(_crowd(n, state, first_us, until_us, **where))


@lru_cache(maxsize=256)  # worlds share their votes, which are not changed
def _crowd(
    n: int, state: VerdictState, first_us: int, until_us: int, **where: Any
) -> tuple[Vote, ...]:
    return tuple(
        vote(f"{where.get('asn', 9198)}-{i}", state, start, **where)
        for start in range(first_us // BIN_US * BIN_US, until_us, BIN_US)
        for i in range(n)
    )
