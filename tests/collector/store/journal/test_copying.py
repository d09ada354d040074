"""A journal on a real nats-server in a file: nothing lost, repeated or renumbered."""

from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream import follower
from heliograph_collector.store.journal.jetstream.journal import open_jetstream
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.opening import (
    copy_from_servers,
    move_to_servers,
    open_journal,
)
from support.journal_rows import bare_envelope

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
ANNA, BERIK = b"A" * 16, b"B" * 16
LOST = JournalRow(
    kind=RowKind.LOST, agent=BERIK, received_us=9, country="KZ", since_s=7, closed_us=8
)


async def fill(settings: JournalSettings, data: Path) -> tuple[str, list[JournalRow]]:
    """Append nine rows and trim three envelopes; return the journal's id and the rest."""
    async with open_journal(data, settings) as journal:
        await journal.append([bare_envelope(ANNA, n) for n in range(1, 5)])
        await journal.append([LOST, *(bare_envelope(BERIK, n) for n in range(10, 14))])
        assert await journal.trim(3, 10) == 3
        await journal.mark_alive(20)
        await journal.mark_expiry(21)
        return journal.id, await journal.read(0, 100)


async def test_copy_is_the_journal_and_goes_on_as_one(
    settings: JournalSettings, tmp_path: Path
) -> None:
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
    id_, rows = await fill(settings, tmp_path / "there")
    await copy_from_servers(settings, tmp_path / "there", tmp_path / "here" / "journal.db")
    async with open_journal(tmp_path / "here", None) as copy:
        assert (copy.id, copy.position, copy.expiry_before_us) == (id_, 9, 21)
        assert copy.alive_before_us == 20
        assert await copy.read(0, 100) == rows
        repeats = [bare_envelope(ANNA, n) for n in range(1, 5)]
        assert await copy.append([*repeats, bare_envelope(ANNA, 5)]) == [None] * 4 + [10]
    moved = await move_to_servers(
        replace(settings, name=f"{settings.name}b"), tmp_path / "here", {}
    )
    assert moved.rows == len(rows) + 1, "and back"


async def test_journal_without_rows_keeps_its_numbers(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with open_journal(tmp_path, settings) as journal:
        await journal.append([bare_envelope(ANNA, 1)])
        assert await journal.trim(1, 10) == 1
    (tmp_path / "here").mkdir()
    await copy_from_servers(settings, tmp_path, tmp_path / "here" / "journal.db")
    async with open_journal(tmp_path / "here", None) as copy:
        assert await copy.append([bare_envelope(ANNA, 1), bare_envelope(ANNA, 2)]) == [None, 2]


async def test_journal_is_copied_where_it_is_led(settings: JournalSettings, tmp_path: Path) -> None:
    for name in ("leader", "other"):
        (tmp_path / name).mkdir()
    with pytest.raises(JournalError, match="hold no whole journal"):
        await copy_from_servers(settings, tmp_path / "other", tmp_path / "copy.db")
    async with open_journal(tmp_path / "leader", settings) as journal:
        await journal.append([bare_envelope(ANNA, 1)])
        with pytest.raises(JournalError, match="Another collector leads"):
            await copy_from_servers(settings, tmp_path / "other", tmp_path / "copy.db")
        await copy_from_servers(settings, tmp_path / "leader", tmp_path / "copy.db")


async def test_rows_that_are_trimmed_while_they_are_read_end_no_reader(
    settings: JournalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_BATCH", 2)
    monkeypatch.setattr(follower, "_FETCH_S", 2.0)
    async with open_jetstream(settings, tmp_path) as journal:
        await journal.append([bare_envelope(ANNA, n) for n in range(1, 10)])
        reader = follower.StreamFollower(journal.connection, settings.name, f"{settings.name}.>")
        positions = []
        async for entries in reader.read_batches():
            positions += [entry.position for entry in entries]
            await journal.trim(8, 10)
    assert positions == [1, 2, 9]


async def test_late_answer_that_nothing_is_left_ends_no_reader(
    settings: JournalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client raises asyncio's error, not its own, where the answer comes at its deadline."""
    subscription = JetStreamContext.PullSubscription
    fetch = subscription.fetch

    async def run_out(*_args: object, **_kwargs: object) -> list[Msg]:
        monkeypatch.setattr(subscription, "fetch", fetch)
        raise TimeoutError

    async with open_jetstream(settings, tmp_path) as journal:
        await journal.append([bare_envelope(ANNA, n) for n in range(1, 4)])
        reader = follower.StreamFollower(journal.connection, settings.name, f"{settings.name}.>")
        positions = []
        monkeypatch.setattr(follower, "_BATCH", 2)
        async for entries in reader.read_batches():
            positions += [entry.position for entry in entries]
            if positions == [1, 2]:
                await journal.trim(3, 4)
                monkeypatch.setattr(subscription, "fetch", run_out)
    assert positions == [1, 2]
