"""`backup` and `restore` move a collector to another folder, or refuse it."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph.keys import SigningKey
from heliograph_collector import cli
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.journal.opening import open_journal
from support.console_records import on_servers
from support.nats_servers import NatsServers
from support.rows import block, envelope_row, measurement_pb, reachable, taken
from support.stores import open_store

NOW_US = SystemClock().wall_us()
ONE = taken(1, at_us=NOW_US)
FILES = (
    "operators.json",
    "audit.jsonl",
    "alerts.jsonl",
    "corroboration.jsonl",
    "detect/1-0.state",
    "detect/heard.json",
    "dumps/index.json",
)
LEFT_OUT = ("detect/.1-0.state.new", "courier.db", "geo/country.mmdb")


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Set the most open umask: what is written must be private all the same."""
    mask = os.umask(0)
    yield
    os.umask(mask)


def list_open(folder: Path) -> list[Path]:
    """Return the paths in a folder, itself included, that other users may access."""
    found = (folder, *(path for path in folder.rglob("*") if not path.is_symlink()))
    return [path for path in found if path.stat().st_mode & 0o077]


async def fill(data: Path, servers: JournalSettings | None = None) -> str:
    """Put one envelope into the store, and one only into the journal."""
    async with open_journal(data, servers) as journal:
        await journal.append([envelope_row(measurement_pb(NOW_US), sequence=n) for n in (1, 2)])
        async with open_store(data) as store:
            await store.insert_block(block(1, 1, (ONE, (reachable(),)), journal=journal.id))
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
    for name in (*FILES, *LEFT_OUT):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text(f"{name}\n")
    os.utime(data / "detect/1-0.state", (1, 1))
    with (data / "alerts.jsonl").open("a") as log:
        log.write("half a line")
    assert cli.main(["backup", str(saved), "--data", str(data)]) == 0
    fleet.close()
    assert cli.main(["restore", str(saved), "--data", str(again)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Restored into {again}."
    assert (list_open(again), list_open(saved)) == ([], [])
    assert asyncio.run(look(again)) == (journal, 2, 1, True)
    assert [(again / name).read_text() for name in FILES] == [f"{name}\n" for name in FILES]
    assert (again / "detect/1-0.state").stat().st_mtime == 1  # the newest is found by it
    assert not any((again / name).exists() for name in LEFT_OUT)
    kept = open_keyring(again, [])
    assert (kept.pin, kept.secret) == (keyring.pin, keyring.secret)
    assert kept.sealing.public == keyring.sealing.public
    restored = Fleet(again)
    assert restored.enrol_agent(token, SigningKey(b"k" * 32).public, "", 1).role == "volunteer"
    restored.close()
    assert "exists already" in refused(capsys, "backup", saved, "--data", data)
    assert "empty --data directory" in refused(capsys, "restore", saved, "--data", again)


@pytest.mark.real
@pytest.mark.xdist_group("nats")
def test_collector_with_servers_goes_on_without_them(
    tmp_path: Path, nats_server: NatsServers, capsys: pytest.CaptureFixture[str]
) -> None:
    data, saved, again = tmp_path / "data", tmp_path / "saved", tmp_path / "again"
    data.mkdir()
    records = on_servers(data, nats_server)
    journal = asyncio.run(fill(data, records.settings))
    assert cli.main(["backup", str(saved), *records.options]) == 0
    assert "proved by a restore" in capsys.readouterr().out
    assert cli.main(["restore", str(saved), "--data", str(again)]) == 0
    assert asyncio.run(look(again)) == (journal, 2, 1, True)


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


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a key pair by the commands of the manual."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    generate = ["openssl", "genpkey", "-algorithm", "X25519", "-out", str(private)]
    subprocess.run(generate, check=True)
    publish = ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(publish, check=True)
    return private, public


def test_encrypted_backup_opens_for_its_recipient_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, saved, again = tmp_path / "data", tmp_path / "saved", tmp_path / "again"
    journal = asyncio.run(fill(data))
    keyring = open_keyring(data, [])
    (private, public), (other, _) = make_keys(tmp_path, "backup"), make_keys(tmp_path, "other")
    assert "public key in PEM" in refused(capsys, "backup", saved, "--data", data, "--to", private)
    assert cli.main(["backup", str(saved), "--data", str(data), "--to", str(public)]) == 0
    assert "proved by a restore" in capsys.readouterr().out
    content = b"".join(file.read_bytes() for file in saved.rglob("*") if file.is_file())
    for secret in (keyring.secret, b"SQLite format 3", b"measurements", b"PRIVATE KEY"):
        assert secret not in content
    restore = ("restore", saved, "--data", again)
    assert "--identity FILE" in refused(capsys, *restore)
    assert "not the key" in refused(capsys, *restore, "--identity", other)
    assert "private key in PEM" in refused(capsys, *restore, "--identity", public)
    assert not again.exists()
    assert cli.main([*map(str, restore), "--identity", str(private)]) == 0
    assert asyncio.run(look(again)) == (journal, 2, 1, True)
    assert not (data / "backup.scratch").exists()


def test_backup_that_does_not_restore_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, saved = tmp_path / "data", tmp_path / "saved"
    asyncio.run(fill(data))
    (data / "fleet.db").write_bytes(b"SQLite format 3\0" + bytes(84) + b"x" * 8_092)
    assert "fleet.db" in refused(capsys, "backup", saved, "--data", data)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
