"""Unanswered names, and blocks beside other failures; apart from the detectors.

Each vantage tests each service once in eight minutes; what no report gives is assumed.
"""

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Land, Person
from support.strange_blocks import (
    DOMESTIC,
    DOWN,
    FOREIGN,
    GOOD,
    NO_ANSWER,
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


def swallow_foreign_names(land: Land) -> None:
    """Resolvers drop queries for five foreign names for 6 h; domestic names work."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_local(person) and service in FOREIGN and is_during(at, 6)
        return NO_ANSWER if is_bad else GOOD

    measure(land, judge)


def swallow_one_name(land: Land) -> None:
    """All resolvers swallow questions for one messenger's name."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        return NO_ANSWER if is_blocked(person, service, at) else GOOD

    measure(land, judge)


def block_while_resolver_fails(land: Land) -> None:
    """A messenger is blocked; then three fifths lose their resolver for 40 minutes."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        uses = is_local(person) and draw("resolver", person.name) < 0.6
        if uses and is_during(at, 40 / 60, AT + 1_200):
            return NO_ANSWER
        return TLS if is_blocked(person, service, at) else GOOD

    measure(land, judge)


def block_by_access(land: Land) -> None:
    """Lines drop a messenger's packets; phones get it throttled in the same minute."""
    land.settle(phones=(12, 10))

    def judge(person: Person, service: str, at: float) -> Said:
        if not is_blocked(person, service, at):
            return GOOD
        return SLOW if person.access == "mobile" else TCP

    measure(land, judge)


def block_beside_cdn(land: Land) -> None:
    """Three messengers are blocked in the minute in which a CDN takes two sites down."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if service in DOMESTIC and is_during(at, 1):
            return TCP if at < AT + 240 else DOWN
        is_bad = service in FOREIGN[:3] and is_local(person) and is_during(at, 4)
        return TLS if is_bad else GOOD

    measure(land, judge)


def follow_the_sun(land: Land) -> None:
    """A firm installs a broken version in country after country, 30 minutes apart."""
    land.settle()
    turns = {"KZ": 0, "TR": 1, "PL": 2, "ID": 3, "BR": 4}

    def judge(person: Person, service: str, at: float) -> Said:
        since = AT + turns[person.country] * 1_800
        is_bad = service == "signal" and since <= at < AT + 5 * HOUR
        return TCP if is_bad else GOOD

    measure(land, judge)


def block_by_hours(land: Land) -> None:
    """A messenger is blocked in working hours, 9 to 17 o'clock, on two days."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_now = any(is_during(at, 8, day + 4 * HOUR) for day in (86_400.0, 172_800.0))
        return TLS if service == "whatsapp" and is_local(person) and is_now else GOOD

    measure(land, judge)


def _owed(*services: str, hours: float = 4, within_s: float = 600) -> tuple[Truth, ...]:
    return tuple(Truth(COUNTRY, AT, AT + hours * HOUR, one, within_s, HOUR) for one in services)


SCENES = {
    "foreign names swallowed": StrangeScene(
        swallow_foreign_names, _owed(*FOREIGN, hours=6, within_s=2_700), 9
    ),
    "one name swallowed": StrangeScene(swallow_one_name, _owed("telegram"), 7),
    "a block while a resolver fails": StrangeScene(
        block_while_resolver_fails, _owed("telegram"), 7
    ),
    "by access": StrangeScene(
        block_by_access,
        (
            Truth(Scope("KZ", access="fixed"), AT, AT + 4 * HOUR, "telegram", 600, HOUR),
            Truth(
                COUNTRY,
                AT,
                AT + 4 * HOUR,
                "telegram",
                is_owed=False,
                kinds=(IncidentKind.BLOCKING, IncidentKind.THROTTLING, IncidentKind.PARTIAL),
            ),
        ),
        7,
    ),
    "blocks beside a CDN": StrangeScene(block_beside_cdn, _owed(*FOREIGN[:3]), 7),
    "a broken version": StrangeScene(
        follow_the_sun,
        (
            may(COUNTRY, "signal", AT, AT + HOUR),
            may(Scope("TR"), "signal", AT + 1_800, AT + 1.5 * HOUR),
        ),
        8,
    ),
    "working hours": StrangeScene(
        block_by_hours,
        tuple(
            Truth(COUNTRY, day + 4 * HOUR, day + 12 * HOUR, "whatsapp", 600, HOUR)
            for day in (86_400.0, 172_800.0)
        ),
        54,
    ),
}
