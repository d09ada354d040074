"""Whatever befell the file: the agent starts, keeps what can be read, gives no number twice."""

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.spool.sequence_marks import BLOCK, Floor, Marks
from support.hand_clock import HandClock
from support.results import EPOCH, contents, measurement, plain_seal

BATCHES, OPEN = 12, 120


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Spool]:
    spool = Spool(path, clock=HandClock())
    try:
        yield spool
    finally:
        await spool.close()


def target(number: int) -> str:
    return f"target-{number}-" + "x" * (number * 37 % 600)


async def add(spool: Spool, number: int) -> int:
    return await spool.append(measurement(target(number)), EPOCH, Priority(number % 4))


async def add_long(spool: Spool, count: int) -> None:
    """Many at once, in few commits."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            one = measurement(f"t{number}", not_measured="x" * 900)
            group.create_task(spool.append(one, EPOCH, Priority.P1))


async def fill(path: Path) -> dict[int, bytes]:
    """Envelopes and open measurements; returns the envelopes."""
    async with opened(path) as spool:
        number = 0
        for _ in range(BATCHES):
            for _ in range(4):
                number += 1
                await add(spool, number)
            await spool.close_batch(plain_seal)
        for _ in range(OPEN):
            number += 1
            assert await add(spool, number) == number
        return dict(await spool.waiting(1_000))


async def everything(spool: Spool) -> tuple[dict[int, bytes], dict[int, str]]:
    """The envelopes as they are, and number → target of what was open, closed now."""
    envelopes = dict(await spool.waiting(1_000))
    while await spool.close_batch(plain_seal) is not None:
        pass
    fresh = {n: e for n, e in await spool.waiting(1_000) if n not in envelopes}
    return envelopes, {n: t for e in fresh.values() for n, t in contents(e).items()}


def flip(path: Path, rng: random.Random, times: int) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(times):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, bytes]]:
    home = tmp_path_factory.mktemp("filled")
    return home, asyncio.run(fill(home / "spool.db"))


async def test_flipped_bits_lose_only_what_they_hit(
    filled: tuple[Path, dict[int, bytes]], tmp_path: Path
) -> None:
    home, before = filled
    kept, possible = 0, 0
    for seed in range(40):
        folder = tmp_path / str(seed)
        shutil.copytree(home, folder)
        rng = random.Random(seed)
        flip(folder / "spool.db", rng, rng.choice([1, 3, 10, 100]))
        async with opened(folder / "spool.db") as spool:
            (number,) = [await add(spool, 0)]
            assert number > BATCHES * 4 + OPEN, "no number twice"
            envelopes, measurements = await everything(spool)
            assert envelopes.items() <= before.items(), "an envelope is whole or gone"
            del measurements[number]
            assert measurements.items() <= {n: target(n) for n in measurements}.items()
            assert (await spool.counts()).problem == ""
        kept += len(envelopes) + len(measurements)
        possible += (
            len(before) + BATCHES * 4 + OPEN - sum(len(contents(e)) for e in before.values())
        )
    print(f"\n40 damaged spools: {kept} of {possible} rows kept")
    assert kept > possible * 2 // 3


async def test_flipped_bits_in_the_journal_lose_only_the_end(tmp_path: Path) -> None:
    """As a machine leaves it that lost its power: the last commits are in the journal alone."""
    live = tmp_path / "live" / "spool.db"
    live.parent.mkdir()
    async with opened(live) as spool:
        before = {}
        for number in range(1, 61):
            await add(spool, number)
            if number % 5 == 0:
                await spool.close_batch(plain_seal)
        before = dict(await spool.waiting(1_000))
        for seed in range(20):
            shutil.copytree(live.parent, tmp_path / str(seed))
    for seed in range(20):
        path = tmp_path / str(seed) / "spool.db"
        flip(path.with_name("spool.db-wal"), random.Random(seed), 2)
        async with opened(path) as spool:
            assert dict(await spool.waiting(1_000)).items() <= before.items()
            await add(spool, 0)
            closed = await spool.close_batch(plain_seal)
            assert closed is not None
            assert closed > max(before), "else the collector would take it for a duplicate"


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def write_over_its_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4_096))


def claim_another_format(path: Path) -> None:
    """One byte, and SQLite takes it for a file that may only be read."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x07")


