"""Notes of other sources, on a real nats-server: incidents keep them under the next leader."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.app.handovers import NotesHandover
from heliograph_collector.corroborate.annotation import (
    Agreement,
    AgreementReason,
    Annotation,
    to_record,
)
from heliograph_collector.corroborate.annotation_log import AnnotationLog
from heliograph_collector.corroborate.incident import Entity
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


async def lead(terms: LeadingTerms, term: int, data: Path) -> NotesHandover:
    open_notes(data)
    handover = NotesHandover(await terms.open("notes", term), SECRET, data)
    await handover.take_over()
    return handover


async def test_next_leader_has_the_notes_of_all_before(tmp_path: Path, terms: LeadingTerms) -> None:
    """The first one leads again in the end, with a note that it had not stored when it died."""
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
