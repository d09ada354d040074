"""The next leader has what detectors learned, by a real nats-server."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.app.handovers import PART_BYTES, DetectorHandover
from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.engine import DetectorEngine
from heliograph_collector.detect.state import DetectorConfig, DetectorState
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import ServiceVote, VantageArrival, VoteValue, sort_signals
from heliograph_collector.store.journal.journal import FencedError
from support.detector_run import KEY
from support.journal_rows import SECRET, row_of
from support.leading_terms import LeadingTerms
from support.presence_model import Signals, at, country, drop

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
JOURNAL = "j"
HOUR = 3_600.0
DAY = 24 * HOUR
EVENING = 17 * HOUR  # 22 h in Kazakhstan
DAYS = 4  # that the first leader lives
KILLED = DAYS * DAY + EVENING - HOUR


def evenings() -> tuple[list[JournalRow], list[JournalRow]]:
    """Return rows before and after the kill; three quarters switch off each evening.

    On the last evening the others go too, one by one, three hours later.
    """
    rng = Random(3)
    people = country(each=2)
    sleepers = rng.sample(people, 27)
    signals: Signals = [VantageArrival(at(1), each) for each in people]
    for day in range(DAYS + 1):
        begin_s = day * DAY + EVENING
        for each in sleepers:
            signals += drop([each], begin_s + rng.uniform(0, 2 * HOUR), rng)
            signals.append(VantageArrival(at(begin_s + (9 + rng.random()) * HOUR), each))
    for each in (v for v in people if v not in sleepers):
        signals += drop([each], DAYS * DAY + EVENING + (3 + rng.random()) * HOUR, rng)
    rows = [row_of(signal, n) for n, signal in enumerate(sort_signals(signals), 1)]
    before = [row for row in rows if row.received_us <= at(KILLED)]
    return before, rows[len(before) :]


async def lead(
    terms: LeadingTerms, term: int, data: Path, secret: bytes = SECRET
) -> DetectorHandover:
    """Begin to lead in a term, with the detectors' files of a data directory."""
    handover = DetectorHandover(await terms.open("detectors", term), secret, data)
    await handover.take_over()
    return handover


def open_state(data: Path, last_position: int, now_us: int) -> DetectorState:
    data.mkdir(exist_ok=True)
    state = DetectorState(
        DetectorConfig(
            data=data, journal=JOURNAL, secret=SECRET, key=KEY, versions={}, k_anonymity=5
        )
    )
    state.resume_from_checkpoint(last_position, now_us)
    return state


def read(state: DetectorState, rows: Sequence[JournalRow], until_us: int) -> None:
    """Read rows as they come, and evaluate each hour."""
    since_us = rows[0].received_us // HOUR_US * HOUR_US
    for begin_us in range(since_us, until_us, HOUR_US):
        end_us = begin_us + HOUR_US
        state.read_rows([row for row in rows if begin_us <= row.received_us < end_us])
        state.evaluate([], end_us)


def list_told(state: DetectorState) -> list[str]:
    """Return the states of the last evening's incidents."""
    incidents = [i for i in state.detectors.incidents() if i.suspected_us > at(KILLED)]
    return [i.state for i in incidents if i.state is not IncidentState.WITHDRAWN]


@pytest.mark.parametrize("is_handed_over", [True, False])
async def test_next_leader_knows_what_is_usual_of_an_evening(
    is_handed_over: bool, tmp_path: Path, terms: LeadingTerms
) -> None:
    """A leader with learned evenings finds a fade in one; a leader without doubts it."""
    before, after = evenings()
    first = open_state(tmp_path / "first", 0, at(0))
    read(first, before, at(KILLED))
    await (await lead(terms, 1, tmp_path / "first")).store_news()  # then it is killed
    if is_handed_over:
        await lead(terms, 2, tmp_path / "next")
    successor = open_state(tmp_path / "next", before[-1].position, at(KILLED))
    if not is_handed_over:  # all that the journal has: those who are here
        rows = [row_of(VantageArrival(at(KILLED), v), 1) for v in country(each=2)]
        successor.read_rows(rows)
    evening_us = at(DAYS * DAY + EVENING + 3 * HOUR)
    read(successor, [row for row in after if row.received_us < evening_us], evening_us)
    assert bool(list_told(successor)) != is_handed_over
    if is_handed_over:
        fade = [row for row in after if row.received_us >= evening_us]
        read(successor, fade, evening_us + 3 * HOUR_US)
        assert list_told(successor) == [IncidentState.CONFIRMED]


