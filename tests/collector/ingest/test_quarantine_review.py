"""Who came without an invite is counted after a week and ten hours of seeing what others see."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.quarantine import TRIAL_S, enrol_stranger
from heliograph_collector.ingest.quarantine_review import HOUR_US, Trials
from heliograph_collector.model.records import Block, Role, State, Verdict
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.hand_clock import HandClock
from support.rows import KZ, block, taken

NYMS = Pseudonyms(b"s" * 32)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path)
    yield opened
    opened.close()


def hour(at_us: int, trier: bytes, said: State, others: tuple[State, ...]) -> Block:
    """One hour of one cell: what the agent on trial said, and what the counted ones did."""
    rows = []
    words = [(trier, Role.QUARANTINE, said)]
    words += [(bytes([n]) * 16, Role.VOLUNTEER, state) for n, state in enumerate(others)]
    for agent, role, state in words:
        nym = NYMS.vantage(agent, KZ.country, KZ.asn, at_us)
        one = taken(1, at_us=at_us, who=nym, role=role)
        rows.append((one, (Verdict(state=state, rule="t.x"),)))
    return block(1, 2, *rows)


R, B = State.REACHABLE, State.BLOCKED


@pytest.mark.parametrize(
    ("said", "others", "counts"),
    [
        (B, (B, B, B), True),
        (R, (B, B, B), False),  # otherwise than all
        (B, (B, B, R), False),  # they are not of one mind
        (B, (B, B), False),  # too few
        (B, (), False),  # its own word alone
    ],
)
def test_ten_hours_of_agreement_and_a_week_let_it_out(
    fleet: Fleet, said: State, others: tuple[State, ...], counts: bool
) -> None:
    clock = HandClock()
    born_s = clock.wall // 1_000_000
    agent = enrol_stranger(fleet, b"p" * 32, "", born_s)
    trials = Trials(fleet, clock, NYMS)
    for _ in range(10):
        trials.took(hour(clock.wall, agent.id, said, others))
        trials.took(hour(clock.wall, agent.id, said, others))  # the same hour counts once
        clock.advance_us(2 * HOUR_US)
        assert trials.settle() == 0, "too young"
    (now,) = fleet.agents()
    assert now.agreements == (10 if counts else 0)
    clock.advance_us(TRIAL_S * 1_000_000)
    assert trials.settle() == int(counts)
    assert (fleet.agents()[0].voice == "volunteer") is counts
