"""Alerts read from the records in clear, and from OpenSSL's reasons."""

import ssl

from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.tls.openssl import alert_of_error, find_clear_alert

HANDSHAKE = b"\x16\x03\x03\x00\x04abcd"
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


def test_alone_and_after_other_records() -> None:
    assert find_clear_alert(ALERT) == 40
    assert find_clear_alert(HANDSHAKE + ALERT) == 40


def test_encrypted_cut_or_absent() -> None:
    assert find_clear_alert(b"\x15\x03\x03\x00\x1a" + bytes(26)) is None
    assert find_clear_alert(ALERT[:-1]) is None
    assert find_clear_alert(HANDSHAKE) is None
    assert find_clear_alert(b"") is None


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    number = find_clear_alert(data)
    assert number is None or 0 <= number <= 255


def test_reason() -> None:
    error = ssl.SSLError(1, "whatever the message says")
    error.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    assert alert_of_error(error) == 80
    error.reason = "WRONG_VERSION_NUMBER"
    assert alert_of_error(error) is None
    assert alert_of_error(OSError()) is None
