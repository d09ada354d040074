"""`heliograph-collector operator` works, and its changes hold in the console."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from heliograph_collector.fleet import operators, passwords
from heliograph_collector.fleet.operator_file import OperatorFile
from heliograph_collector.fleet.operators import Operators, OperatorsError
from support.cheap_passwords import cheap_passwords
from support.console_records import BUILT_IN_PASSWORD, Records, in_files, on_servers
from support.nats_servers import NatsServers

NATS = (pytest.mark.real, pytest.mark.xdist_group("nats"))


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    with cheap_passwords():
        yield


@pytest.fixture(params=["files", pytest.param("servers", marks=NATS)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    """Return records in files and on servers: the suite runs over both."""
    if request.param == "files":
        return in_files(tmp_path)
    return on_servers(tmp_path, request.getfixturevalue("nats_server"))


def test_operator_is_added_changed_and_removed(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    assert records.run("add", "vera", "--role", "viewer", typed="a long password\n") == 0
    assert records.run("totp", "vera") == 0
    assert "otpauth://totp/Heliograph:vera" in capsys.readouterr().out
    vera = records.read_people()["vera"]
    assert passwords.verify_password(vera.hash, "a long password")
    assert records.run("passwd", "vera", typed="another password\n") == 0
    assert passwords.verify_password(records.read_people()["vera"].hash, "another password")
    assert records.run("totp", "vera", "--off") == 0
    assert records.run("totp", "operator") == 0
    assert passwords.verify_password(records.read_people()["operator"].hash, BUILT_IN_PASSWORD)
    capsys.readouterr()
    assert records.run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "operator", "role": "operator", "second_factor": True},
        {"name": "vera", "role": "viewer", "second_factor": False},
    ]
    assert records.run("remove", "vera") == 0
    assert set(records.read_people()) == {"operator"}
    assert b"password" not in records.read_stored().replace(b"operator.passwd", b"")
    assert [(entry.did, entry.about) for entry in records.read_trail()] == [
        ("operator.add", "vera as viewer"), ("operator.totp", "vera"), ("operator.passwd", "vera"),
        ("operator.totp", "vera"), ("operator.totp", "operator"), ("operator.remove", "vera"),
    ]  # fmt: skip


def test_running_console_sees_a_change_of_its_file_at_once(tmp_path: Path) -> None:
    people = Operators(OperatorFile(tmp_path), BUILT_IN_PASSWORD)
    assert in_files(tmp_path).run("add", "vera", typed="a long password\n") == 0
    assert set(people.read_people()) == {"operator", "vera"}


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
    records: Records,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    typed: str,
    sentence: str,
) -> None:
    before = records.read_stored()
    assert records.run(*words, typed=typed) == 1
    assert sentence in capsys.readouterr().err
    assert records.read_stored() == before


def test_damaged_file_admits_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "operators.json").write_text('{"people": {"vera": {"role": "king", "hash": ""}}}')
    assert in_files(tmp_path).run("list") == 1
    assert "restore it from a backup" in capsys.readouterr().err
    with pytest.raises(OperatorsError):
        Operators(OperatorFile(tmp_path), BUILT_IN_PASSWORD)


def test_operators_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "MAX_PEOPLE", 2)
    people = operators.Operators(OperatorFile(tmp_path))
    people.add("vera", "viewer", "x", 0)
    with pytest.raises(OperatorsError, match="remove somebody"):
        people.add("one-more", "viewer", "x", 0)


@pytest.mark.real
@pytest.mark.xdist_group("nats")
def test_users_do_not_open_with_another_key(
    tmp_path: Path, nats_server: NatsServers, capsys: pytest.CaptureFixture[str]
) -> None:
    records = on_servers(tmp_path, nats_server)
    assert records.run("add", "vera", typed="a long password\n") == 0
    (tmp_path / "keys" / "secret.key").write_bytes(b"another" * 5)
    assert records.run("list") == 1
    assert "copy the folder keys" in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.xdist_group("nats")
def test_file_of_any_machine_does_not_become_that_of_all(
    tmp_path: Path, nats_server: NatsServers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_files(tmp_path).run("add", "outdated", typed="a long password\n") == 0
    records = on_servers(tmp_path, nats_server, is_begun=False)
    assert records.run("list") == 1
    assert "start `serve`" in capsys.readouterr().err
    assert records.read_stored() == b""
