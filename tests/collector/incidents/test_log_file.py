"""The log is proved by anybody, and the first bad entry is named."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from heliograph.keys import SigningKey
from heliograph_collector.cli import main
from heliograph_collector.detect import DETECT_VERSION, Incident, watch
from heliograph_collector.incidents.diff import Change, Revision, revise
from heliograph_collector.incidents.hash_chain import START, body_of, canonical, hash_of, verify
from heliograph_collector.incidents.incident import State
from heliograph_collector.incidents.log_file import AlertLog, AlertLogError, Grounds, body, lines_of
from support.dark_world import KZ, Cut, at, country, live, world

KEY, OTHER = SigningKey(b"k" * 32), SigningKey(b"o" * 32)
GROUNDS = Grounds(1, 900, at(0), at(7_200), {"heliograph": "0.3.0"})


@pytest.fixture(scope="module")
def incident() -> Incident:
    signals = live(country() + world(), Random(1), 2, cuts=[Cut(3_600, 5_400, KZ)])
    return watch(signals, at(7_200)).incidents[0]


def _bodies(incident: Incident, n: int) -> list[dict[str, object]]:
    return [body(Revision(Change.REVISED, incident, False), GROUNDS, at(i)) for i in range(n)]


def test_a_log_is_proved_after_every_append(tmp_path: Path, incident: Incident) -> None:
    file = tmp_path / "alerts.jsonl"
    log = AlertLog(file, KEY)
    assert log.proof.head == START
    log.append(_bodies(incident, 2))
    again = AlertLog(file, KEY)
    proof = again.append(_bodies(incident, 1))
    assert proof.entries == 3
    assert verify(lines_of(file), KEY.public, proof.head) == proof
    first = body_of(next(lines_of(file)))
    assert first["rows"] == {"first": 1, "last": 900}
    assert first["versions"] == {"detect": str(DETECT_VERSION), "heliograph": "0.3.0"}
    assert first["incident"]["id"] == incident.id


def test_every_tampering_is_found_at_its_entry(tmp_path: Path, incident: Incident) -> None:
    file = tmp_path / "alerts.jsonl"
    head = AlertLog(file, KEY).append(_bodies(incident, 5)).head
    lines = list(lines_of(file))
    altered = lines[2].replace(b'"confidence":0.', b'"confidence":1.')
    forged = json.loads(lines[2])
    forged["body"]["alert"] = True
    cases = {
        "altered": ([*lines[:2], altered, *lines[3:]], 3),
        "re-encoded": ([*lines[:2], json.dumps(json.loads(lines[2])).encode(), *lines[3:]], 3),
        "forged": ([*lines[:2], canonical(forged), *lines[3:]], 3),
        "dropped": ([*lines[:2], *lines[3:]], 3),
        "swapped": ([lines[0], lines[2], lines[1], *lines[3:]], 2),
        "doubled": ([*lines[:2], lines[1], *lines[2:]], 3),
        "garbage": ([*lines[:4], b"\xff{"], 5),
        "nested": ([*lines[:4], b"[" * 100_000], 5),
        "cut": (lines[:4], 5),
    }
    for name, (tampered, number) in cases.items():
        proof = verify(tampered, KEY.public, head)
        assert (proof.bad, proof.entries) == (number, number - 1), name
        assert proof.why, name
    assert verify(lines, OTHER.public).bad == 1
    assert verify(lines[:4], KEY.public).head == hash_of(lines[3])


def test_a_torn_last_line_is_put_aside(tmp_path: Path, incident: Incident) -> None:
    file = tmp_path / "alerts.jsonl"
    AlertLog(file, KEY).append(_bodies(incident, 3))
    whole = file.read_bytes()
    for cut in (1, 40, 300):
        file.write_bytes(whole[:-cut])
        log = AlertLog(file, KEY)
        assert log.proof.entries == 2
        assert file.with_suffix(".torn").read_bytes()
        assert log.append(_bodies(incident, 1)).entries == 3
        assert verify(lines_of(file), KEY.public).bad is None


def test_a_log_that_does_not_hold_is_not_gone_on_with(tmp_path: Path, incident: Incident) -> None:
    file = tmp_path / "alerts.jsonl"
    AlertLog(file, KEY).append(_bodies(incident, 2))
    with pytest.raises(AlertLogError, match="Entry 1"):
        AlertLog(file, OTHER)


def test_subscribers_are_called_at_most_twice(incident: Incident) -> None:
    suspected = replace(incident, state=State.SUSPECTED, confirmed_us=None, ended=None)
    confirmed = replace(suspected, state=State.CONFIRMED, confirmed_us=at(3_660))
    story = [suspected, confirmed, incident, confirmed, incident]
    before: list[Incident] = []
    alerted: list[tuple[str, Change]] = []
    changes = []
    for step in story:
        before, found = revise(before, [step], alerted)
        alerted += [(r.incident.id, r.change) for r in found if r.alert]
        changes += [r.change.value for r in found]
    assert changes == ["suspected", "confirmed", "closed", "resumed", "closed"]
    assert [change for _, change in alerted] == [Change.CONFIRMED, Change.CLOSED]
    assert revise(before, before, alerted)[1] == []


def test_what_a_recomputation_no_longer_finds_is_withdrawn(incident: Incident) -> None:
    told = [(incident.id, Change.CONFIRMED)]
    _, (gone,) = revise([replace(incident, state=State.CONFIRMED)], [], told)
    assert gone.change is Change.WITHDRAWN
    assert gone.alert


def test_the_command(
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
