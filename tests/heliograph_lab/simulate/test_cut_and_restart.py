"""A country goes dark at a real collector, or the collector dies: its incidents.

Before the cut the agents measure the default plan's mix. HELIOGRAPH_FLEET=10000 plays it with as
many as were promised, connected alone. With light checks of messengers 75 agents at five times the
speed send 31 results a second; a collector on two cores judges some 50.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.examples import IS_SOAK
from support.programs import CLEAN, collector

AGENTS = int(os.environ.get("HELIOGRAPH_FLEET", "75"))
SPEED = 1 if AGENTS > 1_000 else 5
LOAD = "none" if AGENTS > 1_000 else "plan"
CONTROLS = 0 if AGENTS > 1_000 else 2
WORLD = """\
name: One country of five
since: 2026-01-01T00:00:00Z
until: 2026-01-01T00:{minutes:02}:10Z
countries:
  KZ:
    churn: 0
    vantages:
      - {{region: NOR, asn: 101, access: mobile, count: 20}}
      - {{region: SUD, asn: 102, access: mobile, count: 20}}
      - {{region: NOR, asn: 201, access: fixed, count: 20}}
world: {{countries: 4, each: 60, churn: 0}}
events:
  - {event}
"""
CUT = "{do: cut, at: 2026-01-01T00:00:30Z, who: {country: KZ}, jitter: 3s}"
RESTART = "{{do: restart, at: 2026-01-01T00:{:02}:{:02}Z, for: 15s}}"
RESTARTS = min(int(os.environ.get("HELIOGRAPH_KILLS", "1")), 30)
APART_S = 60  # between two kills, in the scenario's time
# What the detectors allow after a restart is 180 s of the collector's own clock.
AFTER_S = 200 if IS_SOAK or SPEED == 1 else 100  # all are back after 45 where nothing else runs


def simulate(folder: Path, event: str, minutes: int, load: str) -> dict[str, Any]:
    file = folder / "play.yml"
    file.write_text(WORLD.format(event=event, minutes=minutes))
    command = collector(
        "simulate", file, "--agents", str(AGENTS), "--speed", str(SPEED), "--json",
        "--until-confirmed", "--load", load, "--log", folder / "collector.log",
    )  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1_500, check=False, env=CLEAN
    )
    print(done.stdout, done.stderr, (folder / "collector.log").read_text()[-2_000:])
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.slow
@pytest.mark.timeout(1_600)
def test_cut_country_is_confirmed_and_no_other(tmp_path: Path) -> None:
    report = simulate(tmp_path, CUT, minutes=4, load=LOAD)
    assert report["connected"] == AGENTS + CONTROLS
    assert report["tally"]["receipts"].keys() <= {"stored"}
    assert report["tally"]["enrolled"] == AGENTS + CONTROLS
    assert report["costs"]["rss_kib_per_session"] > 0
    (cut,) = report["delays"]
    assert cut["confirmed_s"] is not None, "never confirmed"
    assert not report["false"]
    assert report["sound"]


@pytest.mark.slow
@pytest.mark.timeout(1_600)
def test_killed_collector_reports_no_agent_silent(tmp_path: Path) -> None:
    """A collector killed by kill -9 reports no agent silent.

    All come back, and their silence in the meantime is not reported; `make soak` waits until the
    180 s are over that the detectors allow, which the detectors' own tests play in virtual time.
    """
    times_s = [10 + APART_S * number for number in range(RESTARTS)]
    events = "\n  - ".join(RESTART.format(*divmod(at_s, 60)) for at_s in times_s)
    minutes = (times_s[-1] + AFTER_S * SPEED) // 60
    report = simulate(tmp_path, events, minutes=minutes, load="none")
    assert [r["back_s"] is not None for r in report["restarts"]] == [True] * RESTARTS
    assert report["published"]
    assert not report["incidents"]
