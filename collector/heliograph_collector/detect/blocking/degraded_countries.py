"""Detect countries where tests of most services fail now and then for a long time.

Theory of operation. Failures of all services alike are no block of one (other_services.py), so a
country whose state slows all that crosses its border would look well. Votes cannot tell that from a
cable that broke or an evening on which all lines are full: it is one suspicion of low confidence,
held for `all_services`, and never more. States of a country: calm → degraded in `_HOLD_BINS` more
bins than not (suspected) → hardly any test fails for `_CLEAR_BINS` (closed).

A vantage is impaired when its tests of several services now fail and now work. A block, of however
many services, fails each test from its beginning to its end, so it impairs nobody. The vantages of
one network, region or kind of access are congestion: without any of these, most of the others must
be impaired as well. Where the median other country fails too, the fault is none of this country.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.blocking.country_service import CountryService
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.other_services import ANSWERED
from heliograph_collector.detect.stats.localization import attach_persons
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    VotesByPlace,
    count_votes,
    is_established,
    sum_votes,
)
from heliograph_collector.incidents.incident import (
    MOST_SERVICES,
    Bracket,
    HoldReason,
    Incident,
    IncidentKind,
    IncidentState,
    incident_id,
)
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    ServiceVote,
    VantageLocation,
    VantageRef,
    VoteValue,
)
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

# Assumed, all of them:
_KNOWN_US = 30 * MINUTE_US  # an older test shows nothing about a vantage
_RECENT = 0b11111111  # the last eight tests of a vantage of one service …
_CHANGES = 3  # … that changed so often; a block that begins and ends is two changes
_LATEST = 0b111  # the last three, which show the present rate
_LATEST_TESTS = 3
_FLAPPING_SERVICES = 0.25  # of a vantage's services
_MIN_SERVICES = 4  # fewer do not show that it is no matter of a service
_MIN_VOTES = 5  # vantages that test a service
_SERVICE_SHARE = 0.12  # of the latest tests of a service that is impaired
_SERVICES = 0.6  # of all services, impaired
_COUNTRY_SHARE = 0.15  # of the latest tests of the country
_BLOCKED = 0.85  # of the latest tests: a block, and no congestion
_CALM = 0.07  # of the fresh votes, or a little more than noise
_CALM_BINS = 3  # in a row end a run of failures; of few votes a third is none by chance …
_SURELY_CALM_BINS = 10  # … but hardly ever for so long
_OTHERS_FAIL = 0.15  # of the fresh votes of the median other country
_HOLD_BINS = 10
_CLEAR_SHARE = 0.08  # of the latest tests of the country …
_CLEAR_MEDIAN = 0.03  # … or of its median service, where another is still blocked in part
_CLEAR_BINS = 5
_ENDED_US = 40 * MINUTE_US  # until so much later that shows: three tests, and these bins

FreshVotes = Mapping[str, Mapping[str, Sequence[ServiceVote]]]  # by service and country


@dataclass(frozen=True, slots=True)
class RecentResults:
    """The latest tests of one service by one vantage; 1 is a failure."""

    witness: VantageRef
    bits: int
    is_answered: bool  # somebody answered in the service's place

    @property
    def latest(self) -> int:
        """Return how many of the last three failed."""
        return (self.bits & _LATEST).bit_count()

    @property
    def is_flapping(self) -> bool:
        recent = self.bits & _RECENT
        return ((recent ^ recent >> 1) & _RECENT >> 1).bit_count() >= _CHANGES


@dataclass(frozen=True, slots=True)
class DegradedCell:
    """A degraded country as a cell, and its impaired vantages."""

    cell: AffectedCell
    pseudonyms: Sequence[str]


@dataclass(slots=True, kw_only=True)
class CountryDegradation:
    """State and episodes of a country's degradation; saved in checkpoints."""

    country: str
    calm_us: int  # end of the last bin that was surely calm
    failing_us: int = 0  # end of the first bin of the present run of failures
    calm_bins: int = 0  # in a row
    degraded_bins: int = 0  # less those since then that were not
    clear_bins: int = 0  # in a row
    is_restored: bool = False  # from the log, until the first bin: no test of before is known
    clear_from_us: int = 0  # before it too few tests are known again to call it clear
    episodes: list[BlockingEpisode] = field(default_factory=list)

    @property
    def ongoing(self) -> BlockingEpisode | None:
        return next((episode for episode in self.episodes if episode.is_open), None)

    def record_share(self, share: float, now_us: int) -> None:
        """Record the failing share of the fresh votes, which dates the onset."""
        is_calm = share < _CALM
        self.calm_bins = self.calm_bins + 1 if is_calm else 0
        if not is_calm and not self.failing_us:
            self.failing_us = now_us
        elif self.calm_bins >= _CALM_BINS:
            self.failing_us = 0
        if self.calm_bins >= _SURELY_CALM_BINS:
            self.calm_us = now_us

    def judge_bin(self, degraded: DegradedCell | None, now_us: int, limits: Thresholds) -> None:
        """Open an episode where the country has been degraded in enough bins."""
        step = 1 if degraded is not None else -1
        self.degraded_bins = max(0, self.degraded_bins + step)
        if degraded is not None and self.ongoing is None and self.degraded_bins >= _HOLD_BINS:
            self.episodes.append(self._start_episode(degraded, now_us, limits))

    def check_end(self, now_us: int, *, is_clear: bool) -> None:
        if self.is_restored:
            self.is_restored = False
            self.clear_from_us = now_us + _ENDED_US
        self.clear_bins = self.clear_bins + 1 if is_clear and now_us >= self.clear_from_us else 0
        episode = self.ongoing
        if episode is not None and self.clear_bins >= _CLEAR_BINS:
            # Closed, though never confirmed: that so many tests failed is no error.
            episode.state = IncidentState.CLOSED
            episode.ended = Bracket(now_us - _ENDED_US, now_us)
            episode.closed_us = now_us
            self.degraded_bins = 0

    def _start_episode(
        self, degraded: DegradedCell, now_us: int, limits: Thresholds
    ) -> BlockingEpisode:
        scope = degraded.cell.scope
        latest_us = self.failing_us or now_us
        started = Bracket(min(self.calm_us - int(limits.fresh_s * SECOND_US), latest_us), latest_us)
        return BlockingEpisode(
            id=incident_id("reach", MOST_SERVICES, scope, started, degraded.pseudonyms),
            service=MOST_SERVICES,
            parts=(degraded.cell,),
            started=started,
            suspected_us=now_us,
            limits=limits,
            kind=IncidentKind.PARTIAL,
            layer="",
            method="",
            confidence=limits.low,
            held=(HoldReason.ALL_SERVICES,),
        )


