"""The tallies count as if all were counted again, and only what has changed."""

import cProfile
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from random import Random

import pytest

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.silence import country_comparison
from heliograph_collector.detect.silence.country_tally import fell_silent
from heliograph_collector.detect.silence.detector import SilenceDetector, detect_silence
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_votes import count_silent, select_voting
from heliograph_collector.detect.silence.vote_tally import VoteTally
from heliograph_collector.detect.silence.voters import CountryVoters
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.voting import count_votes, is_established, sum_votes
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    Goodbye,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.model.thresholds import THRESHOLDS
from support.examples import draw_seeds
from support.presence_model import Cut, at, country, live, world

LINES = ("", "19000.a", "19000.b", "19001.a", "19001.c", "plain")


def draw_vantage(rng: Random, number: int) -> VantageRef:
    place = VantageLocation(
        "KZ", rng.choice("AB"), rng.choice((1, 2)), rng.choice(("mobile", "fixed", ""))
    )
    first_us = at(0) - rng.randrange(2 * DAY_US, 30 * DAY_US)
    return VantageRef(f"n{number}", rng.choice(LINES), place, first_us, rng.choice(("x", "y")))


def play_step(presence: PresenceTracker, rng: Random, now_us: int) -> None:
    vantage = draw_vantage(rng, rng.randrange(12))
    kind = rng.randrange(4)
    if kind == 0:
        presence.on_goodbye(Goodbye(now_us, vantage.nym))
    elif kind == 1:
        presence.on_lost(VantageLoss(now_us, vantage.nym, now_us - 1, prefix=rng.choice(LINES)))
    elif kind == 2 and vantage.nym in presence.vantages:
        presence.defer(presence.vantages[vantage.nym])
    else:
        place = vantage.place._replace(country=rng.choice(("KZ", "KZ", "DE")))
        presence.on_arrival(VantageArrival(now_us, replace(vantage, place=place)))


@pytest.mark.parametrize("carrier", ["", "x"])
@pytest.mark.parametrize("seed", draw_seeds(4))
def test_tally_counts_as_if_all_were_counted_again(seed: int, carrier: str) -> None:
    rng = Random(seed)
    presence = PresenceTracker()
    for step in range(1, 300):
        play_step(presence, rng, at(step * 3_600))
        since_us = at(rng.randrange(step + 1) * 3_600)
        tally = presence.tally("KZ", carrier)
        expected = [
            vantage
            for vantage in presence.list_country("KZ")
            if carrier in ("", vantage.witness.carrier, vantage.lost_by)
            and (vantage.is_live or fell_silent(vantage, since_us))
        ]
        votes = [(v.witness, fell_silent(v, since_us)) for v in expected]
        old = [(v, hit) for v, hit in votes if is_established(v, since_us, THRESHOLDS)]
        counted, nat_votes = tally.sum_established(since_us)
        for result, voters in ((counted, old), (tally.sum_every(since_us), votes)):
            total = sum_votes(count_votes(voters))
            assert (result.votes, result.hits) == pytest.approx((total.votes, total.hits))
        nat_total = sum_votes(count_votes(old, THRESHOLDS.nat_votes)).votes
        assert nat_votes == pytest.approx(nat_total)


@pytest.mark.parametrize("carrier", ["", "x"])
@pytest.mark.parametrize("seed", draw_seeds(4))
def test_own_tally_counts_as_if_all_were_counted_again(seed: int, carrier: str) -> None:
    """The tally counts as if all were counted again, by place.

    `count_silent` gives the same; vantages that the screening leaves out have no cell.
    """
    rng = Random(seed)
    presence = PresenceTracker()
    for step in range(1, 300):
        now_us = at(step * 3_600)
        play_step(presence, rng, now_us)
        since_us = at(rng.randrange(step + 1) * 3_600)
        tally = presence.silence_tally("KZ", carrier)
        tally.move_to(since_us, now_us)
        recent = [
            vantage
            for vantage in presence.list_recent("KZ", since_us)
            if carrier in ("", vantage.witness.carrier)
        ]
        old = [v for v in recent if is_established(v.witness, now_us, THRESHOLDS)]
        expected = count_silent(old)
        counts = tally.established.list_by_place()
        assert counts.keys() == expected.keys()
        for place, count in counts.items():
            wanted = expected[place]
            assert (count.votes, count.hits) == pytest.approx((wanted.votes, wanted.hits))
        assert len(tally.young) == len(recent) - len(old)
        assert tally.carriers == Counter(vantage.witness.carrier for vantage in recent)
        heard = count_silent(select_voting(recent, now_us, THRESHOLDS))
        if carrier or not localize(heard, 0.5, 3):
            continue
        assert CountryVoters(presence, "KZ", since_us, now_us).may_have_cells(0.5)


