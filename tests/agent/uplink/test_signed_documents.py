"""Plans and charters as they come: rollback, freeze, mixing, wrong keys, thresholds; and time."""

from dataclasses import replace

import pytest

from heliograph import codec, keys
from heliograph import trust_chain as c
from heliograph.plan import Plan
from heliograph.v1 import plan_pb2 as pb
from heliograph_agent.state import Collector
from heliograph_agent.uplink.signed_documents import (
    MAX_BYTES,
    STALE_S,
    Age,
    Held,
    PlanError,
    age_of,
    followed,
    open_plan,
    read_plan,
)
from support.scripted_intake import plan_of

NOW = 1_800_000_000
ROOT, OTHER_ROOT = keys.SigningKey(b"r" * 32), keys.SigningKey(b"R" * 32)
PLANNER, NEXT_PLANNER = keys.SigningKey(b"p" * 32), keys.SigningKey(b"P" * 32)
ONE = c.Role(1, (PLANNER.public,))
FIRST = c.Charter(
    version=1,
    issued_s=NOW - 10,
    expires_s=NOW + 1_000,
    root=c.Role(1, (ROOT.public,)),
    plan=ONE,
    receipts=ONE,
    sealing_key=b"s" * 32,
)
SECOND = replace(
    FIRST,
    version=2,
    plan=c.Role(1, (NEXT_PLANNER.public,)),
    receipts=c.Role(1, (NEXT_PLANNER.public,)),
    sealing_key=b"S" * 32,
)
COLLECTOR = Collector(
    endpoint="collector.example:1",
    pin=b"p" * 32,
    certificate="",
    signing_key=PLANNER.public,
    sealing_key=b"s" * 32,
    agent=b"a" * 16,
    charter=c.encode(FIRST),
)


def plan(version: int, *, expires_s: int = NOW + 1_000) -> Plan:
    return replace(plan_of(version=version), expires_s=expires_s)


def signed(
    said: Plan, *signers: keys.SigningKey, charters: tuple[pb.SignedCharter, ...] = ()
) -> pb.SignedPlan:
    body = codec.plan_to_pb(said).SerializeToString(deterministic=True)
    made = [s.sign(keys.PLAN, body) for s in signers or (PLANNER,)]
    return pb.SignedPlan(plan=body, signature=made[0], further=made[1:], charters=charters)


def held(version: int, *signers: keys.SigningKey) -> Held:
    return Held(signed(plan(version), *signers), version)


def test_a_newer_plan_is_taken() -> None:
    assert open_plan(signed(plan(3)), COLLECTOR, NOW, held(2)) == plan(3)


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (signed(plan(2)), "not above 2"),  # replay
        (signed(plan(1)), "not above 2"),  # rollback
        (signed(plan(3, expires_s=NOW - 1)), "has expired"),  # freeze: an old one, held back
        (signed(plan(3), NEXT_PLANNER), "not the collector's"),  # a key not named (yet)
        (signed(plan(3), ROOT), "not the collector's"),  # a role is not another
        (pb.SignedPlan(plan=b"x" * MAX_BYTES), "too large"),  # endless data
        (pb.SignedPlan(plan=b"\xff", signature=PLANNER.sign(keys.PLAN, b"\xff")), "cannot read"),
    ],
)
def test_what_is_not_to_be_believed_is_not(attack: pb.SignedPlan, why: str) -> None:
    with pytest.raises(PlanError, match=why):
        open_plan(attack, COLLECTOR, NOW, held(2))


def test_parts_of_two_plans_cannot_be_mixed() -> None:
    """Services, entrances and tasks stand in one signed document; there is nothing to combine."""
    one, two = signed(plan(3)), signed(plan(4))
    mixed = pb.SignedPlan(plan=two.plan, signature=one.signature)
    with pytest.raises(PlanError, match="not the collector's"):
        open_plan(mixed, COLLECTOR, NOW, held(2))


def test_two_of_three_means_two_different_keys() -> None:
    third = keys.SigningKey(b"3" * 32)
    both = c.Role(2, (PLANNER.public, NEXT_PLANNER.public, third.public))
    strict = replace(COLLECTOR, charter=c.encode(replace(FIRST, plan=both)))
    assert open_plan(signed(plan(3), third, PLANNER), strict, NOW).version == 3
    for stolen in ((PLANNER,), (PLANNER, PLANNER), (PLANNER, ROOT)):
        with pytest.raises(PlanError, match="not the collector's"):
            open_plan(signed(plan(3), *stolen), strict, NOW)


def test_a_charter_that_ended_lets_nothing_new_in() -> None:
    later = FIRST.expires_s + 1
    with pytest.raises(PlanError, match="charter has expired"):
        open_plan(signed(plan(3, expires_s=later + 9)), COLLECTOR, later, held(2))


def test_new_keys_are_followed_and_a_number_of_the_old_ones_binds_nobody() -> None:
    """Fast-forward: whoever stole the old key and sent version 2^63 shuts nobody out for good."""
    comes = signed(plan(3), NEXT_PLANNER, charters=(c.sign(SECOND, [ROOT]),))
    after = followed(COLLECTOR, comes)
    assert (after.signing_key, after.sealing_key) == (NEXT_PLANNER.public, b"S" * 32)
    assert open_plan(comes, after, NOW, held(2**63)) == plan(3)
    with pytest.raises(PlanError, match="not the collector's"):
        open_plan(signed(plan(2**63 + 1)), after, NOW, held(2))
    with pytest.raises(PlanError, match="not above 9"):
        open_plan(comes, after, NOW, held(9, NEXT_PLANNER))


def test_a_charter_by_a_stranger_is_refused() -> None:
    forged = c.sign(replace(SECOND, root=c.Role(1, (OTHER_ROOT.public,))), [OTHER_ROOT])
    with pytest.raises(PlanError, match="not signed by enough of its root keys"):
        followed(COLLECTOR, signed(plan(3), charters=(forged,)))


def test_who_joined_before_charters_goes_by_the_key_it_was_told() -> None:
    old = replace(COLLECTOR, charter=b"")
    assert open_plan(signed(plan(3)), old, NOW, held(2)) == plan(3)
    with pytest.raises(PlanError):
        open_plan(signed(plan(3), NEXT_PLANNER), old, NOW, held(2))
    assert followed(old, signed(plan(3), charters=(c.sign(SECOND, [ROOT]),))) == old


def test_a_plan_goes_on_for_half_a_year_and_no_longer() -> None:
    mine = plan(1, expires_s=NOW)
    assert age_of(mine, NOW) is Age.FRESH
    assert age_of(mine, NOW + 1) is Age.STALE
    assert age_of(mine, NOW + STALE_S) is Age.STALE
    assert age_of(mine, NOW + STALE_S + 1) is Age.OVER


def test_a_damaged_file_of_ours_is_told() -> None:
    assert read_plan(signed(plan(1)).SerializeToString()) == plan(1)
    with pytest.raises(PlanError):
        read_plan(b"\xff\xff")
