"""`backup` and `restore` as typed: a collector goes on elsewhere, or is told why not."""

import asyncio
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph.keys import SigningKey
from heliograph_collector import cli
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.store.journal.journal import Journal
from support.rows import block, envelope_row, measurement_pb, reachable, taken
from support.stores import open_store

NOW_US = SystemClock().wall_us()
ONE = taken(1, at_us=NOW_US)
PRIVATE = ("operators.json", "audit.jsonl")
FILES = (*PRIVATE, "alerts.jsonl", "detect/1-0.state")


async def fill(data: Path) -> str:
    """One envelope in the store, one only in the journal, and an invite."""
    journal = Journal(data / "journal.db")
    await journal.append([envelope_row(measurement_pb(NOW_US), sequence=n) for n in (1, 2)])
    async with open_store(data) as store:
        await store.insert_block(block(1, 1, (ONE, (reachable(),)), journal=journal.id))
    await journal.close()
    return journal.id


async def look(data: Path) -> tuple[str, int, int, bool]:
    journal = Journal(data / "journal.db")
    async with open_store(data) as store:
        is_stored = await store.measurement(ONE.id) == (ONE, (reachable(),))
        cursor = await store.cursor(journal.id)
    await journal.close()
    return journal.id, journal.position, cursor, is_stored


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert cli.main([str(word) for word in words]) == 1
    return capsys.readouterr().err


def test_restored_collector_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, saved, again = tmp_path / "data", tmp_path / "saved", tmp_path / "again"
    journal = asyncio.run(fill(data))
    fleet, keyring = Fleet(data), open_keyring(data, [])
    token = fleet.create_invite(role="volunteer", uses=1, now_s=0, expires_s=10)
    for name in FILES:
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text(name)
        (data / name).chmod(0o600 if name in PRIVATE else 0o644)
    assert cli.main(["backup", str(saved), "--data", str(data)]) == 0
    fleet.close()
    assert cli.main(["restore", str(saved), "--data", str(again)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Restored into {again}."
    assert asyncio.run(look(again)) == (journal, 2, 1, True)
    assert [(again / name).read_text() for name in FILES] == list(FILES)
    assert all((again / name).stat().st_mode & 0o077 == 0 for name in PRIVATE)
    kept = open_keyring(again, [])
    assert (kept.pin, kept.secret) == (keyring.pin, keyring.secret)
    assert kept.sealing.public == keyring.sealing.public
    assert (again / "keys" / "secret.key").stat().st_mode & 0o077 == 0
    assert saved.stat().st_mode & 0o077 == 0
    restored = Fleet(again)
    assert restored.enrol_agent(token, SigningKey(b"k" * 32).public, "", 1).role == "volunteer"
    restored.close()
    assert "exists already" in refused(capsys, "backup", saved, "--data", data)
    assert "empty --data directory" in refused(capsys, "restore", saved, "--data", again)


def test_backup_refuses_empty_and_used_directories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, saved = tmp_path / "data", tmp_path / "saved"
    assert "holds no collector" in refused(capsys, "backup", saved, "--data", data)
    assert not data.exists()
    assert "no whole snapshot" in refused(capsys, "restore", saved, "--data", tmp_path / "new")
    serving = Journal(data / "journal.db")
    assert "in use by another process" in refused(capsys, "backup", saved, "--data", data)
    asyncio.run(serving.close())
