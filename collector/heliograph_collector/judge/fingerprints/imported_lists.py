"""Lists that the operator imported, as files of a directory: import, and counts of all lists."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from heliograph.durable_file import replace_file
from heliograph_collector.judge.fingerprints.fingerprint import Fingerprint, Surface
from heliograph_collector.judge.fingerprints.library import (
    MAX_LISTS,
    FingerprintList,
    list_files,
    load_shipped,
)
from heliograph_collector.judge.fingerprints.list_reader import (
    MAX_BYTES,
    FingerprintError,
    parse_list,
)

DIRECTORY = "fingerprints"  # below the collector's data directory
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNKNOWN = "unknown"


class ListSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one list, as `fingerprints list` prints them."""

    name: str
    version: str  # beginning of the SHA-256 of an imported file, "" for a shipped list
    fingerprints: int
    unusable: int  # lines on headers whose values no measurement holds
    kinds: dict[str, int]
    scopes: dict[str, int]
    sources: dict[str, int]
    countries: dict[str, int]
    years: dict[str, int]


def import_list(path: Path, directory: Path, name: str = "") -> ListSummary:
    """Check a list and put it into the directory; a list of that name is replaced at once.

    Raises:
        FingerprintError: The list or its name is not usable; nothing changed.
        OSError: A file cannot be read or written.
    """
    file_name = f"{name}{path.suffix}" if name else path.name
    if not _NAME.fullmatch(file_name):
        raise FingerprintError(
            f"{file_name!r}: a list's name has letters, digits, `.`, `_` and `-`; give --name"
        )
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    fingerprints = parse_list(path.name, content)
    files = {file.stem: file for file in list_files(directory)}
    replaced = files.get(Path(file_name).stem)
    if replaced is None and len(files) >= MAX_LISTS:
        raise FingerprintError(f"{directory} has {MAX_LISTS} lists already; remove one")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(directory / file_name, content)
    if replaced is not None and replaced.name != file_name:
        replaced.unlink(missing_ok=True)  # the same list in another format
    return _summarize(FingerprintList(file_name, fingerprints), content)


def summarize_lists(directory: Path) -> list[ListSummary]:
    """Summarize shipped and imported lists. Raises FingerprintError, OSError."""
    shipped = [_summarize(list_, b"") for list_ in load_shipped()]
    imported = []
    for path in list_files(directory):
        content = path.read_bytes()
        list_ = FingerprintList(path.name, parse_list(path.name, content))
        imported.append(_summarize(list_, content))
    return [*shipped, *imported]


def _summarize(list_: FingerprintList, content: bytes) -> ListSummary:
    lines = list_.fingerprints
    return ListSummary(
        name=list_.name,
        version=hashlib.sha256(content).hexdigest()[:12] if content else "",
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
