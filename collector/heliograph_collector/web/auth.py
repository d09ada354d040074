"""The operator's door: HTTP Basic or Bearer with the operator's password."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os

from aiohttp import web

from heliograph_collector.web.problem import Problem

_N, _R, _P = 2**14, 8, 1  # scrypt: 16 MiB and some 50 ms a try
_MAX_PASSWORD = 1_024
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
    """Lets the operator in. Right answers are remembered (keyed), wrong ones wait their turn."""

    def __init__(self, kept: str) -> None:
        self._kept = kept
        self._key = os.urandom(32)
        self._proven = b""
        self._turn = asyncio.Semaphore(2)

    async def require(self, request: web.Request) -> None:
        """Raises Problem 401."""
        password = password_of(request.headers.get("Authorization", ""))
        if password is None:
            raise _refusal("This path is for the operator; log in with the operator's password.")
        if not await self._knows(password):
            raise _refusal("That is not the operator's password.")

    async def _knows(self, password: str) -> bool:
        digest = hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), "sha256")
        if self._proven and hmac.compare_digest(digest, self._proven):
            return True
        async with self._turn:
            right = await asyncio.to_thread(verify_password, password, self._kept)
        if right:
            self._proven = digest
        return right


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
