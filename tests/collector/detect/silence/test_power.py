"""Power that fails by regions or in turn is named or held; an order is a cut."""

from collections.abc import Iterable
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence.confounders import may_be_order
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from heliograph_collector.incidents.record import incident_record
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.examples import draw_seeds
from support.presence_model import Signals, at, confirmed, country, drop, live, people, world
from support.small_nights import DAY, NOON, arrived, off, watched

HOUR = 3_600.0
ONSET = 2 * HOUR
REGIONS = ("ALA", "AST", "VOS", "KAR")
LINES = [
    line
    for region in REGIONS
    for asn, count in ((201, 1), (202, 1), (203, 1))
    for line in people(VantageLocation("KZ", region, asn, "fixed"), count)
]
PHONES = [
    phone for region in REGIONS for phone in people(VantageLocation("KZ", region, 101, "mobile"), 3)
]


@pytest.mark.parametrize(
    ("fallen", "state"),
    [
        ([v for v in LINES if v.place.region != "KAR"], IncidentState.SUSPECTED),
        (LINES, IncidentState.CONFIRMED),
    ],
    ids=["three regions", "all lines"],
)
def test_lines_without_signs_are_held_where_regions_fail_and_phones_live(
    fallen: Iterable[VantageRef], state: IncidentState
) -> None:
    rng = Random(1)
    signals = live(LINES + PHONES + world(), rng, 4, churn=1.0)
    signals += drop(fallen, ONSET, rng)
    (incident,) = detect_silence(signals, at(ONSET + 1_200)).incidents
    assert (incident.state, incident.held) == (state, ("power",))
    assert incident.confidence <= 0.5


def _shed(
    lines: list[VantageRef], since_s: float, until_s: float, rng: Random, every: int = 2
) -> Signals:
    """Cut the power of a street: half are boxes, half laptops behind a dead router.

    Args:
        lines: Those of a street.
        since_s: The time at which its power fails.
        until_s: The time at which it is back.
        rng: The source of delays.
        every: One of so many is a box.
    """
    signals: Signals = []
    for number, line in enumerate(lines):
        heard_s = since_s - rng.uniform(0, 15)
        is_box = number % every == 0
        back_s = until_s + rng.uniform(60, 180) + (60 if is_box and every > 2 else 0)
        uptime_s = int(back_s - until_s) - 30 if is_box else 90_000
        signals.append(VantageLoss(at(heard_s + 37.5), line.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), line, uptime_s=uptime_s))
        if not is_box:
            told = at(back_s + 3), line.nym, at(heard_s + 20), at(back_s)
            signals.append(OfflineReport(*told, alive=True, online=False))
    return signals


def test_power_by_turns_stays_power_although_laptops_ran_on() -> None:
    rng = Random(2)
    lines = people(VantageLocation("KZ", "ALA", 201, "fixed"), 6)
    lines += people(VantageLocation("KZ", "ALA", 202, "fixed"), 6)
    signals = live(lines + PHONES + world(), rng, 20, churn=1.0)
    for turn in range(3):
        since_s = ONSET + turn * 5 * HOUR
        signals += _shed(lines, since_s, since_s + 2 * HOUR, rng)
    for until_s in (ONSET + 3 * HOUR, ONSET + 6 * HOUR, 19 * HOUR):
        told = confirmed(detect_silence(signals, at(until_s)).incidents)
        assert {incident.kind for incident in told} == {IncidentKind.POWER}


def test_sessions_that_break_hours_later_do_not_take_a_power_failure_back() -> None:
    """Their times are of another loss. Up to version 150 the agents had "stopped" by them."""
    rng = Random(4)
    lines = people(VantageLocation("KZ", "ALA", 201, "fixed"), 4)
    lines += people(VantageLocation("KZ", "ALA", 202, "fixed"), 4)
    signals = live(lines + PHONES + world(), rng, 16, churn=0.0)
    signals += drop(lines, ONSET, rng, ONSET + 2 * HOUR)
    for number, line in enumerate(lines):  # their agents began again, and know no uptime
        told = at(ONSET + 2 * HOUR + 70), line.nym, at(ONSET - 15), at(ONSET + 2 * HOUR + 60)
        signals.append(OfflineReport(*told, alive=False))
        at_s = ONSET + 5 * HOUR + number * 1_200
        signals += drop([line], at_s, rng, at_s + 120)
    for until_s in (ONSET + 3 * HOUR, ONSET + 7 * HOUR, ONSET + 12 * HOUR):
        (failure,) = detect_silence(signals, at(until_s)).incidents
        assert (failure.kind, failure.state) == (IncidentKind.POWER, IncidentState.CLOSED)


