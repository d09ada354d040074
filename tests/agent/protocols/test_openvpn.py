"""OpenVPN's reset, with an answer recorded from OpenVPN 2.6.14."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.probe_message import NotThisProtocol, Reply
from heliograph_agent.protocols.openvpn import HardReset

SESSION = bytes.fromhex("b46c433211f6e010")
ANSWER = bytes.fromhex("40e47e01667f6247050100000000b46c433211f6e01000000000")
YES = Reply("hard_reset_server")


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


def test_the_packet_is_a_reset_of_version_two() -> None:
    packet = HardReset(SESSION).opening()
    assert packet == b"\x38" + SESSION + b"\x00" + b"\x00\x00\x00\x00"
    assert HardReset(SESSION, framed=True).opening() == framed(packet)


def test_the_answer_names_our_session() -> None:
    assert HardReset(SESSION).heard(ANSWER) == YES
    assert HardReset(SESSION, framed=True).heard(framed(ANSWER)) == YES
    with pytest.raises(NotThisProtocol):
        HardReset(bytes(8)).heard(ANSWER)


def test_an_answer_that_acknowledges_nothing_yet_is_one() -> None:
    bare = b"\x40" + bytes(range(8)) + b"\x00" + b"\x00\x00\x00\x00"
    assert HardReset(SESSION).heard(bare) == YES


def test_over_tcp_it_comes_in_pieces() -> None:
    whole = framed(ANSWER)
    for size in range(len(whole)):
        assert HardReset(SESSION, framed=True).heard(whole[:size]) is None


@pytest.mark.parametrize(
    "other", [b"", b"\x40", b"\x38" + ANSWER[1:], b"HTTP/1.1 400 Bad Request\r\n", ANSWER[:13]]
)
def test_other_datagrams_are_no_reply(other: bytes) -> None:
    with pytest.raises(NotThisProtocol):
        HardReset(SESSION).heard(other)


@pytest.mark.parametrize(
    "other", [b"HTTP/1.1 400", b"\x15\x03\x01\x00", b"\x00\x00\x40", b"SSH-2.0"]
)
def test_other_protocols_over_tcp_are_no_reply(other: bytes) -> None:
    with pytest.raises(NotThisProtocol):
        HardReset(SESSION, framed=True).heard(other)


@given(st.binary(max_size=64), st.booleans())
def test_no_bytes_do_worse(data: bytes, tcp: bool) -> None:
    with contextlib.suppress(NotThisProtocol):
        HardReset(SESSION, framed=tcp).heard(data)
