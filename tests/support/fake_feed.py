"""A Feed out of lists: the evening of 5 January 2022 in Kazakhstan, or whatever a test says."""

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.aggregate import k_anonymity, rollup
from heliograph_collector.http.backend import AgentCounts, Feed, LinkCount
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.model.records import (
    JudgedMeasurement,
    MeasurementFilter,
    MeasurementPage,
    SilenceCount,
    VerdictState,
    Vote,
)
from support.hand_clock import HandClock

_Row = TypeVar("_Row", Vote, SilenceCount)
BIN_US = 300_000_000
NOW_US = 1_641_390_200_000_000  # 2022-01-05 13:43:20 UTC
TITLES = {
    "telegram": "Telegram",
    "whatsapp": "WhatsApp",
    "signal": "Signal",
}


@dataclass
class World:
    """What the collector knows; a test changes it and the next answer shows it."""

    votes: list[Vote] = field(default_factory=list)
    silences: list[SilenceCount] = field(default_factory=list)
    links: list[LinkCount] = field(default_factory=list)
    agents: AgentCounts = field(default_factory=AgentCounts)
    judged: list[JudgedMeasurement] = field(default_factory=list)
    envelopes: list[tuple[bytes, str]] = field(default_factory=list)
    receipt: pb.Receipt = field(default_factory=lambda: pb.Receipt(status=pb.STATUS_STORED))
    problems: list[str] = field(default_factory=list)
    asked: list[MeasurementFilter] = field(default_factory=list)
    clock: HandClock = field(default_factory=lambda: HandClock(wall=NOW_US))

    def feed(self, **changes: Any) -> Feed:
        made = Feed(
            clock=self.clock,
            votes=self._votes,
            silences=self._silences,
            cells=rollup.roll_up,
            merge_small=k_anonymity.merge_small_cells,
            measurements=self._measurements,
            measurement=self._measurement,
            accept_envelope=self._accept,
            problems=lambda: self.problems,
            links=lambda: self.links,
            agents=lambda: self.agents,
            bus=EventBus("t"),
            registry=CollectorRegistry(),
            services=TITLES,
        )
        return replace(made, **changes)

    async def _votes(self, since_us: int, until_us: int, bin_s: int, **scope: Any) -> list[Vote]:
        return [_rebin(v, bin_s) for v in self.votes if _within(v, since_us, until_us, scope)]

    async def _silences(
        self, since_us: int, until_us: int, bin_s: int, **scope: Any
    ) -> list[SilenceCount]:
        return [_rebin(s, bin_s) for s in self.silences if _within(s, since_us, until_us, scope)]

    async def _measurements(
        self, asked: MeasurementFilter, position: str, limit: int
    ) -> MeasurementPage:
        self.asked.append(asked)
        first = int(position or 0)
        rest = self.judged[first:]
        return MeasurementPage(
            items=tuple(rest[:limit]), next=str(first + limit) if len(rest) > limit else ""
        )

    async def _measurement(self, id_: str) -> JudgedMeasurement | None:
        return next((judged for judged in self.judged if judged[0].id == id_), None)

    async def _accept(self, envelope: bytes, way: str, elsewhere: bool) -> pb.Receipt:
        self.envelopes.append((envelope, "elsewhere" if elsewhere else way))
        return self.receipt


def _within(row: Vote | SilenceCount, since_us: int, until_us: int, scope: dict[str, Any]) -> bool:
    return since_us <= row.start_us < until_us and all(
        getattr(row, name) == value for name, value in scope.items()
    )


def _rebin(row: _Row, bin_s: int) -> _Row:
    width = bin_s * 1_000_000
    return replace(row, start_us=row.start_us // width * width)


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
) -> Vote:
    counts = {s.value: int(s is state) for s in VerdictState}
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
        established=True,
        **counts,
    )


def crowd(n: int, state: VerdictState, first_us: int, until_us: int, **where: Any) -> list[Vote]:
    """`n` vantages of one network that say the same in every bin."""
    return [
        vote(f"{where.get('asn', 9198)}-{i}", state, start, **where)
        for start in range(first_us // BIN_US * BIN_US, until_us, BIN_US)
        for i in range(n)
    ]