@dataclass(slots=True)
class DegradedCountries:
    """The countries whose tests of most services fail a share of the time, by code."""

    countries: dict[str, CountryDegradation] = field(default_factory=dict)

    def judge_bin(
        self,
        fresh: FreshVotes,
        services: Mapping[str, Mapping[str, CountryService]],
        now_us: int,
        limits: Thresholds,
    ) -> None:
        """Evaluate one bin of all countries.

        Args:
            fresh: The fresh votes by service and country.
            services: The state of each service, by service and country.
            now_us: The end of the bin.
            limits: The thresholds.
        """
        counts = _count_fresh(fresh)
        for name, count in sorted(counts.items()):
            own = self.countries.setdefault(name, CountryDegradation(country=name, calm_us=now_us))
            own.record_share(count.share, now_us)
            if count.share < _CALM and own.ongoing is None:
                own.degraded_bins = 0
                continue
            if _do_others_fail(counts, name, limits):
                own.degraded_bins = 0
                own.check_end(now_us, is_clear=True)
                continue
            judged = _select_judged(
                list_results(by_country[name], now_us, limits)
                for by_country in services.values()
                if name in by_country
            )
            own.judge_bin(find_degraded(name, judged, limits), now_us, limits)
            own.check_end(now_us, is_clear=is_clear(judged))

    def incidents(self) -> tuple[Incident, ...]:
        return tuple(
            episode.to_incident() for own in self.countries.values() for episode in own.episodes
        )

    def restore(self, incident: Incident) -> None:
        """Restore an incident from the log, without its tests."""
        country = incident.scope.country
        new = CountryDegradation(country=country, calm_us=incident.started.earliest_us)
        own = self.countries.setdefault(country, new)
        own.is_restored = own.is_restored or incident.closed_us is None
        episode = BlockingEpisode.from_incident(incident, THRESHOLDS)
        episode.held = incident.held
        episode.closed_us = incident.closed_us
        own.episodes.append(episode)

    def forget(self, before_us: int) -> None:
        """Drop episodes that ended before a time."""
        for own in self.countries.values():
            own.episodes = [e for e in own.episodes if e.is_open or (e.closed_us or 0) >= before_us]


def list_results(service: CountryService, now_us: int, limits: Thresholds) -> list[RecentResults]:
    """List the recent results of the established vantages that still test a service."""
    since_us = now_us - _KNOWN_US
    results = []
    for name, vote in service.known.newest.items():
        is_hosting = vote.witness.place.access == "hosting"  # a state lets data centers through
        is_known = vote.at_us >= since_us and vote.standing is not VoteValue.DOWN
        if is_known and not is_hosting and is_established(vote.witness, now_us, limits):
            recent = service.flapping.tests.get(name)
            bits = recent.bits if recent is not None else 0
            is_answered = vote.standing in FAILING_VALUES and vote.method in ANSWERED
            results.append(RecentResults(vote.witness, bits, is_answered))
    return results


