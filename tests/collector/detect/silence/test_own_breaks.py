"""People whose own line breaks beside an outage tell nothing of its cause."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence.own_breaks import drop_own_breaks
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.presence_model import Signals, at, country, live, people, world

HOUR, DAY = 3_600.0, 86_400.0
ONSET = DAY + 6 * HOUR
END = ONSET + 3 * HOUR
LINES = people(VantageLocation("KZ", "SHY", 301, "fixed"), 14)
FALLEN, SPARED = LINES[:9], LINES[9:]
HOME = country(each=3)


@pytest.mark.parametrize("are_broken", [False, True])
def test_lines_that_break_by_themselves_do_not_make_a_power_failure_a_cut(
    *, are_broken: bool
) -> None:
    """Nine lines lose their power, three of them with laptops, and five live beside them."""
    for seed in (1, 2):
        rng = Random(seed)
        signals = _fall(rng)
        if are_broken:
            signals += [s for n, v in enumerate(SPARED) for s in _break(v, ONSET + (n + 2) * 1_500)]
        (incident,) = _list_told(signals, rng)
        assert (incident.kind, incident.state) == (IncidentKind.POWER, IncidentState.CLOSED), seed


def test_lines_that_fell_with_the_others_tell_of_the_outage_however_soon_they_are_back() -> None:
    fallen = [_restore(v, ONSET, END) for v in FALLEN]
    soon = [_restore(v, ONSET + 300, ONSET + 600) for v in SPARED]
    assert drop_own_breaks([*fallen, *soon], at(END + HOUR), 5) == [*fallen, *soon]


def test_lines_that_break_as_the_others_return_tell_of_the_outage() -> None:
    fallen = [_restore(v, ONSET, END) for v in FALLEN]
    late = [_restore(v, END - 300, END - 60) for v in SPARED]
    assert drop_own_breaks([*fallen, *late], at(END + HOUR), 5) == [*fallen, *late]


def test_a_break_beside_few_dark_lines_tells_of_the_outage() -> None:
    fallen = [_restore(v, ONSET, END) for v in FALLEN[:4]]
    broken = [_restore(v, ONSET + HOUR, ONSET + HOUR + 200) for v in SPARED]
    assert drop_own_breaks([*fallen, *broken], at(END), 5) == [*fallen, *broken]
    more = [*fallen, _restore(FALLEN[4], ONSET, END)]
    assert drop_own_breaks([*more, *broken], at(END), 5) == more


def _fall(rng: Random) -> Signals:
    signals: Signals = []
    for number, line in enumerate(FALLEN):
        heard_s, back_s = ONSET - rng.uniform(0, 15), END + rng.uniform(0, 900)
        is_laptop = number % 3 == 0
        signals.append(VantageLoss(at(heard_s + 37.5), line.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), line, uptime_s=30_000 if is_laptop else 60))
        signals.append(_tell(line, heard_s, back_s, is_alive=is_laptop))
    return signals


def _break(line: VantageRef, heard_s: float) -> Signals:
    back_s = heard_s + 200
    return [
        VantageLoss(at(heard_s + 37.5), line.nym, at(heard_s)),
        VantageArrival(at(back_s), line, uptime_s=30_000),
        _tell(line, heard_s, back_s, is_alive=True),
    ]


def _tell(line: VantageRef, heard_s: float, back_s: float, *, is_alive: bool) -> OfflineReport:
    online = False if is_alive else None
    return OfflineReport(at(back_s + 5), line.nym, at(heard_s), at(back_s), is_alive, online)


def _list_told(signals: Signals, rng: Random) -> list[Incident]:
    signals = [*live(LINES + HOME + world(), rng, 36, churn=0.0), *signals]
    incidents = detect_silence(signals, at(END + 3 * HOUR)).incidents
    return [i for i in incidents if i.state is not IncidentState.WITHDRAWN]


def _restore(line: VantageRef, heard_s: float, back_s: float) -> VantagePresence:
    presence = VantagePresence(line)
    presence.mark_silent(at(heard_s), at(heard_s + 37.5))
    presence.note_return(VantageArrival(at(back_s), line))
    presence.status = PresenceStatus.LIVE
    return presence
