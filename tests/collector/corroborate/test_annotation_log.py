"""Annotations survive a restart, a crash and a full disk, within a size limit."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.corroborate import (
    Agreement,
    AgreementReason,
    Annotation,
    AnnotationLog,
    Entity,
)
from heliograph_collector.corroborate.annotation_log import FILE, MAX_INCIDENTS, MAX_PER_INCIDENT

SAID = Annotation(
    incident="abc", source="ioda", signal="bgp", entity=Entity("KZ"),
    evaluated_us=1_641_380_400_000_000, since_us=1_641_378_600_000_000,
    until_us=1_641_380_400_000_000, agreement=Agreement.NOTHING, reason=AgreementReason.LAGS,
    figures={"points": 1.0}, url="https://example.org", attribution="somebody",
)  # fmt: skip
LATER = replace(SAID, agreement=Agreement.AGREES, reason=AgreementReason.DROPPED,
                evaluated_us=SAID.evaluated_us + 1)  # fmt: skip


def test_the_newest_word_counts_and_the_same_word_is_no_line(tmp_path: Path) -> None:
    notes = AnnotationLog(tmp_path)
    assert notes.add(SAID)
    assert not notes.add(replace(SAID, evaluated_us=SAID.evaluated_us + 5))
    assert notes.add(LATER)
    (told,) = notes.list_annotations("abc")
    assert (told["what"], told["why"]) == ("agrees", "dropped")
    assert told["entity"] == {"country": "KZ", "asn": 0}
    assert (tmp_path / FILE).read_text().count("\n") == 2
    assert notes.list_annotations("other") == []


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    first = AnnotationLog(tmp_path)
    first.add(SAID)
    first.add(LATER)
    again = AnnotationLog(tmp_path)
    assert again.list_annotations("abc") == first.list_annotations("abc")
    assert not again.add(LATER)


@pytest.mark.parametrize(
    "torn", [b'{"incident": "ab', b"nonsense\n", b"[]\n", b"[" * 5_000 + b"\n", b"\xff\n", b"\n"]
)
def test_what_is_broken_is_passed_over_and_written_after(tmp_path: Path, torn: bytes) -> None:
    AnnotationLog(tmp_path).add(SAID)
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(torn)
    again = AnnotationLog(tmp_path)
    again.add(LATER)
    assert AnnotationLog(tmp_path).list_annotations("abc") == again.list_annotations("abc")
    assert again.list_annotations("abc")[0]["what"] == "agrees"


def test_a_full_file_becomes_the_older_one(tmp_path: Path) -> None:
    notes = AnnotationLog(tmp_path, max_bytes=4_096)
    for i in range(100):
        notes.add(replace(SAID, incident=f"i{i}"))
    sizes = [file.stat().st_size for file in sorted(tmp_path.iterdir())]
    assert len(sizes) == 2
    assert max(sizes) <= 4_096
    again = AnnotationLog(tmp_path, max_bytes=4_096)
    assert again.list_annotations("i99")
    assert again.list_annotations("i92"), "of the older file"
    assert not again.list_annotations("i1")


def test_memory_is_bounded_in_incidents_and_in_sources(tmp_path: Path) -> None:
    notes = AnnotationLog(tmp_path)
    for asn in range(MAX_PER_INCIDENT * 2):
        notes.add(replace(SAID, entity=Entity("KZ", asn)))
    assert len(notes.list_annotations("abc")) == MAX_PER_INCIDENT
    for i in range(MAX_INCIDENTS):
        notes.add(replace(SAID, incident=f"i{i}"))
    assert notes.list_annotations("abc") == []


def test_a_disk_that_fails_costs_the_file_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    notes = AnnotationLog(tmp_path)
    assert notes.add(SAID)
    assert notes.list_annotations("abc")
    assert "cannot be written" in caplog.text
