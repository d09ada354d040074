"""Tails, churn, votes and folds against numbers known by other means."""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.silence.brackets import bracket_return
from heliograph_collector.detect.stats.churn import (
    ChurnRecord,
    blend_rate,
    pool_rate,
    silence_chance,
)
from heliograph_collector.detect.stats.localization import localize, select_distinct
from heliograph_collector.detect.stats.tails import (
    cease_chance,
    chernoff_bound,
    log_beta_binomial,
    upper_tail,
)
from heliograph_collector.detect.stats.voting import (
    count_votes,
    established_votes,
    select_voters,
    sum_votes,
)
from heliograph_collector.model.scope import Scope, enclosing_scope, scope_label, scopes_of
from heliograph_collector.model.signals import (
    VantageLocation,
    VantageRef,
    VoteValue,
    derive_vote_value,
)
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import T0, country, people

NOW = T0


@pytest.mark.parametrize("seed", range(5))
def test_the_tail_is_that_of_all_outcomes_counted_one_by_one(seed: int) -> None:
    rng = Random(seed)
    chances = [rng.random() for _ in range(9)]
    for k in range(11):
        truth = sum(
            math.prod(p if hit else 1 - p for p, hit in zip(chances, outcome, strict=True))
            for outcome in product((0, 1), repeat=9)
            if sum(outcome) >= k
        )
        assert upper_tail(chances, k) == pytest.approx(truth, abs=1e-12)


def test_tail_of_equal_chances_is_binomial_and_below_the_bound() -> None:
    truth = sum(math.comb(50, i) * 0.01**i * 0.99 ** (50 - i) for i in range(7, 51))
    assert upper_tail([0.01] * 50, 7) == pytest.approx(truth, rel=1e-9)
    for k in range(1, 30):
        assert chernoff_bound(40 * 0.05, k) >= upper_tail([0.05] * 40, k)
    assert 0 < upper_tail([0.001] * 100_000, 500) < 1e-150, "a huge cell has the bound"


def test_chance_that_events_cease_is_that_of_a_binomial() -> None:
    """The chance that events cease is that of a binomial.

    At most k come later: of the first n + k events n or more fall in the earlier time.
    """
    for n, k, times in product((1, 5, 30), (0, 1, 7), (0.2, 1.0, 3.0)):
        truth = upper_tail([1 / (1 + times)] * (n + k), n)
        assert cease_chance(n, k, times) == pytest.approx(truth, rel=1e-9)
    assert cease_chance(0, 0, 100.0) == 1.0, "who never came back has not ceased to"
    assert cease_chance(30, 0, 0.0) == 1.0, "no time has passed"


def test_beta_binomial_chances_sum_to_one() -> None:
    every = sum(math.comb(12, k) * math.exp(log_beta_binomial(k, 12, 0.2, 0.1)) for k in range(13))
    assert every == pytest.approx(1.0)


def test_a_rate_lies_between_its_own_and_the_pools() -> None:
    pool = ChurnRecord(losses=100.0, days=100.0)
    restless, new = ChurnRecord(losses=84.0, days=7.0), ChurnRecord()
    wild = ChurnRecord(losses=1e6, days=7.0)
    mean = pool_rate(pool, THRESHOLDS)
    rates = [blend_rate(own, mean, THRESHOLDS) for own in (new, restless, wild)]
    assert rates[0] == pytest.approx((4 * 30 + 100) / 130)
    assert rates[0] < rates[1] < 12
    assert rates[2] == THRESHOLDS.most_per_day


def test_the_past_fades() -> None:
    record = ChurnRecord()
    for _ in range(100):
        record.add(1, DAY_US, memory_days=28.0)
    assert record.days == pytest.approx(28.0)
    assert record.losses == pytest.approx(28.0, rel=0.05)


def test_silences_of_a_day_fall_into_a_window_by_chance() -> None:
    assert silence_chance(12.0, 120.0) == pytest.approx(1 - math.exp(-1 / 60))


def test_a_vantage_that_claims_many_places_has_one_vote() -> None:
    many = [
        (VantageRef(f"s{i}", "one", VantageLocation("KZ", f"R{i}", 1, "fixed"), 0), True)
        for i in range(10)
    ]
    assert sum_votes(count_votes(many)).votes == pytest.approx(1.0)


