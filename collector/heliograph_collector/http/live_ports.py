"""Ports by which the live feed queries the running stages."""

from collections.abc import Awaitable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from heliograph.network_shares import NetworkKey
from heliograph.observation import Link
from heliograph.v1.intake_pb2 import Receipt
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.history import BlockingNetwork, CellHistory, HistoryFilter
from heliograph_collector.model.imported import ImportedCell, ImportedFilter, ImportedHistory
from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.model.records import BlindTime


class ConnectionCounts(Protocol):
    """Counts of the agents with a live session."""

    def count_links(
        self, now_us: int | None = None
    ) -> Mapping[tuple[str, int, str, Link], int]: ...
    def count_established_links(self, now_us: int) -> Mapping[tuple[str, int, str, Link], int]: ...
    def count_by_role(self) -> Mapping[str, int]: ...


class EnrolledAgents(Protocol):
    def count_enrolled(self) -> int: ...


class Origin(Protocol):
    @property
    def networks(self) -> Sequence[NetworkKey]: ...


class OriginFinder(Protocol):
    def find_origin(self, address_chain: str) -> IPv4Address | IPv6Address | None:
        """Find the last address of the chain that is not one of our own proxies."""
        ...

    def locate(self, address_chain: str, now_us: int) -> Origin: ...


class AgentSessions(Protocol):
    """The running ingest stage, as the feed sees it."""

    @property
    def connections(self) -> ConnectionCounts: ...
    @property
    def directory(self) -> EnrolledAgents: ...
    @property
    def geo(self) -> OriginFinder: ...
    def accept(
        self, envelope: bytes, forwarded_for: str, *, elsewhere: bool
    ) -> Awaitable[Receipt]: ...


class DetectorLog(Protocol):
    """The incidents and coverage gaps that the detectors found."""

    @property
    def book(self) -> IncidentBook: ...
    def list_gaps(self, since_us: int, until_us: int) -> Sequence[BlindTime]: ...


class AnnotationSource(Protocol):
    def list_annotations(self, incident: str) -> Sequence[AnnotationDocument]:
        """List what outside sources report beside an incident."""
        ...


class ImportedSource(Protocol):
    def count_cells(self, filters: ImportedFilter, bin_s: int) -> Sequence[ImportedCell]:
        """Count imported results of other projects. Raises StoreError."""

    def read_history(self, filters: ImportedFilter, most: int) -> ImportedHistory: ...


class HistorySource(Protocol):
    def read(self, filters: HistoryFilter) -> CellHistory:
        """Read past days as published. Raises StoreError."""
        ...

    def count_blocking_networks(self, filters: HistoryFilter) -> Sequence[BlockingNetwork]: ...


class ProblemSource(Protocol):
    def problems(self) -> Sequence[str]:
        """List reasons not to be ready, as sentences; empty if there are none."""
        ...
