"""Open results are unreadable on disk, and their copies are sent after a kill."""

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from heliograph.codec import epoch_to_pb, measurement_to_pb
from heliograph.observation import Epoch
from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.spool.schema import checksum
from support.results import (
    EPOCH,
    PLAIN,
    PlainSealer,
    ReplaceableSealer,
    append,
    close_all,
    contents,
    deliver_all,
    measurement,
    open_spool,
)

SECRET = "secret-target"  # what a disk may not show
# The tables of version 2, in which an open measurement was readable.
CLEAR_TABLES = """
CREATE TABLE measurement (sequence INTEGER PRIMARY KEY AUTOINCREMENT, priority INTEGER NOT NULL,
  size INTEGER NOT NULL, stored_us INTEGER NOT NULL, epoch TEXT NOT NULL, crc INTEGER NOT NULL,
  body BLOB NOT NULL);
CREATE TABLE envelope (sequence INTEGER PRIMARY KEY AUTOINCREMENT, priority INTEGER NOT NULL,
  size INTEGER NOT NULL, stored_us INTEGER NOT NULL, measurements INTEGER NOT NULL,
  crc INTEGER NOT NULL, body BLOB NOT NULL, cover INTEGER NOT NULL DEFAULT 0);
CREATE TABLE quarantine (sequence INTEGER PRIMARY KEY, reason TEXT NOT NULL,
  stored_us INTEGER NOT NULL, measurements INTEGER NOT NULL, crc INTEGER NOT NULL,
  body BLOB NOT NULL);
CREATE TABLE epoch (id TEXT PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE gap (kind TEXT PRIMARY KEY, count INTEGER NOT NULL, last_us INTEGER NOT NULL);
CREATE INDEX measurement_by_priority ON measurement (priority, sequence, size);
CREATE INDEX envelope_by_priority ON envelope (priority, sequence, size, measurements);
CREATE INDEX envelope_by_cover ON envelope (cover, priority, size, measurements) WHERE cover > 0;
PRAGMA user_version = 2;
"""


class MirrorSealer(PlainSealer):
    """A Batch backwards, so that no word in it can be found."""

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        return super().seal_batch(sequence, measurements, epochs)[::-1]


def fail(number: int, epochs: Sequence[Epoch]) -> None:
    raise PermissionError("no key")


def carve(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if SECRET.encode() in p.read_bytes()]


def kill(path: Path, name: str) -> Path:
    """Copy the files as they are, as a process that ends now leaves them."""
    shutil.copytree(path.parent, path.parent.with_name(name))
    return path.parent.with_name(name) / path.name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "spool.db"


async def targets_waiting(spool: Spool) -> Counter[str]:
    return Counter(t for _, e in await spool.list_waiting(99) for t in contents(e).values())


async def test_no_moment_of_a_result_shows_it(path: Path) -> None:
    async with open_spool(path, sealer=MirrorSealer()) as spool:
        await append(spool, *[SECRET] * 20)
        assert carve(path.parent) == []
        await close_all(spool)
        assert carve(path.parent) == []
        assert path.with_name("spool.db-wal").stat().st_size == 0, "the journal is truncated"
        ((number, _),) = await spool.list_waiting(2)
        await spool.record_receipt(number, "stored")
    assert carve(path.parent) == []


async def test_killed_process_leaves_every_result_once(path: Path) -> None:
    """A killed process leaves every result once.

    It is in its batch if there is one, else in its copy; numbers are never given again.
    """
    async with open_spool(path) as spool:
        await append(spool, "batched 1", "batched 2", priority=Priority.P1)
        await spool.close_batch()
        await append(spool, "open 1", "open 2")
        killed = kill(path, "killed")
        numbers = await close_all(spool)
    async with open_spool(killed) as spool:
        await close_all(spool)
        once = Counter(["batched 1", "batched 2", "open 1", "open 2"])
        assert await targets_waiting(spool) == once
        assert (await spool.read_counts()).open == 0
        assert len({number for number, _ in await spool.list_waiting(9)}) == 3
        await append(spool, "next")
        assert min(await close_all(spool)) > max(numbers)
        assert [m.target for batch in await deliver_all(spool) for m in batch.measurements] != []
    async with open_spool(killed) as spool:
        assert (await spool.read_counts()).waiting == 0, "a copy that arrived is not sent again"


