"""Machines that were switched off one by one are no power failure, and no cut."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence.explanation import weigh_evidence
from heliograph_collector.detect.silence.silence_evidence import SilenceEvidence
from heliograph_collector.detect.silence.switched_off import LINES_SHARE, measure_fallen_lines
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import Signals, at, country, live, world

HOUR, DAY = 3_600.0, 86_400.0
NOON = DAY + 6 * HOUR
HOME = country(each=3)
PHONES = [v for v in HOME if v.place.access == "mobile"]
LINES = [v for v in HOME if v.place.access == "fixed"]
Draw = Callable[[Random], float]


def begin_again(machines: Iterable[VantageRef], rng: Random, gone: Draw, back: Draw) -> Signals:
    """Let each machine go and come back at random times, restarting."""
    signals: Signals = []
    for machine in machines:
        heard_s = gone(rng)
        back_s = max(heard_s + 60, back(rng))
        signals.append(VantageLoss(at(heard_s + 37.5), machine.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), machine, uptime_s=50))
    return signals


def _list_told(
    machines: Iterable[VantageRef],
    gone: Draw,
    back: Draw,
    others: Signals | None = None,
    until_s: float = 2.5 * DAY,
) -> list[Incident]:
    """List the incidents that stand in the end."""
    told: list[Incident] = []
    for seed in (1, 2):
        rng = Random(seed)
        signals = live(HOME + world(), rng, 60, churn=1.0)
        signals += [*begin_again(machines, rng, gone, back), *(others or [])]
        incidents = detect_silence(signals, at(until_s)).incidents
        stands = (IncidentState.CONFIRMED, IncidentState.CLOSED)
        told += [i for i in incidents if i.state in stands]
    return told


def test_phones_that_install_an_update_are_no_power_failure() -> None:
    """A quarter went to bed, and most others begin again in the hour after midnight."""
    midnight_s = DAY + 19 * HOUR
    asleep, up = PHONES[::4], [v for n, v in enumerate(PHONES) if n % 4]
    night = begin_again(
        asleep,
        Random(3),
        lambda rng: midnight_s - rng.uniform(2, 4) * HOUR,
        lambda rng: midnight_s + 8 * HOUR + rng.uniform(0, HOUR),
    )

    def gone(rng: Random) -> float:
        return midnight_s + rng.uniform(0, HOUR)

    def back(rng: Random) -> float:
        return midnight_s + rng.uniform(1, 1.6) * HOUR

    for until_s in (midnight_s + HOUR, 2.5 * DAY):
        assert _list_told(up[4:], gone, back, night, until_s) == []


def test_people_who_switch_off_in_the_evening_are_no_power_failure() -> None:
    """People who switch off in the evening are no power failure.

    Three quarters go to bed after a night in which none did, and start in the morning.
    """
    evening_s = DAY + 17 * HOUR

    def gone(rng: Random) -> float:
        return evening_s + rng.gauss(0, 2_400)

    def back(rng: Random) -> float:
        return evening_s + 9 * HOUR - 3_600 + rng.gauss(0, 2_400)

    assert _list_told([v for n, v in enumerate(HOME) if n % 4], gone, back) == []


def test_phones_that_are_cut_and_begin_again_are_cut() -> None:
    at_noon_s = DAY + 6 * HOUR

    def gone(rng: Random) -> float:
        return at_noon_s + rng.uniform(0, 30)

    def back(rng: Random) -> float:
        return at_noon_s + 1.5 * HOUR + rng.uniform(0, 300)

    told = _list_told(PHONES, gone, back)
    assert [incident.kind for incident in told] == [IncidentKind.SILENCE] * 2


def _draw(since_s: float, rng: Random) -> float:
    return since_s + rng.uniform(0, 60)


def test_regions_that_lose_power_by_turns_do_so_together() -> None:
    noon_s = DAY + 6 * HOUR
    regions = sorted({line.place.region for line in LINES})
    for seed in (1, 2):
        rng = Random(seed)
        signals = live(HOME + world(), rng, 60, churn=1.0)
        for number, region in enumerate(regions):
            own = [line for line in LINES if line.place.region == region]
            since_s = noon_s + number * 1_200
            signals += begin_again(
                own, rng, partial(_draw, since_s), partial(_draw, since_s + 7_200)
            )
        incidents = detect_silence(signals, at(2 * DAY)).incidents
        told = {i.kind for i in incidents if i.state is IncidentState.CLOSED}
        assert told == {IncidentKind.POWER}, seed


def _restart(
    vantage: VantageRef, heard_s: float, back_s: float, uptime_s: int = 60
) -> VantagePresence:
    presence = VantagePresence(vantage)
    presence.mark_silent(at(heard_s), at(heard_s + 37.5))
    presence.note_return(VantageArrival(at(back_s), vantage, uptime_s=uptime_s))
    presence.status = PresenceStatus.LIVE
    return presence


@pytest.mark.parametrize("are_lines_down", [True, False])
def test_phones_tell_of_power_by_their_reboots_where_lines_fell_before(
    *, are_lines_down: bool
) -> None:
    lines_s = NOON - 2 * HOUR if are_lines_down else NOON - 9 * HOUR
    lines = [_restart(line, lines_s, lines_s + HOUR) for line in LINES]
    phones = [_restart(phone, NOON + n, NOON + HOUR) for n, phone in enumerate(PHONES)]
    fallen_lines = measure_fallen_lines([*lines, *phones], at(NOON), are_phones=True)
    assert (fallen_lines >= LINES_SHARE) == are_lines_down
    evidence = weigh_evidence(
        phones, {}, at(NOON + 3 * HOUR), THRESHOLDS, fallen_lines=fallen_lines
    )
    assert evidence.explain(THRESHOLDS) is (IncidentKind.POWER if are_lines_down else None)


def test_phones_cut_for_days_beside_lines_that_sleep_each_night_tell_no_power() -> None:
    """Over days of a cut many restart their phones, and lines are switched off each night."""
    lift_s = NOON + 5 * DAY
    lines = [_restart(line, lift_s - 14 * HOUR, lift_s - 5 * HOUR) for line in LINES]
    phones = [_restart(phone, NOON + n, lift_s) for n, phone in enumerate(PHONES)]
    fallen_lines = measure_fallen_lines([*lines, *phones], at(NOON), are_phones=True)
    evidence = weigh_evidence(
        phones, {}, at(lift_s + 3 * HOUR), THRESHOLDS, fallen_lines=fallen_lines
    )
    assert evidence.explain(THRESHOLDS) is None


def test_lines_that_lost_power_together_tell_of_it_though_few_of_each_region_are_back() -> None:
    """Lines that lost power together show it though few of each region are back.

    Two of three fell in one minute all over the country, the third later by its battery.
    """
    lines = LINES[::3]
    back = [
        _restart(line, NOON + number + (number % 3 == 2) * HOUR * number / 9, NOON + 4 * HOUR)
        for number, line in enumerate(lines)
    ]
    evidence = weigh_evidence(back, {}, at(NOON + 5 * HOUR), THRESHOLDS)
    assert evidence.explain(THRESHOLDS) is IncidentKind.POWER


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("network", None),
        ("region", IncidentKind.POWER),
        ("none", IncidentKind.POWER),
    ],
)
def test_machines_restarted_in_a_cut_of_networks_in_turn_tell_nothing(
    order: str, kind: IncidentKind | None
) -> None:
    """Seven tenths began again; the others measured that no anchor answered."""
    turns_by_order: dict[str, list[int | str]] = {
        "network": [201, 202, 203],
        "region": ["ALA", "AST", "VOS"],
    }
    turns = turns_by_order.get(order, [])
    reports: dict[str, OfflineReport] = {}
    fallen: list[VantagePresence] = []
    for number, line in enumerate(LINES):
        name = line.place.asn if order == "network" else line.place.region
        heard_s = NOON + number + (turns.index(name) * 1_200 if turns else 0)
        vantage = _restart(line, heard_s, NOON + 6 * HOUR + number * 60)
        if number % 10 < 3:
            vantage.rebooted = False
            told = line.nym, at(heard_s + 30), at(NOON + 6 * HOUR)
            report = OfflineReport(at(NOON + 9 * HOUR), *told, alive=True, online=False)
            vantage.note_report(report)
            reports[line.nym] = report
        fallen.append(vantage)
    evidence = weigh_evidence(fallen, reports, at(NOON + 9 * HOUR), THRESHOLDS)
    assert evidence.explain(THRESHOLDS) is kind
    assert not evidence.has_stopped(THRESHOLDS)


def test_agents_that_stopped_refute_no_power_failure() -> None:
    """Agents that stopped refute no power failure.

    Phones are silent in it too, and killed agents report nothing about their masts.
    """
    told = SilenceEvidence(30.0, 0.0, 0.0, powerless=12.0, powered=0.0, stopped=11.0)
    assert not told.has_stopped(THRESHOLDS)
    assert replace(told, powerless=0.0).has_stopped(THRESHOLDS)


@pytest.mark.parametrize(
    ("fallen_lines", "powered", "kind"),
    [(1.0, 0, IncidentKind.POWER), (1.0, 5, None), (0.6, 0, None)],
    ids=["all, by their batteries", "all, some with power", "most, to bed"],
)
def test_lines_that_fall_one_by_one_were_not_switched_off_if_nearly_all_did(
    fallen_lines: float, powered: int, kind: IncidentKind | None
) -> None:
    back = [
        _restart(
            v, NOON + n * 400, NOON + 8 * HOUR + n * 120, uptime_s=60 if n >= powered else 90_000
        )
        for n, v in enumerate(LINES)
    ]
    reports: dict[str, OfflineReport] = {}
    for vantage in back[:powered]:
        told = vantage.witness.nym, vantage.heard_us + 1, vantage.back_us
        reports[vantage.witness.nym] = OfflineReport(
            at(NOON + 9 * HOUR), *told, alive=True, online=None
        )
    told_us = at(NOON + 10 * HOUR)
    evidence = weigh_evidence(back, reports, told_us, THRESHOLDS, fallen_lines=fallen_lines)
    assert evidence.explain(THRESHOLDS) is kind
    assert evidence.has_stopped(THRESHOLDS) == (fallen_lines < 0.9)
