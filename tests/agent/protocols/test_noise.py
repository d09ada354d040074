"""WhatsApp's hello by its bytes, and against a peer that has protobuf and Noise from libraries."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.probe_message import NotThisProtocol, Reply
from heliograph_agent.protocols.noise import ClientHello
from support.whatsapp_chat import ephemeral_of, handshake_message, server_hello

# RFC 7748 section 6.1: Bob's private and public key.
SECRET = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
HELLO = ClientHello(SECRET)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(3, "big") + message


def test_the_hello_is_the_apps_own_to_the_byte() -> None:
    opening = HELLO.opening()
    assert opening.hex() == "57410503" + "000024" + "1222" + "0a20" + PUBLIC.hex()
    assert ephemeral_of(opening) == PUBLIC


def test_a_server_hello_is_recognised_once_it_is_whole() -> None:
    answer = server_hello(HELLO.opening())
    assert all(HELLO.heard(answer[:size]) is None for size in range(len(answer)))
    assert HELLO.heard(answer) == Reply("server_hello")
    assert HELLO.heard(answer + b"more") == Reply("server_hello")


def test_fields_of_a_later_edition_are_passed_over() -> None:
    message = handshake_message().FromString(server_hello(HELLO.opening())[3:])
    more = message.SerializeToString() + b"\x30\x01" + b"\x3a\x02ab"  # a number, a text
    assert HELLO.heard(framed(more)) == Reply("server_hello")


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
    with pytest.raises(NotThisProtocol):
        HELLO.heard(other)


@given(st.binary(max_size=300))
def test_no_bytes_do_worse(data: bytes) -> None:
    for received in (data, framed(data)):
        with contextlib.suppress(NotThisProtocol):
            HELLO.heard(received)
