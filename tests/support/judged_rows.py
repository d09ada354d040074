"""Rows of a journal with much to judge: controls, volunteers, failures, junk."""

import random
from dataclasses import replace

from heliograph.codec import measurement_to_pb
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from support.control_records import RESET, WORKS
from support.rows import ANNA, US, envelope_row
from support.scenario import NOON_US, measurement

COUNTRIES = ("KZ", "DE", "BR", "JP", "ZA")
SECRET = b"s" * 32  # of the pseudonyms


def build_rows(count: int, seed: int = 1) -> list[JournalRow]:
    """Build envelopes on three targets, presence rows, and rows that are no envelope."""
    rng = random.Random(seed)
    rows: list[JournalRow] = []
    for position in range(1, count + 1):
        at_us = NOON_US + position * US
        number = rng.randrange(12)
        results = [
            replace(
                measurement(rng.choice([WORKS, RESET]), started_us=at_us),
                target=f"https://t{rng.randrange(3)}.example/",
            )
            for _ in range(rng.randrange(1, 4))
        ]
        row = replace(
            envelope_row(*map(measurement_to_pb, results), sequence=position, position=position),
            agent=bytes([number]) * 16,
            country=COUNTRIES[number % 5],
            prefix=f"net{number}",
            role=AgentRole.CONTROL if number < 2 else AgentRole.VOLUNTEER,
            received_us=at_us,
            since_s=1,
        )
        kind = rng.randrange(10)
        if kind == 0:
            row = replace(row, body=b"junk")
        elif kind == 1:
            row = JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=at_us, position=position)
        elif kind == 2:
            row = replace(row, received_us=at_us + 200 * 86_400 * US)  # an impossible time
        rows.append(row)
    return rows
