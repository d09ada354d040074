"""Encode dataclasses as messages whose fields have the same names."""

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from heliograph.codec.checks import replace_controls
from heliograph.observation import NOT_ENCODED

_Message = TypeVar("_Message")
_PLAIN = frozenset({int, bool, bytes, float})
_names_by_kind: dict[type[Any], tuple[str, ...]] = {}  # () for what is no dataclass


def build_message(make: Callable[..., _Message], value: Any, **replaced: object) -> _Message:
    """Build a message from a dataclass; None and empty tuples leave their field unset.

    Args:
        make: The message's class.
        replaced: Fields that are not encoded as they are in the dataclass.
    """
    encoded = _encode_fields(value, _list_field_names(type(value)))
    return make(**{**encoded, **replaced})


def _encode_value(value: Any) -> object:
    if type(value) is str:
        return replace_controls(value)
    names = _list_field_names(type(value))
    return _encode_fields(value, names) if names else value


def _encode_fields(value: object, names: Iterable[str]) -> dict[str, object]:
    """Encode what is set, in one loop: a measurement has a thousand fields, most of them empty."""
    encoded: dict[str, object] = {}
    for name in names:
        field_value = getattr(value, name)
        kind = type(field_value)
        if kind is str:
            if field_value:  # no text has presence, so an empty one is an unset one
                is_plain = field_value.isprintable()
                encoded[name] = field_value if is_plain else replace_controls(field_value)
        elif kind is tuple:
            if field_value:
                encoded[name] = [_encode_value(item) for item in field_value]
        elif kind in _PLAIN:
            encoded[name] = field_value
        elif field_value is not None:
            encoded[name] = _encode_value(field_value)
    return encoded


def _list_field_names(kind: type[Any]) -> tuple[str, ...]:
    """List them once: dataclasses.asdict, which does it each time, takes five times as long."""
    names = _names_by_kind.get(kind)
    if names is None:
        kept = (f for f in fields(kind) if f.metadata != NOT_ENCODED) if is_dataclass(kind) else ()
        names = tuple(f.name for f in kept)
        _names_by_kind[kind] = names
    return names
