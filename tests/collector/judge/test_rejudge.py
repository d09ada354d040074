"""Changed rules on a real store: new verdicts, unchanged ones, and refusals."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph.observation import Link
from heliograph_collector import cli
from heliograph_collector.aggregate.cell_updater import CellRefresher
from heliograph_collector.control import STALE_US, Assessor, ControlContext
from heliograph_collector.judge import judge
from heliograph_collector.judge.rejudge import RejudgeReport, RejudgeScope, rejudge
from heliograph_collector.model.filters import CellFilter, MeasurementFilter
from heliograph_collector.model.judging import Judge
from heliograph_collector.model.records import (
    AgentRole,
    Block,
    ControlView,
    JudgedMeasurement,
    ReceivedMeasurement,
    Vantage,
    Verdict,
    VerdictState,
)
from heliograph_collector.store.store import Store
from support.scenario import MINUTE_US, measurement, taken

T0 = 1_641_351_600_000_000  # 2022-01-05 03:00 UTC
HOUR_US = 60 * MINUTE_US
WORKS: list[dict[str, Any]] = [
    *({"system A": "5.6.7.8"}, {"connect 5.6.7.8": "ok"}, {"tls": "ok"}, {"http": 200})
]
RESET: list[dict[str, Any]] = [*WORKS[:2], {"tls": "connection_reset"}]
OLD = Verdict(state=VerdictState.UNKNOWN, rule="control.missing")
ALL = RejudgeScope(since_us=T0 - HOUR_US, until_us=T0 + 3 * HOUR_US)


def made(
    number: int,
    steps: Sequence[dict[str, Any]],
    minute: int,
    *,
    role: AgentRole = AgentRole.VOLUNTEER,
    country: str = "KZ",
) -> ReceivedMeasurement:
    seen = measurement(list(steps), started_us=T0 + minute * MINUTE_US)
    one = taken(replace(seen, link=Link.ONLINE), role=role, nym=f"n{number}")
    place = Vantage(country=country, asn=1, access="fixed")
    return replace(one, id=f"{number:032x}", prefix=f"p{number}", position=1, vantage=place)


CONTROL = made(1, WORKS, 1, role=AgentRole.CONTROL, country="DE")
CUT, FINE, FAR = made(2, RESET, 0), made(3, WORKS, 2), made(4, RESET, 90, country="UZ")


def with_store(url: str, work: Callable[[Store], Any]) -> Any:
    async def go() -> Any:
        store = Store(url, observations_days=9_999, verdicts_days=9_999)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(go())


async def fill(store: Store, *judged: JudgedMeasurement) -> None:
    await store.insert_block(Block(journal="j", first=1, last=7, judged=judged))


def old(*some: ReceivedMeasurement) -> list[JudgedMeasurement]:
    return [(one, (OLD,)) for one in some]


async def run(
    store: Store, wanted: RejudgeScope = ALL, *, write: bool = True, by: Judge = judge
) -> RejudgeReport:
    controls, cells = ControlContext(), CellRefresher(store)
    return await rejudge(
        store, controls, cells, wanted, control_reach_us=STALE_US, is_written=write, judge=by
    )


async def said(store: Store) -> dict[str, tuple[str, str]]:
    page = await store.measurements(MeasurementFilter())
    return {t.pseudonym: (v[0].state.value, v[0].rule) for t, v in page.items}


async def test_verdicts_of_older_rules_move_and_cells_with_them(store: Store) -> None:
    await fill(store, *old(CONTROL, CUT, FINE), (FAR, judge(FAR, ControlView())))
    report = await run(store)
    assert (report.judged_count, report.changed_count) == (4, 3)
    assert await said(store) == {
        "n1": ("reachable", "reached.https"),
        "n2": ("blocked", "tls.reset_after_hello"),
        "n3": ("reachable", "reached.https"),
        "n4": ("unknown", "control.missing"),  # no control was near it in time
    }
    moves = {(m.country, m.before, m.after): count for m, count in report.changes.items()}
    assert moves == {
        ("DE", "control.missing", "reached.https"): 1,
        ("KZ", "control.missing", "tls.reset_after_hello"): 1,
        ("KZ", "control.missing", "reached.https"): 1,
    }
    cells = await store.cells(CellFilter(since_us=T0, until_us=T0 + HOUR_US, country="KZ"))
    assert [(c.blocked, c.reachable) for c in cells if c.vantages] == [(1, 1)]


async def test_dry_run_writes_nothing_and_second_run_changes_nothing(store: Store) -> None:
    await fill(store, *old(CONTROL, CUT))
    assert (await run(store, write=False)).changed_count == 2
    assert (await said(store))["n2"] == ("unknown", "control.missing")
    await run(store)
    report = await run(store)
    assert (report.judged_count, report.changed_count, report.changes) == (2, 0, {})


async def test_what_serve_judged_by_the_same_rules_stays(store: Store) -> None:
    """Verdicts of `serve` by the same rules stay, or every rejudge would change some."""
    await fill(store, *Assessor(judge).assess([CONTROL, CUT, FINE, FAR]))
    assert (await run(store)).changes == {}


async def test_a_late_upload_finds_the_control_of_its_time(store: Store) -> None:
    """A late upload finds the control of its time in the store.

    Serve had dropped that control's result from memory when it judged the upload.
    """
    await fill(store, *Assessor(judge).assess([CONTROL]))
    late = replace(CUT, position=8, received_us=CUT.received_us + 72 * HOUR_US)
    await store.insert_block(
        Block(journal="j", first=8, last=8, judged=tuple(Assessor(judge).assess([late])))
    )
    assert (await said(store))["n2"][0] == "unknown"
    await run(store)
    assert (await said(store))["n2"][0] == "blocked"


async def test_labels_that_a_rule_no_longer_gives_are_gone(store: Store) -> None:
    stale = (OLD, msgspec.structs.replace(OLD, endpoint="gone"))
    await fill(store, (CONTROL, stale))
    await run(store)
    found = await store.measurement(CONTROL.id)
    assert found is not None
    assert [v.endpoint for v in found[1]] == [""]


async def test_only_the_country_and_the_hours_that_were_asked_for(store: Store) -> None:
    await fill(store, *old(CONTROL, CUT, FINE), (FAR, judge(FAR, ControlView())))
    report = await run(store, replace(ALL, country="UZ"))
    assert (report.judged_count, report.changed_count) == (1, 0)
    report = await run(store, replace(ALL, since_us=T0 + 2 * MINUTE_US))
    assert {m.country for m in report.changes} == {"KZ"}
    assert (await said(store))["n2"] == ("unknown", "control.missing")


async def test_a_rule_that_changed_meanwhile_is_the_one_that_counts(store: Store) -> None:
    def stricter(one: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
        return tuple(
            msgspec.structs.replace(v, state=VerdictState.UNKNOWN, rule="tls.new", confidence=0.0)
            if v.rule == "tls.reset_after_hello"
            else v
            for v in judge(one, control)
        )

    await fill(store, *Assessor(judge).assess([CONTROL, CUT]))
    report = await run(store, by=stricter)
    ((move, count),) = report.changes.items()
    assert (move.before, move.after, count) == ("tls.reset_after_hello", "tls.new", 1)
    assert (move.state_before, move.state_after) == ("blocked", "unknown")
    assert (await said(store))["n2"] == ("unknown", "tls.new")
    assert report.count_kept() == 0


async def test_verdicts_that_are_only_surer_are_told_apart(store: Store) -> None:
    def surer(one: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
        return tuple(msgspec.structs.replace(v, confidence=0.01) for v in judge(one, control))

    await fill(store, *Assessor(judge).assess([CONTROL, CUT]))
    report = await run(store, by=surer)
    assert report.count_kept() == report.changes.total() > 0


def test_as_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`rejudge` works as typed, on days within the retention that the test sets."""
    config = tmp_path / "c.yml"
    config.write_text("retention:\n  observations_days: 3650\n  verdicts_days: 3650\n")
    with_store(f"chdb://{tmp_path}/store", lambda s: fill(s, *old(CONTROL, CUT, FINE)))
    words = ["rejudge", "--data", str(tmp_path), "--config", str(config)]
    window = ["--since", "2022-01-05T02:00:00Z", "--until", "2022-01-05T05:00"]
    assert cli.main([*words, *window, "--dry-run"]) == 0
    table = capsys.readouterr().out
    assert re.search(r"(?m)^ +1  web +all +unknown → blocked$", table)
    assert f"unknown by control.missing → blocked by tls.reset_after_hello, {CUT.id}" in table
    assert table.endswith("3 measurements judged again, 3 would change.\n")
    assert cli.main([*words, *window, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["measurements"], told["changed"], told["bins"]) == (3, 3, 1)
    assert told["states"] == {"unknown → blocked": 1, "unknown → reachable": 2}
    assert [(v["experiment"], v["before"], v["after"], v["count"]) for v in told["votes"]] == [
        ("web", "unknown", "reachable", 2),
        ("web", "unknown", "blocked", 1),
    ]
    example = told["examples"][0]
    assert (example["id"], example["change"]["after"]) == (CUT.id, "tls.reset_after_hello")
    assert cli.main([*words, *window]) == 0
    assert capsys.readouterr().out == "3 measurements judged again, 0 changed.\n"


def test_a_store_in_use_is_refused_with_its_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store in use is refused, and the message names the cure.

    flock separates two openings even in one process; `serve` is another program.
    """

    async def go(_: Store) -> int:
        return await asyncio.to_thread(cli.main, ["rejudge", "--data", str(tmp_path)])

    assert with_store(f"chdb://{tmp_path}/store", go) == 1
    assert "stop it, rejudge, and start it again" in capsys.readouterr().err


def test_what_is_typed_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (["--since", "yesterday"], "is no time; allowed: 2022-01-05"),
        (["--country", "Kazakhstan"], "allowed: a code of ISO 3166-1"),
        (["--country", "KX"], "is no country"),
    ):
        with pytest.raises(SystemExit) as error:
            cli.main(["rejudge", *words])
        assert error.value.code == 2
        assert told in capsys.readouterr().err
    assert cli.main(["rejudge", "--data", str(tmp_path / "none")]) == 1
    assert "holds no collector" in capsys.readouterr().err
