"""MTProto's first question, read and answered by another implementation of the transport."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.probe_message import NotThisProtocol, Reply
from heliograph_agent.protocols.mtproto import CHANCE, Hello
from support.telegram_dc import Transport, question, refusal, res_pq

WALL_US = 1_641_380_400_500_000
# core.telegram.org/mtproto/samples-auth_key, as it was in 2013: a nonce, and the answer to it.
NONCE = bytes.fromhex("3e0549828cca27e966b301a48fece2fc")
SAMPLE = bytes.fromhex(
    "000000000000000001c8831ec97ae55140000000632416053e0549828cca27e966b301a48fece2fc"
    "a5cf4d33f4a11ea877ba4aa573907330"
    "0817ed48941a08f98100000015c4b51c01000000216be86c022bb4c3"
)
BEGINNINGS = (b"HEAD", b"POST", b"GET ", b"OPTI", b"\x16\x03\x01\x02", b"\xdd" * 4, b"\xee" * 4)
some_chance = st.binary(min_size=CHANCE, max_size=CHANCE)


def hello(nonce: bytes = NONCE) -> Hello:
    return Hello(bytes(range(64)) + nonce + bytes(48), WALL_US)


def answered(message: bytes, speech: Hello | None = None) -> Reply | None:
    speech = speech or hello()
    transport, _, _ = question(speech.opening())
    return speech.heard(transport.write(message))


def test_the_other_side_reads_the_question() -> None:
    opening = hello().opening()
    assert len(opening) == 64 + 4 + 40
    _, message_id, nonce = question(opening)
    assert nonce == NONCE
    assert message_id % 4 == 0
    assert message_id >> 32 == WALL_US // 1_000_000
    assert (message_id & 0xFFFFFFFF) / 2**32 == pytest.approx(0.5, abs=0.01)


def test_telegram_s_own_sample_is_an_answer() -> None:
    assert answered(SAMPLE) == Reply("res_pq")


def test_it_comes_in_pieces() -> None:
    speech = hello()
    transport, _, nonce = question(speech.opening())
    whole = transport.write(res_pq(nonce))
    assert all(speech.heard(whole[:size]) is None for size in range(len(whole)))
    assert speech.heard(whole + b"more") == Reply("res_pq")


@pytest.mark.parametrize(
    ("code", "word"), [(404, "error_404"), (429, "error_429"), (999, "error_other")]
)
def test_what_the_transport_refuses_with_is_a_word(code: int, word: str) -> None:
    assert answered(refusal(code)) == Reply(word)


@pytest.mark.parametrize(
    "message",
    [
        res_pq(bytes(16)),  # to another nonce
        SAMPLE[:20] + b"\x00" + SAMPLE[21:],  # another kind of message
        b"\x01" + SAMPLE[1:],  # encrypted with a key that there is not
        refusal(-404),
        b"",
    ],
)
def test_what_answers_another_question_is_no_reply(message: bytes) -> None:
    with pytest.raises(NotThisProtocol):
        answered(message)


@pytest.mark.parametrize("other", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02"])
def test_other_protocols_do_not_decrypt(other: bytes) -> None:
    with pytest.raises(NotThisProtocol):
        hello().heard(other)


@pytest.mark.parametrize("beginning", [*BEGINNINGS, b"\xefabc"])
def test_a_stream_never_begins_like_another_protocol(beginning: bytes) -> None:
    opening = Hello((beginning + bytes(CHANCE))[:CHANCE], WALL_US).opening()
    assert opening[0] != 0xEF
    assert opening[:4] not in BEGINNINGS
    assert any(opening[4:8])
    question(opening)


@given(some_chance)
def test_any_chance_makes_a_question_that_can_be_answered(chance: bytes) -> None:
    speech = Hello(chance, WALL_US)
    opening = speech.opening()
    assert opening[0] != 0xEF
    assert opening[:4] not in BEGINNINGS
    assert any(opening[4:8])
    assert answered(res_pq(speech.nonce), speech) == Reply("res_pq")
    assert Transport(opening[:64]).tag == b"\xee" * 4


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_an_answer(data: bytes) -> None:
    with contextlib.suppress(NotThisProtocol):
        assert hello().heard(data) is None
