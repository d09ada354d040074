"""The closed vocabulary of network failures and of the steps in which they occur.

Names are OONI's df-007 where one exists, so that both data sets can be read together. A failure
never names the cause: the collector decides that.
"""

from enum import StrEnum


class Operation(StrEnum):
    """Name the step that was in progress."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS_HANDSHAKE = "tls_handshake"
    QUIC_HANDSHAKE = "quic_handshake"
    HTTP_ROUND_TRIP = "http_round_trip"
    READ_BODY = "read_body"
    EXCHANGE = "exchange"  # ours: one message in a named protocol, and its reply
    HOP = "hop"  # ours: one packet with a limited TTL


class Failure(StrEnum):
    """Name the reason of a failed step; a successful step has no failure."""

    # system calls (errno)
    ADDRESS_FAMILY_NOT_SUPPORTED = "address_family_not_supported"
    ADDRESS_NOT_AVAILABLE = "address_not_available"
    CONNECTION_ABORTED = "connection_aborted"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    HOST_UNREACHABLE = "host_unreachable"
    INVALID_ARGUMENT = "invalid_argument"
    MESSAGE_SIZE = "message_size"
    NETWORK_DOWN = "network_down"
    NETWORK_RESET = "network_reset"
    NETWORK_UNREACHABLE = "network_unreachable"
    NO_BUFFER_SPACE = "no_buffer_space"
    NOT_CONNECTED = "not_connected"
    PERMISSION_DENIED = "permission_denied"
    # any connection
    EOF_ERROR = "eof_error"
    GENERIC_TIMEOUT_ERROR = "generic_timeout_error"
    INTERRUPTED = "interrupted"  # ours: a stop or the task's own deadline, never interference
    # dns
    DNS_BOGON_ERROR = "dns_bogon_error"
    DNS_NXDOMAIN_ERROR = "dns_nxdomain_error"
    DNS_NO_ANSWER = "dns_no_answer"
    DNS_REFUSED_ERROR = "dns_refused_error"
    DNS_REPLY_WITH_WRONG_QUERY_ID = "dns_reply_with_wrong_query_id"
    DNS_SERVER_MISBEHAVING = "dns_server_misbehaving"
    DNS_SERVFAIL_ERROR = "dns_servfail_error"
    DNS_NO_RESOLVER = "dns_no_resolver"  # ours: the system names no resolver at all
    # tls
    SSL_FAILED_HANDSHAKE = "ssl_failed_handshake"
    # ours: no version, cipher or ALPN that both sides speak, or a signature by SHA-1
    SSL_UNSUPPORTED = "ssl_unsupported"
    SSL_INVALID_CERTIFICATE = "ssl_invalid_certificate"
    SSL_INVALID_HOSTNAME = "ssl_invalid_hostname"
    SSL_UNKNOWN_AUTHORITY = "ssl_unknown_authority"
    # quic
    QUIC_INCOMPATIBLE_VERSION = "quic_incompatible_version"
    # http
    HTTP_INVALID_REDIRECT_LOCATION_HOST = "http_invalid_redirect_location_host"
    HTTP_REQUEST_FAILED = "http_request_failed"  # the reply is not HTTP
    HTTP_TRUNCATED_BODY = "http_truncated_body"  # ours: shorter than the peer announced
    # any named protocol
    UNEXPECTED_REPLY = "unexpected_reply"  # ours: the answer is not in this protocol
    # the rest
    UNKNOWN_FAILURE = "unknown_failure"


# How a filter ends a ClientHello that it does not let pass:
HELLO_CUTS = (Failure.CONNECTION_RESET, Failure.EOF_ERROR, Failure.GENERIC_TIMEOUT_ERROR)


HANDSHAKES = (Operation.TLS_HANDSHAKE, Operation.QUIC_HANDSHAKE)
# A client refuses the chain. The collector checks its signatures again, so its bytes are kept.
CERTIFICATE_FAILURES = frozenset(
    {Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME, Failure.SSL_INVALID_CERTIFICATE}
)