@pytest.mark.parametrize(("phones", "votes"), [(3, 3.0), (10, 5.0)])
@pytest.mark.parametrize("regions", [1, 4])
def test_a_carrier_nat_has_up_to_five_votes_wherever_its_phones_are(
    phones: int, votes: float, regions: int
) -> None:
    places = [VantageLocation("KZ", f"R{i % regions}", 101, "mobile") for i in range(phones)]
    pairs = [(VantageRef(f"p{i}", "nat", at, 0), i % 2 == 0) for i, at in enumerate(places)]
    count = sum_votes(count_votes(pairs, nat_votes=5))
    assert count.votes == pytest.approx(votes)
    assert count.share == pytest.approx(sum(hit for _, hit in pairs) / phones)
    assert count.lines == pytest.approx(1.0)


def test_the_young_confirm_nothing_where_there_are_old() -> None:
    old = [(w, False) for w in people(VantageLocation("KZ", "ALA", 1, "fixed"), 6)]
    place = VantageLocation("KZ", "ALA", 2, "fixed")
    young = [(VantageRef(f"y{i}", f"y{i}", place, NOW - 9 * DAY_US), True) for i in range(50)]
    ballot, sure = established_votes(old + young, NOW, THRESHOLDS)
    assert sure
    assert sum_votes(ballot).hits == 0
    ballot, sure = established_votes(young, NOW, THRESHOLDS)
    assert not sure
    assert sum_votes(ballot).votes == 50
    new = [(replace(w, first_us=NOW - DAY_US + 1), hit) for w, hit in young]
    assert established_votes(new, NOW, THRESHOLDS) == ({}, False)


def test_the_young_are_heard_where_nobody_established_contradicts() -> None:
    there = VantageLocation("KZ", "ALA", 1, "mobile")
    (old, *young) = (w for w in people(there, 4))
    young = [replace(w, first_us=NOW - 2 * DAY_US) for w in young]
    votes = [(old, True), *zip(young, (True, False, False), strict=True)]
    assert [hit for _, hit in select_voters(votes, NOW, THRESHOLDS)] == [True, True]
    fixed = replace(old, place=there._replace(access="fixed"))
    elsewhere = [(fixed, True), *votes[1:]]
    assert select_voters(elsewhere, NOW, THRESHOLDS) == elsewhere


Votes = list[tuple[VantageRef, bool]]


def localized(votes: Iterable[tuple[VantageRef, bool]]) -> list[Scope]:
    return [part.scope for part in localize(count_votes(list(votes)), 0.6, 5)]


@pytest.mark.parametrize(
    ("only", "scope", "called"),
    [
        ({}, Scope("KZ"), "national"),
        ({"access": "mobile"}, Scope("KZ", access="mobile"), "mobile-only"),
        ({"asn": 201}, Scope("KZ", asn=201), "one-operator"),
        ({"region": "ALA"}, Scope("KZ", "ALA"), "one-city"),
        ({"region": "ALA", "access": "mobile"}, Scope("KZ", "ALA", 0, "mobile"), "one-city mobile"),
    ],
)
def test_the_widest_cell_that_explains_it(
    only: dict[str, object], scope: Scope, called: str
) -> None:
    def is_hit(place: VantageLocation) -> bool:
        return all(getattr(place, name) == value for name, value in only.items())

    assert localized((w, is_hit(w.place)) for w in country("KZ", each=3)) == [scope]
    assert scope_label([scope]).startswith(called)


def all_of(asn: int, access: str, count: int, *, hit: bool = True, region: str = "ALA") -> Votes:
    return [(w, hit) for w in people(VantageLocation("KZ", region, asn, access), count)]


def test_three_quarters_mobile_do_not_make_a_national_cut() -> None:
    mobile = [*all_of(1, "mobile", 30), *all_of(2, "mobile", 30)]
    assert localized([*mobile, *all_of(3, "fixed", 20, hit=False)]) == [
        Scope("KZ", access="mobile")
    ]


def test_a_remainder_of_hosting_is_named_as_spared() -> None:
    votes = [(w, True) for w in country("KZ", each=3)]
    votes += all_of(9, "hosting", 5, hit=False, region="")
    (part,) = localize(count_votes(votes), 0.6, 5)
    assert part.scope == Scope("KZ")
    assert part.beyond == (Scope("KZ", access="hosting"), Scope("KZ", asn=9))


