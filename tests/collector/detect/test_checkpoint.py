"""A lookout that was put down and taken up again goes on as if nothing had been."""

import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.engine import CLOSE_US, Lookout
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import Fault, Opinion, Standing, Why
from support.dark_rows import SECRET, row_of
from support.dark_world import KZ, Cut, at, country, live, world

HOURS = 4


def rows(seed: int) -> list[JournalRow]:
    rng = Random(seed)
    cuts = [Cut(7_200, 9_000, KZ, 2.0), Cut(10_800, 12_600, KZ, 2.0)]
    signals = live(country() + world(), rng, HOURS, cuts=cuts)
    signals.append(Fault(at(3_000), at(3_060), Why.PROBE))
    signals.append(Fault(at(7_210), at(7_240), Why.STALLED))
    signals.sort(key=lambda s: s.until_us if isinstance(s, Fault) else s.at_us)
    return [row_of(signal, position) for position, signal in enumerate(signals, 1)]


def heard(seed: int) -> list[Opinion]:
    rng = Random(seed)
    return [
        Opinion(
            at(60 * minute + rng.uniform(0, 60)),
            w,
            "signal",
            Standing.BLOCKED if KZ(w) and 30 <= minute < 90 else Standing.GOOD,
            "tls",
            "reset",
        )
        for minute in range(120)
        for w in [*country(each=1), *world(2)]
    ]


def go(lookout: Lookout, some: Sequence[JournalRow], opinions: Sequence[Opinion]) -> None:
    """As a collector does: rows as they come, bins a while after their end."""
    opinions = sorted(opinions, key=lambda o: o.at_us)
    for row in some:
        lookout.read([row])
        while opinions and opinions[0].at_us <= row.received_us:
            lookout.close(opinions[0].at_us - CLOSE_US)
            lookout.hear(opinions[0])
            opinions = opinions[1:]
    lookout.until(some[-1].received_us)
    lookout.close(some[-1].received_us - CLOSE_US)


def whole(seed: int) -> tuple[Incident, ...]:
    lookout = Lookout.new("j", SECRET, at(0))
    go(lookout, rows(seed), heard(seed))
    return lookout.incidents()


@pytest.mark.parametrize("seed", range(2))
def test_wherever_it_is_put_down_it_goes_on_the_same(seed: int, tmp_path: Path) -> None:
    every, said = rows(seed), heard(seed)
    expected = whole(seed)
    assert len(expected) > 1
    moments = [at(600), at(3_030), at(7_215), at(7_241), at(7_260), at(9_030), at(12_000)]
    for moment in moments:
        before = [row for row in every if row.received_us <= moment]
        lookout = Lookout.new("j", SECRET, at(0))
        last_us = before[-1].received_us
        go(lookout, before, [o for o in said if o.at_us <= last_us])
        checkpoint.save(tmp_path, lookout)
        found = checkpoint.newest(tmp_path, "j", before[-1].position, SECRET)
        assert found is not None
        again, _ = found
        go(again, every[len(before) :], [o for o in said if o.at_us > last_us])
        assert again.incidents() == expected


def test_a_later_look_than_a_row_is_named_and_can_be_gone_through_again() -> None:
    """Rows may be read after a timer of a later moment had fallen due."""
    every = rows(1)
    lookout = Lookout.new("j", SECRET, at(0))
    for row in every:
        lookout.until(row.received_us + 20_000_000)
        lookout.read([row])
    assert lookout.late
    again = Lookout.new("j", SECRET, at(0))
    again.read(every, dict(lookout.late))
    again.until(every[-1].received_us + 20_000_000)
    assert again.incidents() == lookout.incidents()


def test_what_is_damaged_or_not_ours_is_passed_over(tmp_path: Path) -> None:
    lookout = Lookout.new("j", SECRET, at(0))
    lookout.read(rows(1)[:50])
    first = checkpoint.save(tmp_path, lookout)
    lookout.read(rows(1)[50:80])
    second = checkpoint.save(tmp_path, lookout)
    second.file.write_bytes(second.file.read_bytes()[:-20])
    found = checkpoint.newest(tmp_path, "j", 80, SECRET)
    assert found is not None
    assert found[1] == first
    assert checkpoint.newest(tmp_path, "another", 80, SECRET) is None
    assert checkpoint.newest(tmp_path, "j", 40, SECRET) is None  # the journal was restored
    assert checkpoint.find(tmp_path, first.hash) == first.file


def test_frames_are_read_up_to_the_one_that_a_crash_tore(tmp_path: Path) -> None:
    saved = checkpoint.save(tmp_path, Lookout.new("j", SECRET, at(0)))
    first, second = (at(0), at(60), heard(1)[:3]), (at(60), at(120), heard(1)[3:5])
    checkpoint.add(saved, first)
    checkpoint.add(saved, second)
    torn = saved.opinions.read_bytes()[:-4]
    saved.opinions.write_bytes(torn)
    assert list(checkpoint.frames(saved.opinions)) == [first]
    checkpoint.mend(saved.opinions)
    checkpoint.add(saved, second)
    assert list(checkpoint.frames(saved.opinions)) == [first, second]


def test_old_states_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "KEPT", 3)
    lookout = Lookout.new("j", SECRET, at(0))
    for position in range(1, 7):
        lookout.read([replace(rows(1)[position], position=position)])
        checkpoint.save(tmp_path, lookout)
    assert len(checkpoint.states(tmp_path)) == 3


def test_what_a_full_disk_took_in_part_does_not_bury_what_follows(tmp_path: Path) -> None:
    """A limit on the size of files takes a part and refuses the rest, as a full disk does."""
    saved = checkpoint.save(tmp_path, Lookout.new("j", SECRET, at(0)))
    frames = [(at(60 * n), at(60 * n + 60), heard(n)[:200]) for n in range(3)]
    checkpoint.add(saved, frames[0])
    whole, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (saved.opinions.stat().st_size + 100, hard))
    try:
        with pytest.raises(OSError, match=r"opinions|large"):
            checkpoint.add(saved, frames[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole, hard))
    checkpoint.add(saved, frames[2])
    assert [frame[0] for frame in checkpoint.frames(saved.opinions)] == [at(0), at(120)]
