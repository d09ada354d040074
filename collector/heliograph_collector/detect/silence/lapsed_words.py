"""Lapsed words: what people told of their links before they fell silent again, all at once.

Theory of operation. While one entrance is blocked, who finds another way tells that links work, and
nobody can in a cut. But where nearly all who told it fall silent by the other way too, in a later
phase of the same outage, their words are of a time that is over: a state that blocks us first may
cut the country next. Had it blocked the second way alone, some would tell that by a third within
the time that it takes to detect a block of the collector. Where none did, whatever was told of
links up to then lapses, also by those who tell it when they are back. People who go to bed one by
one are no phase, and keep their word.
"""

from collections.abc import Iterable, Mapping

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.incidents.incident import Bracket, PhaseChange, PhaseDirection
from heliograph_collector.model.signals import OfflineReport

_ALL_SHARE = 0.9  # of those who told: a few stay, as by a satellite; assumed
_WAIT_US = 5 * MINUTE_US  # time to detect a block of the collector; design/detection.md
_LOOK_US = MINUTE_US  # after that, so that it is looked at once more


def find_lapse(
    reports: Mapping[str, OfflineReport],
    phases: Iterable[PhaseChange],
    presence: PresenceTracker,
    now_us: int,
) -> int:
    """Return until when what was told of links holds no longer; 0 if it holds.

    Args:
        reports: What vantages told of an outage, by pseudonym.
        phases: Of the outage.
        presence: Who is here.
        now_us: The time of the evaluation.
    """
    told = {nym: presence.vantages[nym] for nym, report in reports.items() if report.online}
    again = [v for nym, v in told.items() if _is_silent_again(v, reports[nym])]
    if len(again) < max(presence.limits.witnesses, _ALL_SHARE * len(told)):
        return 0
    cut = _find_last_cut(phases)
    if cut is None or now_us - cut.latest_us < _WAIT_US:
        return 0
    in_phase = sum(vantage.lost_us >= cut.earliest_us for vantage in again)
    return cut.latest_us if in_phase >= _ALL_SHARE * len(again) else 0


def may_lapse(phases: Iterable[PhaseChange], now_us: int) -> bool:
    """Return whether it is too early to see whether what was told lapses."""
    cut = _find_last_cut(phases)
    return cut is not None and now_us - cut.latest_us <= _WAIT_US + _LOOK_US


def _find_last_cut(phases: Iterable[PhaseChange]) -> Bracket | None:
    cuts = [phase.when for phase in phases if phase.way is PhaseDirection.CUT]
    return cuts[-1] if cuts else None


def select_current(
    reports: Mapping[str, OfflineReport], lapsed_us: int
) -> dict[str, OfflineReport]:
    """Select the reports less those of links that worked up to a lapse."""
    return {
        nym: report
        for nym, report in reports.items()
        if not report.online or (report.measured_us or report.since_us) > lapsed_us
    }


def _is_silent_again(vantage: VantagePresence, report: OfflineReport) -> bool:
    is_away = vantage.is_silent and not vantage.deferred
    return is_away and report.at_us < vantage.lost_us
