"""Alerts read from the records in clear, and from OpenSSL's reasons."""

import ssl

from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.tls.openssl import alert_in_clear, alert_of

HANDSHAKE = b"\x16\x03\x03\x00\x04abcd"
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


def test_alone_and_after_other_records() -> None:
    assert alert_in_clear(ALERT) == 40
    assert alert_in_clear(HANDSHAKE + ALERT) == 40


def test_encrypted_cut_or_absent() -> None:
    assert alert_in_clear(b"\x15\x03\x03\x00\x1a" + bytes(26)) is None
    assert alert_in_clear(ALERT[:-1]) is None
    assert alert_in_clear(HANDSHAKE) is None
    assert alert_in_clear(b"") is None


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    number = alert_in_clear(data)
    assert number is None or 0 <= number <= 255


def test_reason() -> None:
    error = ssl.SSLError(1, "whatever the message says")
    error.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    assert alert_of(error) == 80
    error.reason = "WRONG_VERSION_NUMBER"
    assert alert_of(error) is None
    assert alert_of(OSError()) is None
