"""Map exceptions to the failure vocabulary by type and errno."""

import errno
import ssl

from heliograph.failure import Failure


class StepError(Exception):
    """End a step with `failure`, a failure of the vocabulary."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


# Errors that the network can cause. Any other exception is a bug and propagates.
NETWORK_ERRORS = (OSError, EOFError, StepError)

_ERRNO = {
    errno.EAFNOSUPPORT: Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    errno.EADDRNOTAVAIL: Failure.ADDRESS_NOT_AVAILABLE,
    errno.ECONNABORTED: Failure.CONNECTION_ABORTED,
    errno.ECONNREFUSED: Failure.CONNECTION_REFUSED,
    errno.ECONNRESET: Failure.CONNECTION_RESET,
    errno.EPIPE: Failure.CONNECTION_RESET,  # the reset came before our write
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.EINVAL: Failure.INVALID_ARGUMENT,
    errno.EMSGSIZE: Failure.MESSAGE_SIZE,
    errno.ENETDOWN: Failure.NETWORK_DOWN,
    errno.ENETRESET: Failure.NETWORK_RESET,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ENOBUFS: Failure.NO_BUFFER_SPACE,
    errno.ENOTCONN: Failure.NOT_CONNECTED,
    errno.EACCES: Failure.PERMISSION_DENIED,
    errno.EPERM: Failure.PERMISSION_DENIED,  # a local firewall's reject
    errno.ETIMEDOUT: Failure.GENERIC_TIMEOUT_ERROR,
}


def classify_error(error: BaseException) -> tuple[Failure, str]:
    """Return the failure, and a detail for a failure outside the vocabulary."""
    if isinstance(error, StepError):
        return error.failure, ""
    if isinstance(error, TimeoutError):
        return Failure.GENERIC_TIMEOUT_ERROR, ""
    if isinstance(error, (ssl.SSLEOFError, EOFError)):
        return Failure.EOF_ERROR, ""
    if isinstance(error, ssl.SSLError):
        return Failure.SSL_FAILED_HANDSHAKE, ""
    number = error.errno if isinstance(error, OSError) else None
    failure = _ERRNO.get(number or 0) or _classify_connection_error(error)
    return (failure, "") if failure else (Failure.UNKNOWN_FAILURE, _describe_error(error, number))


def _classify_connection_error(error: BaseException) -> Failure | None:
    """Classify errors that asyncio raises without an errno."""
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return Failure.CONNECTION_RESET
    if isinstance(error, ConnectionRefusedError):
        return Failure.CONNECTION_REFUSED
    return Failure.CONNECTION_ABORTED if isinstance(error, ConnectionAbortedError) else None


def _describe_error(error: BaseException, number: int | None) -> str:
    """Name the type and the errno, never the message: messages contain addresses."""
    name = errno.errorcode.get(number, str(number)) if number else ""
    return f"{type(error).__name__} {name}".strip()
