"""`heliograph-collector evaluate` with a real event in place of a scenario."""

import json
from pathlib import Path

import pytest

from heliograph_collector.cli import main

FIXTURES = Path(__file__).parent / "fixtures"


def test_an_event_is_told_and_what_was_left_out_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = FIXTURES / "ioda-export-IR.csv"
    assert main(["evaluate", str(file), "--truth", str(FIXTURES / "truths.yml")]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("ioda-export-IR (csv): 5 series")
    assert "truth blackout, IR, from 2026-01-08 16:30" in out
    assert err == f"heliograph-collector: {file}, line 6: its time cannot be read.\n"


def test_as_json_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", "--json", str(FIXTURES / "atlas-connections.jsonl"), "--entity", "KZ"])
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["vantages"]) == ("atlas", 2)
    assert len(found["left_out"]) == 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere.json"], "nowhere.json is not there."),
        (["a.json", "b.json"], "looked at alone"),
        (["a.json", "--seeds", "3"], "has no seeds"),
        (["--entity", "IR"], "belong to a real event"),
        ([str(FIXTURES / "ioda-export-IR.csv"), "--truth", "nowhere.csv"], "nowhere.csv"),
        ([str(FIXTURES / "ioda-export-IR.csv"), "--entity", "Persia"], "names no entity"),
    ],
)
def test_wrong_words_get_a_sentence(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *words]) == 1
    assert why in capsys.readouterr().err


def test_a_file_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "IR.csv"
    file.write_text("time,\x1b[2Jbgp\n1767885600,5\n1767886200,6\n")
    main(["evaluate", str(file)])
    assert "\x1b" not in capsys.readouterr().out
