"""Formats of real events: recognize a file by its content and load it as a replay.

OONI's measurements become votes on services, read and judged as by `import ooni`. A run of a probe
(its report) is one voter in a separate network, because OONI publishes neither the probe nor the
network prefix. Nor does OONI publish an age: a voter counts as established, because nobody who ran
a recorded probe meant to mislead this detector. So such a replay says nothing about floods of new
keys. The service of a web page is its host.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit

from heliograph.units import MINUTE_US
from heliograph_collector.detect.signal_reader import read_votes
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ReceivedMeasurement, Verdict
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.model.signals import ServiceVote
from heliograph_collector.sources import csv_table, ioda, ripe_atlas
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    ImportResult,
    describe_location,
)
from heliograph_collector.sources.entity import UNKNOWN_COUNTRY, guess_country, parse_entity
from heliograph_collector.sources.json_objects import JsonObject, looks_like_json, read_objects
from heliograph_collector.sources.ooni import (
    Complaint,
    ImportedMeasurement,
    OoniMeasurement,
    UnreadableError,
    read_documents,
    read_measurement,
)
from heliograph_collector.sources.ooni.judged_import import collect_peers
from heliograph_collector.sources.replay import Replay, Series
from heliograph_collector.sources.timestamps import find_time_range

SUFFIXES = (".json", ".jsonl", ".txt", ".csv", ".tsv")
_MAX_OBJECTS = 50  # of a file, read to recognize its format; assumed
_MAX_FILES = 10_000  # assumed


def load_event(path: Path, entity: str = "") -> ImportResult:
    """Load a file, or a folder of files of one format. Raises ImportRefusedError.

    Args:
        entity: The country, region or ASN if the file names none: IR, IR/Tehran, AS44244.
    """
    try:
        scope = parse_entity(entity) if entity else None
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
        replay = read_ooni_replay(paths, complaints)
    else:
        replay = _read_levels(paths, kind, scope, complaints)
    return ImportResult(kind, replay, complaints.list_sentences())


def detect_format(path: Path) -> str:
    """Return ioda, atlas, ooni or csv. Raises ImportRefusedError on another format."""
    if not looks_like_json(path):
        return "csv"
    for item in islice(read_objects(path, Complaints()), _MAX_OBJECTS):
        if ripe_atlas.is_atlas(item):
            return "atlas"
        if is_ooni_measurement(item):
            return "ooni"
        if ioda.is_ioda(item):
            return "ioda"
    raise ImportRefusedError(
        f"{path} is of no format that is known: IODA's signals (JSON, CSV), RIPE Atlas's "
        "connection events (JSON, one a line or a list), OONI's measurements (JSON, one a line), "
        "or a table of time and value."
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
    paths: Sequence[Path], kind: str, scope: Scope | None, complaints: Complaints
) -> Replay:
    all_series: list[Series] = []
    for path in paths:
        if kind == "ioda":
            all_series += ioda.read_series(path, scope, complaints)
        else:
            all_series += csv_table.read_series(path, scope or guess_country(path.stem), complaints)
    if not all_series:
        raise ImportRefusedError(f"{paths[0]} holds no series of numbers.")
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


def is_ooni_measurement(item: JsonObject) -> bool:
    fields = item.fields
    return "test_name" in fields and ("test_keys" in fields or "measurement_start_time" in fields)


def read_ooni_replay(paths: Iterable[Path], complaints: Complaints) -> Replay:
    """Read files twice: first results of other countries, then votes that use them."""
    all_paths = list(paths)
    all_votes = list(_read_votes(all_paths, complaints))
    low_us, high_us = find_time_range([vote.at_us for vote in all_votes])
    voted = [vote for vote in all_votes if low_us <= vote.at_us <= high_us]
    voted.sort(key=attrgetter("at_us", "witness.nym"))
    if far := len(all_votes) - len(voted):
        complaint = f"{far} measurements lie over 200 days from the others; they are left out"
        complaints.add(str(all_paths[0]), complaint)
    if not voted:
        raise ImportRefusedError(f"{all_paths[0]} holds no measurement of OONI's that has a vote.")
    return Replay(
        name=all_paths[0].stem.partition(".")[0],
        seed=0,
        since_us=voted[0].at_us // MINUTE_US * MINUTE_US,
        until_us=(voted[-1].at_us // MINUTE_US + 1) * MINUTE_US,
        signals=(),
        opinions=tuple(voted),
        truths=(),
        vantages=tuple({vote.witness.nym: vote.witness for vote in voted}.values()),
    )


def _read_votes(paths: Sequence[Path], complaints: Complaints) -> Iterator[ServiceVote]:
    peers = collect_peers(paths)
    for document in read_documents(paths):
        location = describe_location(document.path, document.line)
        if isinstance(document, Complaint):
            complaints.add(location, document.reason)
            continue
        try:
            imported = peers.compare_peers(read_measurement(document.measurement))
        except UnreadableError as error:
            complaints.add(location, str(error))
            continue
        votes = list(read_votes([_judge_as_voter(imported, document.measurement)]))
        if votes and votes[0].at_us:
            yield votes[0]
        else:
            complaints.add(location, "it names no country or no time, so it has no vote")


def _judge_as_voter(
    imported: ImportedMeasurement, measurement: OoniMeasurement
) -> tuple[ReceivedMeasurement, tuple[Verdict, ...]]:
    voter_id = _derive_voter_id(measurement)
    record = imported.record
    measured = replace(record.measurement, service=_service_name(imported))
    voter_record = replace(
        record,
        pseudonym=voter_id,
        prefix=voter_id,
        measurement=measured,
        seniority=Seniority.ESTABLISHED,
    )
    return voter_record, judge(record, imported.control)


def _service_name(imported: ImportedMeasurement) -> str:
    host = ""
    with suppress(ValueError):
        host = urlsplit(imported.input).hostname or ""
    return imported.record.measurement.service or host or imported.test_name


def _derive_voter_id(measurement: OoniMeasurement) -> str:
    mark = measurement.probe_id or measurement.report_id or measurement.measurement_uid
    mark = mark or measurement.measurement_start_time
    return hashlib.sha256(f"ooni\n{mark}\n{measurement.probe_asn}".encode()).hexdigest()[:16]
