"""Lines that a national cut spares at first are cut when they fall silent too."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.spared_cells import find_fallen_spared_cells
from heliograph_collector.incidents.incident import IncidentKind, PhaseDirection
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageArrival, VantageLoss
from support.outages import build_outage
from support.presence_model import KZ, at, confirmed, country, drop, live, world

ONSET = 5 * 3_600.0  # 10:00 in Kazakhstan
LATER = ONSET + 2_400.0
LINES = Scope("KZ", access="fixed")


def test_lines_that_were_spared_and_fall_later_are_a_phase_of_the_cut() -> None:
    """Phones, a city's lines after 18 minutes, and after 40 the lines of all others.

    Up to version 129 these stayed named as spared for as long as they were dark.
    """
    rng = Random(5)
    people = country(each=3) + world(each=2)
    home = [v for v in people if KZ(v)]
    phones = [v for v in home if v.place.access == "mobile"]
    city = [v for v in home if v.place.region == "ALA" and v not in phones]
    rest = [v for v in home if v not in phones and v not in city]
    signals = live(people, rng, ONSET / 3_600, churn=0.0)
    signals += drop(phones, ONSET, rng) + drop(city, ONSET + 1_080, rng) + drop(rest, LATER, rng)
    (cut,) = confirmed(detect_silence(signals, at(LATER + 3_600)).incidents)
    assert cut.scope.is_national
    assert all(not part.beyond and part.share > 0.9 for part in cut.parts)
    last = cut.turns[-1]
    assert last.way is PhaseDirection.CUT
    assert {part.scope.region for part in last.parts} == {"AST", "VOS"}
    assert at(LATER) <= last.seen_us <= at(LATER + 240)


def _watch(powerless: int) -> PresenceTracker:
    """Watch a country whose phones fall at ONSET, its lines LATER, some on battery."""
    presence = PresenceTracker()
    people = country(each=3)
    for vantage in people:
        presence.on_arrival(VantageArrival(at(0), vantage))
    lines = [v for v in people if v.place.access == "fixed"]
    for vantage in people:
        heard_s = LATER if vantage in lines else ONSET
        presence.on_lost(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
    for line in lines[:powerless]:
        presence.vantages[line.nym].unplugged_us = at(LATER)
    return presence


def _open_outage(kind: IncidentKind) -> OutageEpisode:
    part = AffectedCell(Scope("KZ"), 30, 0.6, 6, beyond=(LINES,))
    return build_outage(Scope("KZ"), ONSET, parts=(part,), kind=kind, confirmed_us=at(ONSET + 90))


@pytest.mark.parametrize(
    ("kind", "powerless", "fallen"),
    [
        (IncidentKind.SILENCE, 0, [LINES]),
        (IncidentKind.POWER, 0, []),
        (IncidentKind.COLLECTOR_BLOCKED, 0, []),
        (IncidentKind.SILENCE, 10, []),
    ],
    ids=["cut", "power failure", "block of our address", "lines without power"],
)
def test_only_a_cut_takes_what_it_spared_and_only_with_power(
    kind: IncidentKind, powerless: int, fallen: list[Scope]
) -> None:
    cells = find_fallen_spared_cells(_open_outage(kind), _watch(powerless), at(LATER + 300))
    assert [cell.scope for cell in cells] == fallen
