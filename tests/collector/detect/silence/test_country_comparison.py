"""Countries that stay online acquit the collector, even in a long wait."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence.country_comparison import (
    CountryComparison,
    keep_comparison,
)
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.signals import VantageLoss
from support.presence_model import Signals, at, confirmed, country, drop, live, world

ONSET = 7_200.0
CUT = ("KZ", "XA", "XB")
LIVING = ("XC", "XD")
SECOND = 1_000_000


def lose_share(code: str, share: float, since_s: float) -> Signals:
    """A share of a country goes in two minutes and a half, without a goodbye."""
    people = [v for v in country(each=4) + world(each=4) if v.place.country == code]
    fallen = Random(8).sample(people, int(share * len(people)))
    times = [since_s + 150 * number / len(fallen) for number in range(len(fallen))]
    return [VantageLoss(at(s + 37.5), v.nym, at(s)) for s, v in zip(times, fallen, strict=True)]


@pytest.mark.parametrize(("share", "is_told"), [(0.0, True), (0.25, True), (0.9, False)])
def test_three_of_five_countries_are_cut_while_people_elsewhere_go_to_bed(
    share: float, *, is_told: bool
) -> None:
    """Version 79 withdrew the cuts when a fifth of the median other country had gone."""
    rng = Random(7)
    vantages = country(each=4) + world(each=4)
    signals = live(vantages, rng, 1.9, churn=0.5)
    signals += drop([v for v in vantages if v.place.country in CUT], ONSET, rng)
    for code in LIVING:
        signals += lose_share(code, share, ONSET + 310) if share else []
    told = confirmed(detect_silence(signals, at(ONSET + 900)).incidents)
    cuts = {i.scope.country for i in told if i.kind is IncidentKind.SILENCE}
    assert cuts.issuperset(CUT) is is_told
    assert not is_told or cuts == set(CUT)


def test_three_of_four_countries_are_cut_though_one_alone_stays_online() -> None:
    """One of three other countries is a third; versions before 177 asked for a bit more."""
    rng = Random(7)
    vantages = [v for v in country(each=4) + world(each=4) if v.place.country in (*CUT, "XC")]
    signals = live(vantages, rng, 1.9, churn=0.5)
    signals += drop([v for v in vantages if v.place.country in CUT], ONSET, rng)
    told = confirmed(detect_silence(signals, at(ONSET + 900)).incidents)
    assert {(i.scope.country, i.kind) for i in told} == {(c, IncidentKind.SILENCE) for c in CUT}


def test_only_countries_that_fall_by_half_or_return_revoke_an_acquittal() -> None:
    earlier = CountryComparison(is_known=True, lives_on=True, countries=4, halved=2)
    bedtime = CountryComparison(is_known=True, is_hit=True, countries=4, fallen=4, halved=2)
    fault = CountryComparison(is_known=True, is_hit=True, countries=4, fallen=4, halved=3)
    over = CountryComparison(is_known=True, lives_on=True, countries=4, halved=1)
    assert keep_comparison(earlier, over, 600 * SECOND) is over
    assert keep_comparison(None, bedtime, 600 * SECOND) is bedtime
    assert keep_comparison(earlier, bedtime, 200 * SECOND) is bedtime
    assert keep_comparison(earlier, bedtime, 600 * SECOND) is earlier
    assert keep_comparison(earlier, fault, 600 * SECOND) is fault
