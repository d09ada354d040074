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


# asyncio raises these without an errno.
_WITHOUT_ERRNO = {
    ConnectionResetError: Failure.CONNECTION_RESET,
    BrokenPipeError: Failure.CONNECTION_RESET,
    ConnectionRefusedError: Failure.CONNECTION_REFUSED,
    ConnectionAbortedError: Failure.CONNECTION_ABORTED,
}


# OpenSSL's reasons (openssl/sslerr.h) for "we cannot use it", of the server's choice.
_UNSUPPORTED = frozenset(
    {
        "UNSAFE_LEGACY_RENEGOTIATION_DISABLED",
        "UNSUPPORTED_PROTOCOL",
        "VERSION_TOO_LOW",
        "UNKNOWN_CIPHER_RETURNED",
        "WRONG_CIPHER_RETURNED",
        "WRONG_SIGNATURE_TYPE",
        "WRONG_CURVE",
        "DH_KEY_TOO_SMALL",
    }
)


def classify_error(error: BaseException) -> tuple[Failure, str]:
    """Return the failure, and a detail for a failure outside the vocabulary."""
    if isinstance(error, StepError):
        return error.failure, ""
    if isinstance(error, TimeoutError):
        return Failure.GENERIC_TIMEOUT_ERROR, ""
    if isinstance(error, (ssl.SSLEOFError, EOFError)):
        return Failure.EOF_ERROR, ""
    if isinstance(error, ssl.SSLError):
        is_unsupported = getattr(error, "reason", "") in _UNSUPPORTED
        return Failure.SSL_UNSUPPORTED if is_unsupported else Failure.SSL_FAILED_HANDSHAKE, ""
    number = (error.errno if isinstance(error, OSError) else None) or 0
    if number in _ERRNO:
        return _ERRNO[number], ""
    for kind, failure in _WITHOUT_ERRNO.items():
        if isinstance(error, kind):
            return failure, ""
    # The type and the errno, never the message: messages contain addresses.
    name = errno.errorcode.get(number, str(number)) if number else ""
    return Failure.UNKNOWN_FAILURE, f"{type(error).__name__} {name}".strip()
