"""Cuts in the week after a power failure that are no power failures.

Written apart from the detectors. A grid fails for two hours, lines boot on return; days later
lines, all, or one network are cut by order, and no machine boots (assumed, after Cuba and
Venezuela).
"""

from collections.abc import Callable

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land, Person
from support.reported_events import people_of
from support.rough_fleets import join_silences
from support.strange_truths import COUNTRY, StrangeScene, Truth, may

FIXED = Scope("KZ", access="fixed")
_AFTER = 2 * HOUR  # the cut comes so long after the hour of the power failure


def _create(days: int, scope: Scope, is_hit: Callable[[Person], bool]) -> StrangeScene:
    """Create a scene with a cut of a cell some days after the power failure."""
    at = AT + days * DAY + _AFTER

    def build(land: Land) -> None:
        land.settle(lines=(16, 12), phones=(9, 8))
        for person in land.select(access="fixed"):
            back = AT + 2 * HOUR + land.rng.uniform(60, 1_200)
            person.downs.append(Down(AT + land.rng.uniform(0, 30), back, rebooted=True))
        land.cut([p for p in people_of(land) if is_hit(p)], at, at + 4 * HOUR, 20)
        join_silences(land)

    truths = (
        Truth(scope, at, at + 4 * HOUR, "", 600, is_suspicion_enough=bool(scope.asn)),
        may(COUNTRY, "", AT, AT + DAY),
    )
    return StrangeScene(build, truths, days * 24 + 14, (IncidentKind.POWER,))


SCENES = {
    f"{name} after {days} days": _create(days, scope, is_hit)
    for days in (1, 3, 6)
    for name, scope, is_hit in (
        ("lines", FIXED, lambda person: person.access == "fixed"),
        ("all", COUNTRY, lambda _person: True),
        ("a network", Scope("KZ", asn=10), lambda person: person.asn == 10),
    )
}
