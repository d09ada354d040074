"""A snapshot taken in use, restored, and gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.model.records import Kind, Presence, Refused
from heliograph_collector.store import backup
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.store import Store, StoreError
from support.rows import (
    ANNA,
    KZ,
    T0,
    US,
    block,
    blocked,
    envelope_row,
    measurement_pb,
    observations,
    taken,
)


async def test_what_was_saved_is_there_again(store: Store, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    await journal.append([envelope_row(measurement_pb(), sequence=n) for n in (1, 2, 3)])
    judged = (taken(1, steps=observations()), (blocked(), blocked("dc1")))
    there = Presence(kind=Kind.LOST, position=1, received_us=T0, vantage=KZ, nym="a")
    bad = Refused(position=2, index=-1, received_us=T0, reason="x", body=b"\xff\x00")
    whole = replace(block(1, 2, judged, journal=journal.id), presence=(there,), refused=(bad,))
    await store.insert_block(whole)
    votes = await store.votes(T0, T0 + US, 300)
    await backup.snapshot(journal, store, tmp_path / "saved")
    with pytest.raises(StoreError, match="exists already"):
        await backup.snapshot(journal, store, tmp_path / "saved")
    await journal.close()
    await store.close()

    data = tmp_path / "data"
    again = Store(f"chdb://{data}/store", observations_days=99_999, verdicts_days=99_999)
    await again.open()
    await backup.restore(tmp_path / "saved", data, again)
    assert await again.measurement(judged[0].id) == judged
    assert await again.votes(T0, T0 + US, 300) == votes
    assert len(await again.silences(T0, T0 + 300 * US, 300)) == 1
    copy = Journal(data / "journal.db")
    assert await again.cursor(copy.id) == 2
    assert [r.position for r in await copy.read(2, 10)] == [3]
    assert await copy.append([envelope_row(measurement_pb(), sequence=3)]) == [None]
    assert (await copy.read(0, 1))[0].agent == ANNA
    with pytest.raises(StoreError, match="empty --data directory"):
        await backup.restore(tmp_path / "saved", data, again)
    await copy.close()
    await again.close()


async def test_a_snapshot_from_before_a_table_is_restored(store: Store, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    await store.insert_block(block(1, 1, (taken(1), (blocked(),)), journal=journal.id))
    await backup.snapshot(journal, store, tmp_path / "saved")
    await journal.close()
    await store.close()
    manifest = tmp_path / "saved" / backup.MANIFEST
    told = json.loads(manifest.read_bytes())
    del told["rows"]["minute_cells"]
    manifest.write_text(json.dumps(told))
    (tmp_path / "saved" / "minute_cells.native").unlink()
    data = tmp_path / "data"
    again = Store(f"chdb://{data}/store", observations_days=99_999, verdicts_days=99_999)
    await again.open()
    await backup.restore(tmp_path / "saved", data, again)
    assert len(await again.votes(T0, T0 + US, 300)) == 1
    await again.close()


async def test_a_snapshot_that_is_not_whole_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no whole snapshot"):
        await backup.restore(tmp_path / "nothing", tmp_path / "data", store)
