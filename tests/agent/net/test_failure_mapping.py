"""Classification by type and errno; the message never matters."""

import asyncio
import errno
import ssl

import pytest

from heliograph.failure import Failure
from heliograph_agent.net.failure_mapping import StepError, classify_error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OSError(errno.ECONNREFUSED, "timed out"), Failure.CONNECTION_REFUSED),
        (OSError(errno.ECONNRESET, ""), Failure.CONNECTION_RESET),
        (ConnectionResetError("no errno"), Failure.CONNECTION_RESET),
        (BrokenPipeError(), Failure.CONNECTION_RESET),
        (ConnectionAbortedError(), Failure.CONNECTION_ABORTED),
        (ConnectionRefusedError(), Failure.CONNECTION_REFUSED),
        (OSError(errno.EHOSTUNREACH, ""), Failure.HOST_UNREACHABLE),
        (OSError(errno.ENETUNREACH, ""), Failure.NETWORK_UNREACHABLE),
        (OSError(errno.EAFNOSUPPORT, ""), Failure.ADDRESS_FAMILY_NOT_SUPPORTED),
        (OSError(errno.ETIMEDOUT, ""), Failure.GENERIC_TIMEOUT_ERROR),
        (TimeoutError(), Failure.GENERIC_TIMEOUT_ERROR),
        (PermissionError(errno.EPERM, ""), Failure.PERMISSION_DENIED),
        (asyncio.IncompleteReadError(b"", 2), Failure.EOF_ERROR),
        (ssl.SSLEOFError(8, ""), Failure.EOF_ERROR),
        (ssl.SSLError(1, ""), Failure.SSL_FAILED_HANDSHAKE),
        (tls_error("UNSAFE_LEGACY_RENEGOTIATION_DISABLED"), Failure.SSL_UNSUPPORTED),
        (tls_error("WRONG_VERSION_NUMBER"), Failure.SSL_FAILED_HANDSHAKE),
        (StepError(Failure.DNS_NO_ANSWER), Failure.DNS_NO_ANSWER),
    ],
)
def test_known(error: Exception, failure: Failure) -> None:
    assert classify_error(error) == (failure, "")


def test_unknown_says_its_type_and_number_but_no_message() -> None:
    error = OSError(errno.ENOTTY, "at 198.51.100.23")
    assert classify_error(error) == (Failure.UNKNOWN_FAILURE, "OSError ENOTTY")
    assert classify_error(OSError("198.51.100.23")) == (Failure.UNKNOWN_FAILURE, "OSError")