def test_lines_that_go_to_their_batteries_one_by_one_are_no_mere_suspicion() -> None:
    """Eight in 200 s are too few for a burst, so the level finds them."""
    rng = Random(4)
    signals = live(LINES + PHONES + world(), rng, 8, churn=1.0)
    signals += [VantageArrival(at(60), line, on_battery=False) for line in LINES]
    for line in [v for v in LINES if v.place.region in ("ALA", "AST", "VOS")][:8]:
        heard_s = 3 * ONSET + rng.uniform(0, 500)
        lost = at(heard_s + 37.5), line.nym, at(heard_s)
        signals.append(VantageLoss(*lost, on_battery=True))
    (incident,) = detect_silence(signals, at(3 * ONSET + 1_800)).incidents
    assert (incident.kind, incident.state) == (IncidentKind.POWER, IncidentState.CONFIRMED)


@pytest.mark.parametrize("is_night", [False, True])
def test_lines_that_are_cut_are_no_power_failure_of_machines_that_began_then(
    *, is_night: bool
) -> None:
    """Cut lines are no power failure of machines that started then.

    Half started in the cut, long before its end; or in the morning, long after it.
    """
    rng = Random(3)
    signals = live(country(each=2) + world(), rng, 8, churn=1.0)
    lines = [v for v in country(each=2) if v.place.access == "fixed"]
    for number, line in enumerate(lines):
        (loss,) = drop([line], ONSET, rng)
        back_s = ONSET + HOUR + rng.uniform(0, 60)
        uptime_s = 90_000
        if number % 2 == 0:
            back_s += is_night * rng.uniform(1, 3) * HOUR
            uptime_s = 60 if is_night else 1_800
        signals += [loss, VantageArrival(at(back_s), line, uptime_s=uptime_s)]
        told = at(back_s + 3), line.nym, at(ONSET + 20), at(back_s)
        if uptime_s == 90_000:
            signals.append(OfflineReport(*told, alive=True, online=False))
    (cut,) = confirmed(detect_silence(signals, at(8 * HOUR)).incidents)
    assert (cut.kind, cut.state) == (IncidentKind.SILENCE, IncidentState.CLOSED)


def _black_out(own: list[VantageRef], onset_s: float, rng: Random) -> Signals:
    """Cut the power town by town in 20 min; masts last for hours.

    A quarter of the lines report a battery.
    """
    town_s = {region: onset_s + rng.uniform(0, 1_200) for region in ("ALA", "AST", "VOS")}
    signals: Signals = []
    for number, vantage in enumerate(own):
        heard_s = town_s[vantage.place.region] + rng.uniform(0, 20)
        has_battery = vantage.place.access == "fixed" and number % 4 == 0
        if has_battery:
            signals.append(VantageArrival(at(60), vantage, on_battery=False))
            signals.append(VantageArrival(at(heard_s), vantage, on_battery=True))
            heard_s += rng.uniform(5, 60)
        elif vantage.place.access == "mobile":
            heard_s += rng.uniform(0.3, 4) * HOUR
        lost = at(heard_s + 37.5), vantage.nym, at(heard_s)
        signals.append(VantageLoss(*lost, on_battery=True if has_battery else None))
    return signals


def _list_grid_users() -> list[VantageRef]:
    lines = [vantage for vantage in country(each=3) if vantage.place.access == "fixed"]
    places = [VantageLocation("KZ", region, 101, "mobile") for region in ("ALA", "AST", "VOS")]
    return lines + [phone for place in places for phone in people(place, 8)]


def test_few_batteries_tell_of_the_power_at_once_where_lines_fall_as_by_a_grid() -> None:
    for seed in draw_seeds(6):
        rng = Random(seed)
        own = _list_grid_users()
        signals = live(own + world(), rng, 4, churn=1.0) + _black_out(own, ONSET, rng)
        (told,) = confirmed(detect_silence(signals, at(ONSET + 1_500)).incidents)
        assert told.kind is IncidentKind.POWER, seed


def test_phones_that_follow_with_their_masts_belong_to_the_power_failure() -> None:
    rng = Random(6)
    own = _list_grid_users()
    signals = arrived(own) + _black_out(own, 3 * DAY + NOON, rng)
    for told in map(confirmed, watched(signals, 72 + 8, 72 + 11, 72 + 13)):
        assert [incident.kind for incident in told] == [IncidentKind.POWER]
    phases = incident_record(told[0]).phases
    assert {phase.scope.access for phase in phases if phase.kind == "power"} == {"fixed", "mobile"}
    assert {phase.scope.access for phase in phases if phase.kind != "power"} == {"fixed"}


