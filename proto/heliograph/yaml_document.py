"""Read YAML documents whose values know their file, line and key.

Large files, deep nesting, repeated keys, aliases and a second document are refused, because the
files are written by hand or come from strangers. The YAML library is loaded at the first document.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1_048_576  # assumed; the largest shipped document has 25 kB
MAX_DEPTH = 16  # assumed; the deepest shipped document has 5
_BARE_IPV6 = re.compile(rb"\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]:\d")


class YamlError(ValueError):
    """Report an unusable document; str() is a sentence with the file and the line."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        super().__init__(source, line, problem)  # the arguments, so that processes can pass it on

    def __str__(self) -> str:
        source, line, problem = self.args
        location = f"{source}, line {line}" if line else source
        return f"{location}: {problem}."


@dataclass(frozen=True, slots=True)
class YamlEntry:
    """One value of a document with its place."""

    source: str
    line: int
    key: str  # full path, such as services.telegram.endpoints[0]
    tag: str  # YAML type of a scalar, such as tag:yaml.org,2002:int
    content: "str | tuple[YamlEntry, ...] | dict[str, YamlEntry]"

    def error(self, problem: str) -> YamlError:
        """Build an error about this value, which the caller raises."""
        return YamlError(self.source, self.line, f"{self.key}: {problem}")

    def parse_text(self) -> str:
        if not isinstance(self.content, str):
            raise self.error("must be one value, not a list or a mapping")
        return self.content

    def parse_integer(self, minimum: int, maximum: int) -> int:
        digits = self.parse_text().replace("_", "")
        if not (digits.isascii() and digits.isdigit() and minimum <= int(digits[:19]) <= maximum):
            raise self.error(f"{digits[:64]!r} must be a whole number from {minimum} to {maximum}")
        return int(digits)

    def parse_choice(self, allowed: Sequence[str]) -> str:
        choice = self.parse_text()
        if choice not in allowed:
            choices = ", ".join(str(value) or '""' for value in allowed)
            raise self.error(f"{choice[:64]!r} must be one of {choices}")
        return choice

    def parse_flag(self) -> bool:
        """Parse `true` or `false`. Raises YamlError."""
        return self.parse_choice(("true", "false")) == "true"

    def items(self) -> "tuple[YamlEntry, ...]":
        if not isinstance(self.content, tuple):
            raise self.error("must be a list")
        return self.content

    def mapping(
        self, allowed: Sequence[str] = (), required: Sequence[str] = ()
    ) -> "dict[str, YamlEntry]":
        """Return the entries below this key; an empty `allowed` accepts any key."""
        if not isinstance(self.content, dict):
            raise self.error("must be a mapping of keys to values")
        for name, entry in self.content.items():
            if allowed and name not in allowed:
                raise entry.error(f"unknown key; allowed: {', '.join(sorted(allowed))}")
        for name in required:
            if name not in self.content:
                raise self.error(f"the key {name} is missing")
        return self.content


def read_yaml(path: Path) -> YamlEntry:
    """Read a file; an empty one is an empty mapping. Raises YamlError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise YamlError(
            str(path), 0, f"cannot be read: {error.strerror}; name a file that this user may read"
        ) from error
    return parse_yaml(content, str(path))


def parse_yaml(content: bytes, source: str) -> YamlEntry:
    """Parse the content of `source`; nothing is an empty mapping. Raises YamlError."""
    import yaml

    if len(content) > MAX_BYTES:
        raise YamlError(source, 0, f"is larger than {MAX_BYTES} bytes")
    # libyaml is five times as fast, where it comes with the library; the latter explains mistakes.
    loader: type[_EventSource] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError):
        return _DocumentParser(source, loader(content)).parse_document()
    try:
        return _DocumentParser(source, yaml.SafeLoader(content)).parse_document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = f"is not YAML: {error.problem}{_suggest_quotes(content, line)}"
        raise YamlError(source, line, problem) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = "is not YAML: it is no text in UTF-8, or has control characters"
        raise YamlError(source, 1, problem) from error


def _suggest_quotes(content: bytes, line: int) -> str:
    """Return the cure of a line with `[::1]:7443`, whose bracket begins a list; "" for others."""
    has_address = any(map(_BARE_IPV6.search, content.splitlines()[line - 1 : line]))
    return "; put quotes around an IPv6 address and its port" if has_address else ""


_ParentContent: TypeAlias = "tuple[YamlEntry, ...] | dict[str, YamlEntry]"


class _EventSource(Protocol):
    """The used part of yaml.SafeLoader and yaml.CSafeLoader."""

    def __init__(self, content: bytes) -> None: ...
    def get_event(self) -> "yaml.Event": ...
    def check_event(self, *kinds: "type[yaml.Event]") -> bool: ...
    def resolve(self, kind: "type[yaml.Node]", value: str, implicit: tuple[bool, bool]) -> str: ...


class _DocumentParser:
    """Build entries from a loader's events, and check the depth before each recursion."""

    def __init__(self, source: str, loader: _EventSource) -> None:
        self._source = source
        self._loader = loader

    def parse_document(self) -> YamlEntry:
        import yaml

        self._loader.get_event()  # start of the stream
        if self._loader.check_event(yaml.StreamEndEvent):
            return YamlEntry(self._source, 1, "the file", "", {})
        self._loader.get_event()  # start of the document
        root = self._parse_value("", None, 0)
        self._loader.get_event()  # end of the document
        if not self._loader.check_event(yaml.StreamEndEvent):
            raise self._error_at(self._loader.get_event(), "must be one document")
        return root

    def _parse_value(self, key: str, line: int | None, depth: int) -> YamlEntry:
        import yaml

        event = self._loader.get_event()
        if isinstance(event, yaml.AliasEvent):
            raise self._error_at(event, "must have no aliases")
        if depth > MAX_DEPTH:
            raise self._error_at(event, f"must not be nested deeper than {MAX_DEPTH}")
        tag = ""
        content: str | _ParentContent
        if isinstance(event, yaml.ScalarEvent):
            content = event.value
            tag = event.tag or self._loader.resolve(yaml.ScalarNode, content, event.implicit)
        elif isinstance(event, yaml.SequenceStartEvent):
            content = self._parse_sequence(key, depth)
        else:
            content = self._parse_mapping(key, depth)
        return YamlEntry(self._source, line or _line_of(event), key or "the file", tag, content)

    def _parse_sequence(self, key: str, depth: int) -> tuple[YamlEntry, ...]:
        import yaml

        items: list[YamlEntry] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            items.append(self._parse_value(f"{key}[{len(items)}]", None, depth + 1))
        self._loader.get_event()
        return tuple(items)

    def _parse_mapping(self, key: str, depth: int) -> dict[str, YamlEntry]:
        import yaml

        entries: dict[str, YamlEntry] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            event = self._loader.get_event()
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error_at(event, "a key must be one value")
            child_key = f"{key}.{event.value}" if key else event.value
            if event.value in entries:
                raise self._error_at(event, f"{child_key}: stands twice")
            entries[event.value] = self._parse_value(child_key, _line_of(event), depth + 1)
        self._loader.get_event()
        return entries

    def _error_at(self, event: "yaml.Event", problem: str) -> YamlError:
        return YamlError(self._source, _line_of(event), problem)


def _line_of(event: "yaml.Event") -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
