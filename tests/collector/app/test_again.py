"""Every entry of a log can be made again from what it names, and one that was made up cannot."""

import json
from pathlib import Path
from random import Random

import pytest

from heliograph_collector.cli import main
from heliograph_collector.detect import checkpoint
from heliograph_collector.incidents.hash_chain import body_of
from heliograph_collector.incidents.log_file import FILE, AlertLog, lines_of
from heliograph_collector.model.signals import Arrival, Fault, Why
from support.dark_rows import SECRET, row_of
from support.dark_shift import KEY, Shift, rows_of
from support.dark_world import KZ, Cut, at, country, live, world

ONSET, END, UNTIL = 3_600.0, 5_400.0, 6_000.0


async def history(data: Path, seed: int) -> int:
    """A cut, a restart within it, its end; how many entries that made."""
    rng = Random(seed)
    cuts = [Cut(ONSET, END, KZ, 60.0)]
    rows = rows_of(live(country() + world(), rng, UNTIL / 3_600, churn=12, cuts=cuts))
    moment = ONSET + 100
    async with Shift(data) as shift:
        await shift.play([r for r in rows if r.received_us <= at(moment)], moment, tick_s=4)
    start = row_of(Fault(at(moment), at(moment + 10), Why.RESTART))
    back = [row_of(Arrival(at(moment + rng.uniform(10, 70)), w)) for w in world()]
    async with Shift(data, start_s=moment + 10) as shift:
        rest = [r for r in rows if r.received_us > at(moment + 10)]
        await shift.play([start, *back, *rest], UNTIL, tick_s=7)
        keys = data / "keys"
        keys.mkdir()
        (keys / "secret.key").write_bytes(SECRET)
        (keys / "signing.key").write_bytes(b"k" * 32)
        return len(shift.detector.book.entries)


def verified(data: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    code = main(["log", "verify", "--again", "--json", "--data", str(data)])
    return code, json.loads(capsys.readouterr().out)["again"]


@pytest.mark.parametrize("seed", range(4))
async def test_all_entries_come_out_the_same(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = await history(tmp_path, seed)
    assert entries > 2
    assert verified(tmp_path, capsys) == (0, {"agreed": entries, "differ": [], "uncovered": {}})


async def test_what_was_made_up_comes_out_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whoever holds the key: the chain holds, the rows do not bear it."""
    entries = await history(tmp_path, 1)
    *_, last = lines_of(tmp_path / FILE)
    body = body_of(last)
    body["incident"]["parts"][0]["votes"] += 1
    AlertLog(tmp_path / FILE, KEY).append([body])
    code, again = verified(tmp_path, capsys)
    assert code == 1
    assert again["differ"] == [entries + 1]
    assert main(["log", "verify", "--again", "--data", str(tmp_path)]) == 1
    assert f"otherwise: {entries + 1}" in capsys.readouterr().out


async def test_what_nobody_can_make_again_is_counted_by_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = await history(tmp_path, 2)
    for file in checkpoint.states(tmp_path / "detect"):
        file.unlink()
    code, again = verified(tmp_path, capsys)
    assert (code, again["agreed"]) == (0, 0)
    assert again["uncovered"] == {"whose checkpoint is gone": entries}


def test_without_the_data_it_says_what_it_wants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE).write_bytes(b"")
    key = KEY.public.hex()
    assert main(["log", "verify", "--again", "--key", key, "--data", str(tmp_path)]) == 1
    assert "--again wants the collector's --data" in capsys.readouterr().err
