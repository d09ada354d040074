"""`simulate` as a user types it: a whole run, wrong usage, Ctrl-C."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from heliograph_collector import cli
from support.examples import only_in_soak
from support.programs import collector, eventually, kill, started

PLAY = """\
name: A small cut
since: 2026-01-01T00:00:00Z
until: 2026-01-01T00:00:{seconds:02}Z
countries:
  KZ:
    churn: 0
    vantages:
      - {{region: ALA, asn: 29355, access: mobile, count: 6}}
world: {{countries: 1, each: 6}}
services:
  telegram: {{every: 4s}}
events:
  - {{do: cut, at: 2026-01-01T00:00:06Z, who: {{country: KZ}}}}
"""


def ask(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = collector("simulate", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "play.yml"
    path.write_text(PLAY.format(seconds=12))
    return path


@only_in_soak  # `test_cut_and_restart.py` reads the same report of a larger fleet
@pytest.mark.slow
def test_run_prints_json_and_leaves_no_process(tmp_path: Path, file: Path) -> None:
    done = ask(file, "--agents", "24", "--processes", "2", "--json", "--log", tmp_path / "log")
    assert done.returncode == 1, "nobody can confirm a cut within six seconds"
    report = json.loads(done.stdout)
    assert (report["agents"], report["connected"]) == (26, 26), "two of them are controls"
    tally = report["tally"]
    assert tally["receipts"].keys() == {"stored"}
    assert (tally["enrolled"], tally["sessions"], tally["done"]) == (26, 0, True)
    assert report["costs"]["rss_kib_per_session"] > 0
    assert [cut["country"] for cut in report["delays"]] == ["KZ"]
    assert not report["false"]
    assert not done.stderr, "no terminal, no progress"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["absent.yml"], 1, "absent.yml"),
        (["absent.yml", "--agents", "0"], 2, "from 1 to"),
        (["absent.yml", "--speed", "fast"], 2, "must be a number from"),
        (["absent.yml", "--load", "all"], 2, "invalid choice: 'all'"),
        (["absent.yml", "--to", "127.0.0.1:1"], 2, "--invite"),
        (["cut-in-five.yml", "--invite", "x"], 1, "no invite"),
        ([], 2, "SCENARIO"),
    ],
)
def test_wrong_usage_ends_with_a_sentence(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ended = cli.main(["simulate", *words])
    except SystemExit as end:
        ended = int(end.code or 0)
    assert ended == code
    assert says in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "word",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=only_in_soak)],
    ids=["ctrl_c", "terminated"],
)
def test_signal_ends_it_and_every_process_it_started(tmp_path: Path, word: signal.Signals) -> None:
    path = tmp_path / "long.yml"
    path.write_text(PLAY.format(seconds=59))
    command = collector("simulate", path, "--agents", "20", "--log", tmp_path / "log")
    # As a script's shell starts it in the background, where it is to ignore Ctrl-C.
    in_background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with started(in_background, tmp_path / "out") as process:
        pids = eventually(lambda: _children(process.pid, 2), "a collector and agents")
        process.send_signal(word)
        began = time.monotonic()
        assert process.wait(240) == 1
        took_s = time.monotonic() - began
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "all ended")
        kill(process)
    said = (tmp_path / "out").read_text()
    assert "stopped" in said
    assert "Traceback" not in said
    print(f"ended in {took_s:.2f} s")


def _children(pid: int, count: int) -> list[str] | None:
    """Grown up: one that is asked for its command names Python's program."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return found if len(found) >= count else None
