"""STUN by the vectors of RFC 5769, and whatever else may come in a datagram."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols.messengers import BindingRequest

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


def message(kind: int, *attributes: tuple[int, bytes], transaction: bytes = TRANSACTION) -> bytes:
    body = b"".join(
        struct.pack(">HH", number, len(value)) + value + bytes(-len(value) % 4)
        for number, value in attributes
    )
    return struct.pack(">HHI", kind, len(body), 0x2112A442) + transaction + body


def error(code: int) -> bytes:
    return message(0x0111, (0x0009, bytes((0, 0, code // 100, code % 100)) + b"Because"))


def test_the_request_is_twenty_bytes() -> None:
    assert REQUEST.make_request() == bytes.fromhex("000100002112a442") + TRANSACTION


@pytest.mark.parametrize("vector", [FOUR, SIX])
def test_the_rfc_s_own_responses_are_successes(vector: bytes) -> None:
    assert REQUEST.parse_reply(vector) == ProbeReply("binding_success")
    assert REQUEST.parse_reply(vector[:-1]) is None, "the rest of it may yet come"


@pytest.mark.parametrize("code", [300, 400, 420, 500, 699])
def test_an_error_is_told_by_its_code(code: int) -> None:
    assert REQUEST.parse_reply(error(code)) == ProbeReply(f"binding_error_{code}")


@pytest.mark.parametrize(
    "other",
    [
        message(0x0101, (0x0020, bytes(8)), transaction=bytes(12)),  # an answer to somebody else
        message(0x0001),  # our own request, come back
        message(0x0101),  # names no address
        message(0x0111),  # says no code
        error(200),
        FOUR[:4] + b"\x00" + FOUR[5:],  # the old protocol, without its cookie
        message(0x0101, (0x0020, bytes(8)))[:22] + b"\xff\xff" + bytes(8),  # an attribute too long
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_what_answers_another_question_is_no_reply(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        REQUEST.parse_reply(other)


@given(st.binary(max_size=100))
def test_no_bytes_are_taken_for_an_answer(data: bytes) -> None:
    with contextlib.suppress(ProtocolMismatch):
        assert REQUEST.parse_reply(data) is None


@given(st.integers(20, len(FOUR) - 1), st.integers(1, 255))
def test_a_changed_response_does_no_worse(at: int, by: int) -> None:
    changed = bytearray(FOUR)
    changed[at] ^= by
    with contextlib.suppress(ProtocolMismatch):
        assert REQUEST.parse_reply(bytes(changed)) in (ProbeReply("binding_success"), None)
