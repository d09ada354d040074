"""Reads JSON that anybody may have written: what is missing or of another kind reads as nothing."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

MAX_ROWS = 512  # of one list in a measurement, as many steps as one of ours may have
MAX_TEXT = 2048
MAX_BODY_BYTES = 1 << 20  # bytes of a page that are looked at


def as_object(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def as_rows(value: object) -> list[Json]:
    """The objects of a list; whatever else is in it is left out."""
    items = value if isinstance(value, list) else []
    return [row for row in items[:MAX_ROWS] if isinstance(row, Mapping)]


def as_text(value: object, limit: int = MAX_TEXT) -> str:
    return value[:limit] if isinstance(value, str) else ""


def as_texts(value: object) -> list[str]:
    items = value if isinstance(value, list) else []
    return [as_text(item) for item in items[:MAX_ROWS] if isinstance(item, str)]


def as_integer(value: object, default: int = 0) -> int:
    """A whole number that fits in 63 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return int(value) if abs(value) < 2**63 else default  # nan compares false


def as_microseconds(value: object) -> int:
    """Seconds, as a float, to microseconds; never negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value * 1e6)) if abs(value) < 1e12 else 0


def as_bytes(value: object) -> bytes:
    """A text, or `{"format": "base64", "data": …}`, as bytes."""
    if isinstance(value, str):
        return value[:MAX_BODY_BYTES].encode("utf-8", "surrogatepass")
    data = as_object(value).get("data")
    if not isinstance(data, str):
        return b""
    try:
        return base64.b64decode(data[: MAX_BODY_BYTES * 4 // 3 & ~3], validate=False)
    except (binascii.Error, ValueError):
        return b""
