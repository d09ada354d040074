"""What the detectors had in mind, out of a real journal and a real store after a kill."""

from pathlib import Path

from heliograph_collector.serve.recall import Recall
from heliograph_collector.store.engine import Store
from heliograph_collector.store.journal import Journal
from heliograph_collector.store.reading import read_rows
from heliograph_collector.store.rows import Block, JournalRow, Judged, Kind
from support.rows import ANNA, NAMES, T0, US, blocked, envelope_row, measurement_pb, reachable


def rows() -> list[JournalRow]:
    """Four envelopes of two measurements, and somebody lost between."""
    some = [
        envelope_row(measurement_pb(T0 + n * US), measurement_pb(T0 + n * US + 1), sequence=n)
        for n in range(1, 5)
    ]
    return [*some[:2], JournalRow(kind=Kind.LOST, agent=ANNA, received_us=T0), *some[2:]]


async def test_what_is_in_the_store_comes_with_its_verdicts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    store = Store(f"chdb://{tmp_path}/store", observations_days=9_999, verdicts_days=9_999)
    await store.open()
    recall = Recall(journal, store, NAMES)
    try:
        assert await recall.since(0) == (0, [])
        await journal.append(rows())
        kept = await journal.read(0, 10)
        judged: list[Judged] = [
            (one, (reachable() if n else blocked(),))
            for n, one in enumerate(read_rows(kept[:4], NAMES).taken)
        ]
        await store.insert_block(Block(journal=journal.id, first=1, last=4, judged=tuple(judged)))
        # The last envelope's block is not in: the writer will bring it.
        assert await recall.since(0) == (4, judged)
        assert await recall.since(2) == (4, judged[4:])
        assert await recall.since(4) == (4, [])
        assert await recall.since(None) == (4, [])
    finally:
        await store.close()
        await journal.close()