def test_two_of_three_are_named_one_by_one() -> None:
    votes = [(w, w.place.region != "ALA") for w in country("KZ", each=4)]
    assert sorted(localized(votes)) == [Scope("KZ", "AST"), Scope("KZ", "VOS")]
    assert scope_label(localized(votes)) == "several-cities"
    two = localized((w, w.place.asn in (101, 102)) for w in country("KZ", each=4))
    assert sorted(scope.asn for scope in two) == [101, 102]


@pytest.mark.parametrize("seed", range(5))
def test_one_in_five_who_stay_do_not_break_up_a_country(seed: int) -> None:
    rng = Random(seed)
    assert localized((w, rng.random() > 0.2) for w in country("KZ", each=4)) == [Scope("KZ")]


def test_one_network_is_not_a_country() -> None:
    assert localized(all_of(1, "", 30, region="")) == [Scope("KZ", asn=1)]


def test_a_network_is_named_where_it_is_all_of_a_region() -> None:
    votes = [*all_of(1, "fixed", 14), *all_of(2, "fixed", 14, hit=False, region="AST")]
    assert localized(votes) == [Scope("KZ", asn=1)]


def test_a_region_of_two_hit_networks_is_not_named_beside_them() -> None:
    """A region of two failing networks is not named beside them.

    All of two networks fail, and most of theirs are in one region, which stands out first.
    """
    votes = [*all_of(1, "fixed", 7), *all_of(1, "fixed", 5, region="AST")]
    votes += [*all_of(2, "mobile", 4), *all_of(2, "mobile", 3, region="VOS")]
    votes += [*all_of(3, "fixed", 5, hit=False), *all_of(3, "fixed", 9, hit=False, region="AST")]
    assert sorted(localized(votes)) == [Scope("KZ", asn=1), Scope("KZ", asn=2)]


@pytest.mark.parametrize(("elsewhere", "is_named"), [(0, True), (6, False)])
def test_a_small_cell_must_stand_out_from_what_fails_elsewhere(
    elsewhere: int, is_named: bool
) -> None:
    small = people(VantageLocation("KZ", "ALA", 1, "fixed"), 6)
    rest = people(VantageLocation("KZ", "AST", 2, "fixed"), 18)
    votes = [(w, number < 4) for number, w in enumerate(small)]
    votes += [(w, number < elsewhere) for number, w in enumerate(rest)]
    counts = count_votes(votes)
    cells = localize(counts, 0.6, 5)
    assert cells
    assert bool(select_distinct(cells, counts)) is is_named


def test_cells_by_name() -> None:
    place = VantageLocation("KZ", "ALA", 1, "mobile")
    assert len(scopes_of(place)) == 8
    assert scopes_of(VantageLocation("KZ")) == (Scope("KZ"),)
    assert enclosing_scope([Scope("KZ", "ALA", 1), Scope("KZ", "AST", 1)]) == Scope("KZ", asn=1)
    assert scope_label([Scope("KZ", asn=1), Scope("KZ", asn=2)]) == "several-operators"


def test_verdicts_become_votes() -> None:
    assert derive_vote_value("reachable", reachable=1, endpoints=3) is VoteValue.PARTIAL
    assert derive_vote_value("reachable", reachable=3, endpoints=3) is VoteValue.GOOD
    assert derive_vote_value("blocked", reachable=1, endpoints=3) is VoteValue.BLOCKED
    assert derive_vote_value("unknown") is VoteValue.UNKNOWN


@pytest.mark.parametrize(
    ("returns_s", "bracket_s"),
    [
        pytest.param([100, 220, 225, 226], (40, 225), id="one got through a fade, then all"),
        pytest.param([220, 221, 222], (160, 222), id="few at once"),
        pytest.param([220], (160, 220), id="alone"),
        pytest.param([100 + s for s in range(200)], (60, 120), id="many, one by one"),
    ],
)
def test_return_is_where_no_single_one_tells_it(
    returns_s: list[int], bracket_s: tuple[int, int]
) -> None:
    bracket = bracket_return([s * SECOND_US for s in returns_s], THRESHOLDS)
    assert (bracket.earliest_us // SECOND_US, bracket.latest_us // SECOND_US) == bracket_s
