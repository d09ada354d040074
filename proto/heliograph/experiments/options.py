"""Describe options once, read them from text, and explain the allowed values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

from heliograph.address import parse_host_port, parse_https_host_port
from heliograph.experiments.entry import ExperimentEntry

MAX_TEXT = 253  # characters of an option

_types_by_config: dict[type[Any], Mapping[str, type]] = {}
_T = TypeVar("_T", bool, int, str)

# Parsers of the forms that a text option may need; each raises ValueError for a bad text.
FORMS: Mapping[str, Callable[[str, str], tuple[str, int]]] = {
    "address:port": parse_host_port,
    "https URL": parse_https_host_port,
}


class OptionError(ValueError):
    """Report a refused option value; str() is a sentence with the allowed values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Describe one key of an experiment's config as users see it."""

    key: str
    type: str
    default: bool | int | str
    help: str
    allowed: str


def option(
    default: _T,
    says: str,
    *,
    low: int = 0,
    high: int = 0,
    words: Sequence[str] = (),
    form: str = "",
) -> _T:
    """Declare a config field: default value, help and allowed values.

    `low` and `high` bound a number, `words` are all the texts allowed, `form` is one of FORMS; a
    text with a form may also be empty.
    """
    metadata = {"help": says, "low": low, "high": high, "words": tuple(words), "form": form}
    return field(default=default, metadata=metadata)  # of the default's type, as in dataclasses


def options_of(config: type[Any]) -> tuple[Option, ...]:
    """List the options that `--option` accepts for this config."""
    hints = _field_types(config)
    return tuple(
        Option(
            key=f.name,
            type=hints[f.name].__name__,
            default=f.default if f.default is not MISSING else "",
            help=f.metadata.get("help", ""),
            allowed=_describe_allowed(f, hints[f.name]),
        )
        for f in fields(config)
    )


def parse_options(entry: ExperimentEntry, options: Mapping[str, str]) -> Any:
    """Build an experiment's config from `options`. Raises OptionError."""
    return _parse_pairs(entry, tuple(options.items()))


@lru_cache(maxsize=256)  # a plan repeats the same options
def _parse_pairs(entry: ExperimentEntry, options: tuple[tuple[str, str], ...]) -> Any:
    by_key = {f.name: f for f in fields(entry.config)}
    hints = _field_types(entry.config)
    for key, _ in options:
        if key not in by_key:
            allowed = ", ".join(by_key) or "none"
            raise OptionError(f"{entry.name} has no option {key!r}; its options are: {allowed}.")
    return entry.config(
        **{key: _parse_value(by_key[key], hints[key], value) for key, value in options}
    )


def _field_types(config: type[Any]) -> Mapping[str, type]:
    """Resolve the types of the fields once: that costs as much as a nearby probe."""
    if config not in _types_by_config:
        _types_by_config[config] = get_type_hints(config)
    return _types_by_config[config]


def _parse_value(f: "Field[Any]", kind: type, value: str) -> bool | int | str:
    if kind is bool and value in ("true", "false"):
        return value == "true"
    if kind is int and value.isascii() and value.isdigit() and len(value) < 10:
        number = int(value)
        if f.metadata["low"] <= number <= f.metadata["high"]:
            return number
    if kind is str and _is_allowed_text(f, value):
        return value
    raise OptionError(f"{f.name} cannot be {value!r}; allowed: {_describe_allowed(f, kind)}.")


def _is_allowed_text(f: "Field[Any]", value: str) -> bool:
    form = f.metadata["form"]
    if f.metadata["words"]:
        return value in f.metadata["words"]
    if len(value) > MAX_TEXT or not value.isprintable():
        return False
    try:
        return not (form and value) or bool(FORMS[form](value, f.name))
    except ValueError:
        return False


def _describe_allowed(f: "Field[Any]", kind: type) -> str:
    if kind is bool:
        return "true, false"
    if kind is int:
        return f"{f.metadata['low']} to {f.metadata['high']}"
    choices: tuple[str, ...] = f.metadata["words"]
    return ", ".join(choice or '""' for choice in choices) or f.metadata["form"] or "text"
