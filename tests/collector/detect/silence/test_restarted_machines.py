"""A machine that started long before its line came back shows no power failure."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.signals import OfflineReport, VantageArrival
from support.presence_model import at, confirmed, country, drop, live, world

HOUR = 3_600.0
ONSET = 2 * HOUR
BACK = ONSET + 9 * HOUR
HOME = country(each=3)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("ran_s", "kind"),
    [((1.2 * HOUR, 8 * HOUR), IncidentKind.SILENCE), ((60, 900), IncidentKind.POWER)],
    ids=["restarted in a cut", "began with the grid"],
)
def test_reboots_tell_of_the_power_only_where_lines_followed_them(
    seed: int, ran_s: tuple[float, float], kind: IncidentKind
) -> None:
    """Reboots show a power failure only where lines followed them.

    Two thirds had rebooted and report no measurement; up to version 114 both were power.
    """
    rng = Random(seed)
    signals = live(HOME + world(), rng, 14, churn=1.0) + drop(HOME, ONSET, rng)
    for number, vantage in enumerate(HOME):
        back_s = BACK + rng.uniform(0, 120)
        is_restarted = number % 3 > 0
        uptime_s = int(rng.uniform(*ran_s)) if is_restarted else 900_000
        signals.append(VantageArrival(at(back_s), vantage, uptime_s=uptime_s))
        told = at(back_s + 3), vantage.nym, at(ONSET + 20), at(back_s)
        online = None if is_restarted else False
        signals.append(OfflineReport(*told, alive=not is_restarted, online=online))
    (incident,) = confirmed(detect_silence(signals, at(BACK + HOUR)).incidents)
    assert incident.kind is kind


def test_lines_that_break_after_a_cut_change_nothing_of_what_machines_told_of_it() -> None:
    """Two thirds of a small country's machines were restarted early in a cut of two days.

    In the hours after it each line breaks for minutes. Up to version 161 what was known of the
    machines was then forgotten, and the cut became a power failure, hours after its end.
    """
    rng = Random(4)
    home = country(each=1)
    signals = live(home + world(), rng, 2, churn=0)
    end_s = ONSET + 48 * HOUR
    for number, vantage in enumerate(home):
        back_s = end_s + rng.uniform(0, 120)
        uptime_s = (30 if number % 3 else 90) * 3_600
        told = at(back_s + 2), vantage.nym, at(ONSET + 10), at(back_s)
        signals += [
            *drop([vantage], ONSET, rng),
            VantageArrival(at(back_s), vantage, uptime_s=uptime_s),
            OfflineReport(*told, alive=number % 3 == 0, online=False),
        ]
        gone_s = end_s + rng.uniform(1, 5) * HOUR
        later_s = int(gone_s + 180 - back_s)
        signals += drop([vantage], gone_s, rng)
        signals.append(VantageArrival(at(gone_s + 180), vantage, uptime_s=uptime_s + later_s))
    incidents = detect_silence(signals, at(end_s + 10 * HOUR)).incidents
    cut = min(incidents, key=lambda incident: incident.started.earliest_us)
    assert cut.scope.is_national
    assert cut.kind is IncidentKind.SILENCE
