"""Sessions that break for minutes while links work are no block, and no cut."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.examples import draw_seeds
from support.presence_model import Signals, at, country, live, people, world

ONSET = 7_200.0
LINES = people(VantageLocation("KZ", "ALA", 299, "fixed"), 6)
LINES += people(VantageLocation("KZ", "AST", 299, "fixed"), 8)


def break_sessions(
    vantages: Sequence[VantageRef],
    rng: Random,
    within_s: float,
    back: Callable[[Random], float],
    *,
    since_s: float = ONSET,
    online: bool = True,
) -> Signals:
    """Break sessions; each is back by the same way, with its measurements."""
    signals: Signals = []
    for vantage in vantages:
        heard_s = since_s + rng.uniform(0, within_s) - rng.uniform(0, 15)
        back_s = since_s + back(rng)
        if back_s - heard_s <= 37.5:
            continue
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), vantage))
        told_us = at(back_s + rng.uniform(0.5, 6))
        span = at(heard_s), at(back_s)
        signals.append(OfflineReport(told_us, vantage.nym, *span, alive=True, online=online))
    return signals


def list_standing(signals: Signals, until_s: float) -> list[Incident]:
    """List the incidents that are reported and not withdrawn."""
    stands = (IncidentState.CONFIRMED, IncidentState.CLOSED)
    return [i for i in detect_silence(signals, at(until_s)).incidents if i.state in stands]


def test_lines_that_are_back_within_minutes_were_not_kept_from_us() -> None:
    """Lines that are back within minutes were not blocked.

    The night's forced reconnect of one network: a server of its operator lets all wait.
    """
    for seed in draw_seeds(3):
        rng = Random(seed)
        signals = live(country() + LINES + world(), rng, 4, churn=1.0)
        signals += break_sessions(LINES, rng, 400, lambda own: own.uniform(430, 490))
        assert list_standing(signals, 3 * 3_600) == [], seed


def test_addresses_that_fail_for_two_minutes_are_no_block() -> None:
    """Addresses that fail for two minutes are no block.

    Half of a country uses IPv6, which breaks, and each is back by IPv4 after some time.
    """
    for seed in draw_seeds(3):
        rng = Random(seed)
        signals = live(country() + world(), rng, 4, churn=1.0)
        signals += break_sessions(
            country()[::2] + country()[1::6],
            rng,
            10,
            lambda own: 45 + own.expovariate(1 / 30),
        )
        assert list_standing(signals, 3 * 3_600) == [], seed


def test_lone_lines_that_break_in_a_cut_make_no_block_of_it() -> None:
    """Lone lines that break in a cut make no block of it.

    Three of the others lose us an hour later, each for minutes, and report answering anchors.
    """
    silent, others = LINES[:9], LINES[9:]
    for seed in draw_seeds(3):
        rng = Random(seed)
        signals = live(country() + LINES + world(), rng, 4, churn=0.0)
        signals += break_sessions(silent, rng, 10, lambda _: 9_000)
        signals = [s for s in signals if s.at_us < at(ONSET + 8_000)]
        signals += break_sessions(
            others, rng, 900, lambda own: own.uniform(1_100, 1_300), since_s=ONSET + 3_600
        )
        (incident,) = list_standing(signals, ONSET + 8_000)
        assert incident.kind is IncidentKind.SILENCE, seed


def test_block_that_lasts_for_a_quarter_of_an_hour_is_told_at_its_end() -> None:
    for seed in draw_seeds(3):
        rng = Random(seed)
        signals = live(country() + world(), rng, 4, churn=1.0)
        signals += break_sessions(country(), rng, 15, lambda own: own.uniform(900, 960))
        (incident,) = list_standing(signals, 3 * 3_600)
        assert incident.kind is IncidentKind.COLLECTOR_BLOCKED, seed


def test_cut_of_minutes_stays_one_where_no_anchor_answered() -> None:
    for seed in draw_seeds(3):
        rng = Random(seed)
        signals = live(country() + world(), rng, 4, churn=1.0)
        signals += break_sessions(
            country(),
            rng,
            15,
            lambda own: own.uniform(300, 340),
            online=False,
        )
        (incident,) = list_standing(signals, 3 * 3_600)
        assert incident.kind is IncidentKind.SILENCE, seed


def test_block_of_minutes_is_told_where_some_find_another_way() -> None:
    for seed in draw_seeds(3):
        rng = Random(seed)
        signals = live(country() + world(), rng, 4, churn=1.0)
        evading, others = country()[::4], [v for n, v in enumerate(country()) if n % 4]
        signals += break_sessions(others, rng, 15, lambda own: own.uniform(300, 340))
        signals += break_sessions(
            [replace(v, carrier="post") for v in evading], rng, 15, lambda own: own.uniform(60, 120)
        )
        (incident,) = list_standing(signals, 3 * 3_600)
        assert incident.kind is IncidentKind.COLLECTOR_BLOCKED, seed
