"""Blocking detector: votes on services in, incidents out, bin by bin.

A cell's evidence is a CUSUM of log-likelihood ratios per bin. Each ratio compares a beta-binomial
with the failing rate of a block against one with the rate of the other countries. A service that
fails everywhere is down, not blocked.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Protocol

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.country_service import (
    CountryService,
    CountryServiceState,
)
from heliograph_collector.detect.blocking.degraded_countries import DegradedCountries
from heliograph_collector.detect.blocking.editions import AgentEditions
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.flapping import FlappingVantages
from heliograph_collector.detect.blocking.latest_votes import (
    NewVoters,
    VoterKey,
    list_worst_votes,
    select_votes,
    update_latest,
)
from heliograph_collector.detect.blocking.other_countries import failing_rate, is_down
from heliograph_collector.detect.blocking.other_services import (
    CountryTests,
    OtherServices,
    group_tests,
)
from heliograph_collector.detect.blocking.walled_links import WalledLinks, drop_walled
from heliograph_collector.detect.blocking.world_comparison import WorldComparison
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import MOST_SERVICES, Incident
from heliograph_collector.model.seniority import find_seniority
from heliograph_collector.model.signals import ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds


class WorldVotes(Protocol):
    """Votes of the other countries, which replace those of the detector."""

    def count_bin(self, end_us: int) -> VoteCount:
        """Count the votes of the bin that ends at `end_us`."""
        ...


JudgedCell = tuple[str, str]  # a service and a country


class ContextVotes(Protocol):
    """Votes of the same country on other services, which are only context here."""

    def list_recent(self, country: str, end_us: int) -> Mapping[str, Sequence[ServiceVote]]:
        """List by service the recent votes at the end of a bin."""
        ...


_AHEAD_BINS = 5  # a vote of a clock further ahead counts at the end of these bins; assumed
_FORGET_US = 48 * 3_600 * SECOND_US  # assumed


def detect_blocking(
    votes: Iterable[ServiceVote],
    since_us: int,
    until_us: int,
    limits: Thresholds = THRESHOLDS,
    world: WorldVotes | None = None,
    context: ContextVotes | None = None,
    judged: JudgedCell | None = None,
) -> tuple[Incident, ...]:
    """Detect blocking in the votes of [since, until), in whole bins.

    The order of votes is free.

    Args:
        world: Replaces the votes of the other countries if `votes` are of one country.
        context: The votes on services that are not judged, to compare these with.
        judged: The only one that is judged; the others compare.
    """
    detector = BlockingDetector(since_us, limits, world, context, judged)
    width = detector.width_us
    bins: defaultdict[int, list[ServiceVote]] = defaultdict(list)
    for vote in votes:
        bins[(vote.at_us - since_us) // width].append(vote)
    for index in range(max(0, (until_us - since_us) // width)):
        for vote in bins.get(index, ()):
            detector.add_vote(vote)
        detector.close_bins(since_us + (index + 1) * width)
    return detector.incidents()


@dataclass(slots=True)
class ServiceVotes:
    """Votes on one service: the newest by vantage and experiment, and its countries."""

    latest: dict[VoterKey, ServiceVote] = field(default_factory=dict)
    countries: dict[str, CountryService] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceBin:
    """The fresh votes on one service by country, and who has a new one, in one bin."""

    by_country: Mapping[str, list[ServiceVote]]
    new_voters: NewVoters


@dataclass(slots=True, kw_only=True)
class BlockingDetectorState:
    """State of a BlockingDetector as plain values, for checkpoints."""

    since_us: int
    waiting: list[ServiceVote]
    services: list[tuple[str, list[ServiceVote], list[CountryServiceState]]]
    editions: AgentEditions = field(default_factory=AgentEditions)
    links: WalledLinks = field(default_factory=WalledLinks)
    degraded: DegradedCountries = field(default_factory=DegradedCountries)


class BlockingDetector:
    """Incremental detector that reads votes singly; `since_us` begins the open bin."""

    def __init__(
        self,
        since_us: int,
        limits: Thresholds = THRESHOLDS,
        world: WorldVotes | None = None,
        context: ContextVotes | None = None,
        judged: JudgedCell | None = None,
    ) -> None:
        self.limits = limits
        self.since_us = since_us
        self.waiting_votes: list[ServiceVote] = []  # of the open bin and later ones
        self.services: dict[str, ServiceVotes] = {}
        self.editions = AgentEditions()
        self.links = WalledLinks()
        self.degraded = DegradedCountries()
        self._world = world
        self._context = context
        self._judged = judged

    def state(self) -> BlockingDetectorState:
        """Return the state to save at once, because it shares parts with the detector."""
        return BlockingDetectorState(
            since_us=self.since_us,
            waiting=self.waiting_votes,
            services=[
                (name, list(s.latest.values()), [front.state() for front in s.countries.values()])
                for name, s in self.services.items()
            ],
            editions=self.editions,
            links=self.links,
            degraded=self.degraded,
        )

    @classmethod
    def from_state(
        cls, state: BlockingDetectorState, judged: JudgedCell | None = None
    ) -> "BlockingDetector":
        detector = cls(state.since_us, judged=judged)
        detector.waiting_votes = state.waiting
        detector.editions = state.editions
        detector.links = state.links
        detector.degraded = state.degraded
        for name, latest, countries in state.services:
            detector.services[name] = ServiceVotes(
                {(vote.witness.nym, vote.source): vote for vote in latest},
                {
                    country_state.country: CountryService.from_state(country_state, name)
                    for country_state in countries
                },
            )
        return detector

    @property
    def width_us(self) -> int:
        return int(self.limits.bin_s * SECOND_US)

    def add_vote(self, vote: ServiceVote) -> bool:
        """Add a vote; return False if it is too old to count.

        A vote older than `fresh_s` at the end of the open bin is too old.
        """
        if not find_seniority(vote.witness.first_us, vote.at_us, self.limits).has_vote:
            return True  # it has no vote, now or later
        until_us = self.since_us + self.width_us
        if vote.at_us < until_us - int(self.limits.fresh_s * SECOND_US):
            return False
        latest_us = until_us + _AHEAD_BINS * self.width_us
        if vote.at_us >= latest_us:
            vote = replace(vote, at_us=latest_us - 1)
        self.waiting_votes.append(vote)
        return True

    def close_bins(self, bin_end_us: int) -> bool:
        """Evaluate every bin up to this end; return whether one closed."""
        has_closed = False
        while self.since_us + self.width_us <= bin_end_us:
            has_closed = True
            if self.is_idle:  # bins without votes change nothing, so skip them
                self.since_us += (bin_end_us - self.since_us) // self.width_us * self.width_us
            else:
                self._close_bin(self.since_us + self.width_us)
        return has_closed

    def check_recovery(self, now_us: int) -> bool:
        """End blocks between two bins; return whether one ended.

        Votes are not consumed and count in their bins later.
        """
        has_ended = False
        for name, service in self.services.items():
            confirmed = {c: f for c, f in service.countries.items() if f.confirmed}
            if confirmed:
                votes = [o for o in self.waiting_votes if o.service == name and o.at_us < now_us]
                has_ended |= self._check_service(service, confirmed, votes, now_us)
        return has_ended

    def _check_service(
        self,
        service: ServiceVotes,
        countries: Mapping[str, CountryService],
        votes: list[ServiceVote],
        now_us: int,
    ) -> bool:
        by_country, _ = self._add_votes(
            ServiceVotes(dict(service.latest)), sorted(votes, key=_sort_key), now_us
        )
        tests = [o for o in votes if o.standing is not VoteValue.UNKNOWN]
        recovered = [
            front.check_recovery(by_country.get(c, ()), tests, now_us)
            for c, front in countries.items()
        ]
        return any(recovered)

    @property
    def is_idle(self) -> bool:
        """Return whether bins change nothing until there is another vote."""
        return not self.waiting_votes and not any(
            service.latest
            or any(any(country.recent_cells) for country in service.countries.values())
            for service in self.services.values()
        )

    def incidents(self) -> tuple[Incident, ...]:
        of_services = tuple(
            episode.to_incident()
            for _, service in sorted(self.services.items())
            for country in service.countries.values()
            for episode in country.episodes
        )
        return of_services + self.degraded.incidents()

    def restore(self, incident: Incident) -> None:
        """Restore an incident from the log, without its votes."""
        if incident.service == MOST_SERVICES:
            self.degraded.restore(incident)
            return
        country = incident.scope.country
        countries = self.services.setdefault(incident.service, ServiceVotes()).countries
        countries.setdefault(
            country, CountryService(country, incident.service, self.limits)
        ).episodes.append(BlockingEpisode.from_incident(incident, self.limits))

    def forget(self, before_us: int) -> None:
        """Drop incidents that ended before a time, and vantages without votes for 48 h."""
        for service in self.services.values():
            for country in service.countries.values():
                country.forget(before_us, self.since_us - _FORGET_US)
        self.editions.forget(self.since_us - _FORGET_US)
        self.links.forget(self.since_us - _FORGET_US)
        self.degraded.forget(before_us)

    def _close_bin(self, end_us: int) -> None:
        due_votes = sorted((o for o in self.waiting_votes if o.at_us < end_us), key=_sort_key)
        self.waiting_votes = [o for o in self.waiting_votes if o.at_us >= end_us]
        self.editions.record(due_votes)
        self.links.record(due_votes, {n: s.countries for n, s in self.services.items()})
        votes: defaultdict[str, list[ServiceVote]] = defaultdict(list)
        for vote in due_votes:
            votes[vote.service].append(vote)
        names = sorted(self.services.keys() | votes.keys())
        walled = self.links.list_walled(self.editions.by_vantage.values(), end_us)
        bins = {name: self._open_bin(name, votes[name], walled, end_us) for name in names}
        by_service = {name: service_bin.by_country for name, service_bin in bins.items()}
        flapping = self._list_flapping()
        recent = {c: self._context.list_recent(c, end_us) for c in flapping if self._context}
        tests = group_tests(by_service, flapping, end_us, self.limits, recent)
        for name, service_bin in bins.items():
            if self._judged is None or self._judged[0] == name:
                self._judge_service(name, service_bin, tests, end_us)
                continue
            countries = self.services[name].countries
            for country, country_votes in service_bin.by_country.items():
                countries[country].record_tests(country_votes, service_bin.new_voters)
        if self._judged is None:
            by_name = {name: service.countries for name, service in self.services.items()}
            self.degraded.judge_bin(by_service, by_name, end_us, self.limits)
        self.since_us = end_us

    def _open_bin(
        self, name: str, votes: list[ServiceVote], walled: AbstractSet[str], end_us: int
    ) -> ServiceBin:
        """Add the votes of a bin on one service, without those of walled vantages."""
        service = self.services.setdefault(name, ServiceVotes())
        fresh, new_voters = self._add_votes(service, votes, end_us)
        by_country: dict[str, list[ServiceVote]] = {}
        for country, country_votes in fresh.items():
            new = CountryService(country, name, self.limits)
            country_service = service.countries.setdefault(country, new)
            by_country[country] = drop_walled(country_service, country_votes, walled)
            country_service.record_times(by_country[country])
        return ServiceBin(by_country, new_voters)

    def _list_flapping(self) -> dict[str, dict[str, FlappingVantages]]:
        """List the flapping vantages by country and service."""
        flapping: defaultdict[str, dict[str, FlappingVantages]] = defaultdict(dict)
        for name, service in self.services.items():
            for country, country_service in service.countries.items():
                flapping[country][name] = country_service.flapping
        return flapping

    def _judge_service(
        self, name: str, service_bin: ServiceBin, tests: Mapping[str, CountryTests], end_us: int
    ) -> None:
        limits = self.limits
        service = self.services[name]
        by_country = service_bin.by_country
        comparison = WorldComparison(service.countries, by_country, end_us, limits)
        comparison.note_failing()
        for country, front in sorted(service.countries.items()):
            if self._judged not in (None, (name, country)):
                continue  # its failures compare, and no more
            counts = comparison.select_counts(country)
            world_count = counts.sum_others(country, limits)
            if self._world is not None:
                world_count = self._world.count_bin(end_us)
            front.judge_bin(
                by_country.get(country, ()),
                service_bin.new_voters,
                end_us,
                failing_rate(world_count, limits),
                down=is_down(world_count, counts.by_country, country, limits),
                others=comparison.list_others(country, counts),
                usual=OtherServices(name, tests[country]),
                editions=self.editions,
            )

    def _add_votes(
        self, service: ServiceVotes, votes: Iterable[ServiceVote], now_us: int
    ) -> tuple[Mapping[str, list[ServiceVote]], NewVoters]:
        """Add votes; return the fresh votes by country, and who has a new one among them."""
        fresh_us = now_us - int(self.limits.fresh_s * SECOND_US)
        new_voters = update_latest(service.latest, votes)
        service.latest = {v: o for v, o in service.latest.items() if o.at_us >= fresh_us}
        by_country: defaultdict[str, list[ServiceVote]] = defaultdict(list)
        for vote in list_worst_votes(service.latest, new_voters):
            by_country[vote.witness.place.country].append(vote)
        votes_by_country = {c: select_votes(v, now_us, self.limits) for c, v in by_country.items()}
        return votes_by_country, new_voters


def _sort_key(vote: ServiceVote) -> tuple[int, str, str]:
    return vote.at_us, vote.witness.nym, vote.standing
