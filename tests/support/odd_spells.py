"""Tests that fail in spells where vantages are few, beside a block that few see.

Written from physics, apart from the detectors. A line that is bad for a service is so for half an
hour: what fails once fails again.
"""

from support.foreign_world import AT, HOUR, Land, Person
from support.strange_blocks import GOOD, TCP, TLS, Said, draw, is_blocked, is_local, measure
from support.strange_truths import COUNTRY, StrangeScene, Truth

_SPELL_S = 1_800


def fail_in_spells(land: Land) -> None:
    """Each of five fails each service for 15 % of the half hours; none is blocked."""
    _settle_few(land)
    measure(land, _fail_by_turns)


def block_few(land: Land) -> None:
    """A messenger is blocked, which five see, and nothing else fails but by chance."""
    _settle_few(land)
    measure(land, lambda person, service, at: TLS if is_blocked(person, service, at) else GOOD)


def _settle_few(land: Land) -> None:
    land.settle(lines=(2, 1), phones=(1, 1))


def _fail_by_turns(person: Person, service: str, at: float) -> Said:
    spell = person.name, service, int(at // _SPELL_S)
    if not is_local(person) or draw(*spell) >= 0.15:
        return GOOD
    return TCP if draw(person.name, at) < 0.5 else TLS


SCENES = {
    "few whose tests fail in spells": StrangeScene(fail_in_spells, (), 12),
    "a block that five see": StrangeScene(
        block_few,
        (Truth(COUNTRY, AT, AT + 4 * HOUR, "telegram", within_s=900, is_suspicion_enough=True),),
        7,
    ),
}
