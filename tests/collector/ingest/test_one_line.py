"""A line counts as one person, on all days of its uploads and over midnight."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.codec import measurement_to_pb
from heliograph.envelope import VerifiedBatch
from heliograph.observation import Digest
from heliograph.units import DAY_US, HOUR_US, SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1.envelope_pb2 import Batch
from heliograph.zstd_frame import compress_frame
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.aggregate.rollup import roll_up_bins
from heliograph_collector.detect.signal_reader import SignalReader
from heliograph_collector.detect.stats.voting import count_votes, sum_votes
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.envelope_opener import check_batch
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.ingest.presence import AgentConnection
from heliograph_collector.model.line_names import count_lines
from heliograph_collector.model.records import JournalRow, RowKind, Verdict
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.model.signals import VantageLocation, VantageLoss, VantageRef
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_collector.store.store import Store
from support import results
from support.crowds import asked, keep
from support.examples import limit_examples
from support.hand_clock import HandClock
from support.intake import CLOCK, enrolled, ingest_server
from support.rows import KZ, T0, block, blocked, lost_row, reachable, taken

K = 5
SECRET = b"s" * 32
ONE_LINE = [7] * K
FIVE_LINES = range(K)
DAILY = range(K)


@pytest.mark.parametrize(
    ("lines", "upload_days", "verdict", "persons"),
    [
        pytest.param(ONE_LINE, DAILY, blocked(), 1, id="one line, five keys, five days"),
        pytest.param(ONE_LINE, (0, 0, 0, 1, 1), blocked(), 1, id="flatmates over midnight"),
        pytest.param(FIVE_LINES, DAILY, blocked(), K, id="five lines that return day by day"),
        pytest.param((7, 7, 7, 8, 9), DAILY, reachable(), 3, id="a line of three keys, two more"),
    ],
)
async def test_keys_that_upload_on_several_days_count_by_their_lines(
    tmp_path: Path,
    store: Store,
    lines: Sequence[int],
    upload_days: Sequence[int],
    verdict: Verdict,
    persons: int,
) -> None:
    clock = HandClock(CLOCK.wall_us())
    async with ingest_server(tmp_path / "ingest", clock=clock) as server:
        callers = [await enrolled(server) for _ in lines]
        made_us = (clock.wall // DAY_US + 16) * DAY_US + 12 * HOUR_US
        made = results.measurement(started_us=made_us, epoch="e1", service="telegram", sequence=1)
        for caller, line, day in zip(callers, lines, upload_days, strict=True):
            clock.advance_us(made_us + day * DAY_US + 60 * SECOND_US - clock.wall)
            sealed = caller.seal(caller.batch(1, [made]))
            receipt = await server.intake.receiver.accept(sealed, f"203.0.{line}.5")
            assert receipt.status == pb.STATUS_STORED, receipt
        rows = await server.rows(RowKind.ENVELOPE)
    records = read_rows(rows, Pseudonyms(SECRET)).records
    await keep(store, *((replace(r, vantage=KZ), (verdict,)) for r in records))
    window = (made_us, made_us + 300 * SECOND_US, 300)
    cells = roll_up_bins(await store.counts(*window), [], *window)
    assert [(c.vantages, c.prefixes, c.established) for c in cells] == [(K, persons, persons)]
    public_cells = Disclosure(K, ("telegram",), made_us + 9 * DAY_US).release(cells)
    assert bool(public_cells) is (persons >= K)


async def test_names_of_several_days_count_by_the_day_that_has_most(store: Store) -> None:
    """Names of several days count by the day that has most.

    Older rows have the name of the upload: four of five names may be one line's.
    """
    votes = []
    lost = []
    for number, day in enumerate((0, 0, 1, 2, 3)):
        record = replace(taken(number), received_us=T0 + day * DAY_US, prefix=f"hash{number}")
        votes.append((record, (blocked(),)))
        name = f"{T0 // DAY_US - number % 2}.{number:010x}"
        fields = {"position": number + 1, "pseudonym": f"nym{number}", "prefix": name}
        lost.append(lost_row(**fields, seniority=Seniority.ESTABLISHED))
    await store.insert_block(replace(block(1, 5, *votes), presence=tuple(lost)))
    window = (T0, T0 + 300 * SECOND_US, 300)
    (count,) = await store.counts(*window)
    assert count.persons == 2
    (total,) = await store.totals(asked(k=3))
    assert total.anomaly == 0, "five rows of two persons"
    (total,) = await store.totals(asked(k=2))
    assert total.anomaly == 4
    (silence, *_) = await store.silences(*window)
    assert (silence.vantages, silence.counted) == (5, 3)


def test_a_digest_names_its_line_for_each_day_that_it_tells_of() -> None:
    digest = Digest(step_s=3_600, classes=("foreign",), lives=b"\x01\x02" * 18)
    made = results.measurement(started_us=T0, experiment="digest", digest=digest)
    batch = Batch(sequence=1, measurements=[measurement_to_pb(made)])
    opened = check_batch(VerifiedBatch(b"a" * 16, 1, batch, b""), T0 + 3 * DAY_US)
    today = T0 // DAY_US
    assert opened.days == {today, today + 1, today + 3}
    line = GeoLookup(Path("absent"), Path("absent"), SECRET).locate("203.0.113.9", T0)
    row = JournalRow(
        kind=RowKind.ENVELOPE, agent=b"a", received_us=T0, prefix=line.name_days(opened.days)
    )
    names = [row.line_at(T0 + day * DAY_US) for day in range(4)]
    assert names[0] == line.prefix
    assert [bool(name) for name in names] == [True, True, False, True]
    assert len(set(names)) == 4, "nothing that is stored follows a line"


@settings(max_examples=limit_examples(60))
@given(
    st.lists(st.integers(-200, 200), max_size=4),
    st.integers(-3 * DAY_US, 3 * DAY_US),
    st.integers(0, 2**32 - 1),
    st.integers(0, 48),
)
def test_days_of_a_batch_cover_all_that_is_stored_of_it(
    parts: list[int], offset_us: int, step_s: int, steps: int
) -> None:
    """The days of a batch cover all that is stored of it.

    Intake decodes nothing, and what the judge stores later has its line's name.
    """
    digest = Digest(step_s=step_s, classes=("foreign",), lives=b"\x01\x02" * steps)
    made = [
        replace(results.measurement(started_us=T0 + hours * HOUR_US), clock_offset_us=offset_us)
        for hours in parts
    ]
    whole = replace(
        results.measurement(started_us=T0, clock_offset_us=offset_us),
        observations=(), parts=tuple(made),
    )  # fmt: skip
    told = results.measurement(started_us=T0, experiment="digest", digest=digest)
    batch = Batch(sequence=1, measurements=[measurement_to_pb(m) for m in (whole, told)])
    contents = VerifiedBatch(b"a" * 16, 1, batch, b"")
    days = check_batch(contents, T0 + 3 * DAY_US).days
    row = JournalRow(
        kind=RowKind.ENVELOPE, agent=b"a" * 16, received_us=T0 + 3 * DAY_US, sequence=1,
        body=compress_frame(batch.SerializeToString(), level=1),
    )  # fmt: skip
    stored = read_rows([row], Pseudonyms(SECRET)).records
    assert {record.started_us // DAY_US for record in stored} <= days
    assert len(days) <= 123, "however long a digest says that it is"


def test_flatmates_that_are_lost_after_midnight_are_one_line(tmp_path: Path) -> None:
    geo = GeoLookup(tmp_path / "c", tmp_path / "a", SECRET)
    midnight_us = T0 // DAY_US * DAY_US
    rows = [
        AgentConnection(
            agent=EnrolledAgent(
                id=bytes([number]), public_key=b"", role="volunteer", version="", created_s=1
            ),
            location=geo.locate(f"203.0.113.{number}", midnight_us + arrived_s * SECOND_US),
            hello=pb.Hello(country="KZ"), last_heard_us=0, outbox=asyncio.Queue(),
        ).build_row(RowKind.LOST, midnight_us + 600 * SECOND_US)
        for number, arrived_s in enumerate((-600, 300))
    ]  # fmt: skip
    assert len({row.prefix for row in rows}) == 1
    reader = SignalReader(SECRET)
    signals = [s for r in rows for s in reader.read_row(r, reader.derive_pseudonym(r.agent))]
    losses = [signal for signal in signals if isinstance(signal, VantageLoss)]
    assert [loss.prefix for loss in losses] == [rows[0].prefix] * 2


@pytest.mark.parametrize(
    ("names", "votes"),
    [
        pytest.param(("1.a", "1.b"), 2, id="names of other makes have no day"),
        pytest.param(("00001.a", "00001.b", "00002.c"), 2, id="one may be two of one line"),
        pytest.param(("00001.a", "00002.b", "00003.c"), 1, id="one line on three days"),
        pytest.param(("00001.a", "00001.b", ""), 3, id="an unknown line is one"),
    ],
)
def test_votes_of_a_network_are_no_more_than_one_day_proves(
    names: Sequence[str], votes: int
) -> None:
    place = VantageLocation("KZ", asn=1)
    hits = [(VantageRef(f"v{n}", name, place), True) for n, name in enumerate(names)]
    total = sum_votes(count_votes(hits))
    assert [total.votes, total.hits] == pytest.approx([votes, votes])
    assert count_lines(names) == votes
    whole = sum_votes(count_votes(hits, is_lower_bound=False))
    assert whole.votes == len(names)
    elsewhere = (VantageRef("w", "00009.w", VantageLocation("KZ", asn=2)), False)
    assert sum_votes(count_votes([*hits, elsewhere])).votes == pytest.approx(votes + 1)
