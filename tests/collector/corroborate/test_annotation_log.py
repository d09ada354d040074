"""What was said stays said: over a restart, after a crash, on a full disk, and within bounds."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.corroborate import Annotation, Entity, Notes, What, Why
from heliograph_collector.corroborate.annotation_log import FILE, MOST_INCIDENTS, MOST_OF_ONE

SAID = Annotation(
    incident="abc",
    source="ioda",
    signal="bgp",
    entity=Entity("KZ"),
    said_us=1_641_380_400_000_000,
    since_us=1_641_378_600_000_000,
    until_us=1_641_380_400_000_000,
    what=What.NOTHING,
    why=Why.LAGS,
    figures={"points": 1.0},
    url="https://example.org",
    attribution="somebody",
)
LATER = replace(SAID, what=What.AGREES, why=Why.DROPPED, said_us=SAID.said_us + 1)


def test_the_newest_word_counts_and_the_same_word_is_no_line(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    assert notes.add(SAID)
    assert not notes.add(replace(SAID, said_us=SAID.said_us + 5))
    assert notes.add(LATER)
    (told,) = notes.of("abc")
    assert (told["what"], told["why"]) == ("agrees", "dropped")
    assert told["entity"] == {"country": "KZ", "asn": 0}
    assert (tmp_path / FILE).read_text().count("\n") == 2
    assert notes.of("other") == []


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    first = Notes(tmp_path)
    first.add(SAID)
    first.add(LATER)
    again = Notes(tmp_path)
    assert again.of("abc") == first.of("abc")
    assert not again.add(LATER)


@pytest.mark.parametrize(
    "torn", [b'{"incident": "ab', b"nonsense\n", b"[]\n", b"[" * 5_000 + b"\n", b"\xff\n", b"\n"]
)
def test_what_is_broken_is_passed_over_and_written_after(tmp_path: Path, torn: bytes) -> None:
    Notes(tmp_path).add(SAID)
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(torn)
    again = Notes(tmp_path)
    again.add(LATER)
    assert Notes(tmp_path).of("abc") == again.of("abc")
    assert again.of("abc")[0]["what"] == "agrees"


def test_a_full_file_becomes_the_older_one(tmp_path: Path) -> None:
    notes = Notes(tmp_path, most_bytes=4_096)
    for i in range(100):
        notes.add(replace(SAID, incident=f"i{i}"))
    sizes = [file.stat().st_size for file in sorted(tmp_path.iterdir())]
    assert len(sizes) == 2
    assert max(sizes) <= 4_096
    again = Notes(tmp_path, most_bytes=4_096)
    assert again.of("i99")
    assert again.of("i92"), "of the older file"
    assert not again.of("i1")


def test_memory_is_bounded_in_incidents_and_in_sources(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    for asn in range(MOST_OF_ONE * 2):
        notes.add(replace(SAID, entity=Entity("KZ", asn)))
    assert len(notes.of("abc")) == MOST_OF_ONE
    for i in range(MOST_INCIDENTS):
        notes.add(replace(SAID, incident=f"i{i}"))
    assert notes.of("abc") == []


def test_a_disk_that_fails_costs_the_file_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    notes = Notes(tmp_path)
    assert notes.add(SAID)
    assert notes.of("abc")
    assert "cannot be written" in caplog.text
