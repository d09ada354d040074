"""The store's silences equal a plain count of the same losses, returns, results."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

import pytest

from heliograph.units import MINUTE_US
from heliograph_collector.model.records import (
    JudgedMeasurement,
    PresenceRow,
    RowKind,
    SilenceCount,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.store import Store, TooMuchError
from support.examples import draw_seeds
from support.rows import KZ, T0, block, blocked, lost_row, taken

START_US = T0 // (15 * MINUTE_US) * 15 * MINUTE_US
MINUTES = 90
WAIT_US = 5 * MINUTE_US  # for so long a result counts for its vantage
KINDS = (RowKind.ARRIVAL, RowKind.GOODBYE, RowKind.LOST, RowKind.LOST)


def draw_world(seed: int) -> tuple[list[PresenceRow], list[JudgedMeasurement]]:
    """Twelve vantages behind seven lines, of which some cross regions and days."""
    draw = random.Random(seed)
    events: list[PresenceRow] = []
    results: list[JudgedMeasurement] = []
    for number in range(12):
        who = f"vantage{number}"
        vantage = replace(KZ, region=draw.choice(("R0", "R1", "R2")), asn=9198 + number % 2)
        line = draw.choice(("18990.a", "18990.b", "18991.a", "c", "d", "e", "f"))
        seniority = draw.choice((Seniority.YOUNG, Seniority.ESTABLISHED, Seniority.ESTABLISHED))
        for minute in sorted(draw.sample(range(MINUTES), 6)):
            events.append(
                lost_row(
                    kind=draw.choice(KINDS), position=len(events) + 1, pseudonym=who, prefix=line,
                    received_us=START_US + minute * MINUTE_US + 7, vantage=vantage,
                    seniority=seniority,
                )
            )  # fmt: skip
        for minute in sorted(draw.sample(range(MINUTES), 5)):
            at_us = START_US + minute * MINUTE_US + 11
            record = replace(taken(len(results), who=who, vantage=vantage), prefix=line)
            measured = replace(record.measurement, started_us=at_us - MINUTE_US)
            results.append((replace(record, measurement=measured, received_us=at_us), (blocked(),)))
    return events, results


def count_silences(
    events: Sequence[PresenceRow], results: Sequence[JudgedMeasurement], until_us: int, bin_us: int
) -> dict[tuple[int, str, int], tuple[int, int]]:
    """Return (vantages, persons) by network, region and bin, vantage by vantage."""
    counts: dict[tuple[int, str, int], tuple[int, int]] = {}
    for start_us in range(START_US, until_us, bin_us):
        end_us = min(start_us + bin_us, until_us)
        silent = [
            e
            for e in list_last(events, start_us + bin_us, until_us)
            if e.kind is RowKind.LOST and not has_posted(e, results, start_us, bin_us, end_us)
        ]
        for asn in {e.vantage.asn for e in silent}:
            rows = [e for e in silent if e.vantage.asn == asn]
            for region in {e.vantage.region for e in rows}:
                vantages = sum(e.vantage.region == region for e in rows)
                counts[asn, region, start_us] = (vantages, count_persons(rows, region))
    return counts


def list_last(events: Sequence[PresenceRow], end_us: int, until_us: int) -> Sequence[PresenceRow]:
    """List each vantage's last event before a bin ends; a window's end is no return."""
    before = [e for e in events if e.received_us < min(end_us, until_us)]
    return list({e.pseudonym: e for e in before}.values())


def has_posted(
    event: PresenceRow,
    results: Sequence[JudgedMeasurement],
    start_us: int,
    bin_us: int,
    end_us: int,
) -> bool:
    times = [r.received_us for r, _ in results if r.pseudonym == event.pseudonym]
    return any(
        event.received_us < at < start_us + bin_us and end_us <= at + WAIT_US for at in times
    )


def count_persons(rows: Sequence[PresenceRow], region: str) -> int:
    """Count the lines of the best day whose first region this is."""
    old = [e for e in rows if e.seniority is Seniority.ESTABLISHED]
    lines_by_day: dict[str, set[str]] = {}
    for event in old:
        lines_by_day.setdefault(find_day(event), set()).add(event.prefix)
    if not lines_by_day:
        return 0
    best = max(lines_by_day, key=lambda day: (len(lines_by_day[day]), day))
    homes = {line: min(e.vantage.region for e in old if e.prefix == line)
             for line in lines_by_day[best]}  # fmt: skip
    return sum(home == region for home in homes.values())


def find_day(event: PresenceRow) -> str:
    day, dot, _ = event.prefix.partition(".")
    return day if dot else str(event.received_us // (24 * 60 * MINUTE_US))


@pytest.mark.parametrize("seed", draw_seeds(4))
async def test_silences_are_those_of_a_plain_count(store: Store, seed: int) -> None:
    events, results = draw_world(seed)
    await store.insert_block(replace(block(1, 99, *results), presence=tuple(events)))
    until_us = START_US + MINUTES * MINUTE_US
    losses = await store.losses(START_US, until_us, 99, country="KZ")
    for bin_s in (60, 300, 900):
        silences = await store.silences(START_US, until_us, bin_s, country="KZ")
        assert silences == sorted(silences, key=rank)
        counts = {(s.asn, s.region, s.start_us): (s.vantages, s.established) for s in silences}
        assert counts == count_silences(events, results, until_us, bin_s * 1_000_000) != {}
        assert losses.count(START_US, until_us, bin_s) == silences, "the engine's own count"
        part = (START_US + 30 * MINUTE_US, START_US + 60 * MINUTE_US, bin_s)
        assert losses.count(*part) == await store.silences(*part, country="KZ")
    with pytest.raises(TooMuchError, match="More than 9 arrivals and losses"):
        await store.losses(START_US, until_us, 9, country="KZ")


@pytest.mark.parametrize("seed", range(4))
async def test_places_of_too_few_persons_may_be_left_out_and_no_others(
    store: Store, seed: int
) -> None:
    events, results = draw_world(seed)
    await store.insert_block(replace(block(1, 99, *results), presence=tuple(events)))
    window = (START_US, START_US + MINUTES * MINUTE_US, 300)
    losses = await store.losses(*window[:2], 99, country="KZ")
    for fields in (("country",), ("country", "asn", "access")):
        place = attrgetter(*fields, "start_us")
        persons: Counter[object] = Counter()
        every = losses.count(*window)
        for silence in every:
            persons[place(silence)] += silence.counted
        for least in (2, 3, 4):
            kept = losses.count(*window, fields, least)
            assert [s for s in every if persons[place(s)] >= least] == [
                s for s in kept if persons[place(s)] >= least
            ]
            assert set(kept) <= set(every)


def rank(silence: SilenceCount) -> tuple[str, str, int, int]:
    return silence.country, silence.region, silence.asn, silence.start_us
