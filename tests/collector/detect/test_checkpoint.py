"""An engine restored from a checkpoint continues as if nothing had happened."""

import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.engine import CLOSE_US, DetectorEngine
from heliograph_collector.incidents.incident import Bracket, IncidentKind, IncidentState
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import Fault, FaultReason, ServiceVote, VoteValue
from support.examples import draw_seeds
from support.incident_book import silence
from support.journal_rows import SECRET, row_of
from support.presence_model import KZ, Cut, at, country, live, world

HOURS = 4


def rows(seed: int) -> list[JournalRow]:
    rng = Random(seed)
    cuts = [Cut(7_200, 9_000, KZ, 2.0), Cut(10_800, 12_600, KZ, 2.0)]
    signals = live(country() + world(), rng, HOURS, cuts=cuts)
    signals.append(Fault(at(3_000), at(3_060), FaultReason.PROBE))
    signals.append(Fault(at(7_210), at(7_240), FaultReason.STALLED))
    signals.sort(key=lambda s: s.until_us if isinstance(s, Fault) else s.at_us)
    return [row_of(signal, position) for position, signal in enumerate(signals, 1)]


def heard(seed: int) -> list[ServiceVote]:
    rng = Random(seed)
    votes = []
    for minute in range(120):
        for w in [*country(each=1), *world(2)]:
            value = VoteValue.BLOCKED if KZ(w) and 30 <= minute < 90 else VoteValue.GOOD
            now = at(60 * minute + rng.uniform(0, 60))
            votes.append(ServiceVote(now, w, "signal", value, "tls", "reset"))
    return votes


def play(
    engine: DetectorEngine, rows_: Sequence[JournalRow], opinions: Sequence[ServiceVote]
) -> None:
    """Feed rows as they come and bins a while after their end, as a collector does."""
    opinions = sorted(opinions, key=lambda o: o.at_us)
    for row in rows_:
        engine.read_rows([row])
        while opinions and opinions[0].at_us <= row.received_us:
            engine.close_bins(opinions[0].at_us - CLOSE_US)
            engine.add_vote(opinions[0])
            opinions = opinions[1:]
    engine.advance_to(rows_[-1].received_us)
    engine.close_bins(rows_[-1].received_us - CLOSE_US)


@pytest.mark.long
@pytest.mark.parametrize("seed", draw_seeds(2))
def test_restored_engine_continues_the_same(seed: int, tmp_path: Path) -> None:
    every, said = rows(seed), heard(seed)
    whole = DetectorEngine.create("j", SECRET, at(0))
    play(whole, every, said)
    expected = whole.incidents()
    assert len(expected) > 1
    moments = [at(600), at(3_030), at(7_215), at(7_241), at(7_260), at(9_030), at(12_000)]
    for moment in moments:
        before = [row for row in every if row.received_us <= moment]
        engine = DetectorEngine.create("j", SECRET, at(0))
        last_us = before[-1].received_us
        play(engine, before, [o for o in said if o.at_us <= last_us])
        checkpoint.save_state(tmp_path, engine)
        found = checkpoint.load_newest(tmp_path, "j", before[-1].position, SECRET)
        assert found is not None
        again, _ = found
        play(again, every[len(before) :], [o for o in said if o.at_us > last_us])
        assert again.incidents() == expected


@pytest.mark.parametrize("kind", [IncidentKind.COLLECTOR_BLOCKED, IncidentKind.POWER])
def test_silence_whose_cause_was_told_is_restored_from_the_log(kind: IncidentKind) -> None:
    """It ends when its country lives again, and is no block of a nameless service."""
    incident = silence(
        kind=kind,
        parts=(AffectedCell(Scope("KZ"), 10.0, 1.0, 6),),
        started=Bracket(at(0), at(60)),
        suspected_us=at(60),
        confirmed_us=at(90),
        confidence=0.8,
    )
    engine = DetectorEngine.create("j", SECRET, at(600))
    engine.restore([incident])
    (restored,) = engine.incidents()
    assert (restored.kind, restored.confidence) == (kind, 0.8)
    engine.read_rows([row_of(s, n) for n, s in enumerate(live(country(), Random(1), 1), 1)])
    engine.advance_to(at(3_600))
    (ended,) = engine.incidents()
    assert (ended.kind, ended.state) == (kind, IncidentState.CLOSED)


def test_late_rows_are_noted_and_can_be_replayed() -> None:
    """Rows may be read after a timer of a later moment had fallen due."""
    every = rows(1)
    engine = DetectorEngine.create("j", SECRET, at(0))
    for row in every:
        engine.advance_to(row.received_us + 20_000_000)
        engine.read_rows([row])
    assert engine.late_rows
    again = DetectorEngine.create("j", SECRET, at(0))
    again.read_rows(every, dict(engine.late_rows))
    again.advance_to(every[-1].received_us + 20_000_000)
    assert again.incidents() == engine.incidents()


def test_damaged_or_foreign_state_is_skipped(tmp_path: Path) -> None:
    engine = DetectorEngine.create("j", SECRET, at(0))
    engine.read_rows(rows(1)[:50])
    first = checkpoint.save_state(tmp_path, engine)
    engine.read_rows(rows(1)[50:80])
    second = checkpoint.save_state(tmp_path, engine)
    second.file.write_bytes(second.file.read_bytes()[:-20])
    found = checkpoint.load_newest(tmp_path, "j", 80, SECRET)
    assert found is not None
    assert found[1] == first
    assert checkpoint.load_newest(tmp_path, "another", 80, SECRET) is None
    assert checkpoint.load_newest(tmp_path, "j", 40, SECRET) is None  # the journal was restored
    assert checkpoint.find_state(tmp_path, first.hash) == first.file


def test_batches_are_read_up_to_a_torn_one(tmp_path: Path) -> None:
    saved = checkpoint.save_state(tmp_path, DetectorEngine.create("j", SECRET, at(0)))
    first, second = (at(0), at(60), heard(1)[:3]), (at(60), at(120), heard(1)[3:5])
    checkpoint.append_batch(saved, first)
    checkpoint.append_batch(saved, second)
    torn = saved.votes_file.read_bytes()[:-4]
    saved.votes_file.write_bytes(torn)
    assert list(checkpoint.read_batches(saved.votes_file)) == [first]
    checkpoint.repair(saved.votes_file)
    checkpoint.append_batch(saved, second)
    assert list(checkpoint.read_batches(saved.votes_file)) == [first, second]


def test_old_states_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_STATES", 3)
    engine = DetectorEngine.create("j", SECRET, at(0))
    for position in range(1, 7):
        engine.read_rows([replace(rows(1)[position], position=position)])
        checkpoint.save_state(tmp_path, engine)
    assert len(checkpoint.list_states(tmp_path)) == 3


def test_partial_write_on_a_full_disk_is_undone(tmp_path: Path) -> None:
    """A partial write on a full disk is undone.

    A limit on the size of files takes a part and refuses the rest, as a full disk does.
    """
    saved = checkpoint.save_state(tmp_path, DetectorEngine.create("j", SECRET, at(0)))
    frames = [(at(60 * n), at(60 * n + 60), heard(n)[:200]) for n in range(3)]
    checkpoint.append_batch(saved, frames[0])
    whole, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (saved.votes_file.stat().st_size + 100, hard))
    try:
        with pytest.raises(OSError, match=r"opinions|large"):
            checkpoint.append_batch(saved, frames[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole, hard))
    checkpoint.append_batch(saved, frames[2])
    assert [frame[0] for frame in checkpoint.read_batches(saved.votes_file)] == [at(0), at(120)]
