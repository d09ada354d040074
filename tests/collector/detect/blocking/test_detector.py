"""Blocked services are found and end in minutes; what fails everywhere is down."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.blocking.evidence import log_likelihood_ratio
from heliograph_collector.detect.blocking.other_countries import failing_rate
from heliograph_collector.detect.engine import CLOSE_US
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS
from support.examples import draw_seeds
from support.presence_model import KZ, at, confirmed, country, people, service_votes, world

ONSET, END, UNTIL = 3_600.0, 7_200.0, 9_000.0
FEED_S = 1.5  # from a decision to the row
SITES = {("KZ", 101), ("KZ", 202), ("XA", 201), ("XB", 103), ("XC", 102), ("XC", 203)}
GOOD = (VoteValue.GOOD,)
Where = Callable[[VantageRef], bool]


def votes(
    vantages: list[VantageRef],
    rng: Random,
    where: Where,
    *,
    bad: VoteValue = VoteValue.BLOCKED,
    layer: str = "tls",
    noise: float = 0.03,
) -> list[ServiceVote]:
    """Those in `where` fail from ONSET to END."""
    return service_votes(
        vantages, rng, UNTIL, lambda w, now_s: ONSET <= now_s < END and where(w),
        cause=(bad, layer, "timeout"), noise=noise, noise_cause=(VoteValue.BLOCKED, "dns", "x"),
    )  # fmt: skip


def seconds(at_us: int | None) -> float:
    assert at_us is not None
    return (at_us - at(0)) / SECOND_US


def detect(opinions: list[ServiceVote], until_s: float = UNTIL) -> list[Incident]:
    return confirmed(detect_blocking(opinions, at(0), at(until_s)))


def holds(incident: Incident, onset_s: float, end_s: float) -> bool:
    started, ended = incident.started, incident.ended
    is_started = started.earliest_us <= at(onset_s) <= started.latest_us
    return is_started and ended is not None and ended.earliest_us <= at(end_s) <= ended.latest_us


@pytest.mark.parametrize("seed", draw_seeds(5))
def test_block_in_one_network_of_five_vantages_is_confirmed_and_closed(seed: int) -> None:
    five = people(VantageLocation("KZ", "ALA", 201, "fixed"), 5)
    rest = [w for w in country(each=1) if w.place.asn != 201]
    opinions = votes(five + rest + world(), Random(seed), lambda w: w.place.asn == 201)
    opinions = [o for o in opinions if KZ(o.witness) or o.witness.place.asn != 201]
    calm = votes(world(), Random(seed), lambda _: False)
    opinions += [o for o in calm if o.witness.place.asn == 201]
    (incident,) = detect(opinions)
    assert incident.kind is IncidentKind.BLOCKING
    assert incident.service == "telegram"
    assert (incident.layer, incident.method) == ("tls", "timeout")
    assert incident.scope == Scope("KZ", asn=201)
    assert seconds(incident.suspected_us) - ONSET > 0
    assert seconds(incident.confirmed_us) - ONSET <= 300
    assert incident.confidence <= 0.5  # five are few
    assert incident.state is IncidentState.CLOSED
    assert holds(incident, ONSET, END)
    assert seconds(incident.closed_us) - END <= 240


@pytest.mark.parametrize(("prefixes", "is_told"), [(4, True), (2, False)])
def test_phones_of_a_nat_have_five_votes_of_a_block(prefixes: int, is_told: bool) -> None:
    """Phones of a NAT have five votes of a block.

    An operator's eight phones are behind four prefixes; two prefixes may be one box.
    """
    place = VantageLocation("KZ", "ALA", 101, "mobile")
    phones = [
        replace(phone, prefix=f"nat{number % prefixes}")
        for number, phone in enumerate(people(place, 8))
    ]
    rest = [w for w in country(each=1) if w.place.asn != 101]
    opinions = votes(phones + rest, Random(2), lambda w: w.place.asn == 101)
    opinions += votes(world(), Random(3), lambda _: False)
    told = [(i.scope, i.confidence <= 0.5) for i in detect(opinions)]
    assert told == ([(Scope("KZ", asn=101), True)] if is_told else [])


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (VoteValue.BLOCKED, IncidentKind.BLOCKING),
        (VoteValue.THROTTLED, IncidentKind.THROTTLING),
        (VoteValue.PARTIAL, IncidentKind.PARTIAL),
    ],
)
def test_national_block_names_its_kind_and_the_country(bad: VoteValue, kind: IncidentKind) -> None:
    (incident,) = detect(votes(country(each=1) + world(), Random(1), KZ, bad=bad, layer="http"))
    assert (incident.kind, incident.layer, incident.scope) == (kind, "http", Scope("KZ"))
    assert incident.confidence > 0.9


def test_partial_block_names_the_function_that_most_votes_name() -> None:
    opinions = votes(country(each=1) + world(), Random(1), KZ, bad=VoteValue.PARTIAL, layer="tls")
    named = [
        replace(o, function="media,web" if i % 4 == 0 else "web")
        if o.standing is VoteValue.PARTIAL
        else o
        for i, o in enumerate(opinions)
    ]
    (incident,) = detect(named)
    assert "blocked_web" in incident.hints
    assert "blocked_media" not in incident.hints


@pytest.mark.parametrize("bad", [VoteValue.BLOCKED, VoteValue.DOWN])
def test_service_that_fails_all_over_the_world_is_no_block(bad: VoteValue) -> None:
    assert detect(votes(country(each=2) + world(), Random(2), lambda _: True, bad=bad)) == []


@pytest.mark.parametrize("lead_s", [30, 90, 150])
def test_service_outage_seen_here_first_is_withdrawn(lead_s: float) -> None:
    rng = Random(3)
    here = votes(country(each=2), rng, lambda _: True)
    there = votes(world(), rng, lambda _: True)
    there = [o for o in there if not ONSET <= seconds(o.at_us) < ONSET + lead_s]
    incidents = detect_blocking(here + there, at(0), at(UNTIL))
    assert {i.state for i in incidents} <= {IncidentState.WITHDRAWN}
    assert all(i.held == ("down_elsewhere",) for i in incidents)
    assert lead_s > 60 or confirmed(incidents) == []


@pytest.mark.parametrize("seed", [1, 4])
def test_part_of_a_delivery_network_that_fails_for_three_countries_is_no_block(seed: int) -> None:
    """For three of five people in each, four tests of five."""
    rng = Random(seed)
    vantages = country(each=1) + world(7)
    near = [w for w in vantages if KZ(w) or w.place.country in ("XA", "XB")]
    hit = {w.nym for w in near if rng.random() < 0.62}
    opinions = service_votes(
        vantages, rng, UNTIL,
        lambda w, now_s: ONSET <= now_s < END and w.nym in hit and rng.random() < 0.8,
    )  # fmt: skip
    assert detect(opinions) == []


def test_end_of_a_block_is_no_new_block() -> None:
    """The end of a block is no new block.

    One city tests last after the end, when two of the last three minutes had failed.
    """
    at_home = country(each=2)
    city = [w for w in at_home if w.place.region == "VOS"]
    rest = [w for w in at_home if w not in city]
    phases = {w.nym: 110 * number / len(rest) for number, w in enumerate(rest)}
    phases |= {w.nym: 125.0 + number for number, w in enumerate(city)}
    opinions = votes(world(), Random(1), lambda _: False)
    for witness in at_home:
        for turn in range(int(UNTIL / 150)):
            second = 150 * turn + phases[witness.nym]
            cause = (VoteValue.BLOCKED, "tls", "timeout") if ONSET <= second < END else ()
            opinions.append(ServiceVote(at(second), witness, "telegram", *(cause or GOOD)))
    found = detect_blocking(opinions, at(0), at(UNTIL))
    assert [(i.scope, i.state) for i in found] == [(Scope("KZ"), IncidentState.CLOSED)]


def test_missing_votes_neither_open_nor_close_a_block() -> None:
    opinions = votes(country(each=2) + world(), Random(4), KZ)
    dark = [o for o in opinions if not (KZ(o.witness) and seconds(o.at_us) > ONSET + 900)]
    (incident,) = detect(dark)
    assert incident.state is IncidentState.CONFIRMED
    assert detect([o for o in dark if not (KZ(o.witness) and seconds(o.at_us) >= ONSET)]) == []


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_quiet_day_raises_nothing(seed: int) -> None:
    opinions = votes(country(each=2) + world(2), Random(seed), lambda _: False, noise=0.05)
    assert detect_blocking(opinions, at(0), at(UNTIL)) == ()


def test_order_of_votes_does_not_matter() -> None:
    opinions = votes(country(each=1) + world(2), Random(5), KZ)
    ordered = detect_blocking(opinions, at(0), at(UNTIL))
    Random(6).shuffle(opinions)
    assert detect_blocking(opinions, at(0), at(UNTIL)) == ordered


def test_likelihood_ratio_is_near_zero_where_the_world_fails_too() -> None:
    everywhere = failing_rate(VoteCount(2_000, 1_800), THRESHOLDS)
    assert abs(log_likelihood_ratio(VoteCount(10, 10), everywhere, THRESHOLDS)) <= 0.3
    usual = failing_rate(VoteCount(50, 1), THRESHOLDS)
    assert log_likelihood_ratio(VoteCount(10, 10), usual, THRESHOLDS) > 10
    assert log_likelihood_ratio(VoteCount(10, 0), usual, THRESHOLDS) < -3


# ---- a service that fails in several countries at once


def detect_abroad(
    seed: int, onsets: Mapping[str, float], sites: set[tuple[str, int]] | None = None
) -> list[Incident]:
    """`onsets`: by country, from when on its networks (of `sites`) fail until END."""

    def failing(vantage: VantageRef, now_s: float) -> bool:
        place = vantage.place
        is_hit = sites is None or (place.country, place.asn) in sites
        return onsets.get(place.country, UNTIL) <= now_s < END and is_hit

    opinions = service_votes(
        country(each=2) + world(6, each=2), Random(seed), UNTIL, failing,
        cause=(VoteValue.BLOCKED, "tcp", "timeout"),
    )  # fmt: skip
    return list(detect_blocking(opinions, at(0), at(UNTIL)))


@pytest.mark.replay
@pytest.mark.parametrize("seed", draw_seeds(2))
def test_sites_failing_in_many_countries_are_held_and_withdrawn(seed: int) -> None:
    incidents = detect_abroad(seed, {name: ONSET for name, _ in SITES}, SITES)
    assert {i.scope.country for i in incidents} >= {"KZ"}  # suspected, with the reason
    assert confirmed(incidents) == []
    assert {i.held for i in incidents} == {("elsewhere",)}
    assert {i.state for i in incidents} == {IncidentState.WITHDRAWN}  # it passed


@pytest.mark.replay
@pytest.mark.parametrize("seed", draw_seeds(2))
@pytest.mark.parametrize("countries", [0, 1, 4])
def test_fault_of_few_in_most_countries_is_no_block_of_the_one_where_they_are_many(
    seed: int, countries: int
) -> None:
    """A root certificate fails on old phones; beside one other country it is a block."""
    lines = [*country(each=2), *world(5)]
    touched = ("XA", "XB", "XC", "XD")[:countries]
    old = {w.nym for i, w in enumerate(lines) if w.place.country == "KZ" and i % 5}
    old |= {w.nym for i, w in enumerate(lines) if w.place.country in touched and i % 5 == 0}
    opinions = service_votes(
        lines, Random(seed), UNTIL, lambda w, now_s: w.nym in old and ONSET <= now_s < END,
        cause=(VoteValue.BLOCKED, "tls", "certificate"),
    )  # fmt: skip
    incidents = list(detect_blocking(opinions, at(0), at(UNTIL)))
    assert {i.scope.country for i in confirmed(incidents)} == ({"KZ"} if countries < 2 else set())


@pytest.mark.replay
@pytest.mark.parametrize("seed", draw_seeds(2))
@pytest.mark.parametrize(
    "onsets",
    [{"KZ": ONSET, "XA": ONSET}, {"KZ": ONSET, "XA": ONSET + 900, "XB": ONSET + 1_800}],
    ids=["two at once", "three one after another"],
)
def test_neighbors_that_block_in_the_same_hour_are_all_confirmed(
    seed: int, onsets: dict[str, float]
) -> None:
    assert {i.scope.country for i in confirmed(detect_abroad(seed, onsets))} == set(onsets)


@pytest.mark.replay
@pytest.mark.parametrize("seed", draw_seeds(2))
def test_block_during_a_fault_of_the_service_is_confirmed(seed: int) -> None:
    """A block during a fault of the service is confirmed.

    The sites failed earlier in three other countries; now the whole country fails.
    """
    sites = {("XA", 201), ("XB", 103), ("XC", 102)}
    sites |= {("KZ", asn) for asn in (101, 102, 103, 201, 202, 203)}
    onsets = {"KZ": ONSET + 1_200, "XA": ONSET, "XB": ONSET, "XC": ONSET}
    (incident,) = confirmed(detect_abroad(seed, onsets, sites))
    assert incident.scope.country == "KZ"
    assert seconds(incident.confirmed_us) - (ONSET + 1_200) <= 300


# ---- the end of a block


def detect_network(
    seed: int, count: int, failing: Callable[[float, Random], bool]
) -> list[Incident]:
    """Detect in a network with `count` vantages that fail as `failing` returns.

    Those of another network never fail.
    """
    rng = Random(seed)
    vantages = people(VantageLocation("KZ", "ALA", 201, "fixed"), count)
    vantages += people(VantageLocation("KZ", "AST", 202, "fixed"), count) + world(each=1)
    opinions = service_votes(
        vantages, rng, 12_000, lambda w, now_s: w in vantages[:count] and failing(now_s, rng)
    )
    return detect(opinions, 12_000)


def is_between(end: float, now_s: float, _: Random) -> bool:
    return ONSET <= now_s < end


@pytest.mark.replay
def test_block_is_closed_within_three_minutes_of_its_end() -> None:
    delays = []
    for seed in draw_seeds(20):
        end = 7_200.0 + Random(seed).uniform(0, 60)
        (incident,) = detect_network(seed, 12, partial(is_between, end))
        assert incident.state is IncidentState.CLOSED
        assert holds(incident, ONSET, end)
        delays.append(seconds(incident.closed_us) + CLOSE_US / SECOND_US - end + FEED_S)
    assert sorted(delays)[len(delays) * 9 // 10] <= 180, delays  # p95 of twenty
    assert min(delays) > 60  # not before all vantages could have tested again


@pytest.mark.replay
@pytest.mark.parametrize("seed", draw_seeds(3))
@pytest.mark.parametrize(
    ("count", "failing"),
    [
        (6, lambda now_s, rng: now_s >= ONSET and rng.random() < 0.7),
        (12, lambda now_s, rng: now_s >= ONSET and rng.random() < 0.7),
        (12, lambda now_s, _: now_s >= ONSET and (now_s - ONSET) % 300 >= 45),
    ],
    ids=["7 of 10 of six", "7 of 10 of twelve", "good moments"],
)
def test_flickering_block_is_one_open_incident(
    seed: int, count: int, failing: Callable[[float, Random], bool]
) -> None:
    states = [incident.state for incident in detect_network(seed, count, failing)]
    assert states == [IncidentState.CONFIRMED]


@pytest.mark.replay
@pytest.mark.parametrize("seed", draw_seeds(3))
def test_block_again_within_the_hour_closes_slower(seed: int) -> None:
    """A block that repeats within the hour closes slower.

    Six minutes blocked, three not: it ends at most once too often.
    """
    incidents = detect_network(
        seed, 12, lambda now_s, _: now_s >= ONSET and (now_s - ONSET) % 540 < 360
    )
    assert len(incidents) <= 2


def test_failures_that_most_controls_share_are_those_of_a_part_of_the_service() -> None:
    """Failures that most controls share are those of a part of the service.

    A site of a network that delivers for others fails for one country and its controls.
    """
    rng = Random(5)
    opinions = [
        replace(o, standing=VoteValue.DOWN, layer="", method="")
        if o.standing is VoteValue.BLOCKED and o.layer == "tcp" and rng.random() < 0.85
        else o
        for o in votes(country(each=3) + world(), rng, KZ, layer="tcp", noise=0.0)
    ]
    assert detect(opinions) == []
