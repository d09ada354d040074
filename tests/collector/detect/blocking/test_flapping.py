"""A service that fails a share of the time is a lasting partial, not many blocks."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.evidence import dominant_cause
from heliograph_collector.detect.blocking.flapping import FlappingVantages, RecentTests
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.detect.sparse.density import TimedVote
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import KZ, at, country, world

ONSET, END, UNTIL = 3_600.0, 5 * 3_600.0, 6 * 3_600.0
LIGHT_S = 150.0  # between two light checks of the default plan


def list_votes(seed: int, chance: Callable[[VantageRef], float]) -> list[TimedVote]:
    """Test as the default plan does; from ONSET to END vantages fail by this chance."""
    rng = Random(seed)
    votes: list[TimedVote] = []
    for vantage in country(each=1) + world(2):
        now_s = rng.uniform(0, LIGHT_S)
        while now_s < UNTIL:
            is_hit = ONSET <= now_s < END and rng.random() < chance(vantage)
            is_failing = is_hit or rng.random() < 0.02
            cause = (VoteValue.BLOCKED, "tls", "timeout") if is_failing else (VoteValue.GOOD,)
            vote = ServiceVote(at(now_s), vantage, "telegram", *cause)
            votes.append((vote.at_us, vote))
            now_s += LIGHT_S * rng.uniform(0.9, 1.1)
    return votes


def list_lifted(seed: int, share: float) -> tuple[list[ServiceVote], float]:
    """Return tests every 480 s of what operators lift in turn, and when the last one does."""
    rng = Random(seed)
    home = country(each=3)
    asns = sorted({vantage.place.asn for vantage in home})
    rng.shuffle(asns)
    ends = {asn: 7_200.0 + 1_200.0 * turn for turn, asn in enumerate(asns)}
    last_s = max(ends.values())
    votes: list[ServiceVote] = []
    for vantage in home + world(2, each=1):
        now_s = rng.uniform(0, 480)
        while now_s < last_s + 3_600:
            is_before = ONSET <= now_s < ends.get(vantage.place.asn, 0.0)
            is_failing = (KZ(vantage) and is_before and rng.random() < share) or (
                rng.random() < 0.01
            )
            cause = (VoteValue.BLOCKED, "tls", "timeout") if is_failing else (VoteValue.GOOD,)
            votes.append(ServiceVote(at(now_s), vantage, "telegram", *cause))
            now_s += 480 * rng.uniform(0.97, 1.03)
    return votes, last_s


def replay(votes: list[TimedVote]) -> list[Incident]:
    return [i for i in replay_signals((), votes).incidents if i.confirmed_us is not None]


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_service_that_fails_a_share_of_the_time_is_one_lasting_partial(share: float) -> None:
    (incident,) = replay(list_votes(0, lambda w: share * KZ(w)))
    assert (incident.kind, incident.scope) == (IncidentKind.PARTIAL, Scope("KZ"))
    assert incident.layer == "tls"
    assert incident.confirmed_us is not None
    assert incident.confirmed_us < at(ONSET + 1_800)
    assert incident.state is IncidentState.CLOSED
    assert incident.closed_us is not None
    assert at(END) <= incident.closed_us <= at(END + 1_800)


@pytest.mark.parametrize(("seed", "share"), [(0, 0.7), (1, 0.85)])
def test_partial_that_operators_lift_in_turn_ends_with_the_last_of_them(
    seed: int, share: float
) -> None:
    """Up to version 163 the second one was two incidents, of which one stood for 47 min more."""
    votes, last_s = list_lifted(seed, share)
    until_us = at(last_s + 3_600)
    incidents = detect_blocking(votes, at(0), until_us)
    (incident,) = [i for i in incidents if i.confirmed_us is not None]
    assert incident.closed_us is not None
    assert at(last_s) <= incident.closed_us <= at(last_s + 1_200)


@pytest.mark.parametrize(
    "chance",
    [
        lambda w: 0.4,  # everywhere: the service
        lambda w: 0.05 * KZ(w),  # noise
    ],
)
def test_failing_share_of_the_service_itself_is_no_incident(
    chance: Callable[[VantageRef], float],
) -> None:
    assert replay(list_votes(1, chance)) == []


def test_block_of_a_third_of_the_country_is_a_block() -> None:
    """A block of a third of the country is a block.

    Vantages that always fail are not a service that fails a share of the time.
    """
    (incident,) = replay(list_votes(1, lambda w: float(KZ(w) and w.place.region == "ALA")))
    assert (incident.kind, incident.scope) == (IncidentKind.BLOCKING, Scope("KZ", "ALA"))


@pytest.mark.parametrize(
    ("results", "is_flapping"),
    [
        ("110011001", True),
        ("1111111111110", False),
        ("111111000000", False),  # a block that ended
        ("1000001000000", False),
        ("10101", False),  # too few
    ],
)
def test_flapping(results: str, is_flapping: bool) -> None:
    recent = RecentTests()
    for index, result in enumerate(results):
        value = VoteValue.BLOCKED if result == "1" else VoteValue.GOOD
        recent.add(ServiceVote(index, country()[0], "telegram", value))
    assert recent.is_flapping is is_flapping


def test_what_flaps_in_a_confirmed_block_is_no_second_incident() -> None:
    """A service that flaps in a confirmed block is no second incident.

    All lines are blocked, and an operator has nothing but lines. Up to version 97 its cell opened
    an incident of no failure, shown as an isolation of the place.
    """
    lines = [vantage for vantage in country() if vantage.place.access == "fixed"]
    failures = [ServiceVote(at(0), v, "telegram", VoteValue.BLOCKED, "tls") for v in lines]
    fixed = (AffectedCell(Scope("KZ", access="fixed"), 18.0, 0.8, 3),)
    block = BlockingEpisode.open_new("telegram", fixed, failures, [], at(60), THRESHOLDS)
    operator = (AffectedCell(Scope("KZ", asn=lines[0].place.asn), 6.0, 0.8, 1),)
    flapping = FlappingVantages()
    flapping.record_tests(failures)
    first_bad = {vote.witness.nym: vote for vote in failures}
    assert not flapping.is_explained([block], operator, first_bad)
    block.confirm(fixed, at(120))
    assert flapping.is_explained([block], operator, first_bad)
    phones = [v for v in country() if v.place.access == "mobile"]
    beside = [ServiceVote(at(0), v, "telegram", VoteValue.BLOCKED, "tls") for v in phones]
    flapping.record_tests(beside)
    first_bad |= {vote.witness.nym: vote for vote in beside}
    assert not flapping.is_explained([block], (AffectedCell(Scope("KZ"), 36.0, 0.8, 6),), first_bad)


def test_no_failure_is_no_sign_of_an_isolation() -> None:
    assert dominant_cause([]) == (IncidentKind.BLOCKING, "", "")


CITY = AffectedCell(Scope("KZ", "ALA"), 6.0, 0.7, 3)
LINES = AffectedCell(Scope("KZ", access="fixed"), 9.0, 1.0, 3)
CLOSED_S = 600.0


def list_tests(results: str) -> list[list[ServiceVote]]:
    """List the bins of a country whose vantages all have these results each minute."""
    bins = []
    for number, result in enumerate(results):
        vote = ServiceVote(at(60 * number), country()[0], "telegram", VoteValue.GOOD)
        if result == "1":
            vote = replace(vote, standing=VoteValue.BLOCKED, layer="tls", method="timeout")
        bins.append([replace(vote, witness=vantage) for vantage in country(each=1)])
    return bins


def find_own(results: str, cell: AffectedCell, now_s: float) -> BlockingEpisode | None:
    """Find the episode of a city, closed at CLOSED_S, for lines that flap now."""
    flapping = FlappingVantages()
    bins = list_tests(results)
    for votes in bins:
        flapping.record_tests(votes)
    episode = BlockingEpisode.open_new("telegram", (cell,), [], [], at(CLOSED_S), THRESHOLDS)
    episode.confirm((cell,), at(CLOSED_S))
    episode.state = IncidentState.CLOSED
    episode.closed_us = at(CLOSED_S)
    found = flapping.find_partial([episode], [LINES], bins[-1], at(now_s), THRESHOLDS)
    return found and episode


FLAPPING = "1100110101"


@pytest.mark.parametrize(
    ("results", "cell", "now_s", "is_own"),
    [
        (FLAPPING, CITY, CLOSED_S + 60, True),
        (FLAPPING, CITY, CLOSED_S + 4_000, False),  # long ago
        ("1111111000", CITY, CLOSED_S + 60, False),  # a block that ended
        (FLAPPING, AffectedCell(Scope("KZ", "ALA", 0, "mobile"), 3.0, 1.0, 3), 660.0, False),
    ],
)
def test_block_that_a_minute_of_a_partial_looked_like_is_that_partial(
    results: str, cell: AffectedCell, now_s: float, *, is_own: bool
) -> None:
    """A block that looked like a partial for a minute is that partial.

    A city is found by chance, and a minute later all lines, which hold half of it.
    """
    assert (find_own(results, cell, now_s) is not None) is is_own


def test_tests_before_a_block_was_told_do_not_end_it() -> None:
    """Tests before a block was confirmed do not end it.

    They are part of its evidence: a failing share of a half has quiet minutes.
    """
    episode = BlockingEpisode.open_new("telegram", (CITY,), [], [], at(0), THRESHOLDS)
    episode.confirm((CITY,), at(60))
    cause = VoteValue.GOOD
    people = [v for v in country(each=2) if v.place.region == "ALA"]
    before = [ServiceVote(at(40), v, "telegram", cause) for v in people]
    episode.check_recovery(before, before, at(80))
    assert episode.is_open
    after = [ServiceVote(at(65), v, "telegram", cause) for v in people]
    episode.check_recovery(after, after, at(80))
    assert not episode.is_open


@pytest.mark.parametrize("seed", range(3))
def test_an_outage_of_the_service_leaves_no_partial_of_a_city(seed: int) -> None:
    """An outage of the service leaves no partial of a city.

    Most tests failed everywhere for four hours; soon after it a few fail in one city.
    """
    city = [w for w in country(each=1) if w.place.region == "ALA"]
    votes = []
    for at_us, vote in list_votes(seed, lambda w: 0.8):
        is_late = at(END + 600) <= at_us < at(END + 1_080) and vote.witness in city[:3]
        failing = replace(vote, standing=VoteValue.BLOCKED, layer="tls", method="timeout")
        votes.append((at_us, failing if is_late else vote))
    assert replay(votes) == []
