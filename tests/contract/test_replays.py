"""A signature cannot be replayed to another party or for another purpose."""

import hashlib
from dataclasses import replace
from itertools import permutations

import pytest

from heliograph import bundle, keys, relay_line, visits
from heliograph import trust_chain as c
from heliograph.upload import SenderProof, begin_proof
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import plan_pb2

SIGNER, OTHER = keys.SigningKey(b"1" * 32), keys.SigningKey(b"2" * 32)
PIN, KEY_ID, AGENT, NOW_S = b"p" * 32, b"12345678", b"a" * 16, 1_800_000_000
MINE, THEIRS = b"my envelope", b"another agent's envelope"
PURPOSES = sorted(
    value
    for name, value in vars(keys).items()
    if name.strip("_").isupper() and isinstance(value, bytes)
)
ONE = c.KeyRole(1, (SIGNER.public,))
FIRST = c.TrustRoot(
    version=1, issued_s=1, expires_s=NOW_S, root=ONE, plan=ONE, receipts=ONE, sealing_key=b"s" * 32
)
BEGUN, SECOND = c.encode_trust_root(FIRST), c.encode_trust_root(replace(FIRST, version=2))
BOUND_UPLOAD = keys.bind_context(keys.UPLOAD, PIN)
PROOF = begin_proof(AGENT, MINE)
ORDER = visits.sign_order((), AGENT, SIGNER, NOW_S).order
RECEIPTS = relay_line.sign_receipt(MINE, KEY_ID, pb.Receipt(status=pb.STATUS_STORED), SIGNER)
RECEIPTS_BODY = RECEIPTS[len(bundle.RECEIPTS) + 64 :]


def takes_receipt(signature: bytes) -> bool:
    response = pb.SubmitResponse(receipts=bundle.RECEIPTS + signature + RECEIPTS_BODY)
    return relay_line.verify_relayed_receipt(MINE, KEY_ID, response, SIGNER.public) is not None


def takes_plan(signature: bytes) -> bool:
    return c.plan_is_signed(FIRST, plan_pb2.SignedPlan(plan=b"plan", signature=signature))


def takes_charter(signature: bytes) -> bool:
    try:
        signed = plan_pb2.SignedCharter(charter=SECOND, signatures=[signature])
        return c.follow_chain(BEGUN, [signed]) == SECOND
    except c.TrustRootError:
        return False


def takes_order(signature: bytes) -> bool:
    try:
        signed = pb.SignedVisitOrder(order=ORDER, signature=signature)
        return visits.open_order(signed, SIGNER.public, AGENT, NOW_S) == ()
    except visits.VisitOrderError:
        return False


def takes_proof(signature: bytes) -> bool:
    return replace(PROOF, signature=signature).is_signed_by(SIGNER.public, PIN)


DOCUMENTS = {
    "receipt": (keys.RECEIPTS, RECEIPTS_BODY, takes_receipt),
    "plan": (keys.PLAN, b"plan", takes_plan),
    "charter": (keys.CHARTER, SECOND, takes_charter),
    "order": (keys.VISITS, ORDER, takes_order),
    "proof": (BOUND_UPLOAD, PROOF.message, takes_proof),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_signature_serves_its_own_purpose_alone(name: str) -> None:
    own, message, takes = DOCUMENTS[name]
    assert takes(SIGNER.sign(own, message))
    assert not takes(OTHER.sign(own, message))
    bound = [keys.bind_context(p, pin) for p in PURPOSES for pin in (PIN, b"P" * 32)]
    others = [purpose for purpose in (*PURPOSES, *bound) if purpose != own]
    assert [purpose for purpose in others if takes(SIGNER.sign(purpose, message))] == []


def test_no_purpose_is_the_beginning_of_another() -> None:
    """No purpose is the beginning of another, which a message could complete."""
    assert len(PURPOSES) > 15
    assert [one for one, two in permutations(PURPOSES, 2) if two.startswith(one)] == []


@pytest.mark.parametrize(
    ("envelope", "key_id", "signing_key"),
    [
        (THEIRS, KEY_ID, SIGNER.public),  # another agent, or this one's next batch
        (MINE + b"\0", KEY_ID, SIGNER.public),
        (MINE, b"87654321", SIGNER.public),  # another collector, or this one's other key
        (MINE, KEY_ID, OTHER.public),  # from which the agent has gone on to a new key
    ],
)
def test_a_receipt_settles_no_other_envelope(
    envelope: bytes, key_id: bytes, signing_key: bytes
) -> None:
    response = pb.SubmitResponse(receipts=RECEIPTS)
    assert relay_line.verify_relayed_receipt(MINE, KEY_ID, response, SIGNER.public)
    assert relay_line.verify_relayed_receipt(envelope, key_id, response, signing_key) is None


def test_a_bundle_of_receipts_names_each_envelope_that_it_settles() -> None:
    """A stick with receipts of one agent, put into the machine of another."""
    stored = bundle.SignedReceipt("stored")
    file = bundle.pack_receipts(KEY_ID, {bundle.digest_envelope(MINE): stored}, SIGNER)
    settled = bundle.unpack_receipts(file, KEY_ID, SIGNER.public)
    assert bundle.digest_envelope(THEIRS) not in settled
    assert settled == {hashlib.sha256(MINE).digest(): stored}


@pytest.mark.parametrize(
    ("proof", "public_key", "pin", "envelope"),
    [
        (PROOF, SIGNER.public, PIN, THEIRS),
        (PROOF, SIGNER.public, b"P" * 32, MINE),  # at another collector
        (PROOF, OTHER.public, PIN, MINE),  # from which the agent has gone on to a new key
        (replace(PROOF, agent=b"A" * 16), SIGNER.public, PIN, MINE),
        (replace(PROOF, digest=begin_proof(AGENT, THEIRS).digest), SIGNER.public, PIN, THEIRS),
    ],
)
def test_a_proof_of_the_sender_is_for_one_envelope_of_one_agent_at_one_collector(
    proof: SenderProof, public_key: bytes, pin: bytes, envelope: bytes
) -> None:
    signature = SIGNER.sign(BOUND_UPLOAD, PROOF.message)
    honest = replace(PROOF, signature=signature)
    assert honest.covers(MINE)
    assert honest.is_signed_by(SIGNER.public, PIN)
    played = replace(proof, signature=signature)
    assert not (played.covers(envelope) and played.is_signed_by(public_key, pin))
