"""A signature is good for one purpose and one key."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph import keys

KEY = keys.SigningKey(bytes(range(32)))


def test_a_signature_is_good_for_its_purpose_alone() -> None:
    signature = KEY.sign(keys.HELLO, b"nonce")
    assert keys.verify(KEY.public, signature, keys.HELLO, b"nonce")
    assert not keys.verify(KEY.public, signature, keys.BATCH, b"nonce")
    assert not keys.verify(KEY.public, signature, keys.HELLO, b"other")


@given(st.binary(max_size=70), st.binary(max_size=40))
@settings(deadline=None)
def test_malformed_keys_and_signatures_verify_nothing(signature: bytes, public: bytes) -> None:
    assert not keys.verify(public, signature, keys.PLAN, b"plan")


def test_an_agent_is_known_by_sixteen_bytes_of_its_key() -> None:
    assert keys.agent_id(KEY.public).hex() == "56475aa75463474c0285df5dbf2bcab7"
    assert len(keys.key_id(KEY.public)) == 8


def test_a_private_key_of_the_wrong_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        keys.SigningKey(b"short")


def test_a_bound_signature_is_for_one_purpose_at_one_collector() -> None:
    here, elsewhere = bytes(32), bytes(range(32))
    bound = KEY.sign(keys.bind_context(keys.HELLO, here), b"nonce")
    assert keys.verify_bound(KEY.public, bound, keys.HELLO, here, b"nonce")
    assert not keys.verify_bound(KEY.public, bound, keys.HELLO, elsewhere, b"nonce")
    assert not keys.verify_bound(KEY.public, bound, keys.RENEWAL, here, b"nonce")
    assert not keys.verify(KEY.public, bound, keys.HELLO, b"nonce")
    older = KEY.sign(keys.HELLO, b"nonce")
    assert keys.verify_bound(KEY.public, older, keys.HELLO, elsewhere, b"nonce")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
@settings(deadline=None, max_examples=40)
def test_both_sides_derive_one_secret_and_nothing_is_sent(mine: bytes, theirs: bytes) -> None:
    agent, collector = keys.SigningKey(mine), keys.SealingKey(theirs)
    secret = agent.derive_shared_key(collector.public, keys.CODE)
    assert collector.derive_shared_key(agent.public, keys.CODE) == secret
    assert agent.derive_shared_key(collector.public, b"other") != secret
    assert keys.SigningKey(theirs).derive_shared_key(collector.public, keys.CODE) != secret or (
        mine == theirs
    )


@pytest.mark.parametrize("public", [b"", bytes(32), b"\1" + bytes(31), bytes(33)])
def test_a_key_that_is_none_derives_nothing(public: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 of the library, whose words change
        keys.SealingKey(bytes(range(32))).derive_shared_key(public, keys.CODE)
