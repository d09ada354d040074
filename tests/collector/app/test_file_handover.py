"""Notes and daily revisions pass from leader to leader by a real nats-server."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.app.handovers import FileHandover, NotesFile, RevisionsFile
from heliograph_collector.corroborate.annotation import (
    Agreement,
    AgreementReason,
    Annotation,
    to_record,
)
from heliograph_collector.corroborate.annotation_log import AnnotationLog
from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.http.api.dumps import read_index
from heliograph_collector.http.api.parquet import WrittenDump
from heliograph_collector.http.dump_writer import DumpStore
from support.journal_rows import SECRET
from support.leading_terms import LeadingTerms

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
LAGS = Annotation(
    incident="ended", source="ioda", signal="bgp", entity=Entity("KZ"),
    evaluated_us=1_641_380_400_000_000, since_us=1_641_378_600_000_000,
    until_us=1_641_380_400_000_000, agreement=Agreement.NOTHING, reason=AgreementReason.LAGS,
    figures={"points": 1.0}, url="https://example.org", attribution="somebody",
)  # fmt: skip
AGREES = replace(LAGS, agreement=Agreement.AGREES, reason=AgreementReason.DROPPED)


def open_notes(data: Path) -> AnnotationLog:
    data.mkdir(exist_ok=True)
    return AnnotationLog(data)


async def lead(terms: LeadingTerms, term: int, data: Path) -> FileHandover:
    open_notes(data)
    handover = FileHandover(await terms.open("notes", term), SECRET, NotesFile(data))
    await handover.take_over()
    return handover


async def test_next_leader_has_the_notes_of_all_before(tmp_path: Path, terms: LeadingTerms) -> None:
    """The next leader has all earlier notes, except one that was not stored in time.

    The first one leads again in the end, with a note that it had not stored when it died.
    """
    first = await lead(terms, 1, tmp_path / "first")
    open_notes(tmp_path / "first").add(LAGS)
    await first.store_news()
    open_notes(tmp_path / "first").add(replace(LAGS, incident="unsent"))
    second = await lead(terms, 2, tmp_path / "second")
    notes = open_notes(tmp_path / "second")
    assert notes.list_annotations("ended") == [to_record(LAGS)]
    notes.add(AGREES)
    await second.store_news()
    await lead(terms, 3, tmp_path / "first")
    notes = open_notes(tmp_path / "first")
    assert notes.list_annotations("ended") == [to_record(AGREES)]
    assert notes.list_annotations("unsent")


async def lead_dumps(terms: LeadingTerms, term: int, folder: Path) -> FileHandover:
    handover = FileHandover(await terms.open("revisions", term), SECRET, RevisionsFile(folder))
    await handover.take_over()
    return handover


def write_day(folder: Path, digest: str, day: str = "2022-01-05") -> int:
    """Write a daily file as the job does; return its revision."""
    dumps = DumpStore.open(folder, 5, ())
    written = WrittenDump(rows=1, bytes=1, sha256=digest * 64)
    dumps.record_dump(day, 1, written, "2022-01-06T00:30:00Z")
    dumps.save_index()
    return dumps.files[day].revision


async def test_next_leader_counts_revisions_on(tmp_path: Path, terms: LeadingTerms) -> None:
    first = await lead_dumps(terms, 1, tmp_path / "first")
    assert [write_day(tmp_path / "first", digest) for digest in ("a", "b")] == [1, 2]
    await first.store_news()
    second = await lead_dumps(terms, 2, tmp_path / "second")
    assert read_index(tmp_path / "second").files == (), "no file is offered that is not there"
    assert [write_day(tmp_path / "second", digest) for digest in ("b", "c")] == [2, 3]
    assert write_day(tmp_path / "second", "e", "2022-01-06") == 1
    await second.store_news()
    await lead_dumps(terms, 3, tmp_path / "first")
    assert not DumpStore.open(tmp_path / "first", 5, ()).changed_us_by_day, "it is due again"
    assert [write_day(tmp_path / "first", digest) for digest in ("c", "d")] == [3, 4]


async def test_damaged_notes_cost_no_own_note(
    tmp_path: Path, terms: LeadingTerms, caplog: pytest.LogCaptureFixture
) -> None:
    first = await lead(terms, 1, tmp_path / "first")
    open_notes(tmp_path / "first").add(LAGS)
    await first.store_news()
    await terms.damage("notes.1.1.0")
    await lead(terms, 2, tmp_path / "first")
    assert open_notes(tmp_path / "first").list_annotations("ended")
    assert "cannot be used" in caplog.text
