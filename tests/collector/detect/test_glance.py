"""Between two minutes it is asked whether a block is over, and a restart goes through it again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.engine import CLOSE_US, GLANCE_US, Lookout
from heliograph_collector.incidents.incident import State
from heliograph_collector.model.signals import SECOND_US, Opinion, Place, Standing
from support.dark_world import at, people, world

BEGAN_S, OVER_S, LONG_S = 1_800, 3_607, 4_200
SECRET = b"s" * 32


def said(over_s: int = OVER_S, still_failing: int = 0) -> Iterator[Opinion]:
    """Six vantages test each minute, each at a second of its own; abroad all is well."""
    here = people(Place("KZ", "ALA", 101, "fixed"), 3) + people(Place("KZ", "AST", 102), 3)
    everybody = [*here, *world(2)]
    for minute in range(LONG_S // 60):
        for number, witness in enumerate(everybody):
            now_s = 60 * minute + number % 60
            until_s = LONG_S if number < still_failing else over_s
            bad = number < len(here) and BEGAN_S <= now_s < until_s
            standing = Standing.BLOCKED if bad else Standing.GOOD
            yield Opinion(at(now_s), witness, "signal", standing, "tls", "reset")


def played(opinions: Iterator[Opinion], saved: checkpoint.Saved | None = None) -> Lookout:
    """Second by second, as the keeper does."""
    lookout, coming = Lookout.new("j", SECRET, at(0)), sorted(opinions, key=lambda o: o.at_us)
    for second in range(LONG_S):
        frames = [lookout.close(at(second) - CLOSE_US)]
        while coming and coming[0].at_us <= at(second):
            assert lookout.hear(coming.pop(0))
        frames.append(lookout.glance(at(second)))
        for frame in frames:
            if saved and frame is not None:
                checkpoint.add(saved, frame)
    return lookout


def test_an_end_is_told_before_the_minute_is_over() -> None:
    (incident,) = played(said()).incidents()
    assert incident.state is State.CLOSED
    assert incident.closed_us is not None
    last_of_six_us = at(OVER_S + 60 - OVER_S % 60 + 5)  # by then each has tested once more
    assert incident.closed_us <= last_of_six_us + GLANCE_US + 75 * SECOND_US
    assert incident.closed_us % (60 * SECOND_US)
    assert incident.ended is not None
    assert incident.ended.earliest_us <= at(OVER_S) <= incident.ended.latest_us


@pytest.mark.parametrize("still", [3, 6])
def test_while_half_of_them_fail_it_is_not_over(still: int) -> None:
    (incident,) = played(said(still_failing=still)).incidents()
    assert incident.state is State.CONFIRMED


def test_a_restart_goes_through_it_again(tmp_path: Path) -> None:
    saved = checkpoint.save(tmp_path, Lookout.new("j", SECRET, at(0)))
    live = played(said(), saved)
    found = checkpoint.newest(tmp_path, "j", 0, SECRET)
    assert found is not None
    again, _ = found
    for frame in checkpoint.frames(saved.opinions):
        assert again.due(frame, at(LONG_S))
        again.again(frame)
    assert again.incidents() == live.incidents()
    assert any(i.closed_us and i.closed_us % (60 * SECOND_US) for i in again.incidents())
