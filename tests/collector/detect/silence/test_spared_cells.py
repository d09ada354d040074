"""Lines that a national cut spares at first are told as cut when they fall silent too."""

from random import Random

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import PhaseDirection
from support.presence_model import KZ, at, confirmed, country, drop, live, world

ONSET = 5 * 3_600.0  # 10:00 in Kazakhstan
LATER = ONSET + 2_400.0


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
