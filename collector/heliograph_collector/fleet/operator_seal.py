"""Encryption of the console's users where servers keep them.

Their second factors are secrets that must be there in clear to check a code.
"""

from heliograph_collector.fleet.operators import OperatorsError
from heliograph_collector.fleet.server_seal import SealError, seal, unseal

_PURPOSE = b"heliograph operators v1"


def seal_operators(secret: bytes, content: bytes) -> bytes:
    """Encrypt a document."""
    return seal(secret, _PURPOSE, content)


def unseal_operators(secret: bytes, sealed: bytes) -> bytes:
    """Decrypt a document. Raises OperatorsError."""
    try:
        return unseal(secret, _PURPOSE, sealed)
    except SealError:
        raise OperatorsError(
            "the users of the console on the journal's servers do not open with keys/secret.key: "
            "copy the folder keys of the collector that leads"
        ) from None
