"""A snapshot taken in use, restored, and gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.model.records import DecodeFailure
from heliograph_collector.store import backup
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.store import Store, StoreError
from support.rows import (
    ANNA,
    T0,
    US,
    block,
    blocked,
    envelope_row,
    lost_row,
    measurement_pb,
    observations,
    taken,
)
from support.stores import open_store


async def test_restored_snapshot_holds_store_and_journal(store: Store, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    await journal.append([envelope_row(measurement_pb(), sequence=n) for n in (1, 2, 3)])
    judged = (taken(1, steps=observations()), (blocked(), blocked("dc1")))
    bad = DecodeFailure(position=2, index=-1, received_us=T0, reason="x", body=b"\xff\x00")
    whole = replace(block(1, 2, judged, journal=journal.id), presence=(lost_row(),), refused=(bad,))
    await store.insert_block(whole)
    votes = await store.votes(T0, T0 + US, 300)
    await backup.snapshot(journal, store, tmp_path / "saved")
    with pytest.raises(StoreError, match="exists already"):
        await backup.snapshot(journal, store, tmp_path / "saved")
    await journal.close()
    await store.close()

    data = tmp_path / "data"
    async with open_store(data) as again:
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


async def test_snapshot_without_a_newer_table_is_restored(store: Store, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    await store.insert_block(block(1, 1, (taken(1), (blocked(),)), journal=journal.id))
    await backup.snapshot(journal, store, tmp_path / "saved")
    await journal.close()
    await store.close()
    manifest = tmp_path / "saved" / backup.MANIFEST
    saved = json.loads(manifest.read_bytes())
    del saved["rows"]["minute_cells"]
    manifest.write_text(json.dumps(saved))
    (tmp_path / "saved" / "minute_cells.native").unlink()
    data = tmp_path / "data"
    async with open_store(data) as again:
        await backup.restore(tmp_path / "saved", data, again)
        assert len(await again.votes(T0, T0 + US, 300)) == 1
