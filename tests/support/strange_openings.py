"""Blocks that open for minutes, change, or hit some addresses of other services.

Written apart from the detectors, from reports (the year is named) and from physics.
"""

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Land, Person
from support.reported_events import MINUTE, people_of
from support.strange_blocks import (
    DNS,
    GOOD,
    TCP,
    TLS,
    Said,
    draw,
    is_during,
    is_local,
    measure,
)
from support.strange_truths import COUNTRY, StrangeScene, Truth


def lift_each_hour(land: Land) -> None:
    """A block is lifted for ten minutes of each hour, like a rate limit (assumed)."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_during(at, 6) and (at - AT) % HOUR < 50 * MINUTE
        return TLS if is_bad and is_local(person) and service == "telegram" else GOOD

    measure(land, judge)


def hop_addresses(land: Land) -> None:
    """A messenger changes addresses faster than they are blocked (Russia, 2018).

    Telegram. Each vantage has it for some minutes after each change, and then not for half an hour
    or so.
    """
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if not (service == "telegram" and is_local(person) and is_during(at, 6)):
            return GOOD
        phase = (at - AT + 2_400 * draw("hop", person.name)) % 2_400
        return GOOD if phase < 800 else TCP

    measure(land, judge)


def block_by_two_ways(land: Land) -> None:
    """One operator blocks by name, another by address, at once; two do not (Russia)."""
    land.settle()
    for person in people_of(land):
        person.prefix = person.name

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = service == "telegram" and is_during(at, 4)
        return {10: DNS, 20: TCP}.get(person.asn, GOOD) if is_bad else GOOD

    measure(land, judge)


def block_ranges(land: Land) -> None:
    """A messenger's whole ranges are blocked, with a third of three others' addresses.

    As in Russia in April 2018, when ranges of two clouds went with Telegram.
    """
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if not (is_local(person) and is_during(at, 5)):
            return GOOD
        is_hit = service in ("signal", "youtube", "newspaper") and draw(person.name, service, at)
        return TCP if service == "telegram" or 0 < is_hit < 0.35 else GOOD

    measure(land, judge)


SCENES = {
    "lifted each hour": StrangeScene(
        lift_each_hour,
        (Truth(until=AT + 6 * HOUR, service="telegram", within_s=420),),
        9,
        most=2,
    ),
    "addresses hop": StrangeScene(
        hop_addresses,
        (Truth(until=AT + 6 * HOUR, service="telegram", within_s=2_400),),
        9,
        most=2,
    ),
    "two ways": StrangeScene(
        block_by_two_ways,
        tuple(
            Truth(Scope("KZ", asn=asn), AT, AT + 4 * HOUR, "telegram", 600, layers=(layer,))
            for asn, layer in ((10, "dns"), (20, "tcp"))
        ),
        7,
    ),
    "whole ranges": StrangeScene(
        block_ranges,
        (
            Truth(COUNTRY, AT, AT + 5 * HOUR, "telegram", 420),
            *(
                Truth(
                    COUNTRY,
                    AT,
                    AT + 5 * HOUR,
                    service,
                    is_owed=False,
                    kinds=(IncidentKind.PARTIAL,),
                )
                for service in ("signal", "youtube", "newspaper")
            ),
        ),
        8,
    ),
}
