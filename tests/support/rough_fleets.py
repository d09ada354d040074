"""Random fleets: sizes, networks, NAT, sleep, clocks and editions vary.

Written from the manual of the replay format, apart from the detectors. Every range is assumed and
swept; none is fitted to the detectors' output.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from support.foreign_world import DAY, HOUR, Down, Land, Person, clock

SIZES = (8, 15, 30, 80, 300)
SERVICES = ("telegram", "whatsapp", "newspaper")
GOOD = {"value": "reachable"}
_FAILURE = {"value": "blocked", "layer": "tcp", "method": "timeout"}
_LOCAL = {"KZ": 5, "TR": 3, "BR": -3, "ID": 7, "PL": 1}  # hours ahead of UTC

Judge = Callable[[Person, str, float], Mapping[str, object] | None]


@dataclass(frozen=True)
class Fleet:
    """The properties of a fleet."""

    size: int
    has_phones: bool = True
    has_nat: bool = False  # the largest network stands behind one address
    noise: float = 0.03  # share of tests that fail by themselves


def draw_fleet(land: Land, size: int) -> Fleet:
    rng = land.rng
    return Fleet(size, rng.random() < 0.75, rng.random() < 0.35, rng.uniform(0.03, 0.10))


def settle_fleet(land: Land, fleet: Fleet) -> None:
    """Add Kazakhstan in 2 to 9 networks of skewed sizes, other countries, and churn.

    A fifth of the phones sleep each night; agents restart now and then and say goodbye.
    """
    rng = land.rng
    count = rng.randint(2, max(2, min(9, fleet.size // 4)))
    weights = [1 / (rank + 1) ** rng.uniform(0.4, 1.2) for rank in range(count)]
    for rank, weight in enumerate(weights):
        is_phone = fleet.has_phones and rank % 2 == 1
        size = max(1, round(fleet.size * weight / sum(weights)))
        nat = 1 if fleet.has_nat and rank == 0 else (3 if is_phone else 0)
        asn = (20 if is_phone else 10) + rank
        land.add("KZ", size, asn, "mobile" if is_phone else "fixed", nat=nat, regions="AABAC")
    land.add("KZ", rng.randint(0, 2), 30, "hosting")
    for country in rng.sample(("TR", "BR", "ID", "PL"), rng.randint(2, 4)):
        land.add(country, rng.randint(4, 20), 101, "fixed")
        land.add(country, rng.randint(2, 10), 102, "mobile", nat=2)
    for person in land.people:
        _live(land, person)


def _live(land: Land, person: Person) -> None:
    """Give a person silences by itself, nights of sleep and restarts of the agent."""
    rng = land.rng
    is_phone = person.access == "mobile"
    rate = rng.gammavariate(2, (3 if is_phone else 1.5) / DAY)  # mean 6 or 3 a day
    _add_at_rate(land, person, rate, lambda: rng.lognormvariate(math.log(150), 1.4))
    if is_phone and rng.random() < 0.2:
        for day in range(int(land.end // DAY) + 2):
            at = day * DAY + (23 - _LOCAL[person.country]) * HOUR + rng.gauss(0, 2_400)
            person.downs.append(Down(at, at + 7 * HOUR + rng.gauss(0, 1_800)))
    second = land.start + rng.expovariate(0.1 / DAY)
    if second < land.end:
        person.downs.append(Down(second, second + rng.uniform(5, 90), goodbye=True))


def _add_at_rate(land: Land, person: Person, rate: float, last: Callable[[], float]) -> None:
    second = land.start + land.rng.expovariate(rate)
    while second < land.end:
        lasts = last()
        person.downs.append(Down(second, second + lasts))
        second += lasts + land.rng.expovariate(rate)


def run_tests(
    land: Land, fleet: Fleet, since: float, until: float, judge: Judge = lambda *_: None
) -> None:
    """Test three services everywhere each eight minutes; `judge` returns a failure.

    A tenth of the results come minutes to an hour late; clocks are off by minutes; two editions.
    """
    rng = land.rng
    for person in land.people:
        offset = max(-300.0, min(300.0, rng.gauss(0, 60)))
        edition = rng.choice(("1.6", "1.7"))
        for service in SERVICES:
            at = since + rng.uniform(0, 480)
            is_second = False
            while at < until:
                said = judge(person, service, at) or GOOD
                if said is GOOD and rng.random() < fleet.noise:
                    said = _FAILURE
                if not any(down.since - 10 <= at < down.until + 12 for down in person.downs):
                    late = 17 + (rng.expovariate(1 / 600) if rng.random() < 0.1 else 0)
                    line = {"kind": "vote", "vantage": person.name, "at": clock(at + offset)}
                    line |= {"received": clock(max(at + late, at + offset)), "edition": edition}
                    land.faults.append({**line, "service": service, **said})
                is_second = said is not GOOD and not is_second
                at += rng.uniform(10, 40) if is_second else 480 * rng.uniform(0.9, 1.1)


def join_silences(land: Land) -> None:
    """Merge overlapping silences of a person into one until the last reason ends.

    The replay's writer plays no silence that begins within another.
    """
    for person in land.people:
        joined: list[Down] = []
        for down in sorted(person.downs, key=lambda down: down.since):
            if joined and down.since < joined[-1].until + 15:
                longer = max(joined[-1], down, key=lambda one: one.until)
                joined[-1] = replace(longer, since=joined[-1].since, goodbye=joined[-1].goodbye)
            else:
                joined.append(down)
        person.downs = joined
