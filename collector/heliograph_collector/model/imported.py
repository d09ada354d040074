"""Imported results of other projects: shown beside ours, never counted with them.

They are no votes, because their vantages are unknown. Each source keeps its origin and license.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from heliograph_collector.model.records import VerdictState


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSource:
    """The project that measured and published."""

    name: str
    origin: str  # URL
    license: str  # SPDX
    license_url: str


# License: https://github.com/ooni/license, data/LICENSE.md
OONI = "ooni"
MAX_CELLS = 10_000  # of one question; assumed
IMPORT_SOURCES: Mapping[str, ImportSource] = {
    OONI: ImportSource(
        name="OONI",
        origin="https://ooni.org/data",
        license="CC-BY-NC-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedResult:
    """Verdict of our rules on one measurement of a source."""

    source: str  # a key of IMPORT_SOURCES
    key: str  # the same at every import of the measurement
    country: str
    asn: int
    test: str
    target: str  # URL or name; "" where the test has only one
    started_us: int
    state: VerdictState
    layer: str
    method: str
    rule: str
    confidence: float
    reachable_endpoints: int
    endpoints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFilter:
    """Selects results to count; an empty field matches everything."""

    since_us: int
    until_us: int
    source: str = ""
    country: str = ""
    asn: int | None = None
    test: str = ""
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCell:
    """Measurements of a source in one network, on one target, in one bin, by state."""

    source: str
    country: str
    asn: int
    test: str
    target: str
    start_us: int  # of the bin
    bin_s: int
    reachable: int
    partial: int  # some functions of the service are blocked
    blocked: int
    down: int
    unknown: int
    newest_us: int  # start of the newest measurement
    imported_us: int  # latest import

    @property
    def measurements(self) -> int:
        return self.reachable + self.partial + self.blocked + self.down + self.unknown

    @property
    def lag_us(self) -> int:
        """Return how old the newest measurement was when it was imported."""
        return max(0, self.imported_us - self.newest_us)


class StateCounts(NamedTuple):
    """Measurements by state."""

    reachable: int = 0
    partial: int = 0
    blocked: int = 0
    down: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRow:
    """A source's results on one target in one country, by day and by network."""

    country: str
    source: str
    test: str
    target: str
    total: StateCounts
    days: Mapping[int, StateCounts]  # by midnight, microseconds UTC
    blocked_networks: Mapping[int, int]  # measurements that found it blocked, by ASN
    # The same by midnight, of networks most of whose measurements of the day found it blocked.
    agreeing_networks: Mapping[int, Mapping[int, int]]
    # On these days and those beside them, measurements of other networks that found it blocked.
    partly_blocked: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedOutage:
    """An outage as another project reports it, with the credit that it asks for."""

    source: str
    signal: str
    country: str
    asn: int  # 0: the whole country
    since_us: int
    until_us: int | None  # None: it lasted when it was read
    read_us: int
    url: str  # a page on which a reader sees the same
    attribution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedHistory:
    """The targets with the most blocked measurements first, and reported outages."""

    rows: Sequence[ImportedRow] = ()
    targets: int = 0  # found blocked, or in a row
    newest_us: int = 0
    imported_us: int = 0
    outages: Sequence[ReportedOutage] = ()
