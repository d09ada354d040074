"""When coverage began at all, to the minute: bins know it to five. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from heliograph_collector.http.snapshot import BIN_S, SnapshotCoverage
from heliograph_collector.model.records import BlindTime

BEFORE_START = "before_start"  # the reason of the gap that ends when the collector began
_BIN_US = BIN_S * 1_000_000


def find_beginning(gaps: Iterable[BlindTime]) -> int:
    """Return when the collector began; 0 if that was before the window of the gaps."""
    return max((gap.until_us or 0 for gap in gaps if gap.reason == BEFORE_START), default=0)


def begin_at(coverage: SnapshotCoverage, began_us: int) -> SnapshotCoverage:
    """Return coverage from when the collector began, if the first vote is of about then.

    The bin of that vote may begin before the collector did, or minutes after it.
    """
    if coverage.first_us is None or abs(coverage.first_us - began_us) >= _BIN_US:
        return coverage
    return replace(coverage, first_us=began_us)
