"""`log verify` lists what it verified and what it could not, and never overclaims."""

from pathlib import Path

import pytest

from heliograph.durable_file import read_lines
from heliograph_collector.cli import main
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, EntryBasis
from heliograph_collector.incidents.log_writer import IncidentLogWriter
from support.incident_book import KEY, MINUTE, ago, silence

PUBLIC = KEY.public.hex()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    basis = EntryBasis(1, 9, ago(60), ago(20), {"state": "c0ffee" * 10})
    writer = IncidentLogWriter(tmp_path / LOG_FILE_NAME, KEY, 5)
    writer.write_changes([silence("5e1f" * 4)], basis, ago(20))
    writer.write_changes([silence("5e1f" * 4, confidence=0.5)], basis, ago(20) + MINUTE)
    return tmp_path / LOG_FILE_NAME


def verify(*options: str) -> int:
    return main(["log", "verify", *options, "--key", PUBLIC])


def test_file_without_an_entry_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interrupted download is an empty file, and no proof of anything."""
    empty = tmp_path / "alerts.jsonl"
    empty.touch()
    assert verify(str(empty)) != 0
    assert "nothing was verified" in capsys.readouterr().err


def test_a_collector_that_has_reported_nothing_is_no_wrong_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["log", "verify", "--data", str(tmp_path)]) == 1
    assert "name the log's file" in capsys.readouterr().err
    (tmp_path / "keys").mkdir()
    assert main(["log", "verify", "--data", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "has reported nothing yet, or its log was taken away" in message


def test_file_without_an_entry_is_bad_where_the_head_says_that_entries_exist(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(str(log)) == 0
    head = capsys.readouterr().out.split("Head ")[1].split()[0]
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert verify(str(empty), "--head", head) == 1
    assert "missing at the end" in capsys.readouterr().out


def test_log_without_its_last_entry_holds_only_as_far_as_it_goes(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(str(log)) == 0
    head = capsys.readouterr().out.split("Head ")[1].split()[0]
    part = tmp_path / "part.jsonl"
    part.write_bytes(next(iter(read_lines(log))) + b"\n")
    assert verify(str(part)) == 0
    assert "may be missing" in capsys.readouterr().out
    assert verify(str(part), "--head", head) == 1
    assert verify(str(log), "--head", head) == 0
    assert "may be missing" not in capsys.readouterr().out.split("Head ")[-1]
