"""A SQLite journal moves to a real nats-server without loss or renumbering."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream import migration
from heliograph_collector.store.journal.journal import Journal, JournalError
from heliograph_collector.store.journal.opening import move_to_servers, open_journal
from support.journal_rows import bare_envelope

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
ANNA, BERIK = b"A" * 16, b"B" * 16
TRIMMED, COUNT = 300, 900
MARKS = {"The store": 700, "Detectors that begin": 0}


class StoppedError(Exception):
    """A kill, as far as the move sees it."""


@pytest.fixture
async def old_rows(tmp_path: Path) -> list[JournalRow]:
    """Return a journal whose old envelopes are trimmed, but not the presence between."""
    journal = Journal(tmp_path / "journal.db")
    lost = JournalRow(
        kind=RowKind.LOST, agent=BERIK, received_us=9, country="KZ", since_s=7, closed_us=8
    )
    await journal.append([bare_envelope(ANNA, n) if n % 3 else lost for n in range(1, COUNT + 1)])
    await journal.trim(TRIMMED, TRIMMED)
    await journal.mark_alive(11)
    await journal.mark_expiry(12)
    rows = await journal.read(0, 10_000)
    await journal.close()
    return rows


async def check_moved(settings: JournalSettings, data: Path, old_rows: list[JournalRow]) -> None:
    async with open_journal(data, settings) as journal:
        rows = await journal.read(0, 10_000)
        assert [replace(r, position=0) for r in rows] == [replace(r, position=0) for r in old_rows]
        assert rows[-600:] == old_rows[-600:], "they keep their positions"
        assert (journal.position, journal.expiry_before_us) == (COUNT, 12)
        assert journal.alive_before_us == 11 or journal.alive_before_us == old_rows[-1].received_us
        sequences = [n for n in range(1, COUNT + 1) if n % 3]
        again = await journal.append([bare_envelope(ANNA, n) for n in sequences])
        assert again == [None] * len(sequences)
        assert await journal.append([bare_envelope(BERIK, 1)]) == [COUNT + 1]


async def test_journal_is_moved_whole(
    settings: JournalSettings, tmp_path: Path, old_rows: list[JournalRow]
) -> None:
    async with open_journal(tmp_path, None) as journal:
        id_ = journal.id
    moved = await move_to_servers(settings, tmp_path, MARKS)
    assert (moved.rows, moved.last, moved.agents) == (len(old_rows), COUNT, 1)
    assert moved.first == COUNT - len(old_rows) + 1
    assert not (tmp_path / "journal.db").exists()
    await check_moved(settings, tmp_path, old_rows)
    async with open_journal(tmp_path, settings) as journal:
        assert journal.id == id_
    with pytest.raises(JournalError, match=r"was moved already. Start `serve`"):
        await move_to_servers(settings, tmp_path, MARKS)
    with pytest.raises(JournalError, match="was moved to servers"):
        async with open_journal(tmp_path, None):
            pass
    with pytest.raises(JournalError, match="was moved already"):
        await move_to_servers(replace(settings, name="other"), tmp_path, MARKS)


@pytest.mark.parametrize("step", ["_store_state", "_send_rows", "_compare"])
async def test_interrupted_move_goes_on_or_back(
    settings: JournalSettings,
    tmp_path: Path,
    old_rows: list[JournalRow],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    done = getattr(migration._Move, step)

    async def break_off(*args: object) -> None:
        monkeypatch.setattr(migration, "_WINDOW", 64)
        if step == "_send_rows":
            monkeypatch.setattr(migration._Move, "_send", break_off_later(migration._Move._send))
        await done(*args)
        raise StoppedError

    monkeypatch.setattr(migration._Move, step, break_off)
    with pytest.raises(StoppedError):
        await move_to_servers(settings, tmp_path, MARKS)
    monkeypatch.undo()
    async with open_journal(tmp_path, None) as journal:  # back
        assert await journal.read(0, 10_000) == old_rows
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(JournalError, match="was not wholly moved"):
        async with open_journal(tmp_path / "elsewhere", settings):
            pass
    await move_to_servers(settings, tmp_path, MARKS)
    await check_moved(settings, tmp_path, old_rows)


def break_off_later(send: object) -> object:
    async def send_some(move: object, row: JournalRow, position: int) -> None:
        if position > COUNT - 200:
            raise StoppedError
        await send(move, row, position)  # type: ignore[operator]

    return send_some


async def test_kill_at_the_last_step_leaves_both_closed_until_the_next_try(
    settings: JournalSettings,
    tmp_path: Path,
    old_rows: list[JournalRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def break_off(*args: object) -> None:
        raise StoppedError

    monkeypatch.setattr(migration, "finish_stream", break_off)
    with pytest.raises(StoppedError):
        await move_to_servers(settings, tmp_path, MARKS)
    monkeypatch.undo()
    for servers, said in ((None, "was moved to servers"), (settings, "was not wholly moved")):
        with pytest.raises(JournalError, match=said):
            async with open_journal(tmp_path, servers):
                pass
    moved = await move_to_servers(settings, tmp_path, MARKS)
    assert moved.rows == len(old_rows)
    await check_moved(settings, tmp_path, old_rows)


async def test_name_that_a_power_cut_undid_is_given_again(
    settings: JournalSettings, tmp_path: Path, old_rows: list[JournalRow]
) -> None:
    """Hosts may have stored rows on the servers meanwhile, which stay."""
    await move_to_servers(settings, tmp_path, MARKS)
    (tmp_path / "host").mkdir()
    async with open_journal(tmp_path / "host", settings) as journal:
        assert await journal.append([bare_envelope(BERIK, 1)]) == [COUNT + 1]
    (tmp_path / "journal.db.moved").rename(tmp_path / "journal.db")
    with pytest.raises(JournalError, match="migrate"):
        async with open_journal(tmp_path, settings):
            pass
    assert (await move_to_servers(settings, tmp_path, MARKS)).rows == len(old_rows)
    async with open_journal(tmp_path, settings) as journal:
        assert journal.position == COUNT + 1


async def test_rows_trimmed_between_two_tries_let_the_move_begin_again(
    settings: JournalSettings,
    tmp_path: Path,
    old_rows: list[JournalRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows trimmed between two tries let the move begin again.

    After the first try the collector worked on: other rows are gone then, and positions differ.
    """
    monkeypatch.setattr(migration, "_WINDOW", 64)
    monkeypatch.setattr(migration._Move, "_send", break_off_later(migration._Move._send))
    with pytest.raises(StoppedError):
        await move_to_servers(settings, tmp_path, MARKS)
    monkeypatch.undo()
    async with open_journal(tmp_path, None) as journal:
        assert await journal.append([bare_envelope(BERIK, 1)]) == [COUNT + 1]
        await journal.trim(TRIMMED + 100, TRIMMED + 100)
        rows = await journal.read(0, 10_000)
    moved = await move_to_servers(settings, tmp_path, MARKS)
    assert (moved.rows, moved.last) == (len(rows), COUNT + 1)
    async with open_journal(tmp_path, settings) as moved_journal:
        moved_rows = await moved_journal.read(0, 10_000)
        assert [replace(r, position=0) for r in moved_rows] == [
            replace(r, position=0) for r in rows
        ]
        assert await moved_journal.append([bare_envelope(ANNA, 1), bare_envelope(ANNA, 302)]) == [
            None,
            None,
        ]


async def test_moves_that_would_renumber_or_mix_are_refused(
    settings: JournalSettings, tmp_path: Path, old_rows: list[JournalRow]
) -> None:
    with pytest.raises(JournalError, match="The store is at 200 of the journal, before a gap at"):
        await move_to_servers(settings, tmp_path, {"The store": 200})
    (tmp_path / "other").mkdir()
    async with open_journal(tmp_path / "other", settings) as journal:
        await journal.append([bare_envelope(ANNA, 1)])
    (tmp_path / "other" / "journal.owner").replace(tmp_path / "journal.owner")
    with pytest.raises(JournalError, match="is not a move of this journal"):
        await move_to_servers(settings, tmp_path, MARKS)
    assert (tmp_path / "journal.db").exists()
