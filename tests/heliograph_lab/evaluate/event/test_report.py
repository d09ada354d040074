"""The report on an imported event, by the command too; damaged files are handled."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from heliograph_collector.app.commands import load_event
from heliograph_collector.cli import main
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError, ImportResult
from heliograph_lab.evaluate.event.report import (
    build_report,
    format_report,
    read_truths,
    report_document,
    with_truths,
)

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ("ioda-signals.json", "ioda-export-IR.csv", "atlas-connections.jsonl", "atlas-probes.json")
BITS = (b"null", b"-1", b"1e999", b"NaN", b'""', b"[]", b"{}", b"true", b"\xff", b"\0", b"\n", b",")
FALL_S = 1_767_889_800  # 8 January 2026, 16:30, as truths.yml has it


@pytest.fixture
def iran(tmp_path: Path) -> ImportResult:
    """Import ten days of probing and routes; one falls to 3 % at 16:30, one by 2 %."""
    begin = FALL_S - 10 * 86_400
    rows = [
        f"{at},{97 if at < FALL_S else 3},{99.6 if at < FALL_S else 97.6}"
        for at in range(begin, FALL_S + 86_400, 600)
    ]
    path = tmp_path / "ioda-IR.csv"
    path.write_text("time,Active Probing (#/24s Up),BGP (#Visible /24s)\n" + "\n".join(rows))
    made, truths = load_event(path), read_truths(FIXTURES / "truths.yml", Complaints())
    return replace(made, replay=with_truths(made.replay, truths))


def test_report_has_each_detector_with_its_delay(iran: ImportResult) -> None:
    said = format_report(build_report(iran)).splitlines()
    assert said[0] == "ioda-IR (csv): 2 series, 2025-12-29 16:30 to 2026-01-09 16:30 UTC"
    assert "level: 1 confirmed, 0 suspected" in said
    began = "began 2026-01-08 16:20 to 2026-01-08 16:40"
    assert f"  2026-01-08 16:40  IR cut ping-slash24, {began}" in said
    assert "ioda: 1 confirmed, 1 suspected" in said  # routes below 99 % are a warning, no more
    at = said.index("truth blackout, IR, from 2026-01-08 16:30")
    assert said[at + 1 : at + 3] == ["  level: told 10.0 min after", "  ioda: told 20.0 min after"]


def test_report_document_has_the_same_values(iran: ImportResult) -> None:
    found = json.loads(json.dumps(report_document(build_report(iran))))
    assert found["format"] == "csv"
    assert found["truths"][0]["told_after_s"] == {"level": 600.0, "ioda": 1_200.0}
    (alarm,) = found["alarms"]["level"]
    assert (alarm["layer"], alarm["confirmed"], alarm["over"]) == ("ping-slash24", True, None)
    scope = {"country": "IR", "region": "", "asn": 0, "access": ""}
    assert found["series"][1] == {"scope": scope, "source": "bgp"}


def test_report_names_a_truth_without_alarm(iran: ImportResult) -> None:
    (truth,) = iran.replay.truths
    since_us, until_us = truth.since_us - 3 * 86_400 * 10**6, truth.since_us - 1
    early = replace(truth, since_us=since_us, until_us=until_us)
    other = replace(iran, replay=replace(iran.replay, truths=(early,)))
    assert "  level: not told" in format_report(build_report(other)).splitlines()
    (told,) = report_document(build_report(other))["truths"]
    assert told["told_after_s"] == {"level": None, "ioda": None}


def test_atlas_events_run_the_silence_detector(tmp_path: Path) -> None:
    made = build_report(load_event(FIXTURES / "atlas-connections.jsonl", "KZ"))
    assert list(made.alarms) == ["heliograph", "ioda", "disco"]
    assert format_report(made).startswith("atlas-connections (atlas): 2 vantages")


def test_command_prints_the_report_and_omissions(capsys: pytest.CaptureFixture[str]) -> None:
    file = FIXTURES / "ioda-export-IR.csv"
    assert main(["evaluate", str(file), "--truth", str(FIXTURES / "truths.yml")]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("ioda-export-IR (csv): 5 series")
    assert "truth blackout, IR, from 2026-01-08 16:30" in out
    assert err == f"heliograph-collector: {file}, line 6: its time cannot be read.\n"


def test_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
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
def test_command_refuses_wrong_words_with_a_sentence(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *words]) == 1
    assert why in capsys.readouterr().err


def test_command_prints_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "IR.csv"
    file.write_text("time,\x1b[2Jbgp\n1767885600,5\n1767886200,6\n")
    main(["evaluate", str(file)])
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(60))
def test_spoilt_file_is_read_or_refused_with_a_sentence(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    name = NAMES[seed % len(NAMES)]
    body = bytearray((FIXTURES / name).read_bytes())
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(body))
        body[at : at + rng.choice((0, 1, 4, 40))] = rng.choice(BITS)
    path = tmp_path / name
    path.write_bytes(bytes(body))
    try:
        said = format_report(build_report(load_event(path, rng.choice(("", "IR")))))
    except ImportRefusedError as error:
        said = str(error)
    assert said.endswith(".") or "confirmed" in said


@pytest.mark.parametrize(
    "body", [b"", b"\0" * 99, b"\x1f\x8b", b"BZh9", b"{", b'{"prb_id":1}', b"time\n"]
)
def test_file_without_content_is_refused(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "nothing"
    path.write_bytes(body)
    with pytest.raises(ImportRefusedError):
        load_event(path)
