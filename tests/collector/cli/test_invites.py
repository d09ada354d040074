"""`invites` lists the open invitations, and revokes one that leaked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.keys import SigningKey
from heliograph_collector import cli
from heliograph_collector.fleet import Fleet, invites
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.invites import format_invite
from heliograph_collector.fleet.registry import EnrolmentRefusedError


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path)
    yield opened
    opened.close()


def run(fleet_folder: Path, *words: str) -> int:
    try:
        return cli.main(["invites", *words, "--data", str(fleet_folder)])
    except SystemExit as end:
        return int(end.code or 0)


def key(number: int) -> bytes:
    return SigningKey(number.to_bytes(32, "big")).public


def test_leaked_line_lets_nobody_else_in(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaked = fleet.create_invite(role="volunteer", uses=20, now_s=0, expires_s=2**40)
    other = fleet.create_invite(role="volunteer", uses=1, now_s=1, expires_s=2**40)
    fleet.enrol_agent(leaked, key(1), "0.1", 5)
    line = format_invite("collector.example:7443", b"p" * 32, leaked)
    assert run(tmp_path, "withdraw", line) == 0
    assert "1 of 20 had joined with it; they stay" in capsys.readouterr().out
    with pytest.raises(EnrolmentRefusedError):
        fleet.enrol_agent(leaked, key(2), "0.1", 2**39)
    fleet.enrol_agent(other, key(3), "0.1", 2**39)
    assert len(fleet.list_agents()) == 2
    assert run(tmp_path, "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["used"], row["uses"], row["open"]) for row in rows] == [
        (1, 1, False),
        (1, 20, False),
    ]
    assert leaked.hex() not in json.dumps(rows)
    (entry,) = AuditLog(tmp_path).read_page(None, 9)[0]
    assert (entry.who, entry.did) == ("command line", "invite.withdraw")
    assert entry.about == rows[1]["id"]
    assert run(tmp_path, "withdraw", line) == 1
    assert "is over already: nobody can join with it" in capsys.readouterr().err


def test_an_old_invite_that_the_list_leaves_out_can_be_withdrawn(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invites, "MAX_LISTED", 1)
    leaked = fleet.create_invite(role="volunteer", uses=20, now_s=0, expires_s=2**40)
    fleet.create_invite(role="volunteer", uses=1, now_s=1, expires_s=2**40)
    line = format_invite("collector.example:7443", b"p" * 32, leaked)
    assert run(tmp_path, "withdraw", line) == 0
    with pytest.raises(EnrolmentRefusedError):
        fleet.enrol_agent(leaked, key(1), "0.1", 2**39)


def test_list_shows_ids_by_which_to_withdraw(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "list") == 0
    assert "No invite was made" in capsys.readouterr().out
    fleet.create_invite(role="control", uses=3, now_s=0, expires_s=4_102_444_800)
    assert run(tmp_path, "list") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "ROLE", "JOINED", "EXPIRES", "STATE"]
    id_, *rest = row.split()
    assert rest == ["control", "0/3", "2100-01-01", "00:00", "UTC", "open"]
    assert run(tmp_path, "withdraw", id_[:5]) == 0
    capsys.readouterr()
    assert run(tmp_path, "list") == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("over")


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("abcd", "no invite's id begins with 'abcd'"),
        ("xyz", "'xyz' is no id"),
        ("heliograph1:AAAA", "this line is no whole invite"),
        ("heliograph1:CgA", "this line is no whole invite"),
        (format_invite("198.51.100.7:7443", b"p" * 32, b"", charter=b"c" * 32), "has no token"),
    ],
)
@pytest.mark.usefixtures("fleet")
def test_what_names_no_invite_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: str, sentence: str
) -> None:
    assert run(tmp_path, "withdraw", named) == 1
    assert sentence in capsys.readouterr().err
