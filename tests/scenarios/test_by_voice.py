"""A code over the telephone between agent and collector as real programs.

An agent enrols and loses its collector; what its owner reads out is at the collector once, as a
report.
"""

import io
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heliograph import keys, voice_code
from heliograph.clock import SystemClock
from heliograph_agent.runtime.volatile_file import VolatileFile
from heliograph_agent.state import State
from heliograph_collector import cli
from heliograph_collector.fleet import Fleet, VoiceCodeStore
from support import loopback_plan, serve_process
from support.programs import agent, ask, collector

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("joined")]


@dataclass(frozen=True)
class Line:
    """One agent, one collector, and a telephone between them."""

    data: Path
    state: Path

    @property
    def config(self) -> str:
        return loopback_plan.build_config(self.data.parent)

    def code(self, *more: str) -> str:
        return ask(agent("code", *more, "--state", self.state))

    def said(self) -> dict[str, Any]:
        return dict(json.loads(self.code("--json")))

    def take(self, code: str) -> dict[str, Any]:
        return dict(json.loads(ask(collector("import", "code", code, "--json", *self.at))))

    def refused(self, code: str, *options: str) -> str:
        """Return the command's refusal, run in this process to save its start."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
            assert cli.main(["import", "code", code, *options, *self.at]) == 1
        assert out.getvalue() == ""
        assert error.getvalue().startswith("heliograph-collector: ")
        return error.getvalue()

    def of_minute(self, back: int) -> str:
        """Return the code that this agent would have shown so many minutes ago."""
        known, state = State(self.state).collector(), State(self.state)
        assert known is not None
        key = state.signer().derive_shared_key(known.sealing_key, keys.CODE)
        answers = {"telegram": voice_code.ServiceState.ANSWERS}
        report = voice_code.StatusReport(self.now() - back, answers)
        return voice_code.format_digits(voice_code.make_code(report, key, known.agent))

    @staticmethod
    def now() -> int:
        return SystemClock().wall_us() // 60_000_000

    @property
    def at(self) -> tuple[str, str]:
        return "--data", str(self.data)

    def reports(self) -> int:
        with closing(sqlite3.connect(self.data / "journal.db")) as db:
            found = db.execute("SELECT count(*) FROM log WHERE carrier = 'code'").fetchone()
        return int(found[0])


@pytest.fixture
def line(joined: Path, tmp_path: Path) -> Iterator[Line]:
    folder = shutil.copytree(joined, tmp_path / "line")
    yield Line(folder / "data", folder / "agent")
    known = State(folder / "agent").collector()
    assert known is not None
    VolatileFile(known.agent).remove()  # the one part that all copies share


def test_what_was_read_out_is_taken_once_with_and_without_a_running_collector(line: Line) -> None:
    ask(agent("run", "--once", "--state", line.state))
    said = line.said()
    assert line.code().splitlines()[0].replace(" ", "").isdigit()
    assert len(line.code("--words").splitlines()[0].split()) == 18
    told = line.take(said["words"])
    assert told["lives"] == said["lives"]
    assert told["delivered"]
    assert told["lives"]["foreign"] == "fails"
    assert line.reports() == 1
    assert "was taken in before" in line.refused(said["digits"]), "in whatever form"

    with serve_process.served(line.data, config=line.config) as served:
        served.wait_for("http")
        told = line.take(line.of_minute(30))
        assert told["delivered"]
        assert told["lives"]["telegram"] == "answers"
    assert line.reports() == 2


def test_what_proves_nothing_is_refused_by_a_sentence_and_counted(line: Line) -> None:
    real = line.of_minute(1)
    wrong = f"{(int(real[0]) + 1) % 10}{real[1:]}"
    assert "does not add up in group 1: ask for that group again" in line.refused(wrong)
    assert "has 2 digits in place of 30" in line.refused("12")
    assert "a word that no code has, 'hello' in place 1" in line.refused("hello")
    assert "more than three days ago" in line.refused(line.of_minute(voice_code.PAST_MIN + 2))
    assert "no agent of this collector made it" in line.refused(line.of_minute(10_001))
    assert "no agent of this collector made it" in line.refused(line.of_minute(-40))

    with closing(Fleet(line.data)) as fleet:
        codes, now_s = VoiceCodeStore(fleet), line.now() * 60
        ((source, count),) = fleet.read_rows("SELECT source, count(*) FROM unproven GROUP BY 1")
        assert count == 2, "what was misheard is no guess"
        for _ in range(18):
            codes.record_failure(source, now_s)
    assert "somebody may be guessing" in line.refused(real)
    ask(collector("import", "code", real, "--caller", "aigerim", *line.at))
    later = line.of_minute(30)  # far from the other, whatever the machine takes
    assert "somebody may be guessing" in line.refused(later)
    ask(collector("import", "code", later, "--force", *line.at))

    known = State(line.state).collector()
    assert known is not None
    ask(collector("agents", "revoke", known.agent.hex(), *line.at))
    assert "which is revoked" in line.refused(line.of_minute(60), "--force")
    assert line.reports() == 2


def test_an_agent_that_has_not_joined_or_not_measured(line: Line, tmp_path: Path) -> None:
    said = line.said()
    assert set(line.take(said["digits"])["lives"].values()) == {"unknown"}
    nobody = subprocess.run(
        agent("code", "--state", tmp_path / "nobody"),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert nobody.returncode == 1
    assert "has not joined a collector yet" in nobody.stderr
    assert line.reports() == 1
