"""A list of fingerprints is tried on stored measurements before its use."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heliograph.observation import Link
from heliograph_collector import cli
from heliograph_collector.app.rejudge import StoreDryRunner
from heliograph_collector.console.backend import InvalidInputError, TriedList
from heliograph_collector.console.rules import DryRuns
from heliograph_collector.control import Assessor
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import judge
from heliograph_collector.judge.fingerprints.library import LIBRARY, load_shipped
from heliograph_collector.model.records import (
    AgentRole,
    Block,
    ReceivedMeasurement,
    Vantage,
)
from heliograph_collector.store.store import Store
from support.hand_clock import HandClock
from support.scenario import measurement, taken

T0 = 1_641_351_600_000_000  # 2022-01-05 03:00 UTC
SHIPPED = len(load_shipped())
PAGE = "http http://www.target.example/"
LOOKUP: list[dict[str, Any]] = [{"system A": "5.6.7.8"}, {"connect 5.6.7.8 80": "ok"}]
NOTICE: list[dict[str, Any]] = [
    *LOOKUP, {PAGE: {"status": 200, "title": "Notice", "text": "Bring form 47-K.", "bytes": 90}}
]  # fmt: skip
SITE: list[dict[str, Any]] = [
    *LOOKUP, {PAGE: {"status": 200, "title": "Target", "text": "News of today.", "bytes": 9_000}}
]  # fmt: skip
HEAD = (
    "name,scope,other_names,location_found,pattern_type,pattern,"
    "confidence_no_fp,expected_countries,source,exp_url,notes"
)
LIST = f"{HEAD}\nkz_form,nat,,body,contains,Bring form 47-K,5,KZ,mine,,\n"


def make(number: int, steps: list[dict[str, Any]], role: AgentRole) -> ReceivedMeasurement:
    seen = replace(measurement(steps, started_us=T0 + number), link=Link.ONLINE)
    place = Vantage(country="KZ", asn=number, access="fixed")
    one = taken(seen, role=role, nym=f"n{number}")
    return replace(one, id=f"{number:032x}", prefix=f"p{number}", position=number, vantage=place)


SEEN = make(1, NOTICE, AgentRole.VOLUNTEER)
CONTROL = make(2, SITE, AgentRole.CONTROL)


async def fill(store: Store) -> None:
    judged = tuple(Assessor(judge).assess([CONTROL, SEEN]))
    await store.insert_block(Block(journal="j", first=1, last=2, judged=judged))


async def fill_at(url: str) -> None:
    store = Store(url, observations_days=9_999, verdicts_days=9_999)
    await store.open()
    await fill(store)
    await store.close()


async def test_dry_run_beside_a_running_judge_leaves_its_lists_alone(store: Store) -> None:
    """`serve` itself judges in the process of the console where the machine is small."""
    await fill(store)
    LIBRARY.watch(SignedLists(Path("none")))  # other tests of this process have other lists
    runs = DryRuns(StoreDryRunner(store, (), Path("none")), HandClock())
    await runs.start(TriedList("mine.csv", LIST.encode()))
    assert runs.status.is_running
    with pytest.raises(InvalidInputError, match="wait for that to end"):
        await runs.start(None)
    running = asyncio.create_task(runs.run())
    while runs.status.is_running:
        assert len(LIBRARY.index.lists) == SHIPPED
        await asyncio.sleep(0)  # the lists are looked at in each turn of the run
    running.cancel()
    assert runs.status.list_name == "mine.csv"
    assert runs.status.judged_count == 2
    result = runs.status.result
    assert result is not None
    (change,) = result.changes
    assert (change.state_after, change.after, change.count) == ("blocked", "http.block_page", 1)


async def test_list_that_cannot_be_read_is_refused_with_its_place(store: Store) -> None:
    runs = DryRuns(StoreDryRunner(store, (), Path("none")), HandClock())
    with pytest.raises(InvalidInputError, match=r"mine\.csv:2"):
        await runs.start(TriedList("mine.csv", f"{HEAD}\nkz_form\n".encode()))
    with pytest.raises(InvalidInputError, match="a list's name has letters"):
        await runs.start(TriedList("../mine.csv", LIST.encode()))
    assert not runs.status.is_running


def test_command_tells_what_a_list_would_change_and_leaves_it_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill_at(f"chdb://{tmp_path}/store"))
    (tmp_path / "c.yml").write_text(
        "retention:\n  observations_days: 3650\n  verdicts_days: 3650\n"
    )
    (tmp_path / "mine.csv").write_text(LIST)
    command = ["rejudge", "--data", str(tmp_path), "--config", str(tmp_path / "c.yml")]
    command += ["--since", "2022-01-05T02:00:00Z", "--until", "2022-01-05T05:00"]
    tried = ["--list", str(tmp_path / "mine.csv")]
    assert cli.main([*command, "--dry-run", *tried]) == 0
    table = capsys.readouterr().out
    assert "blocked by http.block_page" in table
    assert table.endswith("2 measurements judged again, 1 would change.\n")
    assert cli.main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("2 measurements judged again, 0 would change.\n")
    assert cli.main([*command, *tried]) == 1
    assert "add --dry-run" in capsys.readouterr().err
    (tmp_path / "mine.csv").write_text(f"{HEAD}\nkz_form\n")
    assert cli.main([*command, "--dry-run", *tried]) == 1
    assert "mine.csv:2" in capsys.readouterr().err
