"""The detectors' memory is rebuilt from real journal and store after a kill."""

from pathlib import Path

from heliograph.v1.observation_pb2 import Measurement
from heliograph_collector.detect.recovery import RecoveredVotes, VerdictRecovery
from heliograph_collector.detect.signal_reader import read_votes
from heliograph_collector.model.records import Block, JournalRow, JudgedMeasurement, RowKind
from heliograph_collector.model.signals import VoteValue
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.store import Store
from support.rows import ANNA, NAMES, T0, US, blocked, envelope_row, measurement_pb, reachable

MINUTE = 60 * US


def told(started_us: int) -> Measurement:
    made = measurement_pb(started_us)
    made.service = "telegram"
    return made


def rows() -> list[JournalRow]:
    """Return four envelopes of two measurements, a minute apart; a loss between."""
    some = [
        envelope_row(told(T0 + n * MINUTE), told(T0 + n * MINUTE + 1), sequence=n)
        for n in range(1, 5)
    ]
    return [*some[:2], JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=T0), *some[2:]]


async def test_what_is_in_the_store_comes_with_its_verdicts(store: Store, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    recall = VerdictRecovery(journal, store, NAMES)
    assert await recall.since(0) == RecoveredVotes(0)
    await journal.append(rows())
    kept = await journal.read(0, 10)
    judged: list[JudgedMeasurement] = [
        (one, (reachable() if n else blocked(),))
        for n, one in enumerate(read_rows(kept[:4], NAMES).records)
    ]
    await store.insert_block(Block(journal=journal.id, first=1, last=4, judged=tuple(judged)))
    # The last envelope's block is not in: the writer will bring it.
    every, last = await recall.since(0), await recall.since(2)
    assert every.votes == list(read_votes(judged))
    assert [o.standing for o in every.votes] == [VoteValue.BLOCKED, *[VoteValue.GOOD] * 5]
    assert every.minutes_us == {T0 + n * MINUTE for n in (1, 2, 3)}
    assert last == RecoveredVotes(4, list(read_votes(judged[4:])), {T0 + 3 * MINUTE})
    assert await recall.since(4) == RecoveredVotes(4)
    assert await recall.since(None) == RecoveredVotes(4)
    await journal.close()