async def test_failing_seal_holds_the_result_in_this_process(path: Path) -> None:
    sealer = ReplaceableSealer(PlainSealer(fail))
    async with open_spool(path, sealer=sealer) as spool:
        await append(spool, "held")
        killed = kill(path, "killed")
        sealer.current = PLAIN
        await close_all(spool)
        assert await targets_waiting(spool) == Counter(["held"])
    async with open_spool(killed) as spool:
        await close_all(spool)
        counts = await spool.read_counts()
    assert (counts.open, counts.waiting, counts.dropped) == (0, 0, {"unreadable": 1})


def write_clear_spool(path: Path, count: int) -> None:
    """Write a spool of version 2 as a kill left it, with a copy of a damaged file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(f"PRAGMA journal_mode = WAL; {CLEAR_TABLES}")
        for number in range(1, count + 1):
            message = measurement_to_pb(measurement(f"{SECRET} {number}"))
            message.sequence = number
            body = message.SerializeToString()
            row = (number, 3, len(body), 1_641_380_400_000_001, EPOCH.id)
            crc = checksum(body, number, 3, EPOCH.id)
            db.execute("INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, crc, body))
        epoch = epoch_to_pb(EPOCH).SerializeToString()
        db.execute(
            "INSERT INTO epoch VALUES (?, ?, ?)", (EPOCH.id, checksum(epoch, EPOCH.id), epoch)
        )
        sealed = PLAIN.seal_batch(
            7, [measurement_to_pb(measurement("sealed")).SerializeToString()], []
        )
        values = (7, 3, len(sealed), 1, 1, checksum(sealed, 7), sealed, 0)
        db.execute("INSERT INTO envelope VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        kept = path.with_name("as-it-was")
        for ending in ("", "-wal"):
            shutil.copyfile(f"{path}{ending}", f"{kept}{ending}")
    for ending in ("", "-wal"):
        Path(f"{kept}{ending}").replace(f"{path}{ending}")
    path.with_name("spool.db.damaged").write_bytes(SECRET.encode())


@pytest.mark.parametrize("first_page", ["whole", "ruined"])
async def test_readable_spool_of_version_2_is_sealed_and_erased(
    path: Path, first_page: str
) -> None:
    write_clear_spool(path, 5)
    if first_page == "ruined":
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.write(bytes(4_096))
    assert carve(path.parent)
    async with open_spool(path, sealer=MirrorSealer()) as spool:
        counts = await spool.read_counts()
        assert (counts.open, counts.waiting, counts.problem) == (5, 1, "")
        assert carve(path.parent) == []
        assert "damaged" not in counts.dropped or first_page == "ruined"
        killed = kill(path, "killed")
        await close_all(spool)
        envelopes = [e for _, e in await spool.list_waiting(9)]
    assert carve(path.parent) == []
    measured = [contents(e[::-1]) for e in envelopes if b"sealed" not in e]
    assert measured == [{n: f"{SECRET} {n}" for n in range(1, 6)}]
    async with open_spool(killed) as spool:
        await close_all(spool)
        assert (await spool.read_counts()).waiting == 6


async def test_upgrade_without_the_key_changes_nothing(path: Path) -> None:
    write_clear_spool(path, 3)
    sealer = ReplaceableSealer(PlainSealer(fail))
    async with open_spool(path, sealer=sealer) as spool:
        with pytest.raises(SpoolError, match="make the agent's key readable"):
            await append(spool, "new")
        sealer.current = PLAIN
        await append(spool, "new")
        await close_all(spool)
        assert sum((await targets_waiting(spool)).values()) == 5