@pytest.mark.parametrize("seed", [0, 1])
def test_operators_that_fade_one_after_another_are_cut_though_lines_went_first(seed: int) -> None:
    rng = Random(seed)
    own = country(each=3)
    signals = arrived(own)
    for turn, asn in enumerate((201, 202, 203, 101, 102, 103)):
        group = [v for v in own if v.place.asn == asn]
        signals += off(group, NOON + turn * 1_800, 4_000, rng)
    told = confirmed(watched(signals, NOON / HOUR + 4)[0])
    assert "national" in {incident.label for incident in told}


def _restart_in_cut(
    vantages: Iterable[VantageRef], since_s: float, rng: Random, told_after_s: float
) -> Signals:
    """Let all measure that no anchor answers; seven tenths restart later."""
    signals: Signals = []
    for number, vantage in enumerate(vantages):
        heard_s = since_s - rng.uniform(0, 15)
        back_s = since_s + 10 * HOUR + rng.uniform(0, 120)
        uptime_s = 90_000 if number % 10 > 6 else int(rng.uniform(0.5, 3) * HOUR)
        told = at(back_s + told_after_s), vantage.nym, at(heard_s + 20), at(back_s)
        signals += [
            VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)),
            VantageArrival(at(back_s), vantage, uptime_s=uptime_s),
            OfflineReport(*told, alive=True, online=False),
        ]
    return signals


@pytest.mark.parametrize("told_after_s", [3.0, 240.0])
def test_a_cut_in_which_machines_are_switched_off_is_no_power_failure(told_after_s: float) -> None:
    """A cut in which machines are switched off is no power failure.

    Up to version 79 seven tenths that restarted in a night outweighed all reports.
    """
    rng = Random(5)
    fallen = country(each=2)
    signals = live(fallen, rng, 1.9, churn=1.0) + live(world(), rng, 15, churn=1.0)
    signals += _restart_in_cut(fallen, ONSET, rng, told_after_s)
    end_s = ONSET + 10 * HOUR
    for until_s in (end_s + 150, end_s + 500, end_s + 2 * HOUR):
        (incident,) = confirmed(detect_silence(signals, at(until_s)).incidents)
        assert (incident.kind, incident.kinds) == (IncidentKind.SILENCE, ())


def test_lines_cut_on_two_nights_are_not_held_for_the_power_of_the_first() -> None:
    rng = Random(6)
    operator = people(VantageLocation("KZ", "ALA", 204, "fixed"), 12)
    signals = live(operator + LINES + PHONES + world(), rng, 26, churn=1.0)
    signals += _restart_in_cut(operator, ONSET, rng, 3.0)
    signals += drop(operator, ONSET + 20 * HOUR, rng)
    *_, latest = confirmed(detect_silence(signals, at(ONSET + 21 * HOUR)).incidents)
    assert (latest.kind, latest.held) == (IncidentKind.SILENCE, ())


STREET = people(VantageLocation("KZ", "ALA", 201, "fixed"), 8)
STREET += people(VantageLocation("KZ", "ALA", 202, "fixed"), 8)


def _play_street(signals: Signals) -> Signals:
    others = [line for line in LINES if line.place.region != "ALA"]
    return live(STREET + others + PHONES + world(), Random(3), 12, churn=0.0) + signals


def test_laptops_that_are_back_first_make_no_cut_of_a_street_without_power() -> None:
    """Laptops that are back first make no cut of a street without power.

    They report that no anchor answered, as behind a dead router; one of four is a box.
    """
    signals = _play_street(_shed(STREET, ONSET, ONSET + 2 * HOUR, Random(4), every=4))
    for late_s in range(60, 900, 30):
        told = confirmed(detect_silence(signals, at(ONSET + 2 * HOUR + late_s)).incidents)
        assert {incident.kind for incident in told} <= {IncidentKind.POWER}, late_s
    assert len(told) == 1


def test_lines_of_a_street_whose_people_all_measured_are_cut() -> None:
    signals = _play_street(_shed(STREET, ONSET, ONSET + 2 * HOUR, Random(4), every=99))
    (cut,) = confirmed(detect_silence(signals, at(ONSET + 3 * HOUR)).incidents)
    assert cut.kind is IncidentKind.SILENCE


def test_lines_of_which_a_third_lost_power_lately_are_held_when_they_fall_again() -> None:
    """Lines of which a third lost power lately are held when they fall again.

    One operator has them all, so that their region alone proves nothing; the rest are laptops.
    """
    rng = Random(6)
    lines = STREET[:8]
    others = [line for line in LINES if line.place.region != "ALA"]
    signals = live(lines + others + PHONES + world(), rng, 14, churn=0.0)
    again_s = ONSET + 9 * HOUR
    signals += _shed(lines, ONSET, ONSET + 2 * HOUR, rng, every=3)
    signals += _shed(lines, again_s, again_s + 2 * HOUR, rng, every=3)
    told = detect_silence(signals, at(again_s + 1_200)).incidents
    (held,) = [i for i in told if i.started.latest_us > at(again_s)]
    assert (held.state, held.held) == (IncidentState.SUSPECTED, ("power",))


