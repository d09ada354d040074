"""Authentication of the operator's programs by password: HTTP Basic or Bearer.

The throttle against guessing is that of the console's login.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from typing import Protocol

from aiohttp import web

from heliograph.clock import Clock
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.rate_limit import LOCAL_ORIGIN, LoginThrottle

# scrypt: 16 MiB and about 50 ms a try
_N = 2**14
_R = 8
_P = 1
_MAX_PASSWORD = 1_024
_MAX_WAITING = 32  # tries that may wait for the check
_LOGIN_NAME = "operator"  # the only account, for any user name
_CHALLENGE = 'Basic realm="Heliograph operator", charset="UTF-8"'


def hash_password(password: str, salt: bytes) -> str:
    """Return the scheme's name, salt and hash in hex, separated by dollar signs."""
    return f"scrypt${salt.hex()}${_derive_key(password, salt).hex()}"


def verify_password(password: str, stored_hash: str) -> bool:
    """Compare a password; False also for an empty or malformed hash."""
    try:
        scheme, salt, digest = stored_hash.split("$")
        expected = bytes.fromhex(digest)
        derived = _derive_key(password, bytes.fromhex(salt))
    except ValueError:
        return False
    return scheme == "scrypt" and hmac.compare_digest(derived, expected)


def _derive_key(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, n=_N, r=_R, p=_P)


class OriginNamer(Protocol):
    """Name the origin of a password try, for the throttle."""

    def name_origin(self, request: web.Request) -> str: ...


class OperatorAuth:
    """Authenticate the operator; remember the right password as a keyed digest.

    One try is checked at a time; tries are throttled by origin.
    """

    def __init__(self, stored_hash: str, clock: Clock, origins: OriginNamer) -> None:
        self._stored_hash = stored_hash
        self._clock = clock
        self._origins = origins
        self._key = os.urandom(32)
        self._verified_digest = b""
        self._verified_origin = ""  # the origin of the last right password
        self._throttle = LoginThrottle()
        self._lock = asyncio.Lock()
        self._waiting_count = 0

    async def require(self, request: web.Request) -> None:
        """Require the operator's password. Raises Problem 401, 429, 503."""
        password = parse_password(request.headers.get("Authorization", ""))
        if password is None:
            raise _unauthorized(
                "This path is for the operator; log in with the operator's password."
            )
        if not await self._is_password(password, request):
            raise _unauthorized("That is not the operator's password.")

    async def _is_password(self, password: str, request: web.Request) -> bool:
        """Check a password. Raises Problem 429, 503."""
        digest = hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), "sha256")
        if self._is_proven(digest):
            return True
        if self._waiting_count >= _MAX_WAITING:
            raise _retry_later(503, "Busy", 5)
        self._waiting_count += 1
        try:
            async with self._lock:  # a concurrent request may have verified it meanwhile
                return self._is_proven(digest) or await self._check_password(
                    password, digest, request
                )
        finally:
            self._waiting_count -= 1

    def _is_proven(self, digest: bytes) -> bool:
        return bool(self._verified_digest) and hmac.compare_digest(digest, self._verified_digest)

    async def _check_password(self, password: str, digest: bytes, request: web.Request) -> bool:
        origin = self._hash_origin(self._origins.name_origin(request))
        known_client = origin if origin == self._verified_origin else ""
        wait_s = self._throttle.count_try(
            _LOGIN_NAME, origin, known_client, self._clock.monotonic_us()
        )
        if wait_s:
            raise _retry_later(429, "Too many tries", wait_s)
        if not await asyncio.to_thread(verify_password, password, self._stored_hash):
            return False
        self._throttle.forget_tries(_LOGIN_NAME, origin, known_client)
        self._verified_digest = digest
        self._verified_origin = origin
        return True

    def _hash_origin(self, origin: str) -> str:
        """Return a keyed hash, so that no network is stored even in memory."""
        return (
            origin
            if origin == LOCAL_ORIGIN
            else hmac.digest(self._key, origin.encode(), "sha256").hex()
        )


def parse_password(header: str) -> str | None:
    """Parse the password of an Authorization header; accept any user name."""
    scheme, _, credentials = header.partition(" ")
    if len(credentials) > 2 * _MAX_PASSWORD:
        return None
    if scheme.lower() == "bearer":
        return credentials.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "Operator only", detail, headers={"WWW-Authenticate": _CHALLENGE})


def _retry_later(status: int, title: str, wait_s: int) -> Problem:
    headers = {"Retry-After": str(wait_s)}
    return Problem(status, title, f"Wait {wait_s} s, then try again.", headers=headers)