async def test_votes_since_the_checkpoint_come_too(tmp_path: Path, terms: LeadingTerms) -> None:
    data = tmp_path / "first"
    saved = checkpoint.save_state(data / "detect", DetectorEngine.create(JOURNAL, SECRET, at(0)))
    leader = await lead(terms, 1, data)
    vote = ServiceVote(at(0), country()[0], "signal", VoteValue.BLOCKED, "tls", "reset")
    batches = [(at(60 * n), at(60 * n + 60), [vote] * (1 + 9_000 * n)) for n in range(3)]
    for batch in batches:
        await leader.store_news()
        checkpoint.append_batch(saved, batch)
    with saved.votes_file.open("ab") as stream:
        stream.write(b"\x00\x00\x01\x00torn")
    await leader.store_news()
    await lead(terms, 2, tmp_path / "next")
    copied = tmp_path / "next" / "detect" / saved.file.name
    assert copied.read_bytes() == saved.file.read_bytes()
    assert list(checkpoint.read_batches(copied.with_suffix(".opinions"))) == batches


async def test_leader_that_was_replaced_stores_nothing(tmp_path: Path, terms: LeadingTerms) -> None:
    engine = DetectorEngine.create(JOURNAL, SECRET, at(0))
    for name in ("first", "second"):
        checkpoint.save_state(tmp_path / name / "detect", engine)
        engine.read_rows(evenings()[0][:40])
    first = await lead(terms, 1, tmp_path / "first")
    await first.store_news()
    second = await lead(terms, 2, tmp_path / "second")
    checkpoint.save_state(tmp_path / "first" / "detect", engine)
    with pytest.raises(FencedError):
        await first.store_news()
    await second.store_news()
    with pytest.raises(FencedError):
        await lead(terms, 1, tmp_path / "first")
    await lead(terms, 3, tmp_path / "third")
    (kept,) = checkpoint.list_states(tmp_path / "third" / "detect")
    assert kept.name == checkpoint.list_states(tmp_path / "second" / "detect")[0].name


async def test_large_state_is_stored_in_parts_and_old_parts_are_removed(
    tmp_path: Path, terms: LeadingTerms
) -> None:
    folder = tmp_path / "first" / "detect"
    saved = checkpoint.save_state(folder, DetectorEngine.create(JOURNAL, SECRET, at(0)))
    saved.votes_file.write_bytes(_batch_of(3 * PART_BYTES))
    leader = await lead(terms, 1, tmp_path / "first")
    await leader.store_news()
    assert len(await terms.list_keys()) == 1 + 4
    saved.votes_file.write_bytes(b"")  # as after another checkpoint
    await leader.store_news()
    assert len(await terms.list_keys()) == 1 + 1


def _batch_of(size: int) -> bytes:
    """Return one record of a votes file that no compression makes smaller."""
    return size.to_bytes(4, "big") + Random(1).randbytes(size)


@pytest.mark.parametrize("trouble", ["damaged", "other keys", "other version"])
async def test_what_cannot_be_used_is_left_out_and_logged(
    trouble: str,
    tmp_path: Path,
    terms: LeadingTerms,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tmp_path / "first"
    checkpoint.save_state(data / "detect", DetectorEngine.create(JOURNAL, SECRET, at(0)))
    await (await lead(terms, 1, data)).store_news()
    if trouble == "damaged":
        await terms.damage("detectors.1.1.0")
    if trouble == "other version":
        monkeypatch.setattr("heliograph_collector.detect.state_handover.DETECT_VERSION", 0)
    await lead(terms, 2, tmp_path / "next", b"x" * 32 if trouble == "other keys" else SECRET)
    assert checkpoint.list_states(tmp_path / "next" / "detect") == []
    assert "cannot be used" in caplog.text
