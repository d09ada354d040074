"""A journal in which one country is dark now and another was, to start with."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import Goodbye
from heliograph_collector.store.journal.journal import Journal
from support.detector_run import rows_of
from support.presence_model import Cut, Signals, at, country, live, world
from support.serve_process import Served

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
    """Return the incidents by country."""
    status, body = door.get("/api/v1/incidents")
    assert status == 200
    return {i["scope"]["country"]: i for i in json.loads(body)["incidents"]}
