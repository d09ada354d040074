"""State of the leading collector, as a host that only publishes has it.

See `publish_host`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from heliograph.clock import Clock
from heliograph.observation import Link
from heliograph.units import SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.public_report import PublicReport
from heliograph_collector.app.remote_ingest import accept_elsewhere
from heliograph_collector.detect.log_takeover import FollowedLog, ForgedLogError
from heliograph_collector.http.backend import AgentCounts
from heliograph_collector.http.live_feed import LiveFeed
from heliograph_collector.http.snapshot_times import BEFORE_START
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.model.records import BlindTime
from heliograph_collector.store.store import Store, StoreError

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.bus import Bus

STALE_US = 10 * SECOND_US  # five reports that did not come; a new leader takes 13 to 15 s
UNHEARD = "stalled"  # the reason of a gap that is ours


class SharedEntries(Protocol):
    """The shared alert log. Implemented by jetstream.bus.SharedLog."""

    async def read_after(self, number: int) -> list[bytes]:
        """Return the entries after a number. Raises JournalError."""
        ...


class Counts:
    """The counts of connected agents, as the leader publishes them."""

    def __init__(self, report: PublicReport) -> None:
        self._report = report

    def count_links(self, now_us: int | None = None) -> Mapping[tuple[str, int, str, Link], int]:
        rows = self._report.links
        return {(row.country, row.asn, row.access, row.link): row.vantages for row in rows}

    def count_established_links(self, now_us: int) -> Mapping[tuple[str, int, str, Link], int]:
        return self.count_links(now_us)  # the leader chose, by its own k

    def count_by_role(self) -> Mapping[str, int]:
        agents = self._report.agents
        return Counter(volunteer=agents.volunteers, control=agents.controls)

    def count_enrolled(self) -> int:
        return self._report.agents.enrolled


class LeaderMirror:
    """Last report of the leader with its age: sessions, coverage, log and annotations.

    Raises ForgedLogError if an entry is not the leader's.
    """

    def __init__(
        self,
        first: PublicReport,
        entries: SharedEntries,
        geo: GeoLookup,
        clock: Clock,
        bus: "Bus",
    ) -> None:
        """Begin with a report, whose entries of the log `take` reads."""
        self._entries = entries
        self._clock = clock
        self._bus = bus
        self._numbers = count(1)
        self._log = FollowedLog(first.public_key)
        self._heard_us = clock.monotonic_us()
        self.report = first  # the last one
        self.geo = geo
        self.book = self._log.book

    @property
    def connections(self) -> Counts:
        return Counts(self.report)

    @property
    def directory(self) -> Counts:
        return Counts(self.report)

    @property
    def is_stale(self) -> bool:
        return self._clock.monotonic_us() - self._heard_us > STALE_US

    async def take(self, report: PublicReport) -> list[str]:
        """Take up a report and the log's entries before it; return their incidents.

        Raises JournalError, ForgedLogError; the earlier report then stays.
        """
        changed = await self._read_log(report)
        self.report = report
        self._heard_us = self._clock.monotonic_us()
        return changed

    async def accept(self, envelope: bytes, forwarded_for: str, *, elsewhere: bool) -> pb.Receipt:
        """Let an ingest host accept an envelope that came to our HTTP server."""
        return await accept_elsewhere(
            self._bus, next(self._numbers), envelope, forwarded_for, elsewhere=elsewhere
        )

    def list_gaps(self, since_us: int, until_us: int) -> Sequence[BlindTime]:
        """List coverage gaps, with one that is open since the last report where it is old."""
        gaps = [
            replace(gap, since_us=since_us) if gap.reason == BEFORE_START else gap
            for gap in self.report.gaps
            if gap.since_us < until_us and (gap.until_us is None or gap.until_us > since_us)
        ]
        if self.is_stale and self.report.at_us < until_us:
            gaps.append(BlindTime(since_us=self.report.at_us, until_us=None, reason=UNHEARD))
        return sorted(gaps, key=attrgetter("since_us", "country"))

    def list_annotations(self, incident: str) -> Sequence[AnnotationDocument]:
        return self.report.annotations.get(incident, ())

    def problems(self) -> Sequence[str]:
        if self.is_stale:
            age_s = (self._clock.monotonic_us() - self._heard_us) // SECOND_US
            return [f"The collector that leads was last heard {age_s} s ago."]
        return self.report.problems

    async def _read_log(self, report: PublicReport) -> list[str]:
        if report.public_key != self._log.public:
            raise ForgedLogError("Another key signs the alert log than before.")
        if report.log_entries <= self._log.count:
            return []
        return self._log.take(await self._entries.read_after(self._log.count))


class MirroredFeed(LiveFeed):
    """Feed of a host that publishes; without the leader's reports it has no present."""

    mirror: LeaderMirror

    def agents(self) -> AgentCounts:
        return self.mirror.report.agents

    def _open_store(self, until_us: int = 0) -> Store:
        """Return the store, which alone does not know the present. Raises StoreError."""
        if self.mirror.is_stale and until_us > self.mirror.report.at_us:
            raise StoreError("The collector that leads is not heard: the present is not known.")
        return super()._open_store(until_us)
