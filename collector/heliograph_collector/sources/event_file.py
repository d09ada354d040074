"""Files of real events: recognize the format by the content and load a replay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources import csv_table, ioda, radar, ripe_atlas
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError, ImportResult
from heliograph_collector.sources.entity import UNKNOWN_COUNTRY, CountryNames, parse_entity
from heliograph_collector.sources.foreign_file import refuse_foreign
from heliograph_collector.sources.json_objects import JsonObject, looks_like_json, read_objects
from heliograph_collector.sources.ooni.row_votes import (
    is_row,
    is_row_table,
    read_rows_replay,
)
from heliograph_collector.sources.ooni.vote_replay import Voter, read_ooni_replay
from heliograph_collector.sources.replay import Replay, Series
from heliograph_collector.sources.series import merge_series
from heliograph_collector.sources.time_columns import has_times, is_timed_table

SUFFIXES = (".json", ".jsonl", ".txt", ".csv", ".tsv", ".sql")
_MAX_OBJECTS = 50  # of a file, read to recognize its format; assumed
_MAX_FILES = 10_000  # assumed


def load_event(path: Path, entity: str, voter: Voter, countries: CountryNames) -> ImportResult:
    """Load a file, or a folder of files of one format. Raises ImportRefusedError.

    Args:
        entity: The country, region or ASN if the file names none: IR, Iran, IR/Tehran, AS44244.
            Of a file that names several, the one that is read.
        voter: Derives the votes of OONI's measurements.
        countries: Codes by the names that files and columns have.
    """
    try:
        scope = parse_entity(countries.find_exactly(entity) or entity) if entity else None
    except ValueError as error:
        raise ImportRefusedError(f"{error}.") from error
    paths = _event_files(path)
    kinds = {file: detect_format(file) for file in paths}
    if len(set(kinds.values())) > 1:
        examples = ", ".join(f"{file.name} is {kind}" for file, kind in list(kinds.items())[:4])
        raise ImportRefusedError(f"{path} holds files of several formats ({examples}): part them.")
    kind = kinds[paths[0]]
    complaints = Complaints()
    if kind == "atlas":
        replay = ripe_atlas.load_replay(paths, scope, complaints)
    elif kind == "ooni":
        replay = read_ooni_replay(paths, voter, complaints)
    elif kind == "ooni-rows":
        replay = read_rows_replay(paths, scope, complaints, countries)
    else:
        replay = _read_levels(paths, kind, scope, complaints, countries)
    return ImportResult(kind, replay, complaints.list_sentences(), tuple(complaints.notes))


def detect_format(path: Path) -> str:
    """Return ioda, radar, atlas, ooni, ooni-rows or csv.

    Raises ImportRefusedError for another format.
    """
    refuse_foreign(path)
    if not looks_like_json(path):
        return "ooni-rows" if is_row_table(path) else "csv"
    complaints = Complaints()
    for item in islice(read_objects(path, complaints), _MAX_OBJECTS):
        for name, is_of_it in _FORMATS.items():
            if is_of_it(item):
                return name
    if is_timed_table(path):
        return "csv"
    if complaints.sentences:
        raise ImportRefusedError(
            f"{path} begins as JSON and is broken, or breaks off: download it again."
        )
    raise ImportRefusedError(
        f"{path} is of no format that is known: IODA's signals (JSON, CSV), Cloudflare Radar's "
        "series (JSON, CSV), RIPE Atlas's connection events (JSON, one a line or a list), OONI's "
        "measurements, rows or counts (JSON, CSV), or a table of time and value."
    )


def _event_files(path: Path) -> list[Path]:
    """List the files of a folder by name; links are not followed."""
    if path.is_dir():
        files = list(islice(filter(_is_event_file, sorted(path.rglob("*"))), _MAX_FILES))
        if not files:
            raise ImportRefusedError(f"{path} holds no file named {', '.join(SUFFIXES)}.")
        return files
    if not path.is_file():
        reason = "is no file and no folder" if path.exists() else "is not there"
        raise ImportRefusedError(f"{path} {reason}.")
    return [path]


def _is_event_file(path: Path) -> bool:
    name = path.name.removesuffix(".gz").removesuffix(".bz2")
    return path.is_file() and not path.is_symlink() and name.endswith(SUFFIXES)


def _read_levels(
    paths: Sequence[Path],
    kind: str,
    scope: Scope | None,
    complaints: Complaints,
    countries: CountryNames,
) -> Replay:
    all_series: list[Series] = []
    for path in paths:
        place = scope or countries.guess(path.stem)
        if kind == "ioda":
            all_series += ioda.read_series(path, complaints)
        elif kind == "radar":
            all_series += radar.read_series(path, place, complaints, countries)
        else:
            all_series += csv_table.read_series(path, place, complaints, countries)
    if not all_series:
        reason = next(iter((*complaints.sentences, *complaints.notes)), "")
        raise ImportRefusedError(f"{paths[0]} holds no series of numbers. {reason}".strip())
    all_series = merge_series(_select_place(all_series, scope, paths[0]), complaints)
    if Scope(UNKNOWN_COUNTRY) in {series.scope._replace(region="") for series in all_series}:
        complaints.add(
            str(paths[0]), "it does not tell of which country it is; it is called ZZ: name it"
        )
    return Replay(
        name=paths[0].stem,
        seed=0,
        since_us=min(series.since_us for series in all_series),
        until_us=max(s.since_us + s.step_us * len(s.values) for s in all_series),
        signals=(),
        opinions=(),
        truths=(),
        vantages=(),
        series=tuple(all_series),
    )


def _select_place(all_series: list[Series], scope: Scope | None, path: Path) -> list[Series]:
    """Relabel the series of another single place; of several, select it or its parts.

    Raises:
        ImportRefusedError: The file names several places, and not this one.
    """
    if scope is not None and scope == Scope(scope.country):
        all_series = _name_country(all_series, scope)
    places = sorted({series.scope for series in all_series})
    if scope is None or places == [scope]:
        return all_series
    if len(places) == 1 and not places[0].is_within(scope):
        return [replace(series, scope=scope) for series in all_series]
    chosen = [series for series in all_series if series.scope == scope] or [
        series for series in all_series if series.scope.is_within(scope)
    ]
    if not chosen:
        names = ", ".join(place.country for place in places[:8])
        raise ImportRefusedError(f"{path} has series of several places ({names}), none as asked.")
    return chosen


def _name_country(all_series: list[Series], country: Scope) -> list[Series]:
    """Give a country to networks, which IODA names without one, where no series is of another."""
    if {series.scope.country for series in all_series} - {country.country, UNKNOWN_COUNTRY}:
        return all_series
    return [
        replace(series, scope=series.scope._replace(country=country.country))
        if series.scope.asn
        else series
        for series in all_series
    ]


def is_ooni_measurement(item: JsonObject) -> bool:
    fields = item.fields
    return "test_name" in fields and ("test_keys" in fields or "measurement_start_time" in fields)


_FORMATS: Mapping[str, Callable[[JsonObject], bool]] = {  # the first that an object is of
    "atlas": ripe_atlas.is_atlas,
    "ooni-rows": is_row,
    "ooni": is_ooni_measurement,
    "ioda": ioda.is_ioda,
    "radar": radar.is_radar,
    "csv": has_times,
}
