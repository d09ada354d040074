"""The operator's door for programs: HTTP Basic or Bearer with the operator's password.

Guessing is as slow here as at the console's login.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable

from aiohttp import web

from heliograph.clock import Clock
from heliograph_collector.http.login_throttle import HERE, Attempts
from heliograph_collector.http.problem import Problem

_N, _R, _P = 2**14, 8, 1  # scrypt: 16 MiB and some 50 ms a try
_MAX_PASSWORD = 1_024
_QUEUE = 32  # tries that may wait for their turn
_NAME = "operator"  # whatever is said: there is but one
_CHALLENGE = 'Basic realm="Heliograph operator", charset="UTF-8"'


def hash_password(password: str, salt: bytes) -> str:
    """The scheme's name, salt and hash in hex, between dollar signs."""
    return f"scrypt${salt.hex()}${_derive(password, salt).hex()}"


def verify_password(password: str, kept: str) -> bool:
    """False also for a `kept` that is empty or not ours."""
    try:
        scheme, salt, digest = kept.split("$")
        expected = bytes.fromhex(digest)
        derived = _derive(password, bytes.fromhex(salt))
    except ValueError:
        return False
    return scheme == "scrypt" and hmac.compare_digest(derived, expected)


def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, n=_N, r=_R, p=_P)


class Operator:
    """Lets the operator in. Right answers are remembered (keyed), wrong ones wait their turn.

    `place` names where a request comes from; whoever was right from there is counted apart.
    """

    def __init__(self, kept: str, clock: Clock, place: Callable[[web.Request], str]) -> None:
        self._kept, self._clock, self._place = kept, clock, place
        self._key = os.urandom(32)
        self._proven = b""
        self._home = ""  # from where that was said
        self._attempts = Attempts()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def require(self, request: web.Request) -> None:
        """Raises Problem 401, 429, 503."""
        password = password_of(request.headers.get("Authorization", ""))
        if password is None:
            raise _refusal("This path is for the operator; log in with the operator's password.")
        if not await self._knows(password, request):
            raise _refusal("That is not the operator's password.")

    async def _knows(self, password: str, request: web.Request) -> bool:
        """Raises Problem 429, 503."""
        digest = hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), "sha256")
        if self._is_proven(digest):
            return True
        if self._waiting >= _QUEUE:
            raise _later(503, "Busy", 5)
        self._waiting += 1
        try:
            async with self._turn:  # whoever asked beside us may have proven it meanwhile
                return self._is_proven(digest) or await self._try(password, digest, request)
        finally:
            self._waiting -= 1

    def _is_proven(self, digest: bytes) -> bool:
        return bool(self._proven) and hmac.compare_digest(digest, self._proven)

    async def _try(self, password: str, digest: bytes, request: web.Request) -> bool:
        """Raises Problem 429."""
        place = self._named(self._place(request))
        proof = place if place == self._home else ""
        wait_s = self._attempts.wait_s(_NAME, place, proof, self._clock.monotonic_us())
        if wait_s:
            raise _later(429, "Too many tries", wait_s)
        if not await asyncio.to_thread(verify_password, password, self._kept):
            return False
        self._attempts.was_right(_NAME, place, proof)
        self._proven, self._home = digest, place
        return True

    def _named(self, place: str) -> str:
        """What stands for it, so that no network is written down even here."""
        return place if place == HERE else hmac.digest(self._key, place.encode(), "sha256").hex()


def password_of(header: str) -> str | None:
    """The password in an Authorization header; any user name will do."""
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


def _refusal(detail: str) -> Problem:
    return Problem(401, "Operator only", detail, headers={"WWW-Authenticate": _CHALLENGE})


def _later(status: int, title: str, wait_s: int) -> Problem:
    headers = {"Retry-After": str(wait_s)}
    return Problem(status, title, f"Wait {wait_s} s, then try again.", headers=headers)
