"""The log is proved by anybody, and the first bad entry is named."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest

from heliograph.durable_file import read_lines
from heliograph.keys import ALERT, SigningKey
from heliograph.timestamps import format_timestamp
from heliograph_collector.cli import main
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.diff import IncidentChange, Revision, diff_incidents
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.incidents.log_file import (
    AlertLog,
    AlertLogError,
    EntryBasis,
    body_of,
    build_line,
    canonical_json,
    entry_body,
    hash_of,
    verify_lines,
)
from heliograph_collector.incidents.published.log import DetectorBody
from heliograph_collector.incidents.sealed_basis import SealedBasisError, open_basis
from heliograph_collector.incidents.state import EMPTY_HEAD
from support.presence_model import KZ, Cut, at, country, live, world

KEY, OTHER = SigningKey(b"k" * 32), SigningKey(b"o" * 32)
GROUNDS = EntryBasis(1, 900, at(0), at(7_200), {"heliograph": "0.3.0"})


@pytest.fixture(scope="module")
def incident() -> Incident:
    signals = live(country() + world(), Random(1), 2, cuts=[Cut(3_600, 5_400, KZ)])
    return detect_silence(signals, at(7_200)).incidents[0]


def _bodies(incident: Incident, n: int) -> list[DetectorBody]:
    revision = Revision(IncidentChange.REVISED, incident, False)
    return [entry_body(revision, GROUNDS, at(i)) for i in range(n)]


def test_log_is_verified_after_every_append(tmp_path: Path, incident: Incident) -> None:
    file = tmp_path / "alerts.jsonl"
    log = AlertLog(file, KEY)
    assert log.proof.head == EMPTY_HEAD
    log.append(_bodies(incident, 2))
    again = AlertLog(file, KEY)
    proof = again.append(_bodies(incident, 1))
    assert proof.entries == 3
    assert verify_lines(read_lines(file), KEY.public, proof.head) == proof
    first = body_of(next(read_lines(file)))
    assert isinstance(first, DetectorBody)
    assert open_basis(first, KEY) == _bodies(incident, 1)[0]
    with pytest.raises(SealedBasisError):
        open_basis(first, OTHER)


def test_no_line_tells_rows_or_microseconds(tmp_path: Path, incident: Incident) -> None:
    """No line shows row numbers, microseconds or exact sizes."""
    revision = Revision(IncidentChange.SUSPECTED, incident, False)
    lines = []
    for last, late in ((7, ()), (123_456_789, ()), (900, [(800, at(1))])):
        basis = EntryBasis(1, last, at(0) + 1, at(7_200) + 1, {}, late)
        lines.append(build_line(1, EMPTY_HEAD, entry_body(revision, basis, at(7_200) + 123), KEY))
    assert len({len(line) for line in lines}) == 1
    for line in lines:
        body = json.loads(line)["body"]
        assert "rows" not in body
        assert body["at"].endswith(".000000Z")
        assert body["window"] == {
            "since": format_timestamp(at(0)), "until": format_timestamp(at(7_201))
        }  # fmt: skip


def test_lines_of_format_1_are_still_verified_and_read(incident: Incident) -> None:
    """Lines of format 1, signed by an earlier version, are still verified and read."""
    body = _bodies(incident, 1)[0]
    unsigned = {
        "format": 1, "number": 1, "before": EMPTY_HEAD, "body": msgspec.to_builtins(body),
    }  # fmt: skip
    signature = base64.b64encode(KEY.sign(ALERT, canonical_json(unsigned))).decode()
    old = canonical_json(unsigned | {"signature": signature})
    new = build_line(2, hash_of(old), body, KEY)
    assert verify_lines([old, new], KEY.public).entries == 2
    assert body_of(old) == body
    assert json.loads(new)["format"] == 2


def test_tampering_is_found_at_its_entry(tmp_path: Path, incident: Incident) -> None:
    file = tmp_path / "alerts.jsonl"
    head = AlertLog(file, KEY).append(_bodies(incident, 5)).head
    lines = list(read_lines(file))
    altered = lines[2].replace(b'"confidence":0.', b'"confidence":1.')
    forged = json.loads(lines[2])
    forged["body"]["alert"] = True
    cases = {
        "altered": ([*lines[:2], altered, *lines[3:]], 3),
        "re-encoded": ([*lines[:2], json.dumps(json.loads(lines[2])).encode(), *lines[3:]], 3),
        "forged": ([*lines[:2], canonical_json(forged), *lines[3:]], 3),
        "dropped": ([*lines[:2], *lines[3:]], 3),
        "swapped": ([lines[0], lines[2], lines[1], *lines[3:]], 2),
        "doubled": ([*lines[:2], lines[1], *lines[2:]], 3),
        "garbage": ([*lines[:4], b"\xff{"], 5),
        "nested": ([*lines[:4], b"[" * 100_000], 5),
        "cut": (lines[:4], 5),
    }
    for name, (tampered, number) in cases.items():
        proof = verify_lines(tampered, KEY.public, head)
        assert (proof.bad, proof.entries) == (number, number - 1), name
        assert proof.why, name
    assert verify_lines(lines, OTHER.public).bad == 1
    with pytest.raises(AlertLogError, match="Entry 1"):
        AlertLog(file, OTHER)
    assert verify_lines(lines[:4], KEY.public).head == hash_of(lines[3])


def test_torn_last_line_is_put_aside(tmp_path: Path, incident: Incident) -> None:
    file = tmp_path / "alerts.jsonl"
    AlertLog(file, KEY).append(_bodies(incident, 3))
    whole = file.read_bytes()
    for cut in (1, 40, 300):
        file.write_bytes(whole[:-cut])
        log = AlertLog(file, KEY)
        assert log.proof.entries == 2
        assert file.with_suffix(".torn").read_bytes()
        assert log.append(_bodies(incident, 1)).entries == 3
        assert verify_lines(read_lines(file), KEY.public).bad is None


def test_incident_alerts_at_most_twice(incident: Incident) -> None:
    suspected = replace(incident, state=IncidentState.SUSPECTED, confirmed_us=None, ended=None)
    confirmed = replace(suspected, state=IncidentState.CONFIRMED, confirmed_us=at(3_660))
    story = [suspected, confirmed, incident, confirmed, incident]
    before: list[Incident] = []
    alerted: list[tuple[str, IncidentChange]] = []
    changes = []
    for step in story:
        before, found = diff_incidents(before, [step], alerted)
        alerted += [(r.incident.id, r.change) for r in found if r.alert]
        changes += [r.change.value for r in found]
    assert changes == ["suspected", "confirmed", "closed", "resumed", "closed"]
    assert [change for _, change in alerted] == [IncidentChange.CONFIRMED, IncidentChange.CLOSED]
    assert diff_incidents(before, before, alerted)[1] == []


def test_incident_that_is_no_longer_found_is_withdrawn(incident: Incident) -> None:
    told = [(incident.id, IncidentChange.CONFIRMED)]
    _, (gone,) = diff_incidents([replace(incident, state=IncidentState.CONFIRMED)], [], told)
    assert gone.change is IncidentChange.WITHDRAWN
    assert gone.alert


def test_verify_command_proves_the_log_or_names_the_bad_entry(
    tmp_path: Path, incident: Incident, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "alerts.jsonl"
    head = AlertLog(file, KEY).append(_bodies(incident, 3)).head
    verifying = ["log", "verify", str(file), "--key", KEY.public.hex()]
    assert main([*verifying, "--head", head]) == 0
    assert "3 entries hold" in capsys.readouterr().out
    file.write_bytes(file.read_bytes().replace(b'"alert":false', b'"alert":true', 1))
    assert main([*verifying, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["bad"] == 1
    assert main(["log", "verify", str(tmp_path / "none")]) == 1
    assert main(["log", "verify", str(file), "--key", "zz"]) == 1
    assert main(["log", "verify", str(file), "--data", str(tmp_path)]) == 1
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "signing.key").write_bytes(b"k" * 32)
    assert main(["log", "verify", "--data", str(tmp_path)]) == 1
    assert "Entry 1 is bad" in capsys.readouterr().out