DISTRICTS = {
    region: people(VantageLocation("KZ", region, 301 + number, "fixed"), 8)
    for number, region in enumerate(REGIONS)
}


def _shed_by_turns(rng: Random, turns: int) -> Signals:
    signals = live(
        [line for lines in DISTRICTS.values() for line in lines] + PHONES + world(),
        Random(3),
        16,
        churn=0.0,
    )
    for number, region in enumerate(REGIONS[:turns]):
        since_s = ONSET + number * 2 * HOUR
        signals += _shed(DISTRICTS[region], since_s, since_s + 1.5 * HOUR, rng)
    return signals


@pytest.mark.parametrize("seed", range(2))
def test_districts_without_power_by_turns_are_held_from_the_third(seed: int) -> None:
    """Each has one operator, whose lines all fall silent while phones live."""
    third_s = ONSET + 4 * HOUR
    signals = _shed_by_turns(Random(seed), 4)
    told = detect_silence(signals, at(third_s + 1_800)).incidents
    (held,) = [i for i in told if i.started.latest_us > at(third_s)]
    assert (held.state, held.held) == (IncidentState.SUSPECTED, ("power",))
    over = confirmed(detect_silence(signals, at(ONSET + 9 * HOUR)).incidents)
    assert {incident.kind for incident in over} == {IncidentKind.POWER}


@pytest.mark.parametrize("turns", [1, 2])
def test_an_operator_is_cut_where_power_is_not_rationed_or_part_of_its_region_lives(
    turns: int,
) -> None:
    """An operator is cut where power is not rationed or its region is partly alive.

    One failure is a storm; and where power is rationed, another operator's lines live.
    """
    rng = Random(5)
    signals = _shed_by_turns(rng, turns)
    cut_s = ONSET + 6 * HOUR
    fallen = DISTRICTS[REGIONS[3]]
    others = people(VantageLocation("KZ", REGIONS[3], 201, "fixed"), 6) if turns > 1 else []
    signals += live(others, Random(4), 16, churn=0.0) + drop(fallen, cut_s, rng)
    told = detect_silence(signals, at(cut_s + 600)).incidents
    (cut,) = [i for i in told if i.started.latest_us > at(cut_s)]
    assert (cut.state, cut.kind) == (IncidentState.CONFIRMED, IncidentKind.SILENCE)


def _name(signal: object) -> str:
    witness = getattr(signal, "witness", signal)
    return str(getattr(witness, "nym", ""))


@pytest.mark.parametrize("seed", [1, 3, 8])
def test_lines_of_two_countries_that_no_operator_is_spared_of_are_held(seed: int) -> None:
    """Lines of two countries, of all operators, are held.

    A grid of both takes four fifths of the lines at once, and phones live by their masts.
    """
    rng = Random(seed)
    onset_s = DAY + 5 * HOUR
    hit = [*country("KZ", each=3), *country("XA", each=3)]
    others = [*country("XB"), *country("XC")]
    signals = live([*hit, *others], rng, onset_s / HOUR + 3, churn=1.0)
    fallen = [v for v in hit if v.place.access == "fixed" and rng.random() < 0.8]
    names = {v.nym for v in fallen}
    signals = [s for s in signals if s.at_us < at(onset_s - 900) or _name(s) not in names]
    for vantage in fallen:
        signals += drop([vantage], onset_s + rng.uniform(0, 20), rng)
    told = detect_silence(signals, at(onset_s + 3_000)).incidents
    assert {i.scope.country for i in told if i.held == ("power",)} == {"KZ", "XA"}
    assert confirmed([i for i in told if i.held != ("power",)]) == []


@pytest.mark.parametrize(("shares", "is_order"), [((10, 6, 6), False), ((10, 10, 0), True)])
def test_an_order_takes_whole_operators_and_a_grid_a_part_of_each(
    shares: tuple[int, ...], *, is_order: bool
) -> None:
    """An order takes whole operators, and a grid a part of each.

    Of ten lines of each operator so many are silent; one of a grid may be without batteries.
    """
    lines = [
        VantagePresence(
            VantageRef(f"{asn}-{n}", f"{asn}-{n}", VantageLocation("KZ", "ALA", asn, "fixed")),
            PresenceStatus.SILENT if n < silent else PresenceStatus.LIVE,
        )
        for asn, silent in enumerate(shares, start=1)
        for n in range(10)
    ]
    cell = AffectedCell(Scope("KZ"), 30, sum(shares) / 30, 3)
    assert may_be_order([cell], lines) is is_order
