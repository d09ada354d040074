"""Results of a fleet from earlier hours, as rows of a journal that ingest wrote."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from heliograph.zstd_frame import compress_frame
from heliograph_collector.fleet import Fleet, Keyring
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.journal.moved_journal import FILE
from support.control_records import RESET, WORKS
from support.intake import Caller, create_invite
from support.programs import age_agents
from support.scenario import measurement

COUNTRIES = ("KZ", "DE", "BR", "JP")
HOURS_US = 6 * 3_600_000_000  # in which they were measured


class Key(NamedTuple):
    agent: bytes
    sequence: int


def enroll(data: Path, keyring: Keyring, count: int) -> list[Caller]:
    """Enroll volunteers, and one control to every 24 agents, a month ago."""
    callers = [Caller(keyring) for _ in range(count)]
    now_s = int(time.time())
    with closing(Fleet(data)) as fleet:
        for number, caller in enumerate(callers):
            role = "volunteer" if number % 24 else "control"
            invite = create_invite(fleet, role=role)
            fleet.enrol_agent(invite, caller.signer.public, "test", now_s)
    age_agents(data)
    return callers


def build_earlier_rows(
    callers: Sequence[Caller], count: int, rng: random.Random
) -> Iterator[JournalRow]:
    """Build results of pages, one to an envelope, and a departure after every tenth."""
    begun_us = time.time_ns() // 1_000 - HOURS_US
    for number in range(count):
        caller_number = number % len(callers)
        caller = callers[caller_number]
        at_us = begun_us + number * HOURS_US // count
        sequence = number // len(callers) + 1
        page = f"https://t{rng.randrange(40)}.example/"
        result = measurement(rng.choice([WORKS, RESET]), started_us=at_us)
        batch = caller.batch(sequence, [replace(result, target=page, sequence=1)])
        row = JournalRow(
            kind=RowKind.ENVELOPE, agent=caller.id, sequence=sequence, received_us=at_us,
            role=AgentRole.VOLUNTEER if caller_number % 24 else AgentRole.CONTROL,
            country=COUNTRIES[caller_number % 4], asn=100 + caller_number % 12,
            prefix=f"net{caller_number}", since_s=1,
            body=compress_frame(batch.SerializeToString(), level=9),
        )  # fmt: skip
        yield row
        if number % 10 == 0:
            yield replace(row, kind=RowKind.GOODBYE, sequence=0, body=b"")


async def write_earlier(data: Path, rows: Iterator[JournalRow]) -> list[Key]:
    """Append rows as ingest did; return the keys of the results."""
    keys: list[Key] = []
    journal = Journal(data / FILE)
    part: list[JournalRow] = []
    for row in rows:
        part.append(row)
        if row.kind is RowKind.ENVELOPE:
            keys.append(Key(row.agent, row.sequence))
        if len(part) == 512:
            await journal.append(part)
            part.clear()
    await journal.append(part)
    await journal.close()
    return keys
