"""What each word of the failure vocabulary can say about interference, and what it cannot.

Every word is in `METHODS` for some step (somebody may be interfering, and this is how), in `LOCAL`
(the vantage's own trouble) or in `MUTE`. A word in a step that METHODS does not name says nothing.
"""

from collections.abc import Mapping

from heliograph.failure import Failure
from heliograph.failure import Operation as Op

LAYERS: Mapping[Op, str] = {
    Op.RESOLVE: "dns",
    Op.CONNECT: "tcp",
    Op.TLS_HANDSHAKE: "tls",
    Op.QUIC_HANDSHAKE: "quic",
    Op.HTTP_ROUND_TRIP: "http",
    Op.EXCHANGE: "protocol",
    Op.READ_BODY: "http",
}

# How far a step is from nothing. A hop is no step of a connection, so it has no depth.
DEPTH: Mapping[Op, int] = {
    Op.RESOLVE: 1,
    Op.CONNECT: 2,
    Op.TLS_HANDSHAKE: 3,
    Op.QUIC_HANDSHAKE: 3,  # connection and TLS in one
    Op.HTTP_ROUND_TRIP: 4,
    Op.EXCHANGE: 4,
    Op.READ_BODY: 5,
}

METHODS: Mapping[Op, Mapping[Failure, str]] = {
    Op.RESOLVE: {
        Failure.DNS_NXDOMAIN_ERROR: "nxdomain",
        Failure.DNS_REFUSED_ERROR: "refused",
        Failure.DNS_SERVFAIL_ERROR: "servfail",
        Failure.DNS_NO_ANSWER: "no_answer",
        Failure.DNS_BOGON_ERROR: "bogon",
        Failure.DNS_REPLY_WITH_WRONG_QUERY_ID: "injected",
        Failure.DNS_SERVER_MISBEHAVING: "misbehaving",
        Failure.GENERIC_TIMEOUT_ERROR: "timeout",
    },
    Op.CONNECT: {
        Failure.CONNECTION_REFUSED: "refused",
        Failure.CONNECTION_RESET: "reset",
        Failure.GENERIC_TIMEOUT_ERROR: "timeout",
        Failure.HOST_UNREACHABLE: "host_unreachable",
    },
    Op.TLS_HANDSHAKE: {
        Failure.CONNECTION_RESET: "reset_after_hello",
        Failure.EOF_ERROR: "eof_after_hello",
        Failure.GENERIC_TIMEOUT_ERROR: "timeout_after_hello",
        Failure.SSL_FAILED_HANDSHAKE: "alert",
        Failure.SSL_UNKNOWN_AUTHORITY: "certificate_substitution",
        Failure.SSL_INVALID_HOSTNAME: "certificate_substitution",
        Failure.SSL_INVALID_CERTIFICATE: "certificate_substitution",
    },
    Op.QUIC_HANDSHAKE: {
        Failure.CONNECTION_REFUSED: "refused",
        Failure.CONNECTION_RESET: "reset_after_initial",
        Failure.EOF_ERROR: "closed_after_initial",
        Failure.GENERIC_TIMEOUT_ERROR: "timeout_after_initial",
        Failure.HOST_UNREACHABLE: "host_unreachable",
        Failure.QUIC_INCOMPATIBLE_VERSION: "version_refused",
        Failure.SSL_FAILED_HANDSHAKE: "alert",
        Failure.SSL_UNKNOWN_AUTHORITY: "certificate_substitution",
        Failure.SSL_INVALID_HOSTNAME: "certificate_substitution",
        Failure.SSL_INVALID_CERTIFICATE: "certificate_substitution",
    },
    Op.EXCHANGE: {
        Failure.CONNECTION_REFUSED: "refused",
        Failure.CONNECTION_RESET: "reset_after_message",
        Failure.EOF_ERROR: "eof_after_message",
        Failure.GENERIC_TIMEOUT_ERROR: "timeout_after_message",
        Failure.HOST_UNREACHABLE: "host_unreachable",
        Failure.UNEXPECTED_REPLY: "unexpected_reply",
    },
    Op.HTTP_ROUND_TRIP: {
        Failure.CONNECTION_RESET: "reset_after_request",
        Failure.EOF_ERROR: "eof_after_request",
        Failure.GENERIC_TIMEOUT_ERROR: "timeout_after_request",
        Failure.HTTP_REQUEST_FAILED: "not_http",
    },
    Op.READ_BODY: {
        Failure.CONNECTION_RESET: "reset_in_body",
        Failure.EOF_ERROR: "truncated_body",
        Failure.HTTP_TRUNCATED_BODY: "truncated_body",
        Failure.GENERIC_TIMEOUT_ERROR: "slow_body",
    },
}

# The vantage's own trouble, in whichever step it comes up.
LOCAL = frozenset(
    {
        Failure.INTERRUPTED,
        Failure.PERMISSION_DENIED,
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.CONNECTION_ABORTED,
        Failure.DNS_NO_RESOLVER,
        Failure.INVALID_ARGUMENT,
        Failure.MESSAGE_SIZE,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_RESET,
        Failure.NETWORK_UNREACHABLE,  # no route of its own, as on a network with one address family
        Failure.NO_BUFFER_SPACE,
        Failure.NOT_CONNECTED,
    }
)

# Words that are nobody's fault for sure: our own gap, or the server's odd manners.
MUTE = frozenset({Failure.UNKNOWN_FAILURE, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST})

CERTIFICATE = frozenset(
    {Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME, Failure.SSL_INVALID_CERTIFICATE}
)


def method_of(operation: Op, failure: Failure | None) -> str:
    """The method that this word in this step hints at, "" when it hints at none."""
    if failure is None:
        return ""
    return METHODS.get(operation, {}).get(failure, "")
