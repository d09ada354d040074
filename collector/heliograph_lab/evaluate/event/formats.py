"""Which format a file has, by what is in it, and the replay that comes of it."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.sources import atlas, csv_table, ioda
from heliograph_collector.sources.complaints import Complaints, Imported, ImportRefusedError
from heliograph_collector.sources.entity import UNTOLD, in_name, named
from heliograph_collector.sources.json_objects import looks_like_json, objects
from heliograph_collector.sources.replay import Replay, Series
from heliograph_lab.evaluate.event import ooni_votes

SUFFIXES = (".json", ".jsonl", ".txt", ".csv", ".tsv")
_LOOKED_AT = 50  # objects of a file, until one tells what it is
_MOST_FILES = 10_000


def load(path: Path, entity: str = "") -> Imported:
    """A file, or a folder of files of one format. Raises ImportRefusedError.

    `entity` says of whom the file is where it does not tell itself: IR, IR/Tehran, AS44244.
    """
    try:
        scope = named(entity) if entity else None
    except ValueError as error:
        raise ImportRefusedError(f"{error}.") from error
    paths = _files(path)
    kinds = {file: sniff(file) for file in paths}
    if len(set(kinds.values())) > 1:
        said = ", ".join(f"{file.name} is {kind}" for file, kind in list(kinds.items())[:4])
        raise ImportRefusedError(f"{path} holds files of several formats ({said}): part them.")
    kind, complaints = kinds[paths[0]], Complaints()
    if kind == "atlas":
        made = atlas.replay(paths, scope, complaints)
    elif kind == "ooni":
        made = ooni_votes.replay(paths, complaints)
    else:
        made = _levels(paths, kind, scope, complaints)
    return Imported(kind, made, complaints.all())


def sniff(path: Path) -> str:
    """ioda, atlas, ooni or csv. Raises ImportRefusedError with what would be understood."""
    if not looks_like_json(path):
        return "csv"
    for _, item in islice(objects(path, Complaints()), _LOOKED_AT):
        if atlas.is_atlas(item):
            return "atlas"
        if ooni_votes.is_ooni(item):
            return "ooni"
        if ioda.is_ioda(item):
            return "ioda"
    raise ImportRefusedError(
        f"{path} is of no format that is known: IODA's signals (JSON, CSV), RIPE Atlas's "
        "connection events (JSON, one a line or a list), OONI's measurements (JSON, one a line), "
        "or a table of time and value."
    )


def _files(path: Path) -> list[Path]:
    """Of a folder those by name; links in it are not followed."""
    if path.is_dir():
        every = islice((p for p in sorted(path.rglob("*")) if _fits(p)), _MOST_FILES)
        found = list(every)
        if not found:
            raise ImportRefusedError(f"{path} holds no file named {', '.join(SUFFIXES)}.")
        return found
    if not path.is_file():
        why = "is no file and no folder" if path.exists() else "is not there"
        raise ImportRefusedError(f"{path} {why}.")
    return [path]


def _fits(path: Path) -> bool:
    name = path.name.removesuffix(".gz").removesuffix(".bz2")
    return path.is_file() and not path.is_symlink() and name.endswith(SUFFIXES)


def _levels(
    paths: Sequence[Path], kind: str, scope: Scope | None, complaints: Complaints
) -> Replay:
    found: list[Series] = []
    for path in paths:
        if kind == "ioda":
            found += ioda.series(path, scope, complaints)
        else:
            found += csv_table.series(path, scope or in_name(path.stem), complaints)
    if not found:
        raise ImportRefusedError(f"{paths[0]} holds no series of numbers.")
    if any(series.scope.country == UNTOLD and not series.scope.asn for series in found):
        complaints.add(
            str(paths[0]), "it does not tell of which country it is; it is called ZZ: name it"
        )
    return Replay(
        name=paths[0].stem,
        seed=0,
        since_us=min(series.since_us for series in found),
        until_us=max(s.since_us + s.step_us * len(s.values) for s in found),
        signals=(),
        opinions=(),
        truths=(),
        vantages=(),
        series=tuple(found),
    )
