"""Random fades, blocks of our address and pairs of events, in fleets of all kinds.

Written from `onset-curves` of public series and from physics, apart from the detectors.
"""

import math

from heliograph_collector.incidents.incident import IncidentKind
from support.foreign_world import DAY, HOUR, Down, Land, Person
from support.reported_events import MINUTE, people_of
from support.rough_fleets import SIZES, draw_fleet, join_silences, run_tests, settle_fleet
from support.strange_truths import COUNTRY, StrangeScene, Truth, may

ROLL_OUT_S = 600.0  # from the first operator to the last, at most


def create_fade(number: int) -> StrangeScene:
    """Create a fade: half of the vantages are gone after 10 min to 2.5 h.

    The share that is left follows a logistic curve or two straight lines; 1 to 12 of 100 stay.
    """
    size = SIZES[number % len(SIZES)]
    half = 10 * MINUTE * 15 ** ((number * 7 % 90) / 89)
    most = min(4 * HOUR, max(30 * MINUTE, half * (1.3 + 1.2 * (number * 11 % 90) / 89)))
    at = 2 * DAY + (number * 13 % 90) / 90 * DAY
    until = at + most + 3 * HOUR

    def build(land: Land) -> None:
        fleet = draw_fleet(land, size)
        settle_fleet(land, fleet)
        returns = land.rng.choice((60, 1_800, 3 * HOUR))
        stays = land.rng.uniform(0.01, 0.12)
        is_logistic = land.rng.random() < 0.5
        for person in people_of(land):
            if land.rng.random() >= stays:
                after = _draw_fall(land, half, most, is_logistic=is_logistic)
                back = until + land.rng.uniform(0, returns)
                person.downs.append(Down(at + after, back, told=False))
        join_silences(land)
        if size <= 80:
            run_tests(land, fleet, at - 2 * HOUR, until + HOUR)

    few = size < 20
    return StrangeScene(
        build,
        (
            Truth(COUNTRY, at, until, "", most + 900, 3.5 * HOUR, is_suspicion_enough=few),
            may(COUNTRY, "", at, until + 3 * HOUR),
        ),
        2 * 24 + 24 + 12,
    )


def _draw_fall(land: Land, half: float, most: float, *, is_logistic: bool) -> float:
    """Draw when a vantage falls: half do until `half`, nine tenths until `most`."""
    share = land.rng.uniform(0.001, 0.999)
    if is_logistic:
        return max(0.0, half + math.log(share / (1 - share)) * (most - half) / math.log(9))
    if share < 0.5:
        return half * share / 0.5
    return half + (most - half) * (share - 0.5) / 0.4


def create_address_block(number: int) -> StrangeScene:
    """Create a block of our address; up to two fifths find no other entrance."""
    size = SIZES[number % len(SIZES)]
    at = find_begin(number)
    lasts = (2 + number % 5) * HOUR

    def build(land: Land) -> None:
        fleet = draw_fleet(land, size)
        settle_fleet(land, fleet)
        block_address(land, at, at + lasts)
        join_silences(land)
        if size <= 80:
            run_tests(land, fleet, at - HOUR, at + lasts)

    causes = (IncidentKind.COLLECTOR_BLOCKED,)
    return StrangeScene(build, (), 24 + 24 + lasts / HOUR + 4, causes)


def find_begin(number: int) -> float:
    """Return when the block of our address of this number begins."""
    return DAY + 8 * HOUR + (number * 7 % 30) / 30 * DAY


def block_address(land: Land, at: float, until: float) -> None:
    """Block our main entrance in a country at once, or by operators in ten minutes."""
    rng = land.rng
    stuck, tells = rng.choice((0.0, 0.1, 0.25, 0.4)), rng.choice((0.5, 0.9))
    mean, spread = rng.uniform(20, 120), rng.choice((2, 30, ROLL_OUT_S))
    before = rng.choice((0.0, 0.3))  # by another entrance already
    turns = {person.asn: rng.uniform(0, spread) for person in land.select()}
    for person in land.select():
        if rng.random() < before:
            person.entrance = "second"
            continue
        since = at + turns[person.asn] + rng.uniform(0, 5)
        if rng.random() < stuck:
            person.downs.append(Down(since, until + rng.uniform(0, 600)))
            continue
        _return_by_second(land, person, since, since + 15 + rng.expovariate(1 / mean), tells)
        home = until + rng.uniform(0, HOUR)
        person.downs.append(Down(home, home + 50, entrance="main"))


def _return_by_second(land: Land, person: Person, since: float, back: float, tells: float) -> None:
    told = True if land.rng.random() < tells else None
    person.downs.append(Down(since, back, told=told, entrance="second"))
