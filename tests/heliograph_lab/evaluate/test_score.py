"""Alarms match truths by kind, place and time; claims beyond that are wrong."""

import math
from dataclasses import replace
from typing import Any

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.sources.replay import Alarm, Kind, Replay, Truth, TruthKind
from heliograph_lab.evaluate.score import NEVER, ReplayScore, score_replay

MINUTE = 60 * SECOND_US
ONSET, END, UNTIL = 60 * MINUTE, 120 * MINUTE, 300 * MINUTE
PEOPLE = [
    VantageRef(f"{region}{asn}{i}", f"{region}{asn}{i}", VantageLocation("KZ", region, asn, access))
    for region in ("ALA", "AST")
    for asn, access in ((1, "mobile"), (2, "fixed"))
    for i in range(10)
]


def truth(
    scope: Scope, label: str = "national", kind: TruthKind = "cut", *, scoreable: bool = True
) -> Truth:
    service = "telegram" if kind in ("block", "throttle") else ""
    layer = "tls" if service else ""
    return Truth("t", kind, scope, service, ONSET, END, label, scoreable, layer)


def alarm(
    scope: Scope, at_us: int = ONSET + MINUTE, *, kind: Kind = "cut", **changes: Any
) -> Alarm:
    service = "" if kind == "cut" else "telegram"
    made = Alarm(at_us, scope, service, kind, None, None, "national", True, "", None, "")
    return replace(made, **changes)


def judged(truths: list[Truth], *alarms: Alarm) -> ReplayScore:
    return score_replay(Replay("r", 7, 0, UNTIL, [], [], truths, PEOPLE), alarms)


def test_the_first_row_and_the_confirmed_one_have_their_delays() -> None:
    verdict = judged(
        [truth(Scope("KZ"))],
        alarm(Scope("KZ"), ONSET + MINUTE // 2, confirmed=False, incident="a"),
        alarm(Scope("KZ"), ONSET + MINUTE, incident="a", ended_at_us=END + MINUTE),
    )
    (found,) = verdict.truths
    assert (found.suspected_s, found.confirmed_s, found.named_s) == (30, 60, 60)
    assert found.restored_s == 60
    assert found.size == 40
    assert (verdict.right, verdict.calls, verdict.wrong) == (1, 2, ())


def test_missed_cuts_are_never_found_and_unscoreable_ones_do_not_count() -> None:
    (found,) = judged([truth(Scope("KZ"))]).truths
    assert not found.is_detected
    assert (found.confirmed_s, found.restored_s) == (NEVER, NEVER)
    verdict = judged([truth(Scope("KZ"), scoreable=False)], alarm(Scope("KZ")))
    assert (verdict.truths, verdict.wrong, verdict.right) == ((), (), 0)


def test_a_country_is_no_city() -> None:
    """A cut city is not its country.

    Half of the country was cut: an alarm for all of it is wrong, and finds nothing.
    """
    verdict = judged([truth(Scope("KZ", "ALA"), "one-city")], alarm(Scope("KZ")))
    assert [w.scope for w in verdict.wrong] == [Scope("KZ")]
    assert not verdict.truths[0].is_detected


def test_the_cities_of_a_country_add_up() -> None:
    one = judged([truth(Scope("KZ"))], alarm(Scope("KZ", "ALA", 1)))
    assert (one.wrong, one.truths[0].is_detected) == ((), False)  # right, and a quarter of it
    both = judged(
        [truth(Scope("KZ"))],
        alarm(Scope("KZ", "ALA"), ONSET + MINUTE),
        alarm(Scope("KZ", "AST"), ONSET + 2 * MINUTE),
    )
    assert both.truths[0].confirmed_s == 60
    assert both.right == 2  # incidents, each with its own calls


def test_another_country_another_time_and_another_kind_are_wrong() -> None:
    told = judged(
        [truth(Scope("KZ"))], alarm(Scope("KZ"), ONSET - 1),
        alarm(Scope("KZ"), END + MINUTE), alarm(Scope("KG")),
        alarm(Scope("KZ"), kind="block"),
    )  # fmt: skip
    assert len(told.wrong) == 4
    assert not told.truths[0].is_detected


def test_false_alarm_is_confirmed_and_names_its_confounder() -> None:
    assert judged([], alarm(Scope("KZ"), confirmed=False)).wrong == ()
    assert len(judged([], alarm(Scope("KZ"))).wrong) == 1
    verdict = judged([truth(Scope("KZ"), "transit", "confounder")], alarm(Scope("KZ", "ALA")))
    assert verdict.truths == ()
    assert [w.during for w in verdict.wrong] == ["transit"]


SOON = ONSET + 5 * MINUTE


@pytest.mark.parametrize("label", ["power", "own_block"])
@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "wrong"),
        ({"ended_at_us": SOON}, "wrong"),  # a cut that was none stands in history
        ({"causes": ((SOON, "cut"),)}, "wrong"),
        ({"causes": ((SOON + 10 * MINUTE, "undetermined"),)}, "wrong"),  # too late
        ({"causes": ((SOON, "undetermined"),)}, "undetermined"),
        ({"withdrawn_us": SOON}, "undetermined"),
    ],
)
def test_a_silence_of_another_cause_may_not_stand_as_a_cut(
    label: str, changes: dict[str, Any], verdict: str
) -> None:
    score = judged([truth(Scope("KZ"), label, "confounder")], alarm(Scope("KZ"), **changes))
    assert [result.verdict for result in score.labels] == [verdict]
    assert bool(score.wrong) == (verdict == "wrong")
    named = alarm(Scope("KZ"), causes=((SOON, label),))
    right = judged([truth(Scope("KZ"), label, "confounder")], named)
    assert ([r.verdict for r in right.labels], right.wrong) == (["right"], ())
    cut = judged([truth(Scope("KZ"))], named)
    assert [r.verdict for r in cut.labels] == ["wrong"]


