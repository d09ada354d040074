"""Every entry of a log can be rebuilt from the rows it names; a forged one cannot."""

import json
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from heliograph.durable_file import read_lines
from heliograph_collector.cli import main
from heliograph_collector.detect import checkpoint
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, AlertLog, body_of
from heliograph_collector.incidents.published.log import DetectorBody
from heliograph_collector.model.signals import Fault, FaultReason, VantageArrival
from support.detector_run import KEY, DetectorRun, rows_of
from support.examples import draw_seeds
from support.journal_rows import SECRET, row_of
from support.presence_model import KZ, Cut, at, country, live, world

ONSET, END, UNTIL = 3_600.0, 5_400.0, 6_000.0


async def history(data: Path, seed: int) -> int:
    """Log a cut, a restart within it, and its end; return the number of entries."""
    rng = Random(seed)
    cuts = [Cut(ONSET, END, KZ, 60.0)]
    rows = rows_of(live(country() + world(), rng, UNTIL / 3_600, churn=12, cuts=cuts))
    moment = ONSET + 100
    async with DetectorRun(data) as run:
        await run.play([r for r in rows if r.received_us <= at(moment)], moment, tick_s=4)
    start = row_of(Fault(at(moment), at(moment + 10), FaultReason.RESTART))
    back = [row_of(VantageArrival(at(moment + rng.uniform(10, 70)), w)) for w in world()]
    async with DetectorRun(data, start_s=moment + 10) as run:
        rest = [r for r in rows if r.received_us > at(moment + 10)]
        await run.play([start, *back, *rest], UNTIL, tick_s=7)
        keys = data / "keys"
        keys.mkdir()
        (keys / "secret.key").write_bytes(SECRET)
        (keys / "signing.key").write_bytes(b"k" * 32)
        return len(run.detector.book.entries)


def verified(data: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    code = main(["log", "verify", "--again", "--json", "--data", str(data)])
    return code, json.loads(capsys.readouterr().out)["again"]


@pytest.mark.long
@pytest.mark.parametrize("seed", draw_seeds(4))
async def test_all_entries_are_reproduced(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = await history(tmp_path, seed)
    assert entries > 2
    assert verified(tmp_path, capsys) == (0, {"agreed": entries, "differ": [], "uncovered": {}})


@pytest.mark.long
async def test_forged_entry_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry forged with the real key has a valid chain, but its rows disagree."""
    entries = await history(tmp_path, 1)
    *_, last = read_lines(tmp_path / LOG_FILE_NAME)
    body = body_of(last)
    assert isinstance(body, DetectorBody)
    part, *others = body.incident.parts
    incident = replace(body.incident, parts=(replace(part, votes=part.votes + 1), *others))
    body = replace(body, incident=incident)
    AlertLog(tmp_path / LOG_FILE_NAME, KEY).append([body])
    code, again = verified(tmp_path, capsys)
    assert code == 1
    assert again["differ"] == [entries + 1]
    assert main(["log", "verify", "--again", "--data", str(tmp_path)]) == 1
    assert f"otherwise: {entries + 1}" in capsys.readouterr().out


@pytest.mark.long
async def test_entries_without_checkpoint_are_counted_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = await history(tmp_path, 2)
    for file in checkpoint.list_states(tmp_path / "detect"):
        file.unlink()
    code, again = verified(tmp_path, capsys)
    assert (code, again["agreed"]) == (0, 0)
    assert again["uncovered"] == {"whose checkpoint is gone": entries}


def test_again_without_data_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / LOG_FILE_NAME).write_bytes(b"")
    key = KEY.public.hex()
    assert main(["log", "verify", "--again", "--key", key, "--data", str(tmp_path)]) == 1
    assert "--again wants the collector's --data" in capsys.readouterr().err
