"""What publish needs from the rest of the collector, as plain callables that serve.py fills in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph.observation import Link
from heliograph.v1.intake_pb2 import Receipt
from heliograph_collector.http.event_bus import Bus
from heliograph_collector.http.pages.method_data import Method
from heliograph_collector.incidents.book import Book
from heliograph_collector.model.records import (
    Cell,
    Judged,
    MeasurementFilter,
    MeasurementPage,
    Silence,
    Vote,
)
from heliograph_collector.store.aggregation import Total, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCount:
    """How many live volunteers' vantages of one network say the same about their link."""

    country: str
    asn: int
    access: str
    link: Link
    vantages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCounts:
    volunteers: int = 0  # with a live session
    controls: int = 0
    enrolled: int = 0
    last_received_us: int | None = None


async def _nothing(wanted: Wanted) -> Sequence[Total]:
    return () if wanted.axes else (Total(at=(), anomaly=0, confirmed=0, failure=0, ok=0),)


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Everything that `app.build` stands on.

    `votes` and `silences` take (since_us, until_us, bin_s) and any of the keywords country, region,
    asn, access, service (silences: without service); a keyword that is not given filters nothing.
    `measurements` raises ValueError for a cursor that is not its own; all that read may raise
    StoreError.
    `totals` counts measurements for the aggregation.
    `wide` takes what `votes` does, and in `wider` names of place and service that cells are not
    told apart by; it gives what `cells` would, and no vote leaves the store. None: it cannot.
    `cells` is the rollup, `merge_small` its k-anonymity: (cells, k) → cells that may be shown.
    `who` takes the addresses that a request came by, the peer last, and gives the reader's.
    With `metrics_open` /metrics needs no password.
    `book` is the alert log read so far, `public_key` (Ed25519, 32 bytes) what proves it. `blind`
    takes (since_us, until_us) and gives {"from", "until" (µs; until None: still), "because",
    "country" ("": everywhere)}. `annotations` gives what sources outside say beside an incident,
    by its id.
    """

    clock: Clock
    votes: Callable[..., Awaitable[Sequence[Vote]]]
    silences: Callable[..., Awaitable[Sequence[Silence]]]
    cells: Callable[[Sequence[Vote], Sequence[Silence], int, int, int], Sequence[Cell]]
    merge_small: Callable[[Sequence[Cell], int], Sequence[Cell]]
    measurements: Callable[[MeasurementFilter, str, int], Awaitable[MeasurementPage]]
    measurement: Callable[[str], Awaitable[Judged | None]]
    # envelope, addresses on its way, whether they say nothing of its vantage → receipt
    accept: Callable[[bytes, str, bool], Awaitable[Receipt]]
    problems: Callable[[], Sequence[str]]  # why the collector is not ready; empty when it is
    links: Callable[[], Sequence[LinkCount]]
    agents: Callable[[], AgentCounts]
    bus: Bus
    registry: CollectorRegistry
    services: Mapping[str, str] = field(default_factory=dict)  # name → title, in the page's order
    k_anonymity: int = 5
    operator_hash: str = ""  # from auth.hash_password; "" lets nobody in
    book: Book = field(default_factory=Book)
    blind: Callable[[int, int], Sequence[Mapping[str, Any]]] = lambda since_us, until_us: ()
    public_key: bytes = b""
    method: Method = field(default_factory=Method)  # what the page of methods tells
    totals: Callable[[Wanted], Awaitable[Sequence[Total]]] = _nothing
    dumps: Path | None = None  # the folder of daily files
    wide: Callable[..., Awaitable[Sequence[Cell]]] | None = None
    who: Callable[[str], str] = lambda way: way.rpartition(",")[2]
    requests_a_minute: int = 0  # of one network; 0: nobody is refused
    metrics_open: bool = True
    annotations: Callable[[str], Sequence[Mapping[str, Any]]] = lambda incident: ()

    @property
    def watched(self) -> bool:
        """Whether detectors are at work and see everything: then no incident means that none is."""
        return bool(self.public_key) and not self.problems()
