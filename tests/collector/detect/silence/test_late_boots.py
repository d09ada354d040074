"""Offices that begin next morning do not make a power failure of last evening's cut."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence import testimony
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import Signals, at, confirmed, live, people, world

HOUR = 3_600.0
CUT, OVER, MORNING = 10 * HOUR, 14 * HOUR, 24 * HOUR
REGIONS = ("ALA", "AST", "VOS")
HOMES = [v for r in REGIONS for v in people(VantageLocation("KZ", r, 201, "fixed"), 5)]
OFFICES = [v for r in REGIONS for v in people(VantageLocation("KZ", r, 202, "fixed"), 12)]
PHONES = [v for r in REGIONS for v in people(VantageLocation("KZ", r, 101, "mobile"), 3)]


def go_and_return(vantage: VantageRef, back_s: float, rng: Random, *, is_rebooted: bool) -> Signals:
    """Silence a vantage at the cut; it is back with a report of what it found, or of nothing."""
    heard_s = CUT - rng.uniform(0, 15)
    uptime_s = 60 if is_rebooted else 900_000
    told = at(back_s + 5), vantage.nym, at(heard_s + 20), at(back_s)
    return [
        VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)),
        VantageArrival(at(back_s), vantage, uptime_s=uptime_s),
        OfflineReport(*told, alive=not is_rebooted, online=None if is_rebooted else False),
    ]


def go_to_bed(vantage: VantageRef, rng: Random) -> Signals:
    """Switch a machine off for the night that follows the cut."""
    heard_s, back_s = OVER + rng.uniform(3, 7) * HOUR, MORNING + rng.uniform(0, 2) * HOUR
    told = at(back_s + 5), vantage.nym, at(heard_s), at(back_s)
    return [
        VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)),
        VantageArrival(at(back_s), vantage, uptime_s=60),
        OfflineReport(*told, alive=False),
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_offices_that_begin_next_morning_leave_the_cut_a_cut(seed: int) -> None:
    rng = Random(seed)
    signals = live([*HOMES, *OFFICES, *PHONES, *world()], rng, 28, churn=0.0)
    for vantage in (*HOMES, *PHONES):
        signals += go_and_return(vantage, OVER + rng.uniform(0, 300), rng, is_rebooted=False)
        signals += go_to_bed(vantage, rng) if vantage.place.access == "fixed" else []
    for vantage in OFFICES:
        signals += go_and_return(vantage, MORNING + rng.uniform(0, HOUR), rng, is_rebooted=True)
    for until_s in (OVER, OVER + HOUR, MORNING + HOUR, MORNING + 4 * HOUR):
        found = confirmed(detect_silence(signals, at(until_s)).incidents)
        assert {incident.kind for incident in found} == {IncidentKind.SILENCE}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_machines_that_begin_as_the_power_is_back_name_a_power_failure(seed: int) -> None:
    """A few lines have a UPS and find a dead network; offices begin next morning here too."""
    rng = Random(seed)
    signals = live([*HOMES, *OFFICES, *PHONES, *world()], rng, 28, churn=0.0)
    for number, vantage in enumerate(HOMES):
        back_s = OVER + rng.uniform(60, 300)
        signals += go_and_return(vantage, back_s, rng, is_rebooted=number % 4 > 0)
    for vantage in OFFICES:
        signals += go_and_return(vantage, MORNING + rng.uniform(0, HOUR), rng, is_rebooted=True)
    found = confirmed(detect_silence(signals, at(MORNING + 4 * HOUR)).incidents)
    assert {incident.kind for incident in found} == {IncidentKind.POWER}


@pytest.mark.parametrize("online", [None, True])
def test_dead_network_stays_told_until_a_link_works(online: bool | None) -> None:
    """In a later silence of the same outage it is off, or the cut has become a block."""
    vantage = VantagePresence(HOMES[0], PresenceStatus.LIVE)
    vantage.mark_silent(at(CUT), at(CUT + 40))
    vantage.note_report(
        OfflineReport(at(OVER), HOMES[0].nym, at(CUT), at(OVER), alive=True, online=False)
    )
    vantage.mark_silent(at(OVER + HOUR), at(OVER + HOUR + 40))
    told = at(MORNING), HOMES[0].nym, at(OVER + HOUR), at(MORNING)
    later = OfflineReport(*told, alive=online is not None, online=online)
    vantage.note_report(later)
    words = testimony.Testimony(vantage, later, at(MORNING), THRESHOLDS, told_since_us=at(CUT))
    assert words.is_offline == (online is None)
    assert words.offline_told_us == (at(OVER) if online is None else 0)
    assert not words.is_powerless
