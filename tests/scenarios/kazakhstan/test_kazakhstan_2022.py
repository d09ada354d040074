"""The shipped scenario of January 2022: every step that can be scored is found.

Found "in its bracket plus the delay" means two things: the published bracket holds the moment that
was drawn, and the report comes within the promised delay.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import SilenceDetector
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.incidents.diff import IncidentChange, Revision, diff_incidents
from heliograph_collector.incidents.incident import Bracket, Incident, IncidentKind, PhaseChange
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.sources.replay import Replay, Truth
from heliograph_lab.evaluate.scenario import play_scenario
from heliograph_lab.evaluate.scenario_file import SHIPPED, load_scenario

pytestmark = pytest.mark.replay

SLACK_US = 20 * SECOND_US  # a heartbeat, and the five seconds over which a cut spreads
NATIONAL_US, CUT_US, OPENING_US, SERVICE_US = (s * SECOND_US for s in (75, 120, 180, 300))
HOUR_US = 3_600 * SECOND_US

ALMATY, FIXED = Scope("KZ", "ALA"), Scope("KZ", access="fixed")
CAPITAL, EAST = Scope("KZ", "AST", access="fixed"), Scope("KZ", "VOS", access="fixed")
OPENINGS = {  # in the country; the eighth, K21, is Almaty's
    "K08": [FIXED], "K10": [CAPITAL], "K13": [CAPITAL, EAST], "K15": [CAPITAL],
    "K17": [CAPITAL], "K19": [CAPITAL], "K20": [FIXED],
}  # fmt: skip
CUTS = {"K09": [FIXED], "K11": [CAPITAL], "K14a": [EAST], "K14b": [CAPITAL], "K16": [CAPITAL],
        "K18": [CAPITAL]}  # fmt: skip


@dataclass(frozen=True)
class Story:
    replay: Replay
    every: tuple[Incident, ...]
    alerts: tuple[Revision, ...]

    @property
    def almaty(self) -> Incident:
        return next(i for i in self.every if i.scope == ALMATY)

    @property
    def national(self) -> Incident:
        return next(i for i in self.every if i.scope == Scope("KZ"))

    def at(self, step: str) -> int:
        return self.replay.moments[step]

    def openings(self) -> Iterator[PhaseChange]:
        for incident in self.every:
            yield from incident.openings


DRAWS = int(os.environ.get("HELIOGRAPH_REPLAYS", "1"))  # 10 s of a core each
SEEDS = [
    pytest.param(n, marks=pytest.mark.xdist_group(f"january{n}")) for n in range(11, 11 + DRAWS)
]


@pytest.fixture(scope="module", params=SEEDS)
def story(request: pytest.FixtureRequest) -> Story:
    """Play the story once as a collector would: detection every ten minutes."""
    replay = play_scenario(load_scenario(SHIPPED / "kazakhstan-2022.yml"), request.param)
    run = SilenceDetector()
    alerts = tuple(_told(replay, run))
    return Story(replay, run.findings().incidents, alerts)


def holds(bracket: Bracket | None, moment_us: int) -> bool:
    return bracket is not None and (
        bracket.earliest_us - SLACK_US <= moment_us <= bracket.latest_us + SLACK_US
    )


def named(turn: PhaseChange, cells: Sequence[Scope]) -> bool:
    """Return whether a turn names these cells, or narrower ones of the same people."""
    said = [part.scope for part in turn.parts]
    return len(said) == len(cells) and all(any(s.is_within(c) for s in said) for c in cells)


def the(turns: Sequence[PhaseChange], moment_us: int, cells: Sequence[Scope]) -> PhaseChange:
    fits = [t for t in turns if holds(t.when, moment_us)]
    right = [t for t in fits if named(t, cells)]
    assert right, (cells, [t.parts for t in fits], [(t.when, t.parts) for t in turns])
    return right[0]


def test_each_step_that_can_be_scored_is_a_truth_or_an_opening(story: Story) -> None:
    """Each step that can be scored is a truth or an opening.

    Of table 4 all but K01 and K06, whose people are not recorded, and the assumptions.
    """
    truths = {t.id for t in story.replay.truths if t.scoreable}
    assert truths == {"K02", "K03", "K05", "K07", "K22", *CUTS}
    assert {"K12", "K21", "K23", *OPENINGS} <= story.replay.moments.keys() - truths


def test_two_silences_are_found_and_nothing_else(story: Story) -> None:
    assert [(i.label, i.confirmed_us is not None) for i in story.every] == [
        ("one-city", True),
        ("national", True),
    ]


def test_almaty_is_cut_first_and_then_the_country(story: Story) -> None:
    assert holds(story.almaty.started, story.at("K05"))
    assert (story.almaty.confirmed_us or 0) - story.at("K05") <= CUT_US
    assert holds(story.national.started, story.at("K07"))
    assert story.national.suspected_us - story.at("K07") <= 60 * SECOND_US
    assert (story.national.confirmed_us or 0) - story.at("K07") <= NATIONAL_US
    assert "network_cut" in story.national.hints  # told by those who came back


@pytest.mark.parametrize("step", [*OPENINGS, *CUTS])
def test_short_restoration_is_an_opening_and_its_end_a_cut(story: Story, step: str) -> None:
    is_opening = step in OPENINGS
    turns = story.national.openings if is_opening else story.national.cuts
    turn = the(turns, story.at(step), OPENINGS[step] if is_opening else CUTS[step])
    assert turn.seen_us - story.at(step) <= (OPENING_US if is_opening else CUT_US)


def test_almaty_has_the_eighth_alone(story: Story) -> None:
    turn = the(story.almaty.openings, story.at("K21"), [ALMATY])
    assert turn.seen_us - story.at("K21") <= OPENING_US
    again = the(story.almaty.cuts, story.at("K22"), [ALMATY])
    assert again.seen_us - story.at("K22") <= CUT_US


def test_no_opening_is_invented(story: Story) -> None:
    """No opening is invented: each has one of the steps as its cause.

    Almaty's people are named in none before K21.
    """
    steps = {*OPENINGS, "K12", "K20m", "K21", "K23"}
    for turn in story.openings():
        assert any(holds(turn.when, story.at(step)) for step in steps), turn
        if turn.when.latest_us < story.at("K21") - 60 * SECOND_US:
            people = [p.scope for p in turn.parts if p.scope.access != "hosting"]
            assert ALMATY.region not in {scope.region for scope in people}, turn


def test_an_opening_of_the_country_leaves_almaty_out(story: Story) -> None:
    """An opening of the country leaves Almaty out, where lines are still cut."""
    home = VantageLocation("KZ", "ALA", 9198, "fixed")
    for turn in story.national.openings:
        if turn.when.latest_us < story.at("K21") - 60 * SECOND_US:
            for part in turn.parts:
                spared = any(scope.includes(home) for scope in part.beyond)
                assert spared or not part.scope.includes(home), turn


def test_data_centres_are_no_recovery(story: Story) -> None:
    """Data centers are no recovery.

    Half of them stayed, the others come back at K12: the cut lasts, to the last mobile.
    """
    for incident in story.every:
        for turn in incident.openings:
            if holds(turn.when, story.at("K12")) and not holds(turn.when, story.at("K13")):
                assert {p.scope.access for p in turn.parts} == {"hosting"}
    assert (story.national.closed_us or 0) > story.at("K20m")


def test_it_is_over_when_all_is_back(story: Story) -> None:
    for incident in story.every:
        assert holds(incident.ended, story.at("K23"))
        assert (incident.closed_us or 0) - story.at("K23") <= OPENING_US


def test_at_most_two_alerts_for_each_event(story: Story) -> None:
    by = {r.incident.id: r.incident.scope for r in story.alerts}
    assert {ALMATY, Scope("KZ")} == set(by.values())
    assert len(by) == 2
    assert (
        sorted(r.change for r in story.alerts)
        == [IncidentChange.CLOSED] * 2 + [IncidentChange.CONFIRMED] * 2
    )


def _told(replay: Replay, run: SilenceDetector) -> Iterator[Revision]:
    before, alerted = list[Incident](), list[tuple[str, IncidentChange]]()
    signals = iter(replay.signals)
    signal = next(signals, None)
    for now_us in (*range(replay.since_us, replay.until_us, HOUR_US // 6), replay.until_us):
        while signal is not None and signal.at_us <= now_us:
            run.on_signal(signal)
            signal = next(signals, None)
        run.advance_to(now_us)
        before, found = diff_incidents(before, run.findings().incidents, alerted)
        for revision in found:
            if revision.alert:
                alerted.append((revision.incident.id, revision.change))
                yield revision


def test_messengers_are_blocked_and_mobiles_throttled_and_nothing_else(story: Story) -> None:
    """4 January from noon to seven."""
    since_us = story.replay.since_us + (2 * 24 + 12) * HOUR_US
    incidents = detect_blocking(story.replay.opinions, since_us, since_us + 7 * HOUR_US)
    by_service = {i.service: i for i in incidents if i.confirmed_us is not None}
    assert by_service.keys() == {"telegram", "network"}
    messenger, mobile = by_service["telegram"], by_service["network"]
    assert (messenger.kind, messenger.layer) == (IncidentKind.BLOCKING, "tls")
    assert messenger.scope == Scope("KZ", "ALA", access="mobile")
    assert (mobile.kind, mobile.label) == (IncidentKind.THROTTLING, "mobile-only")
    for incident, step in ((messenger, "K02"), (mobile, "K03")):
        assert holds(incident.started, story.at(step))
        assert (incident.confirmed_us or 0) - story.at(step) <= SERVICE_US


def test_brackets_are_those_of_the_table(story: Story) -> None:
    """Brackets are those of the table.

    A seed draws within them; a few that carry the conflicts between observers are checked here.
    """
    truths: dict[str, Truth] = {t.id: t for t in story.replay.truths}
    for step, low, high in (
        ("K02", "2022-01-04 13:00", "2022-01-04 14:03"),
        ("K07", "2022-01-05 10:30", "2022-01-05 11:15"),
        ("K09", "2022-01-05 19:00", "2022-01-05 21:00"),
    ):
        assert _us(low) <= truths[step].since_us <= _us(high)
    assert _us("2022-01-05 16:00") <= story.at("K08") <= _us("2022-01-05 17:00")


def _us(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp()) * SECOND_US
