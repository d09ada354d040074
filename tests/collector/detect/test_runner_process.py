"""A real collector on a real journal: its rows show in the feed, despite kill -9."""

import json
import signal
from pathlib import Path
from typing import Any

from heliograph.clock import SystemClock
from heliograph.timestamps import parse_timestamp
from heliograph_collector.cli import main
from support.serve_process import Served, served
from support.two_cuts import BACK_S, CUT_S, NOW_S, PAST_S, history, incidents, written
from support.waiting import until_now


def restarts(door: Served) -> int:
    """Return the number of the collector's own absences; 0 until the store is open."""
    status, body = door.get("/api/v1/coverage")
    return status == 200 and sum(
        spell["because"] == "restart" for spell in json.loads(body)["blind"]
    )


def holds(bracket: dict[str, str], at_us: int) -> bool:
    slack_us = 2_000_000  # the onset is spread over two seconds
    return (
        parse_timestamp(bracket["earliest"]) - slack_us
        <= at_us
        <= parse_timestamp(bracket["latest"]) + slack_us
    )


async def test_cuts_are_in_the_feed_and_a_kill_changes_nothing(tmp_path: Path, capsys: Any) -> None:
    data = tmp_path / "data"
    data.mkdir()
    now_us = SystemClock().wall_us()
    await written(data, history(now_us))
    world_us = now_us - int(NOW_S * 1_000_000)
    with served(data) as door:
        door.wait_for("http")
        until_now(lambda: set(incidents(door)) == {"KZ", "UZ"})
        first = incidents(door)
        assert first["KZ"]["state"] == "confirmed"
        assert holds(first["KZ"]["started"], world_us + int(CUT_S * 1_000_000))
        assert first["UZ"]["state"] == "closed"
        assert holds(first["UZ"]["started"], world_us + int(PAST_S * 1_000_000))
        assert holds(first["UZ"]["ended"], world_us + int(BACK_S * 1_000_000))
        until_now(lambda: restarts(door) > 0)
        told = restarts(door)
        door.stop(signal.SIGKILL)
    with served(data) as door:
        door.wait_for("http")
        until_now(lambda: restarts(door) > told)
        assert incidents(door) == first
        figures = door.get("/metrics", operator=True)[1]
        assert 'heliograph_incidents{state="confirmed"} 1.0' in figures
        capsys.readouterr()
        assert main(["log", "verify", "--again", "--json", "--data", str(data)]) == 0
        proof = json.loads(capsys.readouterr().out)
        assert proof["again"] == {"agreed": proof["entries"], "differ": [], "uncovered": {}}
