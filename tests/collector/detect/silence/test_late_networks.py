"""A fault of ours may last for networks that return one by one, without a cut."""

from operator import attrgetter
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import OfflineReport, VantageRef
from heliograph_lab.evaluate.population import FIXED
from support.presence_model import KZ, Signals, at, confirmed, country, drop, live, world

ONSET = 7_200.0
LATE = FIXED[0]  # a network that learns our new address hours later
PEOPLE = country(each=4) + world(each=4)


def move_collector(
    rng: Random, late: list[VantageRef], lasts_s: float = 240.0, at_s: float = ONSET
) -> Signals:
    """All sessions end; each network is back at one moment, and `late` not yet."""
    names = {vantage.nym for vantage in late}
    networks = sorted({(v.place.country, v.place.asn) for v in PEOPLE})
    signals: Signals = []
    for code, asn in networks:
        back_s = at_s + rng.uniform(60, lasts_s)
        members = [v for v in PEOPLE if (v.place.country, v.place.asn) == (code, asn)]
        signals += drop([v for v in members if v.nym not in names], at_s, rng, back_s)
    return signals + drop(late, at_s, rng)


def play(signals: Signals, until_s: float = ONSET + 7_200) -> list[Incident]:
    quiet = live(PEOPLE, Random(5), until_s / 3_600, churn=0.2)
    return list(detect_silence(quiet + signals, at(until_s)).incidents)


def in_network(vantage: VantageRef) -> bool:
    return KZ(vantage) and vantage.place.asn == LATE


@pytest.mark.parametrize(("seed", "lasts_s"), [(0, 240.0), (1, 240.0), (2, 240.0), (0, 90.0)])
def test_a_network_that_waits_for_its_resolver_is_no_cut(seed: int, lasts_s: float) -> None:
    rng = Random(seed)
    incidents = play(move_collector(rng, [v for v in PEOPLE if in_network(v)], lasts_s))
    assert confirmed(incidents) == []
    (held,) = [i for i in incidents if i.scope.asn == LATE]
    assert (held.held, held.state) == (("common_mode",), IncidentState.SUSPECTED)


def test_networks_that_wait_elsewhere_too_show_the_same_fault() -> None:
    """Networks that wait elsewhere too show the same fault.

    All others are back within a minute, which decides nothing about networks.
    """
    late = [v for v in PEOPLE if v.place.asn == LATE and v.place.country in ("KZ", "XA")]
    assert confirmed(play(move_collector(Random(1), late, 61.0))) == []


@pytest.mark.parametrize("asn", [0, LATE])
def test_a_cut_in_the_minute_of_a_brief_fault_is_told(asn: int) -> None:
    """A cut in the minute of a brief fault is found.

    All others are back within a minute; a country is more than a network that is late.
    """
    late = [v for v in PEOPLE if KZ(v) and asn in (0, v.place.asn)]
    (cut,) = confirmed(play(move_collector(Random(2), late, 61.0)))
    assert (cut.scope.country, cut.scope.asn) == ("KZ", asn)


def test_a_country_that_is_not_back_while_networks_elsewhere_are_is_told() -> None:
    (cut,) = confirmed(play(move_collector(Random(3), [v for v in PEOPLE if KZ(v)])))
    assert cut.scope.is_national


@pytest.mark.parametrize(
    ("is_online", "state"), [(False, IncidentState.CLOSED), (True, IncidentState.WITHDRAWN)]
)
def test_what_its_people_measured_decides(*, is_online: bool, state: IncidentState) -> None:
    late = [v for v in PEOPLE if in_network(v)]
    signals = move_collector(Random(0), [])
    names = {vantage.nym for vantage in late}
    signals = [s for s in signals if getattr(s, "nym", None) not in names]
    signals = [s for s in signals if getattr(s, "witness", None) not in late]
    back_s = ONSET + 5_400
    signals += drop(late, ONSET, Random(0), back_s)
    for vantage in late:
        until_us = at(back_s + 60)
        report = OfflineReport(
            until_us + 5 * SECOND_US, vantage.nym, at(ONSET), until_us, alive=True, online=is_online
        )
        signals.append(report)
    told = [i for i in play(signals) if i.scope.asn == LATE]
    assert max(told, key=attrgetter("suspected_us")).state is state


def test_words_of_one_network_confirm_none_that_is_back() -> None:
    """Reports of one network confirm none that is back.

    Two networks are held; the first has been back for most of an hour.
    """
    other = FIXED[1]
    rng = Random(4)
    late = {asn: [v for v in PEOPLE if KZ(v) and v.place.asn == asn] for asn in (LATE, other)}
    gone = [v for members in late.values() for v in members]
    names = {v.nym for v in gone}
    signals = [s for s in move_collector(rng, []) if getattr(s, "nym", None) not in names]
    signals = [s for s in signals if getattr(s, "witness", None) not in gone]
    signals += drop(late[other], ONSET, rng, ONSET + 2_400)
    signals += drop(late[LATE][6:], ONSET, rng)
    signals += drop(late[LATE][:6], ONSET, rng, ONSET + 5_400)
    told = [(v, ONSET + 2_461) for v in late[other][:3]]  # too few to decide
    told += [(v, ONSET + 5_461) for v in late[LATE][:6]]
    for vantage, until_s in told:
        span = at(ONSET), at(until_s)
        report = OfflineReport(at(until_s + 5), vantage.nym, *span, alive=True, online=False)
        signals.append(report)
    (cut,) = confirmed(play(signals))
    assert [part.scope.asn for part in cut.parts] == [LATE]


@pytest.mark.parametrize("networks", [2, 6], ids=["two of six networks", "all of the country"])
def test_a_slow_fault_leaves_networks_late_and_hides_no_country(networks: int) -> None:
    """All others need a quarter of an hour, so that the burst is given up to the level.

    Up to version 154 that told two networks, which learn our address hours later, as cut off.
    """
    asns = sorted({v.place.asn for v in PEOPLE})[-networks:]
    late = [v for v in PEOPLE if KZ(v) and v.place.asn in asns]
    noon_s = 7 * 3_600.0
    told = confirmed(play(move_collector(Random(7), late, 900.0, noon_s), noon_s + 2 * 3_600))
    assert [cut.scope for cut in told] == ([] if networks == 2 else [Scope("KZ")])
