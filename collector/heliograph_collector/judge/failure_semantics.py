"""Classify failures as interference, local trouble of the vantage or inconclusive.

Every failure is in `METHOD_BY_FAILURE` for some step (interference, by this method), in
`LOCAL_FAILURES` (the vantage's own trouble) or in `INCONCLUSIVE_FAILURES`. A failure in a step that
`METHOD_BY_FAILURE` does not name proves nothing.
"""

from collections.abc import Mapping
from functools import lru_cache

from heliograph.failure import CERTIFICATE_FAILURES, Failure
from heliograph.failure import Operation as Op

LAYER_BY_OPERATION: Mapping[Op, str] = {
    Op.RESOLVE: "dns",
    Op.CONNECT: "tcp",
    Op.TLS_HANDSHAKE: "tls",
    Op.QUIC_HANDSHAKE: "quic",
    Op.HTTP_ROUND_TRIP: "http",
    Op.EXCHANGE: "protocol",
    Op.READ_BODY: "http",
}

# Order of the steps of a connection. A hop is no step of a connection, so it has no depth.
OPERATION_DEPTH: Mapping[Op, int] = {
    Op.RESOLVE: 1,
    Op.CONNECT: 2,
    Op.TLS_HANDSHAKE: 3,
    Op.QUIC_HANDSHAKE: 3,  # connection and TLS in one step
    Op.HTTP_ROUND_TRIP: 4,
    Op.EXCHANGE: 4,
    Op.READ_BODY: 5,
}

METHOD_BY_FAILURE: Mapping[Op, Mapping[Failure, str]] = {
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
        Failure.SSL_UNSUPPORTED: "unsupported",
        **dict.fromkeys(CERTIFICATE_FAILURES, "certificate_substitution"),
    },
    Op.QUIC_HANDSHAKE: {
        Failure.CONNECTION_REFUSED: "refused",
        Failure.CONNECTION_RESET: "reset_after_initial",
        Failure.EOF_ERROR: "closed_after_initial",
        Failure.GENERIC_TIMEOUT_ERROR: "timeout_after_initial",
        Failure.HOST_UNREACHABLE: "host_unreachable",
        Failure.QUIC_INCOMPATIBLE_VERSION: "version_refused",
        Failure.SSL_FAILED_HANDSHAKE: "alert",
        **dict.fromkeys(CERTIFICATE_FAILURES, "certificate_substitution"),
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

# The vantage's own trouble, in every step.
LOCAL_FAILURES = frozenset(
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
        Failure.NETWORK_UNREACHABLE,  # no local route, as on a network with one address family
        Failure.NO_BUFFER_SPACE,
        Failure.NOT_CONNECTED,
    }
)

# Alerts by which a server finds nothing in common with the hello (RFC 8446 section 6.2).
NEGOTIATION_ALERTS = frozenset({40, 70, 71, 86, 120})

# Failures that prove nothing: unclassified by the agent, or a faulty redirect of the server.
INCONCLUSIVE_FAILURES = frozenset(
    {Failure.UNKNOWN_FAILURE, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST}
)


@lru_cache  # of some ten sets of steps
def find_depth(operations: frozenset[Op]) -> int:
    """Find the depth of the deepest of these steps, 0 of none."""
    return max([OPERATION_DEPTH.get(operation, 0) for operation in operations], default=0)


@lru_cache
def list_deepest(operations: frozenset[Op]) -> frozenset[Op]:
    """List the deepest of these steps."""
    depth = find_depth(operations)
    return frozenset([o for o in operations if OPERATION_DEPTH.get(o, 0) == depth])


def find_method(operation: Op, failure: Failure | None) -> str:
    """Return the method that this failure suggests in this step, "" for none."""
    if failure is None:
        return ""
    return METHOD_BY_FAILURE.get(operation, {}).get(failure, "")
