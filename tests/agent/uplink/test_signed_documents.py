"""Plans and charters: rollback, freeze, mixing, wrong keys, thresholds and time."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import codec, keys
from heliograph import trust_chain as c
from heliograph.plan import Plan
from heliograph.v1 import plan_pb2 as pb
from heliograph_agent.state import PLAN, Collector, State, StateError
from heliograph_agent.uplink.signed_documents import (
    MAX_BYTES,
    STALE_S,
    PlanAge,
    PlanError,
    StoredPlan,
    classify_age,
    follow_charters,
    open_plan,
    read_stored_plan,
)
from support.scripted_intake import plan_of

NOW = 1_800_000_000
ROOT, OTHER_ROOT = keys.SigningKey(b"r" * 32), keys.SigningKey(b"R" * 32)
PLANNER, NEXT_PLANNER = keys.SigningKey(b"p" * 32), keys.SigningKey(b"P" * 32)
ONE = c.KeyRole(1, (PLANNER.public,))
FIRST = c.TrustRoot(
    version=1,
    issued_s=NOW - 10,
    expires_s=NOW + 1_000,
    root=c.KeyRole(1, (ROOT.public,)),
    plan=ONE,
    receipts=ONE,
    sealing_key=b"s" * 32,
)
SECOND = replace(
    FIRST,
    version=2,
    plan=c.KeyRole(1, (NEXT_PLANNER.public,)),
    receipts=c.KeyRole(1, (NEXT_PLANNER.public,)),
    sealing_key=b"S" * 32,
)
COLLECTOR = Collector(
    endpoint="collector.example:1",
    pin=b"p" * 32,
    certificate="",
    signing_key=PLANNER.public,
    sealing_key=b"s" * 32,
    agent=b"a" * 16,
    charter=c.encode_trust_root(FIRST),
)


def plan(version: int, *, expires_s: int = NOW + 1_000) -> Plan:
    return replace(plan_of(version=version), expires_s=expires_s)


def signed(
    document: Plan, *signers: keys.SigningKey, charters: tuple[pb.SignedCharter, ...] = ()
) -> pb.SignedPlan:
    body = codec.plan_to_pb(document).SerializeToString(deterministic=True)
    signatures = [s.sign(keys.PLAN, body) for s in signers or (PLANNER,)]
    return pb.SignedPlan(
        plan=body, signature=signatures[0], further=signatures[1:], charters=charters
    )


def stored(version: int, *signers: keys.SigningKey) -> StoredPlan:
    return StoredPlan(signed(plan(version), *signers), version)


def test_newer_plan_opens() -> None:
    assert open_plan(signed(plan(3)), COLLECTOR, NOW, stored(2)) == plan(3)


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
def test_attack_is_refused(attack: pb.SignedPlan, why: str) -> None:
    with pytest.raises(PlanError, match=why):
        open_plan(attack, COLLECTOR, NOW, stored(2))


def test_mixed_plan_is_refused() -> None:
    """A mixed plan is refused, as services, entrances and tasks share a signature."""
    plan_3, plan_4 = signed(plan(3)), signed(plan(4))
    mixed = pb.SignedPlan(plan=plan_4.plan, signature=plan_3.signature)
    with pytest.raises(PlanError, match="not the collector's"):
        open_plan(mixed, COLLECTOR, NOW, stored(2))


def test_threshold_needs_different_keys() -> None:
    third = keys.SigningKey(b"3" * 32)
    both = c.KeyRole(2, (PLANNER.public, NEXT_PLANNER.public, third.public))
    strict = replace(COLLECTOR, charter=c.encode_trust_root(replace(FIRST, plan=both)))
    assert open_plan(signed(plan(3), third, PLANNER), strict, NOW).version == 3
    for stolen in ((PLANNER,), (PLANNER, PLANNER), (PLANNER, ROOT)):
        with pytest.raises(PlanError, match="not the collector's"):
            open_plan(signed(plan(3), *stolen), strict, NOW)


def test_expired_trust_root_refuses_plan() -> None:
    later = FIRST.expires_s + 1
    with pytest.raises(PlanError, match="charter has expired"):
        open_plan(signed(plan(3, expires_s=later + 9)), COLLECTOR, later, stored(2))


def test_new_keys_ignore_version_of_old_keys() -> None:
    """New keys ignore the version of old keys.

    A thief of the old key who sent version 2^63 shuts no agent out for good.
    """
    comes = signed(plan(3), NEXT_PLANNER, charters=(c.sign_trust_root(SECOND, [ROOT]),))
    after = follow_charters(COLLECTOR, comes)
    assert (after.signing_key, after.sealing_key) == (NEXT_PLANNER.public, b"S" * 32)
    assert open_plan(comes, after, NOW, stored(2**63)) == plan(3)
    with pytest.raises(PlanError, match="not the collector's"):
        open_plan(signed(plan(2**63 + 1)), after, NOW, stored(2))
    with pytest.raises(PlanError, match="not above 9"):
        open_plan(comes, after, NOW, stored(9, NEXT_PLANNER))


def test_foreign_trust_root_is_refused() -> None:
    forged = c.sign_trust_root(
        replace(SECOND, root=c.KeyRole(1, (OTHER_ROOT.public,))), [OTHER_ROOT]
    )
    with pytest.raises(PlanError, match="not signed by enough of its root keys"):
        follow_charters(COLLECTOR, signed(plan(3), charters=(forged,)))


def test_collector_under_the_same_root_takes_no_agent_over() -> None:
    """A collector under the same root takes no agent over.

    A thief of it, or a relay that knows its chain, passes on its newer plan.
    """
    first = c.encode_trust_root(replace(FIRST, sealing_key=b"S" * 32))
    foreign = replace(SECOND, origin=c.find_origin(FIRST, first))
    comes = signed(plan(3), NEXT_PLANNER, charters=(c.sign_trust_root(foreign, [ROOT]),))
    with pytest.raises(PlanError, match="its charter 2 is another collector's"):
        follow_charters(COLLECTOR, comes)
    with pytest.raises(PlanError, match="not the collector's"):
        open_plan(comes, COLLECTOR, NOW, stored(2))


def test_agent_without_trust_root_uses_its_key() -> None:
    old = replace(COLLECTOR, charter=b"")
    assert open_plan(signed(plan(3)), old, NOW, stored(2)) == plan(3)
    with pytest.raises(PlanError):
        open_plan(signed(plan(3), NEXT_PLANNER), old, NOW, stored(2))
    assert (
        follow_charters(old, signed(plan(3), charters=(c.sign_trust_root(SECOND, [ROOT]),))) == old
    )


def test_classify_age() -> None:
    mine = plan(1, expires_s=NOW)
    assert classify_age(mine, NOW) is PlanAge.FRESH
    assert classify_age(mine, NOW + 1) is PlanAge.STALE
    assert classify_age(mine, NOW + STALE_S) is PlanAge.STALE
    assert classify_age(mine, NOW + STALE_S + 1) is PlanAge.EXPIRED


def test_a_damaged_plan_is_refused_with_the_cure(tmp_path: Path) -> None:
    state = State(tmp_path)
    with pytest.raises(StateError, match="has not joined"):
        read_stored_plan(state)
    state.write(PLAN, signed(plan(1)).SerializeToString())
    assert read_stored_plan(state) == plan(1)
    for damaged in (b"\xff\xff", pb.SignedPlan(plan=b"\xff\xff").SerializeToString()):
        state.write(PLAN, damaged)
        with pytest.raises(StateError, match="this version cannot read it"):
            read_stored_plan(state)