def count_calls(countries: int, each: int) -> int:
    """Count the calls while a fifth of all vantages is lost at random, and after."""
    vantages = [v for number in range(countries) for v in country(f"X{number}", each=each)]
    detector = SilenceDetector()
    for vantage in vantages:
        detector.on_signal(VantageArrival(at(0), vantage))
    lost = Random(1).sample(vantages, len(vantages) // 5)
    profile = cProfile.Profile(builtins=False)
    profile.enable()
    for i, vantage in enumerate(lost):
        lost_us = at(7_200) + i * 60 * SECOND_US // len(lost)
        detector.on_signal(VantageLoss(lost_us, vantage.nym, lost_us - 30 * SECOND_US))
    detector.advance_to(at(7_500))
    profile.disable()
    assert not [i for i in detector.findings().incidents if i.confirmed_us]
    return sum(entry.callcount for entry in profile.getstats())


def test_work_grows_with_the_losses_and_not_with_their_square() -> None:
    """Work grows with the losses and not with their square.

    Twice the vantages, or twice the countries, are twice the work and not four times.
    """
    base = count_calls(countries=4, each=20)
    assert count_calls(countries=4, each=40) <= 2.5 * base
    assert count_calls(countries=8, each=20) <= 2.9 * base


def recount_witnesses(
    presence: PresenceTracker,
    country: str,
    since_us: int,
    carrier: str = "",
    *,
    apart: Collection[str] = (),
) -> country_comparison.CountryComparison:
    """Count the witnesses with a new tally over all vantages."""
    fresh = PresenceTracker()
    fresh.restore(presence.vantages.values())
    return HEAR(fresh, country, since_us, carrier, apart=apart)


HEAR = country_comparison.compare_countries


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_incidents_are_those_of_a_recount(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Incidents are those of a recount, with two cuts, churn, and a fault of ours."""
    rng = Random(seed)
    cuts = [
        Cut(1_200, 2_400, lambda w: w.place.country == "KZ", jitter_s=rng.choice((5, 60))),
        Cut(1_230, 2_000, lambda w: w.place.country == "XA" and w.place.access == "mobile"),
    ]
    signals = live(country() + world(4), rng, 1.0, churn=20.0, cuts=cuts)
    signals.append(Fault(at(600), at(620), FaultReason.PROBE))
    expected = detect_silence(signals, at(3_600))
    monkeypatch.setattr(country_comparison, "compare_countries", recount_witnesses)
    assert detect_silence(signals, at(3_600)) == expected
    assert "KZ" in {incident.scope.country for incident in expected.incidents}


def test_evaluation_counts_only_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut of one country must not count the vantages of all others again and again."""
    detector = SilenceDetector()
    refs = country(each=4)
    others = world(countries=20, each=4)
    updates: list[str] = []
    update = VoteTally.update

    def count_update(
        self: VoteTally, name: str, vote: tuple[str, VantageLocation, bool] | None, nat_votes: int
    ) -> None:
        updates.append(name)
        update(self, name, vote, nat_votes)

    for vantage in refs + others:
        detector.on_signal(VantageArrival(at(0), vantage))
    monkeypatch.setattr(VoteTally, "update", count_update)
    statements: list[country_comparison.CountryComparison] = []
    compare_countries = country_comparison.compare_countries

    def hear(
        presence: PresenceTracker,
        code: str,
        since_us: int,
        carrier: str = "",
        *,
        apart: Collection[str] = (),
    ) -> country_comparison.CountryComparison:
        statements.append(compare_countries(presence, code, since_us, carrier, apart=apart))
        return statements[-1]

    monkeypatch.setattr(country_comparison, "compare_countries", hear)
    for i, vantage in enumerate(refs):
        lost_us = at(7_200) + i * SECOND_US // 4
        detector.on_signal(VantageLoss(lost_us, vantage.nym, lost_us - 30 * SECOND_US))
    detector.advance_to(at(7_500))
    assert len(statements) > 5
    assert all(statement.is_known for statement in statements)
    assert len(updates) <= 5 * len(refs)  # its own tally is built, then each loss is counted
    assert [i.scope.country for i in detector.findings().incidents] == ["KZ"]
