"""Encode dataclasses as messages whose fields have the same names."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, TypeVar

from heliograph.codec.checks import replace_controls
from heliograph.observation import NOT_ENCODED

_Message = TypeVar("_Message")
_PLAIN = frozenset({int, bool, bytes, float})


class _FieldReader:
    """Read all fields of a dataclass that are encoded, by one call."""

    __slots__ = ("names", "read")

    def __init__(self, kind: type[Any]) -> None:
        kept = (f for f in fields(kind) if f.metadata != NOT_ENCODED)
        self.names = tuple(f.name for f in kept)
        self.read: Callable[[object], tuple[object, ...]] = (
            attrgetter(*self.names) if len(self.names) > 1 else self._read_each
        )

    def _read_each(self, value: object) -> tuple[object, ...]:
        return tuple(getattr(value, name) for name in self.names)


_readers: dict[type[Any], _FieldReader | None] = {}  # None for types other than dataclasses


def build_message(make: Callable[..., _Message], value: Any, **replaced: object) -> _Message:
    """Build a message from a dataclass; None and empty tuples leave their field unset.

    Args:
        make: The message's class.
        replaced: Fields that are not encoded as they are in the dataclass.
    """
    reader = _find_reader(type(value))
    encoded = _encode_fields(value, reader) if reader else {}
    return make(**encoded | replaced)


def _encode_value(value: Any) -> object:
    if type(value) is str:
        return value if value.isprintable() else replace_controls(value)
    reader = _find_reader(type(value))
    return _encode_fields(value, reader) if reader else value


def _encode_fields(value: object, reader: _FieldReader) -> dict[str, object]:
    """Encode the fields that are set, in one loop.

    A measurement has a thousand fields, most of them empty.
    """
    encoded: dict[str, object] = {}
    for name, field_value in zip(reader.names, reader.read(value), strict=True):
        kind = type(field_value)
        if kind in _PLAIN:
            encoded[name] = field_value
        elif not field_value:  # no text and no list has presence, so an empty one is an unset one
            continue
        elif isinstance(field_value, tuple):
            encoded[name] = [_encode_value(item) for item in field_value]
        else:
            encoded[name] = _encode_value(field_value)
    return encoded


def _find_reader(kind: type[Any]) -> _FieldReader | None:
    """Find the reader of a type, which is made once.

    dataclasses.asdict lists the fields each time, and takes five times as long.
    """
    try:
        return _readers[kind]
    except KeyError:
        _readers[kind] = reader = _FieldReader(kind) if is_dataclass(kind) else None
        return reader
