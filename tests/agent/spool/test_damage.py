"""A damaged file: the agent starts, keeps what can be read, gives no number twice."""

import asyncio
import contextlib
import os
import random
import resource
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.spool.schema import PAGE
from heliograph_agent.spool.sequence_marks import (
    BLOCK,
    ENVELOPE_BLOCK,
    HighestSequences,
    SequenceMarks,
)
from support.results import EPOCH, close_all, contents, measurement, open_spool

BATCHES, OPEN = 12, 120
SHORT = 120_000  # bytes of the longest file
FRAME = 24 + PAGE  # of the journal


def target(number: int) -> str:
    return f"target-{number}-" + "x" * (number * 37 % 600)


async def add(spool: Spool, number: int) -> int:
    return await spool.append(measurement(target(number)), EPOCH, Priority(number % 4))


async def add_long(spool: Spool, count: int) -> None:
    """Add many results at once, in few commits."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            result = measurement(f"t{number}", not_measured="x" * 900)
            group.create_task(spool.append(result, EPOCH, Priority.P1))


async def fill(path: Path) -> dict[int, bytes]:
    """Fill a spool with envelopes and open results; return what must be sent later."""
    async with open_spool(path) as spool:
        number = 0
        for _ in range(BATCHES):
            for _ in range(4):
                number += 1
                await add(spool, number)
            await spool.close_batch()
        for _ in range(OPEN):
            number += 1
            assert await add(spool, number) == number
    next_life = path.with_name("next-life")
    shutil.copytree(path.parent, next_life)
    async with open_spool(next_life / path.name) as spool:
        await close_all(spool)
        waiting = dict(await spool.list_waiting(1_000))
    shutil.rmtree(next_life)
    measured = {n: t for envelope in waiting.values() for n, t in contents(envelope).items()}
    assert measured == {n: target(n) for n in range(1, BATCHES * 4 + OPEN + 1)}
    return waiting


def flip(path: Path, rng: random.Random, times: int) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(times):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@pytest.fixture
def damaged(filled: tuple[Path, dict[int, bytes]], tmp_path: Path) -> Path:
    """Copy a filled spool, to be damaged."""
    shutil.copytree(filled[0], tmp_path / "state")
    return tmp_path / "state" / "spool.db"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, bytes]]:
    home = tmp_path_factory.mktemp("filled")
    return home, asyncio.run(fill(home / "spool.db"))


@pytest.mark.long
async def test_flipped_bits_lose_only_hit_rows(
    filled: tuple[Path, dict[int, bytes]], tmp_path: Path
) -> None:
    home, before = filled
    kept_count, possible = 0, 0
    for seed in range(40):
        folder = tmp_path / str(seed)
        shutil.copytree(home, folder)
        rng = random.Random(seed)
        flip(folder / "spool.db", rng, rng.choice([1, 3, 10, 100]))
        async with open_spool(folder / "spool.db") as spool:
            (number,) = [await add(spool, 0)]
            assert number > BATCHES * 4 + OPEN, "no number twice"
            *_, added = await close_all(spool)
            envelopes = dict(await spool.list_waiting(1_000))
            del envelopes[added]
            assert envelopes.items() <= before.items(), "an envelope is whole or gone"
            assert (await spool.read_counts()).problem == ""
        kept_count += len(envelopes)
        possible += len(before)
    print(f"\n40 damaged spools: {kept_count} of {possible} rows kept")
    assert kept_count > possible * 2 // 3


async def test_flipped_bits_in_journal_lose_only_the_end(tmp_path: Path) -> None:
    """Flipped bits in the journal lose only its end.

    After a power failure the last commits are in the journal alone.
    """
    live = tmp_path / "live" / "spool.db"
    live.parent.mkdir()
    async with open_spool(live) as spool:
        for number in range(1, 63):
            await add(spool, number)
            if number % 5 == 0:
                await spool.close_batch()
            if number % 5 == 2:  # else a batch has just emptied the journal
                for seed in range(20):
                    shutil.copytree(live.parent, tmp_path / str(seed), dirs_exist_ok=True)
    for seed in range(20):
        path = tmp_path / str(seed) / "spool.db"
        flip(path.with_name("spool.db-wal"), random.Random(seed), 2)
        async with open_spool(path) as spool:
            await close_all(spool)
            waiting = await spool.list_waiting(1_000)
            measured = {n: t for _, e in waiting for n, t in contents(e).items()}
            assert {n: target(n) for n in range(1, 61)}.items() <= measured.items()
            assert measured.items() <= {n: target(n) for n in range(1, 63)}.items()
            await add(spool, 0)
            closed = await spool.close_batch()
            assert closed is not None
            assert closed > max(n for n, _ in waiting), (
                "else the collector would take it for a duplicate"
            )


def truncate_to_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def overwrite_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4_096))


def set_unknown_format(path: Path) -> None:
    """Set one byte, so that SQLite takes the file as read-only."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x07")


