"""The detectors' queries when late data reopen the past."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import msgspec
import pytest

from heliograph.observation import Measurement
from heliograph_collector.aggregate.rollup import roll_up, roll_up_bins
from heliograph_collector.aggregate.vote_counts import count_verdicts, count_votes
from heliograph_collector.model.records import (
    TIME_BAD,
    AgentRole,
    Cell,
    Count,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
    WorldTally,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store import vote_queries
from heliograph_collector.store.heard_votes import tally_votes
from heliograph_collector.store.store import Store, TooMuchError
from support.crowds import DOWN, RU, UNKNOWN, keep
from support.examples import draw_seeds
from support.rows import KZ, T0, US, block, blocked, lost_row, reachable, taken

MINUTE = 60 * US
HOUR = 60 * MINUTE


async def test_engine_and_memory_agree_on_every_majority(store: Store) -> None:
    digits = ", ".join(f"intDiv(number, {4**n}) % 4 AS {column}" for n, column in enumerate("rbdu"))
    majority = vote_queries.decide_majority_sql("[r, b, d, u]")
    sql = f"SELECT r, b, d, u, {majority} FROM (SELECT {digits} FROM numbers(256))"
    rows = store._clickhouse.query(sql, {})
    assert len({row[:4] for row in rows}) == 256
    for *counts, position in rows:
        votes = Counter(dict(zip(vote_queries.STATES, counts, strict=True)))
        assert vote_queries.decide_majority(votes) == vote_queries.STATES[position - 1], votes


async def test_opinions_are_volunteers_whole_verdicts_in_order(store: Store) -> None:
    control = taken(4, role=AgentRole.CONTROL)
    bad_time = msgspec.structs.replace(reachable(), rule=TIME_BAD)
    await keep(
        store,
        (taken(1, at_us=T0 + 9), (blocked(), reachable("dc1"))),
        (taken(2, at_us=T0 + 3), (UNKNOWN,)),
        (taken(3, vantage=RU), (blocked(),)),
        (control, (blocked(),)),
        (taken(5, service="signal"), (blocked(),)),
        (taken(6), (bad_time,)),
        (taken(7, at_us=T0 + MINUTE), (blocked(),)),
    )
    early, late = await store.opinions("telegram", "KZ", T0, T0 + MINUTE)
    unknown, blocked_ = VerdictState.UNKNOWN, VerdictState.BLOCKED
    assert (early.started_us, early.pseudonym, early.state) == (T0 + 3, "nym2", unknown)
    assert (late.pseudonym, late.prefix, late.vantage) == ("nym1", "net-1", KZ)
    assert late.seniority is Seniority.ESTABLISHED
    assert (late.state, late.layer, late.method) == (blocked_, "tls", "reset_after_hello")
    assert (late.reachable_endpoints, late.endpoints) == (1, 4)


async def test_only_age_gives_a_vote_and_young_vantages_one_of_low_confidence(
    store: Store,
) -> None:
    """Only age gives a vote, and young vantages one of low confidence.

    Two-hour-old Sybils change no cell; two-day-old ones none with an older vantage.
    """
    old = [(taken(n), (reachable(),)) for n in range(3)]
    crowd = [(taken(n), (blocked(),)) for n in range(10, 60)]

    async def cell(age: Seniority, crowd: Sequence[JudgedMeasurement], number: int) -> Cell:
        at_us = T0 + number * HOUR
        judged = [
            (replace(t, id=f"{number}-{t.id}", measurement=moved(t, at_us)), verdicts)
            for t, verdicts in [
                *(old if number % 2 else []),
                *((replace(t, seniority=age), verdicts) for t, verdicts in crowd),
            ]
        ]
        await keep(store, *judged)
        window = (at_us, at_us + 300 * US, 300)
        (cell,) = roll_up_bins(await store.counts(*window), [], *window)
        votes = await store.votes(*window)
        assert roll_up(votes, [], *window) == [cell], "engine and memory agree"
        return cell

    for age in (Seniority.NEW, Seniority.YOUNG):
        here = await cell(age, crowd, 1 if age is Seniority.NEW else 3)
        assert (here.vantages, here.state, here.confidence) == (3, VerdictState.REACHABLE, 0.75)
    alone = await cell(Seniority.YOUNG, crowd, 4)
    assert (alone.vantages, alone.state, alone.confidence) == (50, VerdictState.BLOCKED, 0.5)
    assert alone.established == 0
    agreeing = [(t, (reachable(),)) for t, _ in crowd]
    here = await cell(Seniority.YOUNG, agreeing, 5)
    assert (here.vantages, here.confidence, here.established) == (53, 0.75, 3)


async def test_engine_and_memory_agree_on_partial_cells(store: Store) -> None:
    """Engine and memory agree on partial cells.

    Lines have established vantages or none, several functions, and mixed verdicts.
    """
    partial = msgspec.structs.replace(reachable(), state=VerdictState.PARTIAL, function="web")
    both = msgspec.structs.replace(partial, function="calls,web")
    young = Seniority.YOUNG
    rows: list[list[tuple[int, str, Verdict, Seniority | None]]] = [
        [(1, "one", partial, None), (2, "two", both, None)],
        [(1, "one", partial, None), (1, "one", reachable(), None), (2, "two", both, None)],
        [(1, "one", partial, None), (2, "two", reachable(), None)],
        [(1, "one", partial, None), *((n, "one", reachable(), young) for n in range(2, 7))],
        [(1, "one", reachable(), None), *((n, str(n), partial, young) for n in range(2, 7))],
        [(n, str(n), both, young) for n in range(3)],
        [(1, "one", blocked(), None), (2, "two", blocked(), None), (3, "three", partial, None)],
    ]
    await keep(store, *(
        (replace(taken(n, at_us=T0 + hour * HOUR + i, who=f"v{n}"), prefix=net,
                 id=f"{hour}-{i}".ljust(32, "0"), seniority=age or Seniority.ESTABLISHED),
         (verdict,))
        for hour, judged in enumerate(rows)
        for i, (n, net, verdict, age) in enumerate(judged)
    ))  # fmt: skip
    window = (T0, T0 + len(rows) * HOUR, 300)
    cells = roll_up_bins(await store.counts(*window), [], *window)
    in_memory = roll_up(await store.votes(*window), [], *window)
    assert [cell for cell in in_memory if cell.vantages] == cells
    assert [(cell.state.value, cell.method) for cell in cells[:-1]] == [
        ("partial", "web"), ("reachable", ""), ("reachable", ""), ("partial", "web"),
        ("reachable", ""), ("partial", "calls,web"),
    ]  # fmt: skip
    assert cells[-1].state is VerdictState.BLOCKED


WIDER: Sequence[tuple[str, ...]] = (
    (), ("region",), ("service",), ("region", "asn", "access"), ("country", "region", "service"),
)  # fmt: skip


@pytest.mark.parametrize("seed", draw_seeds(3))
async def test_engine_and_memory_count_the_same_whatever_is_said(store: Store, seed: int) -> None:
    """Engine and memory count the same for random verdicts.

    Two hundred verdicts of a few vantages that move, with every state, cause and age.
    """
    draw = random.Random(seed)
    partial = msgspec.structs.replace(reachable(), state=VerdictState.PARTIAL, function="web")
    injected = msgspec.structs.replace(blocked(), layer="dns", method="injected")
    both = msgspec.structs.replace(partial, function="calls,web")
    said = [blocked(), injected, DOWN, UNKNOWN, reachable(), reachable(), partial, both]
    judged: list[JudgedMeasurement] = []
    for number in range(200):
        record = taken(
            number,
            at_us=T0 + draw.randrange(20) * MINUTE,
            who=f"v{draw.randrange(9)}",
            service=draw.choice(("telegram", "signal")),
            vantage=replace(
                KZ, region=draw.choice(("A", "B")), access=draw.choice(("fixed", "mobile"))
            ),
        )
        age = draw.choice((Seniority.YOUNG, Seniority.ESTABLISHED))
        line = draw.choice(("18990.a", "18991.a", "18990.b", "18990.c"))
        judged.append((replace(record, prefix=line, seniority=age), (draw.choice(said),)))
    await keep(store, *judged)
    window = (T0, T0 + HOUR, 300)
    for wider in WIDER:
        counts = await store.counts(*window, wider=wider)
        verdicts = await store.votable(*window[:2], None)
        ways = [count_verdicts(verdicts, *window, wider)]
        ways += [] if wider else [count_votes(tally_votes(verdicts, 300), *window)]
        for unsorted in ways:
            in_memory = sorted(unsorted, key=vote_queries.get_key)
            assert [plain(c) for c in in_memory] == [plain(count) for count in counts], wider
            assert roll_up_bins(in_memory, [], *window) == roll_up_bins(counts, [], *window) != []
    with pytest.raises(TooMuchError, match="More than 199 verdicts"):
        await store.votable(*window[:2], 199)


def plain(count: Count) -> dict[str, object]:
    """Return the fields, without the zeros that one way of counting leaves out."""
    values = {field.name: getattr(count, field.name) for field in fields(count)}
    return {
        name: {key: n for key, n in value.items() if n} if isinstance(value, Mapping) else value
        for name, value in values.items()
    }


def moved(record: ReceivedMeasurement, at_us: int) -> Measurement:
    return replace(record.measurement, started_us=at_us)


async def test_too_many_opinions_raise(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await keep(store, *((taken(n), (blocked(),)) for n in range(4)))
    monkeypatch.setattr(vote_queries, "MAX_VOTES", 4)
    assert len(await store.opinions("telegram", "KZ", T0, T0 + 1)) == 4
    monkeypatch.setattr(vote_queries, "MAX_VOTES", 3)
    with pytest.raises(TooMuchError, match="more than 3 verdicts in that time: ask for a shorter"):
        await store.opinions("telegram", "KZ", T0, T0 + 1)
    with pytest.raises(TooMuchError, match="wider bins"):
        await store.world_tally("telegram", "KZ", 0, T0, 60)


def elsewhere(
    number: int, at_us: int, who: str, net: str, country: str = "RU"
) -> ReceivedMeasurement:
    there = replace(RU, country=country)
    return replace(taken(number, at_us=at_us, who=who, vantage=there), prefix=net)


def by_minute(tally: Sequence[WorldTally]) -> list[tuple[float, int, int]]:
    return [((t.start_us - T0) / MINUTE, t.good, t.bad) for t in tally]


async def test_world_tally_counts_one_vote_per_foreign_network(store: Store) -> None:
    partly = msgspec.structs.replace(blocked(), state=VerdictState.REACHABLE)
    await keep(
        store,
        (elsewhere(1, T0, "a", "one"), (blocked(),)),
        (elsewhere(2, T0 + 1, "b", "one"), (reachable(),)),  # half of a network is not most
        (elsewhere(3, T0, "c", "two"), (DOWN,)),
        (elsewhere(4, T0, "d", "three"), (partly,)),
        (elsewhere(5, T0, "e", "four"), (UNKNOWN,)),
        (elsewhere(6, T0, "f", "five"), (blocked(),)),
        (elsewhere(7, T0 + 5, "f", "five"), (reachable(),)),  # the last word counts
        (elsewhere(8, T0, "g", "six", "KZ"), (blocked(),)),
        (elsewhere(9, T0 + 2 * MINUTE, "h", "seven", "UA"), (reachable(),)),
    )
    tally = await store.world_tally("telegram", "KZ", T0, T0 + 5 * MINUTE, 60)
    assert by_minute(tally) == [(0, 2, 2), (2, 1, 0)]
    assert await store.world_tally("signal", "KZ", T0, T0 + MINUTE, 60) == []


async def test_world_tally_counts_votes_while_fresh(store: Store) -> None:
    await keep(
        store,
        (elsewhere(1, T0 + 30 * US, "a", "one"), (blocked(),)),
        (elsewhere(2, T0 + 2 * MINUTE, "b", "two"), (reachable(),)),
        (elsewhere(3, T0 + 3 * MINUTE + 1, "b", "two"), (UNKNOWN,)),
    )
    tally = await store.world_tally("telegram", "KZ", T0, T0 + 9 * MINUTE, 60, fresh_s=180)
    assert by_minute(tally) == [
        (0, 0, 1),
        (1, 0, 1),
        (2, 1, 1),
    ]  # at 3 the one is stale, the other in doubt
    later = await store.world_tally("telegram", "KZ", T0 + MINUTE, T0 + 2 * MINUTE, 60, fresh_s=180)
    assert by_minute(later) == [(1, 0, 1)]


async def test_keys_of_one_line_are_one_person_whatever_region_they_claim(store: Store) -> None:
    """Keys of one line count as one person whatever region they claim.

    Five keys behind one address in five regions, measuring and then silent; and a neighbor.
    """
    names = ("a", "b", "c", "d", "e", "neighbor")
    votes = []
    lost = []
    for number, name in enumerate(names):
        place = replace(KZ, region=f"R{number}")
        line = "other" if name == "neighbor" else "one"
        record = replace(taken(number, who=name, vantage=place), prefix=line)
        votes.append((record, (blocked(),)))
        lost.append(
            lost_row(
                position=number + 1, vantage=place, pseudonym=name, prefix=line,
                seniority=Seniority.YOUNG if name == "a" else Seniority.ESTABLISHED,
            )
        )  # fmt: skip
    await store.insert_block(replace(block(1, 6, *votes), presence=tuple(lost)))
    window = (T0 // MINUTE * MINUTE, T0 + HOUR, 300)
    silences = await store.silences(*window)
    last_us = max(s.start_us for s in silences)
    last_silences = [s for s in silences if s.start_us == last_us]
    assert sum(s.vantages for s in last_silences) == 6
    assert {s.region: s.counted for s in last_silences if s.counted} == {"R1": 1, "R5": 1}
    counts = await store.counts(*window)
    assert {c.region: c.persons for c in counts if c.persons} == {"R0": 1, "R5": 1}
    assert sum(cell.counted for cell in roll_up(await store.votes(*window), [], *window)) == 2


async def test_what_arrived_after_an_instant_is_not_seen(store: Store) -> None:
    await keep(
        store, (taken(1), (blocked(),)), (replace(taken(2), received_us=T0 + HOUR), (blocked(),))
    )
    window = (T0 // MINUTE * MINUTE, T0 + HOUR, 300)
    for before_us, seen in ((T0 + HOUR, 1), (T0 + HOUR + 1, 2), (T0, 0)):
        votes = await store.votes(*window, received_before_us=before_us)
        counts = await store.counts(*window, received_before_us=before_us)
        assert (len(votes), sum(c.persons for c in counts)) == (seen, seen)
