"""The alert log's lines: canonical JSON, each with the hash of the one before, each signed. Pure.

Canonical is what `canonical` makes: sorted keys, no spaces, UTF-8 (as RFC 8785 for what we write:
no floats beyond three digits, no surrogates). A line is hashed with its signature in it.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heliograph.keys import ALERT, SigningKey
from heliograph.keys import verify as signed_by
from heliograph_collector.incidents.operator_entries import flaw
from heliograph_collector.incidents.state import is_operators

FORMAT = 1
START = "0" * 64  # the hash before the first entry
MAX_LINE = 262_144


@dataclass(frozen=True, slots=True)
class Proof:
    """`entries` lines hold, up to `head`; then perhaps one is bad (its number, from 1, and why).

    That nothing was cut off at the end is proved by comparing `head` with one published elsewhere.
    `acts` of them are the operator's.
    """

    entries: int
    head: str
    bad: int | None = None
    why: str = ""
    acts: int = field(default=0, compare=False)


class _BadError(Exception):
    """str() says what is wrong with a line."""


def canonical(value: Mapping[str, Any]) -> bytes:
    """Raises ValueError on NaN and infinities."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def line(number: int, before: str, body: Mapping[str, Any], key: SigningKey) -> bytes:
    """Entry `number` (from 1) after the line of hash `before`, without a newline."""
    unsigned = {"format": FORMAT, "number": number, "before": before, "body": body}
    signature = base64.b64encode(key.sign(ALERT, canonical(unsigned))).decode()
    return canonical(unsigned | {"signature": signature})


def hash_of(entry: bytes) -> str:
    return hashlib.sha256(entry).hexdigest()


def verify(lines: Iterable[bytes], public: bytes, head: str = "") -> Proof:
    """Whether every line is the log's, in order and whole; stops at the first that is not.

    `public` is the collector's Ed25519 key (RFC 8032), `head` the hash the last line must have.
    """
    number, before, acts = 0, START, 0
    hashes: list[bytes] = []
    for raw in lines:
        try:
            acts += _refers(_check(raw, number + 1, before, public), hashes)
        except _BadError as error:
            return Proof(number, before, number + 1, str(error), acts)
        number, before = number + 1, hash_of(raw)
        hashes.append(bytes.fromhex(before))
    if head and head != before:
        return Proof(number, before, number + 1, "entries are missing at the end", acts)
    return Proof(number, before, acts=acts)


def body_of(raw: bytes) -> dict[str, Any]:
    """Of a line that was verified."""
    body: dict[str, Any] = json.loads(raw)["body"]
    return body


def _check(raw: bytes, number: int, before: str, public: bytes) -> Any:
    """The body."""
    entry = _parsed(raw)
    signature = entry.pop("signature", "")
    if entry.get("format") != FORMAT:
        raise _BadError("it is of a format that this version does not know")
    if entry.get("number") != number:
        raise _BadError(f"it says it is entry {entry.get('number')}")
    if entry.get("before") != before:
        raise _BadError("it does not follow the entry before it")
    if not signed_by(public, _signature(signature), ALERT, canonical(entry)):
        raise _BadError("its signature is not this collector's")
    return entry.get("body")


def _refers(body: Any, hashes: Sequence[bytes]) -> bool:
    """Whether it is an operator's, which must speak of one before it, by number and hash."""
    if not isinstance(body, dict) or not is_operators(body):
        return False
    wrong = flaw(body)
    if wrong:
        raise _BadError(wrong)
    number, digest = body["about"]["entry"], body["about"]["hash"]
    earlier = isinstance(number, int) and 0 < number <= len(hashes)
    if not earlier or hashes[number - 1].hex() != digest:
        raise _BadError("it is the operator's, and speaks of an entry that is not there")
    return True


def _parsed(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_LINE:
        raise _BadError("it is too long")
    try:
        entry = json.loads(raw)
        same = isinstance(entry, dict) and canonical(entry) == raw
    except (ValueError, RecursionError):
        raise _BadError("it is no JSON") from None
    if not same:
        raise _BadError("it is not in canonical form")
    return dict(entry)


def _signature(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        return b""
