"""First messages of Telegram and WhatsApp for other code; STUN by RFC 5769."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols.messengers import (
    MTPROTO_RANDOM_BYTES,
    BindingRequest,
    MtprotoHello,
    NoiseHello,
)
from support.telegram_dc import Transport, question, refusal, res_pq
from support.whatsapp_chat import ephemeral_of, handshake_message, server_hello

WALL_US = 1_641_380_400_500_000
# core.telegram.org/mtproto/samples-auth_key, as it was in 2013: a nonce, and the answer to it.
NONCE = bytes.fromhex("3e0549828cca27e966b301a48fece2fc")
SAMPLE = bytes.fromhex(
    "000000000000000001c8831ec97ae55140000000632416053e0549828cca27e966b301a48fece2fc"
    "a5cf4d33f4a11ea877ba4aa573907330"
    "0817ed48941a08f98100000015c4b51c01000000216be86c022bb4c3"
)
BEGINNINGS = (b"HEAD", b"POST", b"GET ", b"OPTI", b"\x16\x03\x01\x02", b"\xdd" * 4, b"\xee" * 4)


def hello(nonce: bytes = NONCE) -> MtprotoHello:
    return MtprotoHello(bytes(range(64)) + nonce + bytes(48), WALL_US)


def answered(message: bytes, speech: MtprotoHello | None = None) -> ProbeReply | None:
    speech = speech or hello()
    transport, _, _ = question(speech.make_request())
    return speech.parse_reply(transport.write(message))


def test_the_other_side_reads_the_question() -> None:
    opening = hello().make_request()
    assert len(opening) == 64 + 4 + 40
    _, message_id, nonce = question(opening)
    assert nonce == NONCE
    assert message_id % 4 == 0
    assert message_id >> 32 == WALL_US // 1_000_000
    assert (message_id & 0xFFFFFFFF) / 2**32 == pytest.approx(0.5, abs=0.01)


def test_it_comes_in_pieces() -> None:
    speech = hello()
    transport, _, nonce = question(speech.make_request())
    whole = transport.write(res_pq(nonce))
    assert all(speech.parse_reply(whole[:size]) is None for size in range(len(whole)))
    assert speech.parse_reply(whole + b"more") == ProbeReply("res_pq")


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (SAMPLE, "res_pq"),
        (refusal(404), "error_404"),
        (refusal(429), "error_429"),
        (refusal(999), "error_other"),
    ],
)
def test_answer_of_a_data_centre_has_its_word(message: bytes, word: str) -> None:
    assert answered(message) == ProbeReply(word)


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
    with pytest.raises(ProtocolMismatch):
        answered(message)
    for other in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02"):
        with pytest.raises(ProtocolMismatch):
            hello().parse_reply(other)


def test_a_stream_never_begins_like_another_protocol() -> None:
    for beginning in (*BEGINNINGS, b"\xefabc"):
        check_opening(beginning.ljust(MTPROTO_RANDOM_BYTES, b"\x00"))


@given(st.binary(min_size=MTPROTO_RANDOM_BYTES, max_size=MTPROTO_RANDOM_BYTES))
def test_mtproto_takes_any_random_bytes(random_bytes: bytes) -> None:
    check_opening(random_bytes)


def check_opening(random_bytes: bytes) -> None:
    speech = MtprotoHello(random_bytes, WALL_US)
    opening = speech.make_request()
    assert opening[0] != 0xEF
    assert opening[:4] not in BEGINNINGS
    assert any(opening[4:8])
    assert answered(res_pq(speech.nonce), speech) == ProbeReply("res_pq")
    assert Transport(opening[:64]).tag == b"\xee" * 4


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_a_reply(data: bytes) -> None:
    with contextlib.suppress(ProtocolMismatch):
        assert hello().parse_reply(data) is None
    with contextlib.suppress(ProtocolMismatch):
        assert REQUEST.parse_reply(data) is None
    for received in (data, framed(data)):
        with contextlib.suppress(ProtocolMismatch):
            HELLO.parse_reply(received)


# RFC 7748 section 6.1: Bob's private and public key.
SECRET = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
HELLO = NoiseHello(SECRET)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(3, "big") + message


def test_the_hello_is_the_apps_own_to_the_byte() -> None:
    opening = HELLO.make_request()
    assert opening.hex() == "57410503" + "000024" + "1222" + "0a20" + PUBLIC.hex()
    assert ephemeral_of(opening) == PUBLIC


def test_a_server_hello_is_recognised_once_it_is_whole() -> None:
    answer = server_hello(HELLO.make_request())
    assert all(HELLO.parse_reply(answer[:size]) is None for size in range(len(answer)))
    assert HELLO.parse_reply(answer) == ProbeReply("server_hello")
    assert HELLO.parse_reply(answer + b"more") == ProbeReply("server_hello")


def test_fields_of_a_later_edition_are_passed_over() -> None:
    message = handshake_message().FromString(server_hello(HELLO.make_request())[3:])
    more = message.SerializeToString() + b"\x30\x01" + b"\x3a\x02ab"  # a number, a text
    assert HELLO.parse_reply(framed(more)) == ProbeReply("server_hello")


@pytest.mark.parametrize(
    "other",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",  # a TLS alert
        b"\x00\x00\x00",
        framed(b"\x12\x22\x0a\x20" + bytes(32)),  # our own hello, come back
        framed(b"\x1a\x22\x0a\x20" + bytes(32)),  # a ServerHello with half its keys
        framed(b"\xff\xff\xff\xff\xff"),
        framed(b"\x1a\x7f\x00"),
    ],
)
def test_other_answers_are_no_reply(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        HELLO.parse_reply(other)


TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
REQUEST = BindingRequest(TRANSACTION)
# RFC 5769 section 2.2 (IPv4) and 2.3 (IPv6)
FOUR = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
SIX = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275"
    "bfe3ed4180280004c8fb0b4c"
)


def stun(kind: int, *attributes: tuple[int, bytes], transaction: bytes = TRANSACTION) -> bytes:
    body = b"".join(
        struct.pack(">HH", number, len(value)) + value + bytes(-len(value) % 4)
        for number, value in attributes
    )
    return struct.pack(">HHI", kind, len(body), 0x2112A442) + transaction + body


def stun_error(code: int) -> bytes:
    return stun(0x0111, (0x0009, bytes((0, 0, code // 100, code % 100)) + b"Because"))


def test_the_request_is_twenty_bytes() -> None:
    assert REQUEST.make_request() == bytes.fromhex("000100002112a442") + TRANSACTION


@pytest.mark.parametrize("vector", [FOUR, SIX])
def test_the_rfc_s_own_responses_are_successes(vector: bytes) -> None:
    assert REQUEST.parse_reply(vector) == ProbeReply("binding_success")
    assert REQUEST.parse_reply(vector[:-1]) is None, "the rest of it may yet come"


@pytest.mark.parametrize("code", [300, 400, 420, 500, 699])
def test_an_error_is_told_by_its_code(code: int) -> None:
    assert REQUEST.parse_reply(stun_error(code)) == ProbeReply(f"binding_error_{code}")


@pytest.mark.parametrize(
    "other",
    [
        stun(0x0101, (0x0020, bytes(8)), transaction=bytes(12)),  # an answer to somebody else
        stun(0x0001),  # our own request, come back
        stun(0x0101),  # names no address
        stun(0x0111),  # says no code
        stun_error(200),
        FOUR[:4] + b"\x00" + FOUR[5:],  # the old protocol, without its cookie
        stun(0x0101, (0x0020, bytes(8)))[:22] + b"\xff\xff" + bytes(8),  # an attribute too long
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_what_answers_another_request_is_no_binding(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        REQUEST.parse_reply(other)


@given(st.integers(20, len(FOUR) - 1), st.integers(1, 255))
def test_a_changed_response_does_no_worse(at: int, by: int) -> None:
    changed = bytearray(FOUR)
    changed[at] ^= by
    with contextlib.suppress(ProtocolMismatch):
        assert REQUEST.parse_reply(bytes(changed)) in (ProbeReply("binding_success"), None)
