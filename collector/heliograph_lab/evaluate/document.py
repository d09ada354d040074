"""YAML document that keeps the line of every value, so that an error can name it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from heliograph.units import SECOND_US
from heliograph.yaml_document import YamlEntry, YamlError, read_yaml

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


class Section:
    """A mapping of the file, which notes the keys read to detect misspelled ones."""

    def __init__(self, entry: YamlEntry, name: str) -> None:
        self._entry = entry
        self._name = name
        if not isinstance(entry.content, dict):
            raise self.error_at(entry, f"{name} must be a mapping, such as {{key: value}}")
        self._entries = entry.content
        self._used_keys: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def error_at(self, place: YamlEntry | str, cure: str) -> YamlError:
        """Build an error about a key or entry, which the caller raises."""
        entry = self._entries.get(place, self._entry) if isinstance(place, str) else place
        return YamlError(entry.source, entry.line, cure)

    def check_unknown_keys(self) -> None:
        for key in self._entries:
            if key not in self._used_keys:
                allowed = ", ".join(sorted(self._used_keys))
                raise self.error_at(key, f"{self._name} has no key {key!r}; allowed: {allowed}")

    def section(self, key: str) -> "Section":
        return Section(self._entry_of(key, "a mapping"), key)

    def sections(self, key: str) -> Iterator["Section"]:
        """Yield the mappings of a list; a single mapping counts as a list of one."""
        if key not in self._entries:
            self._used_keys.add(key)
            return
        entry = self._entry_of(key, "a list")
        for item in entry.content if isinstance(entry.content, tuple) else (entry,):
            yield Section(item, f"{key} entry")

    def text(self, key: str, otherwise: str | None = None) -> str:
        value = self._scalar(key, otherwise)
        if not isinstance(value, str):
            raise self.error_at(key, f"{key} must be text, not {value!r}; put it in quotes")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...], otherwise: str | None = None) -> str:
        value = self.text(key, otherwise)
        if value not in allowed and value != otherwise:
            raise self.error_at(
                key, f"{key} cannot be {value!r}; allowed: {', '.join(sorted(allowed))}"
            )
        return value

    def number(
        self, key: str, otherwise: float | None, least: float = 0.0, most: float = 1e9
    ) -> float:
        value = self._scalar(key, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error_at(key, f"{key} must be a number, not {value!r}")
        if not least <= value <= most:
            raise self.error_at(key, f"{key} must be between {least:g} and {most:g}, not {value:g}")
        return float(value)

    def integer(self, key: str, otherwise: int | None, least: int = 0, most: int = 2**32) -> int:
        value = self.number(key, otherwise, least, most)
        if value != int(value):
            raise self.error_at(key, f"{key} must be a whole number, not {value:g}")
        return int(value)

    def flag(self, key: str, otherwise: bool) -> bool:
        value = self._scalar(key, otherwise)
        if not isinstance(value, bool):
            raise self.error_at(key, f"{key} must be yes or no, not {value!r}")
        return value

    def length(self, key: str, otherwise: float | None) -> float:
        """Return seconds from a number or a text such as 90s, 5m, 2h or 3d."""
        value = self._scalar(key, otherwise)
        parsed = _LENGTH.fullmatch(str(value))
        if parsed is None:
            if value == otherwise:
                return float(value)
            raise self.error_at(
                key, f"{key} is no length of time: {value!r}; write 90s, 5m, 2h or 3d"
            )
        return float(parsed[1]) * _UNITS[parsed[2] or "s"]

    def timestamp(self, key: str, otherwise: int | None = None) -> int:
        """Return a time in microseconds UTC."""
        if key not in self._entries and otherwise is not None:
            self._used_keys.add(key)
            return otherwise
        return self._parse_timestamp(self._entry_of(key, "a time"), key)

    def bracket(self, key: str) -> tuple[int, int]:
        """Return (earliest, latest), equal for a single time; microseconds UTC."""
        entry = self._entry_of(key, "a time, or [earliest, latest]")
        both = entry.content if isinstance(entry.content, tuple) else (entry, entry)
        if len(both) != 2:
            raise self.error_at(key, f"{key} must be a time, or [earliest, latest]")
        low, high = (self._parse_timestamp(part, key) for part in both)
        if low > high:
            raise self.error_at(key, f"{key} ends before it begins: swap the two times")
        return low, high

    def _parse_timestamp(self, entry: YamlEntry, key: str) -> int:
        try:
            parsed = datetime.fromisoformat(str(entry.content))
        except ValueError:
            raise self.error_at(
                entry, f"{key} is no time: {entry.content!r}; write 2022-01-05T10:30:00Z"
            ) from None
        parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return round(parsed.timestamp()) * SECOND_US

    def _entry_of(self, key: str, expected: str) -> YamlEntry:
        self._used_keys.add(key)
        if key not in self._entries:
            raise self.error_at(self._entry, f"{self._name} lacks {key}: add {expected}")
        return self._entries[key]

    def _scalar(self, key: str, otherwise: Any) -> Any:
        self._used_keys.add(key)
        if key not in self._entries and otherwise is not None:
            return otherwise
        entry = self._entry_of(key, "a value")
        if not isinstance(entry.content, str):
            raise self.error_at(entry, f"{key} must be one value")
        try:
            return yaml.SafeLoader("").construct_object(yaml.ScalarNode(entry.tag, entry.content))
        except (yaml.YAMLError, ValueError, LookupError):  # of a tag that somebody wrote
            raise self.error_at(
                entry, f"{key} is no {entry.tag.rpartition(':')[2]}: leave out its tag"
            ) from None


def read_document(path: Path) -> Section:
    """Read a YAML mapping. Raises YamlError on other content."""
    return Section(read_yaml(path), "the scenario")
