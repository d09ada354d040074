"""YAML document that keeps the line of every value, so that an error can name it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from heliograph_collector.model.signals import SECOND_US

MAX_BYTES = 1_000_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


class ScenarioError(Exception):
    """A scenario cannot be read; str() names file, line, key and remedy."""


class Section:
    """A mapping of the file, which notes the keys read to detect misspelled ones."""

    def __init__(self, path: Path, node: yaml.Node, name: str) -> None:
        self._path = path
        self._node = node
        self._name = name
        if not isinstance(node, yaml.MappingNode):
            raise self.error_at(node, f"{name} must be a mapping, such as {{key: value}}")
        self._nodes: dict[str, yaml.Node] = {str(key.value): value for key, value in node.value}
        self._lines: dict[str, yaml.Node] = {str(key.value): key for key, _ in node.value}
        self._used_keys: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def error_at(self, node: yaml.Node | str, cure: str) -> ScenarioError:
        """Build an error about a key or node, which the caller raises."""
        target = self._nodes.get(node, self._node) if isinstance(node, str) else node
        return ScenarioError(f"{self._path}, line {target.start_mark.line + 1}: {cure}.")

    def check_unknown_keys(self) -> None:
        for key in self._nodes:
            if key not in self._used_keys:
                allowed = ", ".join(sorted(self._used_keys))
                raise self.error_at(
                    self._lines[key], f"{self._name} has no key {key!r}; allowed: {allowed}"
                )

    def section(self, key: str) -> "Section":
        return Section(self._path, self._node_of(key, "a mapping"), key)

    def sections(self, key: str) -> Iterator["Section"]:
        """Yield the mappings of a list; a single mapping counts as a list of one."""
        if key not in self._nodes:
            self._used_keys.add(key)
            return
        node = self._node_of(key, "a list")
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            yield Section(self._path, item, f"{key} entry")

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
        if key not in self._nodes and otherwise is not None:
            self._used_keys.add(key)
            return otherwise
        return self._parse_timestamp(self._node_of(key, "a time"), key)

    def bracket(self, key: str) -> tuple[int, int]:
        """Return (earliest, latest), equal for a single time; microseconds UTC."""
        node = self._node_of(key, "a time, or [earliest, latest]")
        both = node.value if isinstance(node, yaml.SequenceNode) else [node, node]
        if len(both) != 2:
            raise self.error_at(key, f"{key} must be a time, or [earliest, latest]")
        low, high = (self._parse_timestamp(part, key) for part in both)
        if low > high:
            raise self.error_at(key, f"{key} ends before it begins: swap the two times")
        return low, high

    def _parse_timestamp(self, node: yaml.Node, key: str) -> int:
        try:
            parsed = datetime.fromisoformat(str(node.value))
        except ValueError:
            raise self.error_at(
                node, f"{key} is no time: {node.value!r}; write 2022-01-05T10:30:00Z"
            ) from None
        parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return round(parsed.timestamp()) * SECOND_US

    def _node_of(self, key: str, expected: str) -> yaml.Node:
        self._used_keys.add(key)
        if key not in self._nodes:
            raise self.error_at(self._node, f"{self._name} lacks {key}: add {expected}")
        return self._nodes[key]

    def _scalar(self, key: str, otherwise: Any) -> Any:
        self._used_keys.add(key)
        if key not in self._nodes and otherwise is not None:
            return otherwise
        node = self._node_of(key, "a value")
        if not isinstance(node, yaml.ScalarNode):
            raise self.error_at(node, f"{key} must be one value")
        return yaml.SafeLoader("").construct_object(node)


def read_document(path: Path) -> Section:
    """Read a YAML mapping. Raises ScenarioError on other content, OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ScenarioError(f"{path} has over {MAX_BYTES} bytes: no scenario is that long.")
    try:
        node = yaml.compose(content.decode(), yaml.SafeLoader)
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is not UTF-8 text: save it as such.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScenarioError(
            f"{path}, line {line}: no YAML ({error.problem}): mend that line."
        ) from None
    except (yaml.YAMLError, RecursionError):
        raise ScenarioError(
            f"{path} is no YAML text: it has signs that cannot be printed, or is nested too deeply."
        ) from None
    if node is None:
        raise ScenarioError(f"{path}, line 1: it is empty; README.md of evaluate has an example.")
    return Section(path, node, "the scenario")
