"""The command as typed: scorecards for people and machines, equal for equal seeds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from heliograph_collector import cli
from heliograph_lab.evaluate import run as running
from heliograph_lab.evaluate.detectors import CONTENDERS, OWN_DETECTOR
from heliograph_lab.evaluate.measures import group_by_contender
from heliograph_lab.evaluate.table import (
    ScorecardRun,
    count_looks,
    format_scorecard,
    scorecard_document,
)
from support.examples import IS_SOAK

SCENARIO = """\
name: one evening
since: 2022-01-05T00:00:00Z
until: 2022-01-05T06:00:00Z
countries:
  KZ:
    vantages:
      - {region: ALA, asn: 1, access: mobile, count: 15}
      - {region: AST, asn: 2, access: fixed, count: 15}
events:
  - {do: cut, at: [2022-01-05T02:00:00Z, 2022-01-05T03:00:00Z], for: 1h, jitter: 5s}
"""


def rows(found: dict[str, Any]) -> dict[str, Any]:
    return {row["key"]: row for row in found["rows"]}


QUICK = ("step", "transit", "own_block")


def test_a_small_corpus_from_end_to_end() -> None:
    """A small corpus runs to its end; its author can read the seeds of false alarms."""
    jobs = running.list_jobs([], 1, "tuning", QUICK)
    if not IS_SOAK:  # one replay of each family, of which some have two
        jobs = list({job.draw.family: job for job in jobs}.values())
    of = group_by_contender(running.run_jobs(jobs, processes=1))
    about = ScorecardRun(1, "tuning", len(jobs), looks=3)
    found: Any = scorecard_document(of, about)
    told = rows(found)
    of_cuts = {name for name, contender in CONTENDERS.items() if "cuts" in contender.channels}
    assert set(told["national_confirmed"]["measures"]) == of_cuts
    step = {n: m["value"] for n, m in told["national_confirmed"]["measures"].items()}
    assert step[OWN_DETECTOR] < step["ioda"]
    assert told["regional"]["measures"][OWN_DETECTOR]["n"] == 0  # none was played
    assert told["regional"]["reached"] is None
    # What counting alone says of our own faults; a rule that saw nothing would prove nothing.
    assert found["families"]["transit"]["naive"] == {"raised": 1, "replays": 1}
    assert told["own_block_wrong"]["measures"]["naive"]["value"] == 1
    assert told["false_national"]["measures"]["naive"]["low"] > 1
    assert 0 < told["false_national"]["measures"][OWN_DETECTOR]["n"] < 0.2  # risky days alone
    json.dumps(found, allow_nan=False)
    text = format_scorecard(of, about)
    assert "looks at the reporting half so far 3" in text
    assert len([line for line in text.splitlines() if "≤ 180 s" in line]) == 3


def test_looks_at_the_reporting_half_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "looks.csv"
    path.write_text("date,detector,seeds,reason\n2026-11-27,6,10,first\n2026-11-28,7,10,second\n")
    assert count_looks(path) == 2
    assert count_looks() >= 0


def test_a_file_is_scored_by_its_own_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "evening.yml"
    scenario.write_text(SCENARIO)
    command = ["evaluate", str(scenario), "--seeds", "3", "--half", "tuning", "--json"]
    assert cli.main(command) == 0
    once = capsys.readouterr().out
    told = rows(json.loads(once))
    ours = told["national_suspected"]["measures"][OWN_DETECTOR]
    assert ours["n"] == 3
    assert 20 < ours["value"] <= 60
    assert told["national_suspected"]["reached"] is True
    assert cli.main(command) == 0
    assert capsys.readouterr().out == once


def test_a_mistake_in_a_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yml"
    path.write_text(SCENARIO.replace("do: cut", "do: cutt"))
    assert cli.main(["evaluate", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"heliograph-collector: {path}, line 10: do cannot be 'cutt'")
    assert cli.main(["evaluate", str(tmp_path / "none.yml")]) == 1
    assert "none.yml: cannot be read" in capsys.readouterr().err
    assert cli.main(["evaluate", "--family", "transitt"]) == 1
    assert "no family 'transitt': give one of quiet," in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--seeds", "many"], ["--half", "both"]])
def test_wrong_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["evaluate", *words])
    assert end.value.code == 2


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor: there are no workers")
def test_it_stops_when_it_is_told_to() -> None:
    """`evaluate` stops on Ctrl-C with one line, and leaves no process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "heliograph_collector", "evaluate"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (workers := spawned(process.pid)):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert (out, err.strip()) == ("", "heliograph-collector: stopped.")
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


def spawned(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