def test_a_relabeled_silence_is_excused_though_half_are_back_already() -> None:
    members = {v.nym: (ONSET, ONSET + (i % 2) * MINUTE + 1) for i, v in enumerate(PEOPLE[:30])}
    block = replace(truth(Scope("KZ"), "own_block", "confounder"), members=members)
    row = alarm(Scope("KZ"), ONSET + MINUTE // 2)
    assert len(judged([block], row).wrong) == 1
    assert judged([block], replace(row, causes=((SOON, "own_block"),))).wrong == ()


def test_a_fade_counts_from_its_begin_and_returned_vantages_are_not_cut() -> None:
    members = {
        v.nym: (ONSET + i * MINUTE, END if i < 20 else END + 20 * MINUTE)
        for i, v in enumerate(PEOPLE)
    }
    fade = replace(truth(Scope("KZ")), members=members, spread_s=40 * 60)
    assert judged([fade], alarm(Scope("KZ"), ONSET + 2 * MINUTE)).wrong == ()
    assert len(judged([fade], alarm(Scope("KZ"), END + 10 * MINUTE)).wrong) == 1
    assert judged([fade], alarm(Scope("KZ", "AST"), END + 10 * MINUTE)).wrong == ()


def test_one_network_in_many_prefixes_is_no_country() -> None:
    weights = {v.nym: 0.25 for v in PEOPLE[:20]}
    members = {v.nym: (ONSET, END) for v in PEOPLE[:30]}
    campus = replace(truth(Scope("KZ", "ALA")), members=members)
    replay = Replay("r", 7, 0, UNTIL, [], [], [campus], PEOPLE, weights=weights)
    assert len(score_replay(replay, [alarm(Scope("KZ", "AST"))]).wrong) == 1
    assert len(score_replay(replay, [alarm(Scope("KZ"))]).wrong) == 0  # 15 of 25
    lighter = replace(replay, weights=weights | {v.nym: 0.5 for v in PEOPLE[20:30]})
    assert len(score_replay(lighter, [alarm(Scope("KZ"))]).wrong) == 1  # 10 of 20


def test_the_label_and_the_layer_are_asked_for() -> None:
    unnamed = judged([truth(Scope("KZ"))], alarm(Scope("KZ"), label="several-cells"))
    assert (unnamed.truths[0].confirmed_s, unnamed.truths[0].named_s) == (60, NEVER)
    block = truth(Scope("KZ"), kind="block")
    wrong = judged([block], alarm(Scope("KZ"), kind="block", layer="dns")).truths[0]
    right = judged([block], alarm(Scope("KZ"), kind="block", layer="tls")).truths[0]
    assert (wrong.confirmed_s, wrong.layered_s, right.layered_s) == (60, NEVER, 60)


def test_cut_that_is_told_with_its_end_is_of_the_past() -> None:
    """A cut reported with its end is of the past.

    Its people report it at their return: no reader takes it for a cut that lasts.
    """
    late = END + MINUTE
    past = alarm(Scope("KZ"), late, started=(ONSET, ONSET + MINUTE), ended_at_us=late)
    verdict = judged([truth(Scope("KZ"))], past)
    assert verdict.wrong == ()
    assert not verdict.truths[0].is_detected
    assert len(judged([truth(Scope("KZ"))], replace(past, ended_at_us=late + MINUTE)).wrong) == 1
    assert len(judged([truth(Scope("KZ", "ALA"), "one-city")], past).wrong) == 1
    assert len(judged([], past).wrong) == 1


def test_power_failure_that_is_told_with_its_end_is_no_false_cut() -> None:
    late = END + MINUTE
    power = truth(Scope("KZ"), "power", "confounder")
    past = alarm(Scope("KZ"), late, started=(ONSET, ONSET + MINUTE), ended_at_us=late)
    assert judged([power], replace(past, causes=((late, "power"),))).wrong == ()
    assert len(judged([power], past).wrong) == 1


def test_another_name_of_the_same_vantages_is_right() -> None:
    """Another name of the same vantages is right.

    No measurement separates all phones from their only operator.
    """
    phones = truth(Scope("KZ", access="mobile"), "mobile-only")
    operator = alarm(Scope("KZ", asn=1), label="one-operator")
    assert judged([phones], operator).truths[0].named_s == 60
    assert judged([phones], replace(operator, label="several-cells")).truths[0].named_s == NEVER
    lines = alarm(Scope("KZ", asn=2), label="one-operator")
    assert judged([phones], lines).truths[0].named_s == NEVER


def test_throttled_truth_matches_a_block_and_early_end_is_no_restoration() -> None:
    slow = truth(Scope("KZ"), kind="throttle")
    assert judged([slow], alarm(Scope("KZ"), kind="block")).truths[0].is_detected
    early = judged([truth(Scope("KZ"))], alarm(Scope("KZ"), ended_at_us=END - 2 * MINUTE))
    assert early.truths[0].restored_s == NEVER


def test_a_bracket_holds_the_moment_or_does_not() -> None:
    def told(low: int, high: int) -> tuple[tuple[bool, ...], float]:
        (found,) = judged([truth(Scope("KZ"))], alarm(Scope("KZ"), started=(low, high))).truths
        return found.brackets, found.width_s

    assert told(ONSET - MINUTE, ONSET + MINUTE) == ((True,), 120)
    assert told(ONSET + 1, ONSET + MINUTE)[0] == (False,)
    (bare,) = judged([truth(Scope("KZ"))], alarm(Scope("KZ"))).truths
    assert bare.brackets == ()
    assert math.isnan(bare.width_s)


def test_rows_of_one_incident_are_called_for_once() -> None:
    over: dict[str, Any] = {"incident": "a", "ended_at_us": END + MINUTE}
    rows = [alarm(Scope("KZ", "ALA"), **over), alarm(Scope("KZ"), ONSET + 2 * MINUTE, **over)]
    verdict = judged([truth(Scope("KZ"))], *rows)
    assert (verdict.right, verdict.calls) == (1, 2)


@pytest.mark.parametrize(
    ("back_minutes", "later", "restored_s"),
    [(6, (), NEVER), (2, (12,), 120), (7, (), 0), (11, (), 60)],
)
def test_an_end_that_few_have_seen_is_too_early(
    back_minutes: int, later: tuple[int, ...], restored_s: float
) -> None:
    """Forty come back one by one, half of them after ten minutes."""
    members = {v.nym: (ONSET, END + (i - 20) * MINUTE // 2) for i, v in enumerate(PEOPLE)}
    start = END - 10 * MINUTE
    row = alarm(
        Scope("KZ"),
        ended_at_us=start + back_minutes * MINUTE,
        later_ends_us=tuple(start + minute * MINUTE for minute in later),
    )
    (result,) = judged([replace(truth(Scope("KZ")), members=members)], row).truths
    assert result.restored_s == restored_s
