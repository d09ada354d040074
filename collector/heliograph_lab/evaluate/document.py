"""A YAML file whose every value knows its line, so that an error can name it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from heliograph_collector.model.signals import SECOND_US

MOST_BYTES = 1_000_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


class ScenarioError(Exception):
    """A scenario cannot be read; str() names file, line, key and cure."""


class Section:
    """A mapping of the file. Every key must be taken, so that a misspelt one is found."""

    def __init__(self, path: Path, node: yaml.Node, name: str) -> None:
        self._path, self._node, self._name = path, node, name
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, f"{name} must be a mapping, such as {{key: value}}")
        self._nodes: dict[str, yaml.Node] = {str(key.value): value for key, value in node.value}
        self._lines: dict[str, yaml.Node] = {str(key.value): key for key, _ in node.value}
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def wrong(self, node: yaml.Node | str, cure: str) -> ScenarioError:
        """The error to raise about this key or node."""
        found = self._nodes.get(node, self._node) if isinstance(node, str) else node
        return ScenarioError(f"{self._path}, line {found.start_mark.line + 1}: {cure}.")

    def done(self) -> None:
        for key in self._nodes:
            if key not in self._taken:
                known = ", ".join(sorted(self._taken))
                raise self.wrong(
                    self._lines[key], f"{self._name} has no key {key!r}; allowed: {known}"
                )

    def section(self, key: str) -> "Section":
        return Section(self._path, self._node_of(key, "a mapping"), key)

    def sections(self, key: str) -> Iterator["Section"]:
        """A list of mappings; one alone may stand without the list."""
        if key not in self._nodes:
            self._taken.add(key)
            return
        node = self._node_of(key, "a list")
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            yield Section(self._path, item, f"{key} entry")

    def text(self, key: str, otherwise: str | None = None) -> str:
        value = self._plain(key, otherwise)
        if not isinstance(value, str):
            raise self.wrong(key, f"{key} must be text, not {value!r}; put it in quotes")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...], otherwise: str | None = None) -> str:
        value = self.text(key, otherwise)
        if value not in allowed and value != otherwise:
            raise self.wrong(
                key, f"{key} cannot be {value!r}; allowed: {', '.join(sorted(allowed))}"
            )
        return value

    def number(
        self, key: str, otherwise: float | None, least: float = 0.0, most: float = 1e9
    ) -> float:
        value = self._plain(key, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, f"{key} must be a number, not {value!r}")
        if not least <= value <= most:
            raise self.wrong(key, f"{key} must be between {least:g} and {most:g}, not {value:g}")
        return float(value)

    def whole(self, key: str, otherwise: int | None, least: int = 0, most: int = 2**32) -> int:
        value = self.number(key, otherwise, least, most)
        if value != int(value):
            raise self.wrong(key, f"{key} must be a whole number, not {value:g}")
        return int(value)

    def flag(self, key: str, otherwise: bool) -> bool:
        value = self._plain(key, otherwise)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{key} must be yes or no, not {value!r}")
        return value

    def length(self, key: str, otherwise: float | None) -> float:
        """Seconds, from a number or a text such as 90s, 5m, 2h, 3d."""
        value = self._plain(key, otherwise)
        found = _LENGTH.fullmatch(str(value))
        if found is None:
            if value == otherwise:
                return float(value)
            raise self.wrong(key, f"{key} is no length of time: {value!r}; write 90s, 5m, 2h or 3d")
        return float(found[1]) * _UNITS[found[2] or "s"]

    def moment(self, key: str, otherwise: int | None = None) -> int:
        """Microseconds UTC."""
        if key not in self._nodes and otherwise is not None:
            self._taken.add(key)
            return otherwise
        return self._moment(self._node_of(key, "a time"), key)

    def bracket(self, key: str) -> tuple[int, int]:
        """One time, or [earliest, latest]."""
        node = self._node_of(key, "a time, or [earliest, latest]")
        both = node.value if isinstance(node, yaml.SequenceNode) else [node, node]
        if len(both) != 2:
            raise self.wrong(key, f"{key} must be a time, or [earliest, latest]")
        low, high = (self._moment(part, key) for part in both)
        if low > high:
            raise self.wrong(key, f"{key} ends before it begins: swap the two times")
        return low, high

    def _moment(self, node: yaml.Node, key: str) -> int:
        try:
            found = datetime.fromisoformat(str(node.value))
        except ValueError:
            raise self.wrong(
                node, f"{key} is no time: {node.value!r}; write 2022-01-05T10:30:00Z"
            ) from None
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return round(found.timestamp()) * SECOND_US

    def _node_of(self, key: str, what: str) -> yaml.Node:
        self._taken.add(key)
        if key not in self._nodes:
            raise self.wrong(self._node, f"{self._name} lacks {key}: add {what}")
        return self._nodes[key]

    def _plain(self, key: str, otherwise: Any) -> Any:
        self._taken.add(key)
        if key not in self._nodes and otherwise is not None:
            return otherwise
        node = self._node_of(key, "a value")
        if not isinstance(node, yaml.ScalarNode):
            raise self.wrong(node, f"{key} must be one value")
        return yaml.SafeLoader("").construct_object(node)


def read(path: Path) -> Section:
    """Raises ScenarioError for what is no mapping in YAML, OSError for a missing file."""
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ScenarioError(f"{path} has over {MOST_BYTES} bytes: no scenario is that long.")
    try:
        node = yaml.compose(text.decode(), yaml.SafeLoader)
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
