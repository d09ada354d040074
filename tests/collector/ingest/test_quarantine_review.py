"""An agent without an invite counts after a week and ten hours of agreement."""

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.quarantine import TRIAL_S, enrol_without_invite
from heliograph_collector.ingest.quarantine_review import QuarantineReview
from heliograph_collector.model.records import AgentRole, Block, Verdict, VerdictState
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.hand_clock import HandClock
from support.rows import KZ, block, taken

NYMS = Pseudonyms(b"s" * 32)


def hour(at_us: int, trier: bytes, said: VerdictState, others: tuple[VerdictState, ...]) -> Block:
    """Return an hour of one cell: the state of the agent on trial, and of the others."""
    rows = []
    words = [(trier, AgentRole.QUARANTINE, said)]
    words += [(bytes([n]) * 16, AgentRole.VOLUNTEER, state) for n, state in enumerate(others)]
    for agent, role, state in words:
        nym = NYMS.vantage(agent, KZ.country, KZ.asn, at_us)
        one = taken(1, at_us=at_us, who=nym, role=role)
        rows.append((one, (Verdict(state=state, rule="t.x"),)))
    return block(1, 2, *rows)


R, B = VerdictState.REACHABLE, VerdictState.BLOCKED


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
def test_agreement_for_ten_hours_and_a_week_ends_quarantine(
    fleet: Fleet, said: VerdictState, others: tuple[VerdictState, ...], counts: bool
) -> None:
    clock = HandClock()
    born_s = clock.wall // 1_000_000
    agent = enrol_without_invite(fleet, b"p" * 32, "", born_s)
    trials = QuarantineReview(fleet, clock, NYMS)
    for _ in range(10):
        trials.on_block(hour(clock.wall, agent.id, said, others))
        trials.on_block(hour(clock.wall, agent.id, said, others))  # the same hour counts once
        clock.advance_us(2 * HOUR_US)
        assert trials.count_finished_hours() == 0, "too young"
    (now,) = fleet.list_agents()
    assert now.agreements == (10 if counts else 0)
    clock.advance_us(TRIAL_S * 1_000_000)
    assert trials.count_finished_hours() == int(counts)
    assert (fleet.list_agents()[0].result_role == "volunteer") is counts
