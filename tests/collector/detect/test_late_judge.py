"""With a judge that is minutes late, a block and its end have their true times."""

from collections.abc import Iterable
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from support.presence_model import BLOCKED_TLS, KZ, at, country

BEGIN = 3_600.0
END = 7_200.0
UNTIL = 10_800.0
EVERY = 600.0
BEHIND = 280.0  # with the delivery's 2 to 32 s about as old as the live detector takes


def _list_votes(vantages: Iterable[VantageRef], rng: Random) -> list[ServiceVote]:
    votes = []
    for vantage in vantages:
        now_s = rng.uniform(0, EVERY)
        while now_s < UNTIL:
            is_blocked = KZ(vantage) and BEGIN <= now_s < END
            verdict = BLOCKED_TLS if is_blocked else (VoteValue.GOOD, "", "")
            votes.append(ServiceVote(at(now_s), vantage, "telegram", *verdict))
            now_s += EVERY * rng.uniform(0.85, 1.15)
    return votes


@pytest.mark.parametrize("seed", [0, 1])
def test_block_and_its_end_are_told_by_votes_that_are_partly_too_late(seed: int) -> None:
    """A block and its end are found by votes that are partly too late.

    Some are just young enough for the live detector, and too few of these decide.
    """
    rng = Random(seed)
    votes = _list_votes([*country(each=1), *country("KG", regions=("A",), each=1)], rng)
    timed = [(v.at_us + int((BEHIND + rng.uniform(2, 32)) * SECOND_US), v) for v in votes]
    (block,) = replay_signals((), timed).incidents
    assert block.confirmed_us is not None
    assert block.confirmed_us <= at(BEGIN + 600)
    assert block.state is IncidentState.CLOSED
    assert at(END) <= (block.closed_us or 0) <= at(END + 900)
