"""Conversion of OONI's failure strings of all versions."""

from heliograph.failure import Failure

# Names of older versions, of other systems and of the test helper.
ALIASES = {
    "android_dns_cache_no_data": Failure.DNS_NO_ANSWER,
    "connection_already_closed": Failure.EOF_ERROR,
    "connection_refused_error": Failure.CONNECTION_REFUSED,
    "connection_reset_error": Failure.CONNECTION_RESET,
    "connect_error": Failure.UNKNOWN_FAILURE,
    "dns_lookup_error": Failure.DNS_SERVER_MISBEHAVING,
    "dns_name_error": Failure.DNS_NXDOMAIN_ERROR,
    "dns_non_recoverable_failure": Failure.DNS_SERVER_MISBEHAVING,
    "dns_server_failure": Failure.DNS_SERVFAIL_ERROR,
    "eof": Failure.EOF_ERROR,
    # EAI_AGAIN: getaddrinfo hides whether a resolver was silent or said SERVFAIL.
    "dns_temporary_failure": Failure.GENERIC_TIMEOUT_ERROR,
    "deferred_timeout_error": Failure.GENERIC_TIMEOUT_ERROR,
    "generic_timeout_error": Failure.GENERIC_TIMEOUT_ERROR,
    "host_unreachable_error": Failure.HOST_UNREACHABLE,
    "http_unexpected_redirect_url": Failure.UNKNOWN_FAILURE,
    "http_unexpected_status_code": Failure.UNKNOWN_FAILURE,
    "json_parse_error": Failure.UNKNOWN_FAILURE,
    "network_unreachable_error": Failure.NETWORK_UNREACHABLE,
    "operation_would_block": Failure.UNKNOWN_FAILURE,
    "response_never_received": Failure.EOF_ERROR,
    "ssl_error": Failure.SSL_FAILED_HANDSHAKE,
    "task_timed_out": Failure.INTERRUPTED,  # the task's own deadline
    "tcp_timed_out_error": Failure.GENERIC_TIMEOUT_ERROR,
    "timed_out": Failure.GENERIC_TIMEOUT_ERROR,
    "timeout": Failure.GENERIC_TIMEOUT_ERROR,
}

# Phrases inside "unknown_failure: …"; the first match decides.
PHRASES = (
    ("operation was canceled", Failure.INTERRUPTED),
    ("context canceled", Failure.INTERRUPTED),
    ("context deadline exceeded", Failure.GENERIC_TIMEOUT_ERROR),
    ("i/o timeout", Failure.GENERIC_TIMEOUT_ERROR),
    ("connection reset by peer", Failure.CONNECTION_RESET),
    ("connection refused", Failure.CONNECTION_REFUSED),
    ("network is unreachable", Failure.NETWORK_UNREACHABLE),
    ("no route to host", Failure.HOST_UNREACHABLE),
    ("no such host", Failure.DNS_NXDOMAIN_ERROR),
    ("server misbehaving", Failure.DNS_SERVER_MISBEHAVING),
    ("unexpected eof", Failure.EOF_ERROR),
    ("certificate has expired", Failure.SSL_INVALID_CERTIFICATE),
    ("certificate signed by unknown authority", Failure.SSL_UNKNOWN_AUTHORITY),
    ("certificate is valid for", Failure.SSL_INVALID_HOSTNAME),
    # The alert that filters send (RFC 8446 section 6.2). Servers have other reasons for all
    # others, as unrecognized_name, internal_error and protocol_version.
    ("remote error: tls: handshake failure", Failure.SSL_FAILED_HANDSHAKE),
    ("malformed http", Failure.HTTP_REQUEST_FAILED),
)
_FAILURE_BY_NAME = {str(failure): failure for failure in Failure}


def parse_failure(value: object) -> Failure | None:
    """Parse a failure: None for null and "", UNKNOWN_FAILURE for unknown values."""
    if value is None or value is False or value == "":
        return None
    if not isinstance(value, str):
        return Failure.UNKNOWN_FAILURE
    code = value.strip().lower()[:512]
    code = "eof" if code.startswith("unknown_failure") and code.endswith(": eof") else code
    if code in ALIASES:
        return ALIASES[code]
    if code in _FAILURE_BY_NAME:
        return _FAILURE_BY_NAME[code]
    return next((f for phrase, f in PHRASES if phrase in code), Failure.UNKNOWN_FAILURE)
