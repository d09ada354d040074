"""Lenient reader of untrusted JSON into Structs.

Publishers write null, a string or a list where a number belongs. A missing field gets the default
of its Struct and a mistyped one becomes empty, so that one odd field costs no measurement.

Example:
    class Probe(msgspec.Struct, frozen=True):
        asn: int = 0
        tags: list[str] = []

    read_struct(Probe, {"asn": None, "tags": ["home", 7]})  # Probe(asn=0, tags=["home"])
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache, partial
from typing import Annotated, TypeVar, cast, get_args, get_origin

import msgspec

MAX_ROWS = 512  # per list; a measurement of ours has at most as many steps
CUT_ROWS: ContextVar[list[int] | None] = ContextVar("CUT_ROWS", default=None)
MAX_TEXT = 2048
MAX_BODY_BYTES = 1 << 20  # of a page
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Item = TypeVar("_Item")
_Reader = Callable[[object], object]


def read_struct(shape: type[_Struct], value: object) -> _Struct:
    """Read an object into a Struct; `Annotated[X, reader]` gives a field's reader."""
    if not isinstance(value, dict):
        return shape()
    readers = _list_field_readers(shape)
    return shape(**{name: read(value[key]) for name, key, read in readers if key in value})


def as_text(value: object, limit: int = MAX_TEXT) -> str:
    """Return text, cut at the limit."""
    return value[:limit] if isinstance(value, str) else ""


def as_integer(value: object) -> int:
    """Return an integer within 63 bits, 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if abs(value) < 2**63 else 0  # nan compares false


def as_number(value: object) -> float | None:
    """Convert to a finite number, also from text; return None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if abs(parsed) < 1e300 else None  # nan compares false


def as_microseconds(value: object) -> int:
    """Convert seconds to microseconds; never negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value * 1e6)) if abs(value) < 1e12 else 0


def as_bytes(value: object) -> bytes:
    """Convert text, or `{"format": "base64", "data": …}`, to bytes."""
    if isinstance(value, str):
        return value[:MAX_BODY_BYTES].encode("utf-8", "surrogatepass")
    data = value.get("data") if isinstance(value, Mapping) else None
    if not isinstance(data, str):
        return b""
    try:
        return base64.b64decode(data[: MAX_BODY_BYTES * 4 // 3 & ~3], validate=False)
    except (binascii.Error, ValueError):
        return b""


def as_flag(value: object) -> bool | None:
    """Return true or false, None for anything else."""
    return value if isinstance(value, bool) else None


Text32 = Annotated[str, partial(as_text, limit=32)]
Text64 = Annotated[str, partial(as_text, limit=64)]
Text256 = Annotated[str, partial(as_text, limit=256)]
Microseconds = Annotated[int, as_microseconds]
_PLAIN_READERS: Mapping[object, _Reader] = {
    str: as_text,
    int: as_integer,
    float | None: as_number,
    bytes: as_bytes,
    bool | None: as_flag,
}


@cache
def _list_field_readers(shape: type[msgspec.Struct]) -> tuple[tuple[str, str, _Reader], ...]:
    fields = msgspec.structs.fields(shape)
    return tuple((field.name, field.encode_name, _find_reader(field.type)) for field in fields)


def _find_reader(kind: object) -> _Reader:
    if kind in _PLAIN_READERS:
        return _PLAIN_READERS[kind]
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin is None:
        return partial(read_struct, cast("type[msgspec.Struct]", kind))
    if origin is Annotated:
        return cast("_Reader", arguments[1])
    if origin is list:
        return partial(_read_list, _find_reader(arguments[0]), _find_item_type(arguments[0]))
    if origin is dict:
        return partial(_read_dict, _find_reader(arguments[1]))
    return partial(_read_present, arguments[0])  # X | None


def _find_item_type(kind: object) -> type:
    """Return the JSON type of the items that a list keeps; `object` keeps every place."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return dict
    return str if kind is str else object


def _read_list(read: _Reader, item_type: type, value: object) -> list[object]:
    items = cut_list(value) if isinstance(value, list) else ()
    return [read(item) for item in items if isinstance(item, item_type)]


def _read_dict(read: _Reader, value: object) -> dict[str, object]:
    entries = cut_list(list(value.items())) if isinstance(value, Mapping) else ()
    return {str(key): read(entry) for key, entry in entries}


def cut_list(items: list[_Item]) -> list[_Item]:
    """Return at most MAX_ROWS items; `CUT_ROWS`, if set, gets the number of others."""
    if len(items) <= MAX_ROWS:
        return items
    cut_rows = CUT_ROWS.get()
    if cut_rows is not None:
        cut_rows.append(len(items) - MAX_ROWS)
    return items[:MAX_ROWS]


def _read_present(shape: type[msgspec.Struct], value: object) -> msgspec.Struct | None:
    """Read an object; None if it is empty or none."""
    return read_struct(shape, value) if isinstance(value, Mapping) and value else None