def overwrite_all(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def replace_by_other_database(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")


def set_future_version(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def drop_table(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE gap")


HARMS: tuple[Callable[[Path], None], ...] = (
    truncate_to_half, overwrite_first_page, set_unknown_format, overwrite_all,
    replace_by_other_database, set_future_version, drop_table, Path.unlink,
)  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
async def test_ruined_file_is_replaced_by_salvaged_copy(
    filled: tuple[Path, dict[int, bytes]], damaged: Path, harm: Callable[[Path], None]
) -> None:
    path, before = damaged, filled[1]
    harm(path)
    ruined = path.read_bytes() if path.exists() else b""
    async with open_spool(path) as spool:
        assert await add(spool, 0) > BATCHES * 4 + OPEN
        await close_all(spool)
        counts = await spool.read_counts()
        envelopes = dict(await spool.list_waiting(1_000))
    assert counts.problem == ""
    assert max(envelopes) > max(before), "an envelope's number is never given again either"
    if harm in (overwrite_first_page, set_future_version, drop_table):
        kept_count = counts.open + counts.waiting_measurements
        assert kept_count == BATCHES * 4 + OPEN + 1, "every row is kept"
        assert before.items() <= envelopes.items()
    if ruined:
        assert counts.dropped["damaged"] == 1
        assert path.with_name("spool.db.damaged").read_bytes() == ruined
    async with open_spool(path) as spool:
        assert (await spool.read_counts()).dropped.get("damaged", 0) == bool(ruined), (
            "and no second time"
        )


@pytest.mark.parametrize("left", ["salvaging", "salvaging and half a copy"])
async def test_interrupted_salvage_is_continued(
    filled: tuple[Path, dict[int, bytes]], damaged: Path, left: str
) -> None:
    path, before = damaged, filled[1]
    path.rename(path.with_name("spool.db.salvaging"))
    if "copy" in left:
        path.with_name("spool.db.copy").write_bytes(os.urandom(5_000))
    async with open_spool(path) as spool:
        await close_all(spool)
        assert dict(await spool.list_waiting(1_000)) == before
    names = {p.name.removeprefix("spool.db") for p in path.parent.iterdir()}
    assert names == {"", ".damaged", ".floor", ".lock"}


@pytest.mark.long
async def test_damage_found_while_running_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with open_spool(path) as spool:
        await add_long(spool, 3_000)
        await spool._writer.execute(0, lambda _: None)
        with path.open("r+b") as file:
            file.seek(40 * 4_096)
            file.write(os.urandom(20 * 4_096))
        await close_all(spool)
        assert await add(spool, 0) > 3_000
        counts = await spool.read_counts()
    assert counts.problem == ""
    assert counts.dropped["damaged"] == 1
    assert 2_000 < counts.waiting_measurements < 3_000, "what the damage did not hit is kept"


async def test_file_in_use_by_another_process_is_not_repaired(damaged: Path) -> None:
    async with open_spool(damaged) as first, open_spool(damaged) as second:
        assert (await first.read_counts()).open == OPEN + BATCHES * 2
        overwrite_all(damaged)
        with pytest.raises(SpoolError, match="another process has it open"):
            await add(second, 0)


@pytest.mark.long
async def test_restored_backup_gives_no_number_twice(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with open_spool(path) as spool:
        await add(spool, 1)
    backup = path.read_bytes()
    async with open_spool(path) as spool:
        await add_long(spool, 3 * BLOCK)
        envelope = (await close_all(spool))[-1]
    path.write_bytes(backup)
    async with open_spool(path) as spool:
        assert await add(spool, 0) > 3 * BLOCK
        assert (await close_all(spool))[-1] > envelope


def test_marks_survive_interrupted_write(tmp_path: Path) -> None:
    floor = SequenceMarks(tmp_path / "floor")
    assert floor.read_marks() is None
    floor.reserve_envelopes(1)
    floor.reserve_measurements(1)
    assert floor.read_marks() == HighestSequences(1 + BLOCK, 1 + ENVELOPE_BLOCK)
    whole = (tmp_path / "floor").read_bytes()
    floor.reserve_envelopes(2 + ENVELOPE_BLOCK)
    torn = bytearray((tmp_path / "floor").read_bytes())
    changed = [i for i, byte in enumerate(torn) if byte != (whole + bytes(len(torn)))[i]]
    torn[changed[-1]] ^= 0xFF
    (tmp_path / "floor").write_bytes(torn)
    assert floor.read_marks() == HighestSequences(1 + BLOCK, 1 + ENVELOPE_BLOCK)


def test_marks_never_decrease(tmp_path: Path) -> None:
    floor = SequenceMarks(tmp_path / "floor")
    (tmp_path / "floor").write_bytes(os.urandom(2_000))
    assert floor.read_marks() is None, "no slot is intact"
    floor.reserve_measurements(5_000)
    floor.reserve_envelopes(70)
    floor.reserve_measurements(10)
    floor.reserve_envelopes(3)
    assert floor.read_marks() == HighestSequences(5_000 + BLOCK, 70 + ENVELOPE_BLOCK)


async def test_schema_with_invalid_text_is_repaired(tmp_path: Path) -> None:
    """A schema with invalid text is repaired.

    SQLite quotes the text in its error, which cannot be decoded.
    """
    path = tmp_path / "spool.db"
    before = await fill(path)
    damaged = path.read_bytes().replace(b"cover > 0", b"cover > \xb0")
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    async with open_spool(path) as spool:
        await close_all(spool)
        assert dict(await spool.list_waiting(1_000)) == before


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (b"sqlite_sequence(name,seq)", b"sqlite_sequence(nime,seq)"),
        (b"sqlite_sequence(name,seq)", b"sqlite_sequence(name,sep)"),
    ],
)
async def test_renamed_column_of_the_last_numbers_is_repaired(
    tmp_path: Path, read: bytes, written: bytes
) -> None:
    """A renamed column of the last numbers is repaired.

    A single bit, after which no number could be given again, and nothing be measured.
    """
    path = tmp_path / "spool.db"
    before = await fill(path)
    whole = path.read_bytes()
    assert whole.count(read) == 1
    path.write_bytes(whole.replace(read, written))
    async with open_spool(path) as spool:
        await close_all(spool)
        assert dict(await spool.list_waiting(1_000)) == before


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE sqlite_sequence SET seq = -5 WHERE name = 'measurement'",
        f"UPDATE sqlite_sequence SET seq = {(1 << 63) - 1}",
        "UPDATE sqlite_sequence SET seq = 2",
        "UPDATE sqlite_sequence SET seq = 'x'",
        "UPDATE sqlite_sequence SET name = 'measuremant' WHERE name = 'measurement'",
        "DELETE FROM sqlite_sequence WHERE name = 'measurement'",
    ],
)
async def test_last_number_that_cannot_be_true_is_repaired(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "spool.db"
    before = await fill(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(harm)
        db.commit()
    async with open_spool(path) as spool:
        assert await add(spool, 0) > BATCHES * 4 + OPEN
        await close_all(spool)
        waiting = dict(await spool.list_waiting(1_000))
    assert {n: body for n, body in waiting.items() if n in before} == before
    assert len(waiting) == len(before) + 1


async def fill_while_no_file_grows(path: Path, rng: random.Random) -> None:
    """Fill a spool until its file stops growing between two pages of a checkpoint."""
    async with open_spool(path) as spool:
        for number in range(60):
            noise = rng.randbytes(rng.choice((10, 400, 1_000))).hex()
            result = measurement(f"t{number}", services_version=noise)
            with contextlib.suppress(SpoolError):
                await spool.append(result, EPOCH, Priority(rng.randrange(4)))
            with contextlib.suppress(SpoolError):
                while rng.random() < 0.3 and await spool.close_batch(6_208, is_offline=True):
                    pass
        shutil.copytree(path.parent, path.parent.with_name("killed"))


@pytest.mark.parametrize("seed", [1, 5, 19, 29])
async def test_file_half_written_back_with_a_damaged_journal_sends_nothing_twice(
    tmp_path: Path, seed: int
) -> None:
    """A file half written back, with a damaged journal, sends nothing twice."""
    (tmp_path / "first").mkdir(exist_ok=True)
    whole, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SHORT, hard))
    try:
        await fill_while_no_file_grows(tmp_path / "first" / "spool.db", random.Random(seed))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole, hard))
    damaged = 0
    for frame in range(SHORT // FRAME):
        path = tmp_path / str(frame) / "spool.db"
        shutil.copytree(tmp_path / "killed", path.parent)
        with path.with_name("spool.db-wal").open("r+b") as journal:
            journal.seek(32 + frame * FRAME + 100)
            journal.write(b"flipped")
        async with open_spool(path) as spool:
            await close_all(spool)
            waiting = await spool.list_waiting(1_000)
            damaged += (await spool.read_counts()).dropped.get("damaged", 0)
        sent = [target for _, body in waiting for target in contents(body).values()]
        assert len(sent) == len(set(sent)), f"frame {frame}"
    assert damaged, "some frame left a file of old and new pages"
