"""Failures and blocks of services of kinds that no other world has.

Written from reports (the year is named) and from physics, apart from the detectors. What no report
gives is assumed.
"""

import math

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land, Person
from support.reported_events import MINUTE, people_of
from support.strange_blocks import (
    CERTIFICATE,
    FOREIGN,
    GOOD,
    SLOW,
    TCP,
    TLS,
    Said,
    draw,
    is_blocked,
    is_during,
    is_local,
    measure,
)
from support.strange_truths import COUNTRY, StrangeScene, Truth, may

BLOCK_PAGE: Said = {"value": "blocked", "layer": "http", "method": "blockpage"}
REFUSED: Said = {"value": "blocked", "layer": "http", "method": "status"}
CITIES = "ABCDEF"
SLOWED = (IncidentKind.THROTTLING, IncidentKind.PARTIAL)


def trickle_in_evenings(land: Land) -> None:
    """Videos are throttled on two evenings for five hours, and work by day."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_evening = 13 * HOUR <= at % DAY < 18 * HOUR
        is_slow = service == "youtube" and is_local(person) and is_evening
        return SLOW if is_slow and draw(person.name, at) < 0.9 else GOOD

    measure(land, judge)


def block_city_by_city(land: Land) -> None:
    """Boxes are switched on in six cities, one each half an hour, and stay on."""
    land.settle(lines=(18, 15), phones=(12, 9))
    for number, person in enumerate(people_of(land)):
        person.region = CITIES[number % 6]
        person.prefix = person.name

    def judge(person: Person, service: str, at: float) -> Said:
        since = AT + CITIES.find(person.region) * 30 * MINUTE
        is_bad = service == "telegram" and is_local(person) and since <= at < AT + 8 * HOUR
        return TLS if is_bad else GOOD

    measure(land, judge)


def lose_cdn(land: Land) -> None:
    """A CDN of three services fails everywhere for 45 min (Fastly, June 2021)."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_carried = service in ("signal", "newspaper", "bank")
        return REFUSED if is_carried and is_during(at, 45 / 60) else GOOD

    measure(land, judge)


def board_trains(land: Land) -> None:
    """Fourteen phones use a train's Wi-Fi, with a portal for the first 20 min each."""
    land.settle(phones=(12, 10))
    starts = {}
    for person in land.select(access="mobile")[:14]:
        at = AT + land.rng.uniform(0, 40 * MINUTE)
        starts[person.name] = at
        away = Down(at, at + 30, asn=70, access="fixed", prefix="KZ-70")
        home = Down(at + 3 * HOUR, at + 3 * HOUR + 40, asn=person.asn, access="mobile")
        home.prefix = person.prefix
        person.downs += [away, home]

    def judge(person: Person, _service: str, at: float) -> Said:
        since = starts.get(person.name, land.end)
        return BLOCK_PAGE if since <= at < since + 20 * MINUTE else GOOD

    measure(land, judge)


def obey_one_order_by_two_ways(land: Land) -> None:
    """One order: the largest operator shows a block page, the others drop packets."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if not is_blocked(person, service, at):
            return GOOD
        return BLOCK_PAGE if person.asn == 10 else TCP

    measure(land, judge)


def obey_court_by_turns(land: Land) -> None:
    """Four operators obey a court order, twelve hours apart (Brazil, 2024, in days)."""
    land.settle(lines=(12, 10), phones=(9, 8))
    for person in people_of(land):
        person.prefix = person.name
    turns = {10: 0, 20: 12, 11: 24, 21: 36}

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = service == "facebook" and is_local(person)
        return TLS if is_bad and at >= AT + turns.get(person.asn, 999) * HOUR else GOOD

    measure(land, judge)


def spare_one_network(land: Land) -> None:
    """A messenger is blocked; after 2 h the state's own network gets it back."""
    land.settle()
    land.add("KZ", 7, 50, "fixed", regions="A")

    def judge(person: Person, service: str, at: float) -> Said:
        lasts = 2 if person.asn == 50 else 6
        is_bad = service == "telegram" and is_local(person) and is_during(at, lasts)
        return TLS if is_bad else GOOD

    measure(land, judge)


def close_ports(land: Land) -> None:
    """A messenger closes its old ports everywhere within two hours, site by site.

    Until the next site follows, what one country's tests show is its own.
    """
    land.settle()
    turns = {"KZ": 0.0, "TR": 20.0, "PL": 45.0, "BR": 90.0, "ID": 120.0}

    def judge(person: Person, service: str, at: float) -> Said:
        is_closed = service == "whatsapp" and at >= AT + turns[person.country] * MINUTE
        return {"value": "partial", "layer": "tcp", "method": "refused"} if is_closed else GOOD

    measure(land, judge)


def keep_own_cache(land: Land) -> None:
    """An operator's cache of a video site has always had another issuer's certificate."""
    land.settle()

    def judge(person: Person, service: str, _at: float) -> Said:
        return CERTIFICATE if person.asn == 10 and service == "youtube" else GOOD

    measure(land, judge)


