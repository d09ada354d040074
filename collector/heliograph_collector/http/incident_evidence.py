"""The evidence of an incident: its networks' votes or silences, and measurements."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Unpack

from heliograph.clock import Clock
from heliograph.units import HOUR_US
from heliograph_collector.http.backend import LinkCount
from heliograph_collector.http.incident_document import OPEN_STATES, end_time, parse_us
from heliograph_collector.http.measurement_view import (
    MeasurementLine,
    build_line,
    format_network,
)
from heliograph_collector.incidents.incident import tested_service
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.model.filters import MeasurementFilter, PlaceFilter
from heliograph_collector.model.judgement import MeasurementPage
from heliograph_collector.model.records import (
    SilenceCount,
    VerdictState,
    Vote,
)
from heliograph_collector.store.clickhouse import StoreError

_BIN_S = 60
_LEAD_US = 300_000_000  # the evidence includes this time before the incident
_MAX_SPAN_US = 6 * HOUR_US  # of a longer incident only the beginning
_MAX_MEASUREMENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkVotes:
    """The vantages of one network during an incident.

    For a silence (`is_silence`), `bad` counts those silent at once, `good` those connected now.
    """

    name: str
    bad: int
    good: int
    unknown: int
    is_silence: bool

    @property
    def bar_widths(self) -> tuple[int, int, int]:
        """Return the shares of failing, good and unknown vantages, in percent."""
        total = max(1, self.bad + self.good + self.unknown)
        bad = round(100 * self.bad / total)
        good = round(100 * self.good / total)
        return bad, good, 100 - bad - good


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvidence:
    networks: Sequence[NetworkVotes] = ()
    measurements: Sequence[MeasurementLine] = ()
    problem: str = ""


class EvidenceSource(Protocol):
    """Data behind an incident, without delay; a public feed is some minutes behind."""

    clock: Clock

    async def votes(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> Sequence[Vote]: ...
    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> Sequence[SilenceCount]: ...
    async def measurements(
        self, filters: MeasurementFilter, cursor: str, limit: int
    ) -> MeasurementPage: ...
    def links(self) -> Sequence[LinkCount]: ...


class EvidenceReader:
    """Reader of the evidence, for the operator."""

    def __init__(self, feed: EvidenceSource) -> None:
        self._feed = feed

    async def read_evidence(self, incident: IncidentSummary) -> IncidentEvidence:
        """Read the evidence; if the store does not answer, it holds only the problem."""
        since_us, until_us = _evidence_window(incident, self._feed.clock.wall_us())
        try:
            networks = await self._count_networks(incident, since_us, until_us)
            measurements = await self._list_measurements(incident, since_us, until_us)
        except StoreError as error:
            return IncidentEvidence(problem=f"The store does not answer just now: {error}")
        return IncidentEvidence(networks=networks, measurements=measurements)

    async def _count_networks(
        self, incident: IncidentSummary, since_us: int, until_us: int
    ) -> list[NetworkVotes]:
        scope = incident.scope
        window = (since_us, until_us, _BIN_S)
        if not scope.service:
            live_links = self._feed.links() if incident.state in OPEN_STATES else ()
            country_links = [
                link_count for link_count in live_links if link_count.country == scope.country
            ]
            silences = await self._feed.silences(*window, country=scope.country)
            return count_silences(silences, country_links)
        service = tested_service(scope.service)
        if not service:  # all tests of a country for hours are too much to count for a page
            return []
        votes = await self._feed.votes(*window, country=scope.country, service=service)
        return count_votes(votes)

    async def _list_measurements(
        self, incident: IncidentSummary, since_us: int, until_us: int
    ) -> list[MeasurementLine]:
        """List the blocked measurements of an incident; a silence has none."""
        scope = incident.scope
        if not scope.service:
            return []
        filters = MeasurementFilter(
            country=scope.country,
            region=scope.region,
            asn=scope.asn or None,
            access=scope.access,
            service=tested_service(scope.service),
            state=VerdictState.BLOCKED.value,
            since_us=since_us,
            until_us=until_us,
        )
        page = await self._feed.measurements(filters, "", _MAX_MEASUREMENTS)
        return [build_line(*judged) for judged in page.items]


def count_votes(votes: Sequence[Vote]) -> list[NetworkVotes]:
    """Count each vantage once by its most frequent verdict."""
    counts_by_vantage: dict[tuple[int, str, str], Counter[str]] = defaultdict(Counter)
    for vote in votes:
        counts_by_vantage[vote.asn, vote.access, vote.pseudonym].update(
            bad=vote.blocked, good=vote.reachable
        )
    states: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for (asn, access, _), counts in counts_by_vantage.items():
        states[asn, access][_classify_votes(counts["bad"], counts["good"])] += 1
    networks = [
        NetworkVotes(
            name=format_network(asn, access),
            bad=vantages["bad"],
            good=vantages["good"],
            unknown=vantages["unknown"],
            is_silence=False,
        )
        for (asn, access), vantages in states.items()
    ]
    return sorted(networks, key=_rank_network)


def count_silences(
    silences: Sequence[SilenceCount], live_links: Sequence[LinkCount] = ()
) -> list[NetworkVotes]:
    """Count per network the most vantages silent at once, and those connected."""
    silent_by_start: Counter[tuple[int, str, int]] = Counter()
    for silence in silences:
        silent_by_start[silence.asn, silence.access, silence.start_us] += silence.vantages
    max_silent: dict[tuple[int, str], int] = {}
    for (asn, access, _), silent in silent_by_start.items():
        max_silent[asn, access] = max(silent, max_silent.get((asn, access), 0))
    live_vantages: Counter[tuple[int, str]] = Counter()
    for link in live_links:
        live_vantages[link.asn, link.access] += link.vantages
    networks = [
        NetworkVotes(
            name=format_network(*network),
            bad=max_silent.get(network, 0),
            good=live_vantages[network],
            unknown=0,
            is_silence=True,
        )
        for network in {*max_silent, *live_vantages}
    ]
    return sorted(networks, key=_rank_network)


def _rank_network(network: NetworkVotes) -> tuple[int, int, str]:
    return -network.bad, -network.good, network.name


def _classify_votes(bad: int, good: int) -> str:
    if bad == good == 0:
        return "unknown"
    return "bad" if bad > good else "good"


def _evidence_window(incident: IncidentSummary, now_us: int) -> tuple[int, int]:
    since_us = parse_us(incident.started.earliest)
    end = end_time(incident)
    until_us = min(parse_us(end) if end else now_us, since_us + _MAX_SPAN_US)
    bin_us = _BIN_S * 1_000_000
    first_us = (since_us - _LEAD_US) // bin_us * bin_us
    return first_us, max(until_us, since_us + bin_us) // bin_us * bin_us + bin_us
