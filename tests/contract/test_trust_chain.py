"""Keys and what they may sign: TUF's attacks on our one chain."""

import hashlib
from dataclasses import replace

import pytest

from heliograph import keys
from heliograph import trust_chain as c
from heliograph.v1 import plan_pb2 as pb

ROOTS = [keys.SigningKey(bytes([n]) * 32) for n in range(1, 5)]
PLANNERS = [keys.SigningKey(bytes([n]) * 32) for n in range(11, 14)]
SEAL = keys.SealingKey(b"s" * 32).public


def role(threshold: int, *signers: keys.SigningKey) -> c.KeyRole:
    return c.KeyRole(threshold, tuple(s.public for s in signers))


FIRST = c.TrustRoot(
    version=1, issued_s=1, expires_s=100, root=role(2, *ROOTS[:3]), plan=role(2, *PLANNERS),
    receipts=role(1, PLANNERS[0]), sealing_key=SEAL,
)  # fmt: skip
SECOND = replace(FIRST, version=2, root=role(2, *ROOTS[1:]))
BEGUN = c.encode_trust_root(FIRST)
TOO_FEW = "not signed by enough"
GOOD = c.sign_trust_root(SECOND, ROOTS[1:3])  # two of the old, and two of the new


def plan(*signers: keys.SigningKey, body: bytes = b"plan") -> pb.SignedPlan:
    made = [s.sign(keys.PLAN, body) for s in signers]
    return pb.SignedPlan(plan=body, signature=made[0], further=made[1:])


def test_a_chain_is_followed_from_any_of_its_links_also_over_expired_ones() -> None:
    later = [c.sign_trust_root(replace(SECOND, version=n), ROOTS[1:3]) for n in range(3, 9)]
    chain = [c.sign_trust_root(FIRST, ROOTS[:2]), GOOD, *later]
    for held in (BEGUN, GOOD.charter, chain[4].charter):
        assert c.decode_trust_root(c.follow_chain(held, chain)).version == 8
    assert c.follow_chain(chain[-1].charter, chain) == chain[-1].charter, "nothing newer came"
    assert c.follow_chain(BEGUN, []) == BEGUN


def test_the_invite_names_where_to_begin() -> None:
    chain = [c.sign_trust_root(FIRST, ROOTS[:2]), GOOD]
    assert c.find_pinned_root(chain, c.digest_trust_root(GOOD)) == GOOD.charter
    with pytest.raises(c.TrustRootError, match="not the one that the invite names"):
        c.find_pinned_root(chain[:1], c.digest_trust_root(GOOD))


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (c.sign_trust_root(SECOND, ROOTS[1:2]), TOO_FEW),  # one stolen key
        (c.sign_trust_root(SECOND, [ROOTS[1], ROOTS[1]]), TOO_FEW),  # the same one twice
        (c.sign_trust_root(SECOND, [ROOTS[1], ROOTS[3]]), TOO_FEW),  # too few of the old
        (c.sign_trust_root(SECOND, ROOTS[:2]), TOO_FEW),  # too few of the new
        (c.sign_trust_root(SECOND, PLANNERS), TOO_FEW),  # another role's keys
        # a link left out
        (c.sign_trust_root(replace(SECOND, version=3), ROOTS[1:3]), "3 cannot follow 1"),
        (c.sign_trust_root(replace(SECOND, root=role(4, *ROOTS[1:])), ROOTS[1:]), "threshold"),
        (c.sign_trust_root(replace(SECOND, root=c.KeyRole(0, ())), ROOTS[1:]), "threshold"),
        (c.sign_trust_root(replace(SECOND, sealing_key=b"x"), ROOTS[1:3]), "no sealing key"),
        (pb.SignedCharter(charter=b"\xff" * 9), "cannot be read"),
        (pb.SignedCharter(charter=bytes(c.MAX_BYTES + 1)), "too large"),
    ],
)
def test_a_broken_link_leads_nowhere(forged: pb.SignedCharter, why: str) -> None:
    with pytest.raises(c.TrustRootError, match=why):
        c.follow_chain(BEGUN, [forged])


def test_an_older_charter_is_never_gone_back_to() -> None:
    assert c.follow_chain(GOOD.charter, [c.sign_trust_root(FIRST, ROOTS[:2])]) == GOOD.charter


OWN, FOREIGN = (hashlib.sha256(body).digest() for body in (BEGUN, b"another collector's first"))


@pytest.mark.parametrize(
    ("current", "origin", "is_followed"),
    [
        (FIRST, OWN, True),
        (FIRST, FOREIGN, False),  # another collector's second one, under the same root keys
        (FIRST, b"", True),  # up to 0.1.0
        (replace(SECOND, origin=OWN), OWN, True),
        (replace(SECOND, origin=OWN), FOREIGN, False),
        (replace(SECOND, origin=OWN), b"", False),
        (replace(SECOND, origin=b""), OWN, True),  # which of the older ones was first is not known
    ],
)
def test_shared_root_keys_lead_no_agent_to_another_collector(
    current: c.TrustRoot, origin: bytes, is_followed: bool
) -> None:
    body = c.encode_trust_root(current)
    following = replace(SECOND, version=current.version + 1, origin=origin)
    signed = c.sign_trust_root(following, ROOTS[1:3])
    if is_followed:
        assert c.follow_chain(body, [signed]) == signed.charter
    else:
        with pytest.raises(c.TrustRootError, match="is another collector's"):
            c.follow_chain(body, [signed])


def test_a_plan_needs_enough_different_keys_of_its_own_role() -> None:
    assert c.plan_is_signed(FIRST, plan(PLANNERS[0], PLANNERS[2]))
    for signers in ([PLANNERS[0]], [PLANNERS[0], PLANNERS[0]], [PLANNERS[0], ROOTS[0]]):
        assert not c.plan_is_signed(FIRST, plan(*signers))
    mixed = plan(*PLANNERS[:2])
    mixed.plan = b"another"
    assert not c.plan_is_signed(FIRST, mixed), "a signature belongs to one whole document"


def test_what_is_written_is_read_back() -> None:
    assert c.decode_trust_root(c.encode_trust_root(FIRST)) == FIRST
