"""`heliograph-collector operator` as typed, and that what it changes holds in the console."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from heliograph_collector import cli
from heliograph_collector.fleet import operators, passwords
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators, OperatorsError


def run(data: Path, *words: str, typed: str = "") -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(typed))
        return cli.main(["operator", *words, "--data", str(data)])


def test_operator_is_added_changed_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "add", "vera", "--role", "viewer", typed="a long password\n") == 0
    assert run(tmp_path, "totp", "vera") == 0
    assert "otpauth://totp/Heliograph:vera" in capsys.readouterr().out
    people = Operators(tmp_path, "the file's password")
    vera = people.read_people()["vera"]
    assert passwords.verify_password(vera.hash, "a long password")
    assert run(tmp_path, "passwd", "vera", typed="another password\n") == 0
    assert passwords.verify_password(people.read_people()["vera"].hash, "another password"), (
        "at once"
    )
    assert run(tmp_path, "totp", "vera", "--off") == 0
    assert run(tmp_path, "totp", "operator") == 0
    assert passwords.verify_password(people.read_people()["operator"].hash, "the file's password")
    capsys.readouterr()
    assert run(tmp_path, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "operator", "role": "operator", "second_factor": True},
        {"name": "vera", "role": "viewer", "second_factor": False},
    ]
    assert run(tmp_path, "remove", "vera") == 0
    assert set(people.read_people()) == {"operator"}
    kept = (tmp_path / "operators.json").read_text() + (tmp_path / "audit.jsonl").read_text()
    assert "password" not in kept.replace("operator.passwd", "")
    deeds, _ = AuditLog(tmp_path).read_page(None, 20)
    assert [deed.did for deed in deeds][-2:] == ["operator.totp", "operator.add"]


@pytest.mark.parametrize(
    ("words", "typed", "sentence"),
    [
        (("add", "operator"), "", "operator is there already"),
        (("add", "Vera!"), "", "is no name"),
        (("add", "vera"), "short\n", "10 to 1024 characters"),
        (("remove", "operator"), "", "is always there"),
        (("passwd", "operator"), "", "change that file"),
        (("passwd", "nobody"), "", "nobody is called 'nobody'"),
        (("totp", "nobody"), "", "`operator list` shows"),
    ],
)
def test_refusals_change_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    typed: str,
    sentence: str,
) -> None:
    assert run(tmp_path, *words, typed=typed) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "operators.json").exists()
    assert not (tmp_path / "audit.jsonl").exists()


def test_damaged_file_admits_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "operators.json").write_text('{"people": {"vera": {"role": "king", "hash": ""}}}')
    assert run(tmp_path, "list") == 1
    assert "restore it from a backup" in capsys.readouterr().err
    with pytest.raises(OperatorsError):
        Operators(tmp_path, "the file's password")


def test_operators_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "MAX_PEOPLE", 2)
    people = operators.Operators(tmp_path)
    people.add("vera", "viewer", "x", 0)
    with pytest.raises(OperatorsError, match="remove somebody"):
        people.add("one-more", "viewer", "x", 0)