def find_degraded(
    country: str, judged: Sequence[Sequence[RecentResults]], limits: Thresholds
) -> DegradedCell | None:
    """Return the country as a cell if it is degraded.

    Args:
        country: Its code.
        judged: The recent results of each service that is judged.
        limits: The thresholds.
    """
    impaired = sum(_find_share(results) >= _SERVICE_SHARE for results in judged)
    if len(judged) < _MIN_SERVICES or impaired < _SERVICES * len(judged):
        return None
    share = _find_share([result for results in judged for result in results])
    if share < _COUNTRY_SHARE:
        return None
    hits = _list_impaired(judged)
    by_place = count_votes(hits, limits.nat_votes)
    count = sum_votes(by_place)
    networks = len({location.asn for location, votes in by_place.items() if votes.hits})
    if count.votes < limits.votes or not _is_everywhere(by_place, limits):
        return None
    cell = AffectedCell(Scope(country), count.votes, round(share, 3), networks, lines=count.lines)
    cells = attach_persons((cell,), count_votes(hits))
    return DegradedCell(cells[0], [witness.nym for witness, is_impaired in hits if is_impaired])


def is_clear(judged: Sequence[Sequence[RecentResults]]) -> bool:
    """Return whether hardly any recent test fails, or none of the median service."""
    if not judged:
        return False
    share = _find_share([result for results in judged for result in results])
    return share <= _CLEAR_SHARE or median_low(map(_find_share, judged)) <= _CLEAR_MEDIAN


def _select_judged(services: Iterable[Sequence[RecentResults]]) -> list[Sequence[RecentResults]]:
    """Select the services that enough vantages test, and that are not blocked."""
    enough = (results for results in services if len(results) >= _MIN_VOTES)
    return [r for r in enough if _find_share(r) < _BLOCKED and not _is_answered(r)]


def _is_answered(results: Sequence[RecentResults]) -> bool:
    """Return whether most of the failing get an answer, which no full line gives."""
    answered_count = sum(result.is_answered for result in results)
    return 2 * answered_count > sum(result.latest > 0 for result in results)


def _find_share(results: Sequence[RecentResults]) -> float:
    return sum(result.latest for result in results) / (_LATEST_TESTS * len(results))


def _list_impaired(
    services: Iterable[Sequence[RecentResults]],
) -> list[tuple[VantageRef, bool]]:
    """List the vantages, and whether enough of their services flap."""
    flapping: defaultdict[str, list[bool]] = defaultdict(list)
    witnesses: dict[str, VantageRef] = {}
    for results in services:
        for result in results:
            flapping[result.witness.nym].append(result.is_flapping)
            witnesses[result.witness.nym] = result.witness
    return [
        (witnesses[name], sum(hits) >= _FLAPPING_SERVICES * len(hits))
        for name, hits in flapping.items()
    ]


def _is_everywhere(by_place: VotesByPlace, limits: Thresholds) -> bool:
    """Return whether most are impaired, overall and without any network or area.

    A network is compared with three votes of others at least.
    """
    networks = {Scope(location.country, asn=location.asn) for location in by_place}
    areas = {Scope(location.country, location.region) for location in by_place}
    areas |= {Scope(location.country, access=location.access) for location in by_place}
    counts = [sum_votes(by_place), *(_count_outside(by_place, network) for network in networks)]
    outside = (_count_outside(by_place, area) for area in areas if area.named_fields)
    counts += [count for count in outside if count.votes >= limits.witnesses]
    return all(
        count.votes >= limits.witnesses and count.share >= limits.confirm_share for count in counts
    )


def _count_outside(by_place: VotesByPlace, group: Scope) -> VoteCount:
    outside: dict[VantageLocation, VoteCount] = {
        location: votes for location, votes in by_place.items() if not group.includes(location)
    }
    return sum_votes(outside)


def _count_fresh(fresh: FreshVotes) -> dict[str, VoteCount]:
    """Count the fresh votes of each country, and those that fail."""
    counts: defaultdict[str, VoteCount] = defaultdict(VoteCount)
    for by_country in fresh.values():
        for country, votes in by_country.items():
            failing = sum(vote.standing in FAILING_VALUES for vote in votes)
            counts[country].add(VoteCount(len(votes), failing))
    return counts


def _do_others_fail(counts: Mapping[str, VoteCount], country: str, limits: Thresholds) -> bool:
    """Return whether the median other country fails too."""
    shares = [
        count.share
        for name, count in counts.items()
        if name != country and count.votes >= limits.witnesses
    ]
    return bool(shares) and median_low(shares) >= _OTHERS_FAIL