def write_over_all(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def write_another_database(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")


def come_from_the_future(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def lose_an_index(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE gap")


def take_it_away(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "harm",
    [
        cut_in_half,
        write_over_its_head,
        claim_another_format,
        write_over_all,
        write_another_database,
        come_from_the_future,
        lose_an_index,
        take_it_away,
    ],
)
async def test_a_ruined_file_is_put_aside_and_the_work_goes_on(
    filled: tuple[Path, dict[int, bytes]], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    home, before = filled
    shutil.copytree(home, tmp_path / "state")
    path = tmp_path / "state" / "spool.db"
    harm(path)
    ruined = path.read_bytes() if path.exists() else b""
    async with opened(path) as spool:
        assert await add(spool, 0) > BATCHES * 4 + OPEN
        await spool.close_batch(plain_seal)
        counts = await spool.counts()
        numbers = {number for number, _ in await spool.waiting(1_000)}
    assert counts.problem == ""
    assert max(numbers) > max(before), "an envelope's number is never given again either"
    if harm is write_over_its_head:
        kept = counts.open + counts.waiting_measurements
        assert kept == BATCHES * 4 + OPEN + 1, "nothing but the first page is lost"
    if ruined:
        assert counts.dropped["damaged"] == 1
        assert path.with_name("spool.db.damaged").read_bytes() == ruined
    async with opened(path) as spool:
        assert (await spool.counts()).dropped.get("damaged", 0) == bool(ruined), (
            "and no second time"
        )


@pytest.mark.parametrize("harm", [come_from_the_future, lose_an_index])
async def test_what_can_be_read_is_all_kept(
    filled: tuple[Path, dict[int, bytes]], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    home, before = filled
    shutil.copytree(home, tmp_path / "state")
    harm(tmp_path / "state" / "spool.db")
    async with opened(tmp_path / "state" / "spool.db") as spool:
        envelopes, measurements = await everything(spool)
    inside = [number for envelope in before.values() for number in contents(envelope)]
    assert envelopes == before
    assert sorted(inside + list(measurements)) == list(range(1, BATCHES * 4 + OPEN + 1))


@pytest.mark.parametrize("left", ["salvaging", "salvaging and half a copy"])
async def test_a_rescue_that_was_cut_short_is_taken_up_again(
    filled: tuple[Path, dict[int, bytes]], tmp_path: Path, left: str
) -> None:
    home, before = filled
    shutil.copytree(home, tmp_path / "state")
    path = tmp_path / "state" / "spool.db"
    path.rename(path.with_name("spool.db.salvaging"))
    if "copy" in left:
        path.with_name("spool.db.copy").write_bytes(os.urandom(5_000))
    async with opened(path) as spool:
        envelopes, measurements = await everything(spool)
    assert envelopes == before
    assert measurements
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "spool.db",
        "spool.db.damaged",
        "spool.db.floor",
        "spool.db.lock",
    ]


async def test_damage_met_during_work_is_mended_during_work(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with opened(path) as spool:
        for number in range(1, 3_001):
            await spool.append(
                measurement(f"t{number}", not_measured="x" * 900), EPOCH, Priority.P1
            )
        await spool._writer.do(lambda _: None)
        with path.open("r+b") as file:
            file.seek(40 * 4_096)
            file.write(os.urandom(20 * 4_096))
        while await spool.close_batch(plain_seal) is not None:
            pass
        assert await add(spool, 0) > 3_000
        counts = await spool.counts()
    assert counts.problem == ""
    assert counts.dropped["damaged"] == 1
    assert 2_000 < counts.waiting_measurements < 3_000, "what the damage did not hit is kept"


async def test_a_file_that_others_use_is_not_mended_under_them(
    filled: tuple[Path, dict[int, bytes]], tmp_path: Path
) -> None:
    shutil.copytree(filled[0], tmp_path / "state")
    path = tmp_path / "state" / "spool.db"
    async with opened(path) as first, opened(path) as second:
        assert (await first.counts()).open == OPEN + BATCHES * 2
        write_over_all(path)
        with pytest.raises(SpoolError, match="another process has it open"):
            await add(second, 0)


async def test_a_restored_backup_gives_no_number_twice(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with opened(path) as spool:
        await add(spool, 1)
    backup = path.read_bytes()
    async with opened(path) as spool:
        await add_long(spool, 3 * BLOCK)
        while (last := await spool.close_batch(plain_seal)) is not None:
            envelope = last
    path.write_bytes(backup)
    async with opened(path) as spool:
        assert await add(spool, 0) > 3 * BLOCK
        after = await spool.close_batch(plain_seal)
        assert after is not None
        assert after > envelope


def test_a_floor_survives_a_write_that_was_cut_short(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "floor")
    assert floor.read() is None
    floor.give(1)
    floor.reserve(1)
    assert floor.read() == Marks(1 + BLOCK, 1)
    whole = (tmp_path / "floor").read_bytes()
    floor.give(2)
    torn = bytearray((tmp_path / "floor").read_bytes())
    changed = [i for i, byte in enumerate(torn) if byte != (whole + bytes(len(torn)))[i]]
    torn[changed[-1]] ^= 0xFF
    (tmp_path / "floor").write_bytes(torn)
    assert floor.read() == Marks(1 + BLOCK, 1)


def test_a_floor_never_sinks(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "floor")
    floor.reserve(5_000)
    floor.give(70)
    floor.reserve(10)
    floor.give(3)
    assert floor.read() == Marks(5_000 + BLOCK, 70)


def test_a_floor_of_rubbish_is_no_floor(tmp_path: Path) -> None:
    (tmp_path / "floor").write_bytes(os.urandom(2_000))
    assert Floor(tmp_path / "floor").read() is None


async def test_a_schema_that_is_no_text_any_more_is_mended(tmp_path: Path) -> None:
    """SQLite quotes it in what it says of the damage, and that cannot be decoded."""
    path = tmp_path / "spool.db"
    before = await fill(path)
    damaged = path.read_bytes().replace(b"cover > 0", b"cover > \xb0")
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    async with opened(path) as spool:
        assert dict(await spool.waiting(1_000)) == before
