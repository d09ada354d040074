"""Accessors for untrusted JSON: missing or mistyped values become empty values."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

MAX_ROWS = 512  # per list in a measurement; a measurement of ours has at most as many steps
MAX_TEXT = 2048
MAX_BODY_BYTES = 1 << 20  # of a page


def as_object(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def as_rows(value: object) -> list[Json]:
    """Return the objects of a list, without its other items."""
    items = value if isinstance(value, list) else []
    return [row for row in items[:MAX_ROWS] if isinstance(row, Mapping)]


def as_text(value: object, limit: int = MAX_TEXT) -> str:
    return value[:limit] if isinstance(value, str) else ""


def as_texts(value: object) -> list[str]:
    items = value if isinstance(value, list) else []
    return [as_text(item) for item in items[:MAX_ROWS] if isinstance(item, str)]


def as_integer(value: object, default: int = 0) -> int:
    """Return an integer within 63 bits, or the default."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return int(value) if abs(value) < 2**63 else default  # nan compares false


def as_microseconds(value: object) -> int:
    """Convert seconds to microseconds; never negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value * 1e6)) if abs(value) < 1e12 else 0


def as_bytes(value: object) -> bytes:
    """Convert text, or `{"format": "base64", "data": …}`, to bytes."""
    if isinstance(value, str):
        return value[:MAX_BODY_BYTES].encode("utf-8", "surrogatepass")
    data = as_object(value).get("data")
    if not isinstance(data, str):
        return b""
    try:
        return base64.b64decode(data[: MAX_BODY_BYTES * 4 // 3 & ~3], validate=False)
    except (binascii.Error, ValueError):
        return b""
