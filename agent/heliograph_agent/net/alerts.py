"""TLS alerts: which one the peer sent, RFC 8446 section 6.

Read from the records themselves while they are in clear, which is where a refusal of the
ClientHello arrives; one that came encrypted is known by OpenSSL's name for it.
"""

import ssl

_ALERT_RECORD = 21
_HEADER = 5
_CLEAR_ALERT = 2  # level and number; an encrypted alert is longer

# OpenSSL's reason code for a received alert is 1000 + its number; Python knows these names.
_NAMES = {
    "SSLV3_ALERT_UNEXPECTED_MESSAGE": 10,
    "SSLV3_ALERT_BAD_RECORD_MAC": 20,
    "TLSV1_ALERT_RECORD_OVERFLOW": 22,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": 40,
    "SSLV3_ALERT_BAD_CERTIFICATE": 42,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 43,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": 44,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 45,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 46,
    "SSLV3_ALERT_ILLEGAL_PARAMETER": 47,
    "TLSV1_ALERT_UNKNOWN_CA": 48,
    "TLSV1_ALERT_ACCESS_DENIED": 49,
    "TLSV1_ALERT_DECODE_ERROR": 50,
    "TLSV1_ALERT_DECRYPT_ERROR": 51,
    "TLSV1_ALERT_PROTOCOL_VERSION": 70,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": 71,
    "TLSV1_ALERT_INTERNAL_ERROR": 80,
    "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": 86,
    "TLSV1_ALERT_USER_CANCELLED": 90,
    "TLSV13_ALERT_MISSING_EXTENSION": 109,
    "TLSV1_UNSUPPORTED_EXTENSION": 110,
    "TLSV1_UNRECOGNIZED_NAME": 112,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": 116,
}


def alert_in_clear(received: bytes) -> int | None:
    """The first alert among whole unencrypted records at the start of a conversation."""
    at = 0
    while at + _HEADER <= len(received):
        size = int.from_bytes(received[at + 3 : at + _HEADER], "big")
        body = received[at + _HEADER : at + _HEADER + size]
        if received[at] == _ALERT_RECORD and size == len(body) == _CLEAR_ALERT:
            return body[1]
        at += _HEADER + size
    return None


def alert_of(error: BaseException) -> int | None:
    """The alert behind an ssl.SSLError, by OpenSSL's symbolic reason."""
    return _NAMES.get(error.reason or "") if isinstance(error, ssl.SSLError) else None
