"""Failures of names and of old agent editions, written apart from the detectors."""

import math

from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Land, Person
from support.reported_events import MINUTE
from support.strange_blocks import (
    CERTIFICATE,
    DNS,
    FOREIGN,
    GOOD,
    NO_ANSWER,
    TLS,
    Said,
    draw,
    is_during,
    is_local,
    measure,
)
from support.strange_truths import COUNTRY, StrangeScene, Truth, may

OPERATORS = {10: AT, 20: AT + 80 * MINUTE, 11: AT + 160 * MINUTE, 21: AT + 240 * MINUTE}


def refuse_names(land: Land) -> None:
    """Resolvers of operator after operator refuse foreign names; 3 of 10 use others.

    A shutdown of names alone: lines, addresses and domestic sites work.
    """
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_shut = is_local(person) and at >= OPERATORS.get(person.asn, land.end)
        has_own = draw("resolver", person.name) < 0.3
        return DNS if is_shut and service in FOREIGN and not has_own else GOOD

    measure(land, judge)


def drop_names(land: Land) -> None:
    """A state's box drops all queries for the names of three messengers, and no other."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_local(person) and is_during(at, 2) and service in FOREIGN[:3]
        return NO_ANSWER if is_bad else GOOD

    measure(land, judge)


def drop_all_names(land: Land) -> None:
    """Resolvers drop all five names of a plan, none domestic; 3 of 10 use others."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_local(person) and is_during(at, 2) and draw("elude", person.name) >= 0.3
        return NO_ANSWER if is_bad else GOOD

    measure(land, judge)
    land.faults = [fault for fault in land.faults if fault["service"] in FOREIGN]


def block_most(land: Land) -> None:
    """Boxes on 7 of 10 lines block 5 of 7 services, as Russia's TSPU does."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_local(person) and is_during(at, 2) and service in FOREIGN
        return TLS if is_bad and draw("box", person.name) >= 0.3 else GOOD

    measure(land, judge)


def expire_root(land: Land) -> None:
    """An old edition of our agent does not know a site's new root certificate.

    As DST Root CA X3 of 30 September 2021: from one second on. The agent brings its roots along;
    two thirds here have the old edition, a seventh elsewhere.
    """
    land.settle(phones=(14, 12))

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = _is_old(person) and at >= AT and service in ("newspaper", "signal")
        return _say_with_edition(person, is_bad=is_bad)

    measure(land, judge)


def block_beside_old_editions(land: Land) -> None:
    """Two thirds have the old edition while Signal is blocked in the whole country."""
    land.settle(phones=(14, 12))

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_local(person) and is_during(at, 3) and service == "signal"
        return _say_with_edition(person, is_bad=is_bad)

    measure(land, judge)


def _is_old(person: Person) -> bool:
    return draw("old", person.name) < (0.65 if person.country == "KZ" else 0.15)


def _say_with_edition(person: Person, *, is_bad: bool) -> Said:
    edition = "1.4" if _is_old(person) else "1.6"
    return {**(CERTIFICATE if is_bad else GOOD), "edition": edition}


SCENES = {
    "all names dropped": StrangeScene(
        drop_all_names,
        tuple(
            Truth(COUNTRY, AT, AT + 2 * HOUR, service, 2_700, 1_800, is_suspicion_enough=True)
            for service in FOREIGN
        ),
        4,
    ),
    "names dropped": StrangeScene(
        drop_names,
        tuple(
            Truth(COUNTRY, AT, AT + 2 * HOUR, service, 480, layers=("dns",))
            for service in FOREIGN[:3]
        ),
        4,
    ),
    # Five tests in a row, one in eight minutes, tell a vantage that always fails from one that
    # fails by chance.
    "most is blocked on most lines": StrangeScene(
        block_most,
        tuple(
            Truth(COUNTRY, AT, AT + 2 * HOUR, service, 2_700, 1_800, is_suspicion_enough=True)
            for service in FOREIGN
        ),
        4,
    ),
    "names refused": StrangeScene(
        refuse_names,
        (
            *(may(COUNTRY, service) for service in FOREIGN),
            Truth(COUNTRY, AT + 4 * HOUR, math.inf, "telegram", 1_800, is_suspicion_enough=True),
        ),
        9,
    ),
    "a block beside old editions": StrangeScene(
        block_beside_old_editions,
        (Truth(Scope("KZ"), AT, AT + 3 * HOUR, "signal", 420),),
        5,
    ),
}
