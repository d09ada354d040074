"""The line a volunteer is given, whole or not."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.v1 import intake_pb2
from heliograph_agent.uplink.invite import Invite, InviteError, parse_invite


def line(
    endpoint: str = "198.51.100.7:7443", pin: bytes = b"p" * 32, token: bytes = b"t" * 16
) -> str:
    raw = intake_pb2.Invite(endpoint=endpoint, pin=pin, token=token).SerializeToString()
    return "heliograph1:" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_parse_invite_ignores_line_breaks() -> None:
    whole = line()
    invite = Invite("198.51.100.7:7443", b"p" * 32, b"t" * 16)
    assert parse_invite(f"  {whole[:30]}\n{whole[30:]}\r\n") == parse_invite(whole) == invite


@pytest.mark.parametrize(
    "bad",
    ["", "hello", "heliograph1:", "heliograph1:!!!!", line()[:-9], line(endpoint="nowhere"),
     line(pin=b"short"), line(token=b""), line() + "A" * 2_000],
)  # fmt: skip
def test_bad_invite_is_refused_with_cure(bad: str) -> None:
    with pytest.raises(InviteError, match=r"copy"):
        parse_invite(bad)


@given(st.binary(max_size=300))
def test_any_line_is_parsed_or_refused(raw: bytes) -> None:
    try:
        parse_invite("heliograph1:" + base64.urlsafe_b64encode(raw).decode())
    except InviteError:
        return


@pytest.mark.parametrize("bad", ["", "host", "host:0", "host:65536", ":7443", "host:x"])
def test_an_invite_names_what_can_be_dialed(bad: str) -> None:
    for endpoint in ("[::1]:7443", "collector.example:1"):
        assert parse_invite(line(endpoint)).endpoint == endpoint
    with pytest.raises(InviteError, match=r"copy"):
        parse_invite(line(endpoint=bad))