def leave_market(land: Land) -> None:
    """A firm leaves a country: its own servers answer 451 to all lines there.

    As many firms did in Russia in 2022. All networks are refused, but no network blocks it.
    """
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        return REFUSED if person.country == "KZ" and service == "facebook" and at >= AT else GOOD

    measure(land, judge)


def shape_one_operator(land: Land) -> None:
    """One operator's foreign transit is full: foreign services are slow there for 4 h."""
    land.settle(lines=(16, 10))

    def judge(person: Person, service: str, at: float) -> Said:
        is_slow = person.asn == 10 and service in FOREIGN and is_during(at, 4)
        return SLOW if is_slow and draw(person.name, service, at) < 0.7 else GOOD

    measure(land, judge)


def intercept_at_school(land: Land) -> None:
    """A school with twelve lines intercepts TLS of all services from one day on."""
    land.settle()
    land.add("KZ", 12, 50, "fixed", nat=2, regions="B")

    def judge(person: Person, _service: str, at: float) -> Said:
        return CERTIFICATE if person.asn == 50 and at >= AT else GOOD

    measure(land, judge)


def block_for_minutes(land: Land) -> None:
    """A box is tried for six minutes, three times, an hour apart, before it stays on."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        after = at - AT
        is_try = after < 3 * HOUR and after % HOUR < 6 * MINUTE
        is_on = is_try or 3 * HOUR <= after < 7 * HOUR
        return TLS if service == "signal" and is_local(person) and after >= 0 and is_on else GOOD

    measure(land, judge)


def _cities() -> tuple[Truth, ...]:
    return tuple(
        Truth(
            Scope("KZ", city),
            AT + turn * 30 * MINUTE,
            AT + 8 * HOUR,
            "telegram",
            2_400,
            1e9,
            is_suspicion_enough=True,
        )
        for turn, city in enumerate(CITIES)
    )


SCENES = {
    "a trickle in evenings": StrangeScene(
        trickle_in_evenings,
        tuple(
            Truth(
                COUNTRY,
                day * DAY + 13 * HOUR,
                day * DAY + 18 * HOUR,
                "youtube",
                1_800,
                3_600,
                is_suspicion_enough=True,
                kinds=SLOWED,
            )
            for day in (0, 1)
        ),
        36,
    ),
    "city by city": StrangeScene(
        block_city_by_city,
        (
            Truth(COUNTRY, AT + 2.5 * HOUR, AT + 8 * HOUR, "telegram", 1_200),
            *_cities(),
            may(COUNTRY, "telegram", AT + 90 * MINUTE, AT + 8 * HOUR),
        ),
        10,
    ),
    "a carrier of three services": StrangeScene(lose_cdn, (), 5),
    "trains": StrangeScene(board_trains, (), 6),
    "one order, two ways": StrangeScene(
        obey_one_order_by_two_ways,
        (Truth(COUNTRY, AT, AT + 4 * HOUR, "telegram", 600, layers=("http", "tcp", "")),),
        7,
    ),
    "a court's order by turns": StrangeScene(
        obey_court_by_turns,
        (
            *(
                Truth(
                    Scope("KZ", asn=asn),
                    AT + 12 * turn * HOUR,
                    service="facebook",
                    within_s=1_200,
                    until=AT + 44 * HOUR,
                    ends_within_s=math.inf,
                )
                for turn, asn in enumerate((10, 20, 11, 21))
            ),
            may(COUNTRY, "facebook", AT + 24 * HOUR),
            may(Scope("KZ", access="fixed"), "facebook", AT + 24 * HOUR),
        ),
        46,
    ),
    "one network gets it back": StrangeScene(
        spare_one_network, (Truth(COUNTRY, AT, AT + 6 * HOUR, "telegram", 420),), 9
    ),
    "ports closed everywhere": StrangeScene(
        close_ports,
        (may(COUNTRY, "whatsapp", AT, AT + HOUR), may(Scope("TR"), "whatsapp", AT, AT + HOUR)),
        8,
    ),
    "an operator's own cache": StrangeScene(
        keep_own_cache, (may(Scope("KZ", asn=10), "youtube", 0),), 6
    ),
    "a firm leaves": StrangeScene(leave_market, (may(COUNTRY, "facebook"),), 6),
    "one operator's transit is full": StrangeScene(
        shape_one_operator, tuple(may(Scope("KZ", asn=10), s) for s in FOREIGN), 7
    ),
    "a school's certificate": StrangeScene(
        intercept_at_school,
        tuple(may(Scope("KZ", asn=50), s) for s in (*FOREIGN, "bank", "newspaper")),
        7,
    ),
    "a box is tried": StrangeScene(
        block_for_minutes,
        (
            *(may(COUNTRY, "signal", AT + n * HOUR, AT + n * HOUR + 900) for n in range(3)),
            Truth(COUNTRY, AT + 3 * HOUR, AT + 7 * HOUR, "signal", 600),
        ),
        9,
    ),
}
