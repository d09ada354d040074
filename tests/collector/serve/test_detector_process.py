"""A real collector over a real journal: what its rows show is in the feed, and survives kill -9."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from heliograph.clock import SystemClock
from heliograph_collector.cli import main
from heliograph_collector.detect.record import micros
from heliograph_collector.detect.signals import Goodbye
from heliograph_collector.store.journal import Journal
from heliograph_collector.store.rows import JournalRow
from support.dark_shift import rows_of
from support.dark_world import Cut, Signals, at, country, live, world
from support.serve_process import Served, served
from support.waiting import until_now

NOW_S = 7_200.0  # of the world; two hours of it lie behind us
CUT_S = NOW_S - 600  # KZ goes dark, and stays so
PAST_S, BACK_S = 3_000.0, 4_200.0  # UZ was dark from … until …
BYE_S = 5_000.0  # all of KG say goodbye


def history(now_us: int) -> list[JournalRow]:
    rng = Random(1)
    cuts = [
        Cut(CUT_S, NOW_S + 1, lambda w: w.place.country == "KZ", 2.0),
        Cut(PAST_S, BACK_S, lambda w: w.place.country == "UZ", 2.0),
    ]
    people = [*country("KZ"), *country("UZ"), *world()]
    signals: Signals = live(people, rng, NOW_S / 3_600, churn=1.0, cuts=cuts)
    signals += live(country("KG"), rng, BYE_S / 3_600, churn=0.0)
    signals += [Goodbye(at(BYE_S + 0.1 * i), w.nym) for i, w in enumerate(country("KG"))]
    shift_us = now_us - at(NOW_S)
    rows = [row for row in rows_of(signals) if row.received_us <= at(NOW_S)]
    return [
        replace(
            row,
            received_us=row.received_us + shift_us,
            heard_us=row.heard_us + shift_us if row.heard_us else 0,
        )
        for row in rows
    ]


async def written(data: Path, rows: list[JournalRow]) -> None:
    journal = Journal(data / "journal.db")
    try:
        await journal.append(rows)
    finally:
        await journal.close()


def incidents(door: Served) -> dict[str, dict[str, Any]]:
    """By country."""
    status, body = door.get("/api/v1/incidents")
    assert status == 200
    return {i["scope"]["country"]: i for i in json.loads(body)["incidents"]}


def restarts(door: Served) -> int:
    """How many of the collector's own absences are told; none before the store is open."""
    status, body = door.get("/api/v1/coverage")
    return status == 200 and sum(
        spell["because"] == "restart" for spell in json.loads(body)["blind"]
    )


def holds(bracket: dict[str, str], at_us: int) -> bool:
    slack_us = 2_000_000  # the onset is spread over two seconds
    return micros(bracket["earliest"]) - slack_us <= at_us <= micros(bracket["latest"]) + slack_us


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
