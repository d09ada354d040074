"""Reads JSON that anybody may have written: what is missing or of another kind reads as nothing."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

MOST_ROWS = 512  # of one list in a measurement, as many steps as one of ours may have
MOST_TEXT = 2048
MOST_BODY = 1 << 20  # bytes of a page that are looked at


def obj(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def rows(value: object) -> list[Json]:
    """The objects of a list; whatever else is in it is left out."""
    found = value if isinstance(value, list) else []
    return [row for row in found[:MOST_ROWS] if isinstance(row, Mapping)]


def text(value: object, limit: int = MOST_TEXT) -> str:
    return value[:limit] if isinstance(value, str) else ""


def texts(value: object) -> list[str]:
    found = value if isinstance(value, list) else []
    return [text(item) for item in found[:MOST_ROWS] if isinstance(item, str)]


def whole(value: object, default: int = 0) -> int:
    """A whole number that fits in 63 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return int(value) if abs(value) < 2**63 else default  # nan compares false


def microseconds(value: object) -> int:
    """Seconds, as a float, to microseconds; never negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value * 1e6)) if abs(value) < 1e12 else 0


def binary(value: object) -> bytes:
    """A text, or `{"format": "base64", "data": …}`, as bytes."""
    if isinstance(value, str):
        return value[:MOST_BODY].encode("utf-8", "surrogatepass")
    data = obj(value).get("data")
    if not isinstance(data, str):
        return b""
    try:
        return base64.b64decode(data[: MOST_BODY * 4 // 3 & ~3], validate=False)
    except (binascii.Error, ValueError):
        return b""
