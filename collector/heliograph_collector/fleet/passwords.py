"""Password hashes by argon2id (RFC 9106), stored with their salt and cost."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# characters
MIN_LENGTH = 10
MAX_LENGTH = 1_024
# about 75 ms and 32 MiB per try, so two tries at once are acceptable
_TIME_COST = 3
_MEMORY_KIB = 32_768


def hash_password(password: str) -> str:
    return _build_hasher().hash(password.encode("utf-8", "surrogateescape"))


def verify_password(stored_hash: str, password: str) -> bool:
    """Verify a password; an empty or foreign hash takes as long and returns False."""
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return _build_hasher().verify(
            stored_hash or dummy_hash(), password.encode("utf-8", "surrogateescape")
        )
    except (Argon2Error, InvalidHashError):
        return False


@cache
def dummy_hash() -> str:
    """Return a hash that is verified for unknown users, so that both take equal time."""
    import secrets

    return hash_password(secrets.token_hex(16))


@cache
def _build_hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=1)
