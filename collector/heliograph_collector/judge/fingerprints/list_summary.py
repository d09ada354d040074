"""Count the lines of lists for `fingerprints list`, and check a list to import."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from heliograph_collector.judge.fingerprints.fingerprint import Fingerprint, Surface
from heliograph_collector.judge.fingerprints.library import MAX_LISTS, FingerprintList, load_shipped
from heliograph_collector.judge.fingerprints.list_reader import (
    SUFFIXES,
    FingerprintError,
    parse_list,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNKNOWN = "unknown"


class ListSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one list."""

    name: str
    version: str  # beginning of the SHA-256 of an imported list, "" for a shipped one
    publisher: str  # who signed it: "" for this collector or the program itself
    bundle: int  # version of the publisher's lists as a whole, 0 for a shipped one
    issued_s: int  # when they were signed, 0 for a shipped one
    fingerprints: int
    unusable: int  # lines on headers whose values no measurement holds
    kinds: dict[str, int]
    scopes: dict[str, int]
    sources: dict[str, int]
    countries: dict[str, int]
    years: dict[str, int]


class PlainFormat:
    """The formats of list files: CSV, JSON and YAML by the ending of the name."""

    def list_files(self, directory: Path) -> Sequence[Path]:
        """List the files of lists in a directory, sorted by name."""
        if not directory.is_dir():
            return ()
        return sorted(p for p in directory.iterdir() if p.name.endswith(SUFFIXES))[:MAX_LISTS]

    def check(self, name: str, content: bytes) -> None:
        """Check that a list and its name are usable. Raises FingerprintError."""
        read_named_list(name, content)


def read_named_list(name: str, content: bytes) -> FingerprintList:
    """Read a list that an operator named. Raises FingerprintError."""
    if not _NAME.fullmatch(name):
        raise FingerprintError(
            f"{name!r}: a list's name has letters, digits, `.`, `_` and `-`; give --name"
        )
    return FingerprintList(name, parse_list(name, content))


def summarize_shipped() -> list[ListSummary]:
    """Summarize the lists that come with the program. Raises FingerprintError."""
    return [_summarize(list_, b"") for list_ in load_shipped()]


def summarize_list(
    name: str, content: bytes, *, publisher: str = "", bundle: int, issued_s: int
) -> ListSummary:
    """Summarize an imported list and who signed it. Raises FingerprintError."""
    summary = _summarize(FingerprintList(name, parse_list(name, content)), content)
    return msgspec.structs.replace(summary, publisher=publisher, bundle=bundle, issued_s=issued_s)


def _summarize(list_: FingerprintList, content: bytes) -> ListSummary:
    lines = list_.fingerprints
    return ListSummary(
        name=list_.name,
        version=hashlib.sha256(content).hexdigest()[:12] if content else "",
        publisher="",
        bundle=0,
        issued_s=0,
        fingerprints=len(lines),
        unusable=sum(any(c.surface is Surface.HEADER for c in x.conditions) for x in lines),
        kinds=_count(lines, _list_kinds),
        scopes=_count(lines, _list_scopes),
        sources=_count(lines, _list_sources),
        countries=_count(lines, _list_countries),
        years=_count(lines, _list_years),
    )


def _count(
    lines: Iterable[Fingerprint], list_values: Callable[[Fingerprint], Iterable[str]]
) -> dict[str, int]:
    counts = Counter(value for line in lines for value in list_values(line))
    return dict(sorted(counts.items()))


def _list_kinds(line: Fingerprint) -> Iterable[str]:
    return (line.kind.value,)


def _list_scopes(line: Fingerprint) -> Iterable[str]:
    return (line.scope.value,)


def _list_sources(line: Fingerprint) -> Iterable[str]:
    return (line.source or UNKNOWN,)


def _list_countries(line: Fingerprint) -> Iterable[str]:
    return line.countries or (UNKNOWN,)


def _list_years(line: Fingerprint) -> Iterable[str]:
    return (line.date[:4] or UNKNOWN,)
