"""Reports after a fall of a first night decide whether it was a cut or sleep."""

from random import Random

import pytest

from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from heliograph_collector.model.signals import OfflineReport, VantageArrival, VantageRef
from support.presence_model import Signals, at, country, drop
from support.small_nights import EVENING, HOUR, arrived, off, watched

NIGHT = EVENING + 4 * HOUR


def return_early(
    vantages: list[VantageRef], words: list[bool | None], since_s: float = EVENING
) -> Signals:
    """Bring some back by night; each reports anchors as answering or not, or None."""
    signals: Signals = []
    for vantage, word in zip(vantages, words, strict=True):
        signals.append(VantageArrival(at(NIGHT), vantage))
        if word is not None:
            told_us = at(NIGHT + 2)
            signals.append(OfflineReport(told_us, vantage.nym, at(since_s), at(NIGHT), True, word))
    return signals


def play(words: list[bool | None], *, gone: int = 34, over_s: float = 2 * HOUR) -> list[str]:
    """Play a first night in which most go; list the cuts found in it."""
    people = country(each=2)
    rng = Random(7)
    order = rng.sample(people, len(people))
    signals = [*arrived(people), *off(order[:gone], EVENING, over_s, rng)]
    (told,) = watched([*signals, *return_early(order[: len(words)], words)], 21.5)
    return [incident.label for incident in told if incident.confirmed_us]


def test_first_returns_show_no_cut_while_others_sleep() -> None:
    assert play([False, False, False, None]) == []


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_people_who_wake_tell_of_none(share: float) -> None:
    words = [False if number < 34 * share else None for number in range(34)]
    assert play(words) == []


def test_a_night_in_which_a_third_stay_on_is_a_cut_if_all_others_tell() -> None:
    """Below four fifths it was withdrawn, though each who went told of a dead link."""
    assert play([False] * 25, gone=25) == ["national"]


def test_phones_that_were_cut_while_lines_slept_are_told_as_phones() -> None:
    """All phones tell, and of the lines, most of which slept, those of one broken line.

    Version 169 told the country.
    """
    people = country(each=2)
    phones = [v for v in people if v.place.access == "mobile"]
    lines = [v for v in people if v.place.access != "mobile"]
    rng = Random(3)
    gone = [*phones, *lines[:12]]
    signals = [*arrived(people), *off(gone, EVENING, 2 * HOUR, rng)]
    words = [False] * len(phones) + [False] * 2 + [None] * 10
    (told,) = watched([*signals, *return_early(gone, words)], 21.5)
    assert [i.label for i in told if i.confirmed_us] == ["mobile-only"]


def test_a_third_that_lies_feigns_no_cut_in_a_first_night() -> None:
    """They go with those who sleep, and are back first, as six tenths of the returned."""
    assert play([False] * 12 + [None] * 7, gone=24) == []


def test_one_that_fell_later_does_not_keep_the_others_from_telling() -> None:
    """The silence that all shared was of ten minutes, and of two hours without that one."""
    people = country(each=2)
    rng = Random(7)
    signals = [*arrived(people), *off(people[:33], EVENING, 2 * HOUR, rng)]
    signals += drop(people[33:34], NIGHT - 600, rng)
    signals += return_early(people[:34], [False] * 34)
    (told,) = watched(signals, 21.5)
    assert [incident.label for incident in told if incident.confirmed_us] == ["national"]


def test_laptops_that_were_without_power_tell_of_none() -> None:
    """A third of the machines began again as the power came back."""
    people = country(each=2)
    rng = Random(7)
    signals = [*arrived(people), *off(people[:34], EVENING, 2 * HOUR, rng)]
    signals += return_early(people[:22], [False] * 22)
    signals += [VantageArrival(at(NIGHT), vantage, uptime_s=60) for vantage in people[22:34]]
    (told,) = watched(signals, 21.5)
    assert [i for i in told if i.confirmed_us and i.kind is IncidentKind.SILENCE] == []


@pytest.mark.parametrize(("word", "cuts"), [(False, ["national"]), (None, [])])
def test_a_night_that_was_a_cut_is_told_when_all_are_back(
    word: bool | None, cuts: list[str]
) -> None:
    """A night that was a cut is confirmed when all are back.

    It was withdrawn, though all of its people reported that no anchor answered.
    """
    people = country(each=2)
    rng = Random(7)
    signals = [*arrived(people), *off(people[:34], EVENING, 2 * HOUR, rng)]
    signals += return_early(people[:34], [word] * 34)
    (told,) = watched(signals, 21.5)
    confirmed = [incident for incident in told if incident.confirmed_us]
    assert [incident.label for incident in confirmed] == cuts
    for cut in confirmed:
        assert cut.state is IncidentState.CLOSED
        assert cut.ended is not None
        assert cut.ended.earliest_us <= at(NIGHT) <= cut.ended.latest_us
        assert (cut.closed_us or 0) < (cut.confirmed_us or 0) <= at(NIGHT + 600)


def test_a_cut_told_by_the_returned_stays_published() -> None:
    """Their machines had run on, and told it before the outage was published.

    Version 141 forgot what they had told, and withdrew it ten minutes later as agents that stop.
    """
    people = country(each=2)
    rng = Random(7)
    signals = [*arrived(people), *off(people[:34], EVENING, 2 * HOUR, rng)]
    for number, vantage in enumerate(people[:34]):
        back_s = NIGHT + 15.0 * number
        signals.append(VantageArrival(at(back_s), vantage, same_boot=True))
        words = at(back_s + 2), vantage.nym, at(EVENING), at(back_s)
        signals.append(OfflineReport(*words, alive=True, online=False))
    signals += drop(people[34:35], NIGHT + 3_000, rng)  # later losses make it look again
    (incidents,) = watched(signals, 23.5)
    confirmed = [incident for incident in incidents if incident.confirmed_us]
    assert [incident.label for incident in confirmed] == ["national"]
