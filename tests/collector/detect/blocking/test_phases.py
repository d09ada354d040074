"""A block that reaches or leaves operators in turn is one incident with phases."""

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import pytest

from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident, IncidentState, PhaseDirection
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.signal_file import read_signals
from support.dated_blocks import Block, BlockScene, build_votes
from support.examples import only_in_soak
from support.foreign_world import AT, HOUR, Person, create_land, seconds_after

pytestmark = pytest.mark.long

LINES, PHONES = (16, 12), (12, 10)


def confirmed(scene: BlockScene, tmp_path: Path, seed: int = 0) -> list[Incident]:
    land = create_land(seed, scene.hours)
    build_votes(scene, land)
    content = read_signals(land.write(tmp_path / "signals.jsonl"))
    incidents = replay_signals(content.signals, content.votes, content.levels).incidents
    return [i for i in incidents if i.confirmed_us is not None]


def block(asn: int, since: float, until: float) -> Block:
    return Block("telegram", Scope("KZ", asn=asn), since, until - since)


def steps(incident: Incident, way: PhaseDirection, asn: int) -> Sequence[float]:
    """Return the seconds at which an operator was blocked, or open again."""
    own = [turn for turn in incident.turns if turn.way is way]
    return [
        seconds_after(AT, turn.seen_us)
        for turn in own
        if any(part.scope.asn == asn for part in turn.parts)
    ]


@only_in_soak
def test_operators_by_turns_are_phases_of_one_block(tmp_path: Path) -> None:
    """Operators blocked in turn are phases of one block.

    They are 2.5 h apart: version 35 had no date for the second one, and a separate third one.
    """
    ends = AT + 10 * HOUR
    blocks = [block(asn, AT + n * 2.5 * HOUR, ends) for n, asn in enumerate((10, 11))]
    blocks += [block(asn, AT + 5 * HOUR, ends) for asn in (20, 21)]
    scene = BlockScene(tuple(blocks), hours=13, lines=LINES, phones=PHONES)
    (incident,) = confirmed(scene, tmp_path)
    assert incident.turns[0].parts[0].scope == Scope("KZ", asn=10)  # the first one's own date
    (second,) = steps(incident, PhaseDirection.CUT, 11)
    assert 0 <= second - 2.5 * HOUR <= 600
    phones = [t for t in incident.turns if t.parts[0].scope.access == "mobile"]
    assert 0 <= seconds_after(AT + 5 * HOUR, phones[0].seen_us) <= 900
    assert phones[0].when.earliest_us < phones[0].seen_us - 200_000_000
    assert seconds_after(ends, incident.closed_us) < 700


@only_in_soak
def test_operators_that_lift_a_block_are_told(tmp_path: Path) -> None:
    """Operators that lift a block have phases.

    One lifts it after an hour, blocks again two hours later, and all lift it at the end.
    """
    ends = AT + 6 * HOUR
    blocks = [block(asn, AT, ends) for asn in (11, 20, 21)]
    blocks += [block(10, AT, AT + HOUR), block(10, AT + 3 * HOUR, ends)]
    scene = BlockScene(tuple(blocks), hours=10, lines=LINES, phones=PHONES)
    (incident,) = confirmed(scene, tmp_path)
    (opened,) = steps(incident, PhaseDirection.OPENING, 10)
    assert HOUR <= opened <= HOUR + 900
    again = steps(incident, PhaseDirection.CUT, 10)[-1]
    assert 3 * HOUR <= again <= 3 * HOUR + 900
    assert 0 <= seconds_after(ends, incident.closed_us) < 700


def test_last_operator_keeps_a_block_open(tmp_path: Path) -> None:
    """The last operator keeps a block open.

    Two thirds lift it: it was closed, though the largest operator still blocks.
    """
    blocks = [block(asn, AT, AT + HOUR) for asn in (11, 20, 21)] + [block(10, AT, AT + 5 * HOUR)]
    scene = BlockScene(tuple(blocks), hours=8, lines=LINES, phones=PHONES)
    (incident,) = confirmed(scene, tmp_path)
    assert incident.state is IncidentState.CLOSED
    assert 0 <= seconds_after(AT + 5 * HOUR, incident.closed_us) < 700


def test_third_that_always_fails_is_no_block_where_tests_are_rare(tmp_path: Path) -> None:
    """Fresh votes are a sample: version 35 confirmed blocks again and again."""

    def fail(person: Person, service: str, at: float) -> str:
        is_third = person.country == "KZ" and crc32(person.name.encode()) % 100 < 30
        return "blocked" if is_third and service == "signal" and at >= AT else ""

    assert confirmed(BlockScene(hours=8, fails=fail), tmp_path, seed=1) == []


def test_two_countries_by_one_order_are_both_told(tmp_path: Path) -> None:
    """Two countries that block by one order are both reported.

    The larger one has half of the other's world: that looked like a service that is down.
    """
    blocks = (Block("telegram"), Block("telegram", Scope("TR")))
    told = confirmed(BlockScene(blocks), tmp_path)
    assert {i.scope for i in told} == {Scope("KZ"), Scope("TR")}


def test_block_that_returns_within_the_hour_is_the_same_with_an_opening(tmp_path: Path) -> None:
    again = AT + 2 * HOUR + 1_800
    blocks = [
        Block("telegram", Scope("KZ"), AT, 2 * HOUR),
        Block("telegram", Scope("KZ"), again, HOUR),
    ]
    scene = BlockScene(tuple(blocks), hours=6, lines=LINES, phones=PHONES)
    (incident,) = confirmed(scene, tmp_path)
    first, opening, second = incident.turns[:3]
    assert [first.way, second.way] == [PhaseDirection.CUT] * 2
    assert opening.way is PhaseDirection.OPENING
    assert abs(seconds_after(AT + 2 * HOUR, opening.when.latest_us)) < 600
    assert 0 <= seconds_after(again, second.seen_us) < 600
    assert 0 <= seconds_after(again + HOUR, incident.closed_us) < 700


@only_in_soak
def test_small_part_that_is_blocked_again_is_an_incident_of_its_own(tmp_path: Path) -> None:
    """A small part that is blocked again is a separate incident.

    The first one's headline would name the country, of which one operator is blocked.
    """
    again = AT + 2 * HOUR + 1_800
    part = Block("telegram", Scope("KZ", asn=11), again, HOUR)
    blocks = [Block("telegram", Scope("KZ"), AT, 2 * HOUR), part]
    scene = BlockScene(tuple(blocks), hours=6, lines=LINES, phones=PHONES)
    national, own = confirmed(scene, tmp_path)
    assert not national.turns
    assert own.scope == Scope("KZ", asn=11)
