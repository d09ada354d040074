"""Renewal: whether sessions were ended to begin again, and not cut.

Operators make lines dial in again at night, move phones to other NATs or fall back to 2G, and
programs restart. All sessions of a network end within seconds, and each comes back after its own
time, while others are still silent. In a cut nobody comes back. Where the same place was silent for
minutes at this time of an earlier day, that is its habit, and a cut must last longer. So must one
of lines of which most had a break each by itself at this time of the last two days: routers dial in
again by their own clocks, night after night, whether or not that was ever suspected. A cut that a
whole country's people reported is no habit: no two operators renew sessions in one minute.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.detect.level.local_time import is_busy_hour, is_night_hour
from heliograph_collector.detect.silence.cell_members import select_inside, select_silent
from heliograph_collector.detect.silence.silence_evidence import SilenceEvidence
from heliograph_collector.detect.silence.vantage_presence import (
    BRIEF_US,
    VantagePresence,
    count_days,
)
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.detect.stats.tails import measure_spread, quantile
from heliograph_collector.incidents.incident import Bracket, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import THRESHOLDS

# From the first silence in a part of a country until a cut differs from lines that dial in again:
# these need 20 to 150 s (Padmanabhan et al., IMC 2016; redial assumed), so some are back by then.
PART_HOLD_S = 85.0
_RETURNED_LINES = 2  # of a country, of whose many vantages one alone returns by chance; assumed
_RETURNED_SHARE = 0.05  # of the vantages that fell silent; assumed
_MANY_SHARE = 0.25  # … in other networks than those that are silent; assumed
_RECENT_US = 60 * SECOND_US  # since which somebody came back, else returns have ceased; assumed
WAIT_S = 300.0  # for returns to end; a redial that takes longer is an outage; assumed
_WAIT_US = int(WAIT_S * SECOND_US)
_DUE_SHARE = 0.5  # of the silent that are due: chance makes it of few; assumed
_HABIT_FACTOR = 2  # so much longer than it was must a silence last to be a cut; assumed
_STEP_US = 20 * SECOND_US  # from the fifth to four fifths of a cut at once, at most; assumed
_DIAL_US = 30 * SECOND_US  # … of lines that dial in by their own clocks, at least; assumed
_STEADY_LINES = 4  # that came back one by one, so that others will: hardly any does in a cut …
_STEADY_SHARE = 0.1  # … and of those that fell silent; assumed
_STEADY_US = 10 * MINUTE_US  # for which a cut waits while a fifth came back and more do; assumed
_SLOW_SHARE = 0.02  # … where they fell more slowly: one of fifty; assumed
_CLOSED_SHARE = 0.8  # of the silent: nearly all; assumed
_BEGUN_US = 15 * MINUTE_US  # from a program's new beginning to its end, if it fails; assumed
_RESTART_US = 24 * HOUR_US  # by then a failed update is mended; assumed


class EarlierOutage(Protocol):
    """An outage of the same country, confirmed or not."""

    parts: tuple[AffectedCell, ...]
    started: Bracket
    closed_us: int | None
    confirmed_us: int | None
    state: IncidentState
    evidence: SilenceEvidence

    def contains(self, cells: Sequence[AffectedCell]) -> bool: ...


def may_be_renewal(
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    outages: Iterable[EarlierOutage],
    since_us: int,
    now_us: int,
) -> bool:
    """Return whether these cells may be back soon, by what returns or by their habit."""
    outages = list(outages)
    silent_us = now_us - since_us
    if silent_us <= _WAIT_US and _are_returning(cells, vantages, since_us, now_us):
        return True
    if _may_dial_in(cells, vantages, since_us, now_us):
        return True
    if silent_us <= _STEADY_US and _have_returned(cells, vantages, since_us, now_us):
        return True
    if silent_us > _HABIT_FACTOR * BRIEF_US:
        return False
    if silent_us <= _HABIT_FACTOR * _find_usual_length_us(cells, outages, since_us):
        return True
    return any(_are_breaks_due(cell, vantages, outages, now_us) for cell in cells)


def _may_dial_in(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], since_us: int, now_us: int
) -> bool:
    """Return whether one network's lines fall in turn at night, or a few of its phones.

    Lines dial in again, and phones attach to other NATs in a night's maintenance. The first such
    night has no known habit, and nobody may be back before the last has gone. So most must have
    been silent for longer than that takes.
    """
    silent = [v for v in select_silent(cells, vantages) if v.lost_us >= since_us]
    if len({v.place.asn for v in silent}) != 1:
        return False
    are_phones = all(v.place.access == "mobile" for v in silent)
    are_few_phones = are_phones and len(silent) < THRESHOLDS.few
    are_lines = all(v.place.access == "fixed" for v in silent)
    may_dial = are_few_phones or (are_lines and measure_middle(silent) > _DIAL_US)
    if not may_dial or not is_night_hour(silent[0].place.country, since_us):
        return False
    return now_us - quantile([v.lost_us for v in silent], THRESHOLDS.confirm_share) <= _WAIT_US


def _are_breaks_due(
    cell: AffectedCell,
    vantages: Sequence[VantagePresence],
    outages: Sequence[EarlierOutage],
    now_us: int,
) -> bool:
    """Return whether most of a cell's silent lines break daily at this time.

    Each line is due for twice as long as its own break lasted. Other silent lines, or longer
    silences, are a cut if they are enough without the due ones.
    """
    inside = [v for v in vantages if cell.scope.includes(v.place)]
    due = {v.witness.nym for v in inside if v.is_silent and _is_break_due(v, outages, now_us)}
    return are_due_most(inside, due)


def are_due_most(inside: Sequence[VantagePresence], due: Collection[str]) -> bool:
    """Return whether half of a cell's silent are due, and the rest too few for a cut.

    Args:
        inside: The vantages of the cell, here or silent.
        due: The silent ones that are expected to be so at this time, by pseudonym.
    """
    if not due:
        return False
    others = [v.is_silent and v.witness.nym not in due for v in inside]
    if count_hits(inside, others).share >= THRESHOLDS.confirm_share:
        return False
    silent = [v for v in inside if v.is_silent]
    return count_hits(silent, [v.witness.nym in due for v in silent]).share >= _DUE_SHARE


def _is_break_due(vantage: VantagePresence, outages: Sequence[EarlierOutage], now_us: int) -> bool:
    """Return whether it broke at this time lately, and may be back in as short a time."""
    begin_us, length_us = vantage.find_usual_break()
    if now_us - vantage.heard_us > _HABIT_FACTOR * length_us:
        return False
    return not any(
        outage.started.earliest_us <= begin_us <= (outage.closed_us or now_us)
        and _was_country(outage)
        for outage in outages
    )


def may_have_ended(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], since_us: int, now_us: int
) -> bool:
    """Return whether nearly all sessions were closed, so that agents may have ended.

    A line that is cut sends nothing: its session falls silent. The end of a program closes its
    session, and so does a censor's forged reset. An agent whose program and way work is back after
    30 s (its service's pause) and a retry or two (60 s each), so who stays away for `_WAIT_US` is
    cut off or blocked; while some come back, for twice as long. Most must have stayed away so.
    """
    if not any(v.closed_us and v.is_silent for v in vantages):
        return False
    silent = select_silent(cells, vantages)
    closed = [v.closed_us > 0 for v in silent]
    if count_hits(silent, closed).share < _CLOSED_SHARE:
        return False
    inside = select_inside(cells, vantages)
    is_returning = _are_returning(cells, vantages, since_us, now_us)
    least_us = now_us - (2 if is_returning else 1) * _WAIT_US
    stayed = [v.is_silent and (v.closed_us or v.lost_us) <= least_us for v in inside]
    return count_hits(inside, stayed).share < THRESHOLDS.confirm_share


def have_restarted(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], now_us: int
) -> bool:
    """Return whether most of the silent had just restarted, as after a bad update.

    An order cuts agents of every age. These said goodbye and were back soon, or came with another
    edition, and fell silent within minutes of it.
    """
    silent = select_silent(cells, vantages)
    has_begun = [
        v.begun_us > 0 and v.lost_us - v.begun_us <= _BEGUN_US and now_us - v.lost_us <= _RESTART_US
        for v in silent
    ]
    if not any(has_begun):
        return False
    return count_hits(silent, has_begun).share >= THRESHOLDS.confirm_share


def _find_usual_length_us(
    cells: Sequence[AffectedCell], outages: Iterable[EarlierOutage], since_us: int
) -> int:
    """Return the longest earlier brief silence at this time of day; 0 if none.

    A suspicion that a country's cut took up was over without anybody's return.
    """
    outages = list(outages)
    cuts = [outage for outage in outages if _was_country(outage)]
    lengths_us = [
        outage.closed_us - outage.started.earliest_us
        for outage in outages
        if outage.closed_us is not None
        and not any(_overlap(outage, cut) for cut in cuts)
        and count_days(outage.started.earliest_us, since_us) >= 1
        and (outage.contains(cells) or _are_of_networks(cells, outage.parts))
    ]
    return max((length for length in lengths_us if length <= BRIEF_US), default=0)


def _overlap(first: EarlierOutage, second: EarlierOutage) -> bool:
    begin_us = max(first.started.earliest_us, second.started.earliest_us)
    return all(o.closed_us is None or begin_us <= o.closed_us for o in (first, second))


def _was_country(outage: EarlierOutage) -> bool:
    """Return whether a whole country was confirmed cut, and its people report that.

    People who switch off at noon each day report nothing about that time.
    """
    is_proven = outage.evidence.explain(THRESHOLDS) is IncidentKind.SILENCE
    stands = outage.confirmed_us is not None and outage.state is IncidentState.CLOSED
    return (
        is_proven
        and stands
        and any(part.scope.is_national and part.networks > 1 for part in outage.parts)
    )


def _are_of_networks(cells: Sequence[AffectedCell], parts: Sequence[AffectedCell]) -> bool:
    """Return whether the networks of all cells had earlier parts.

    Those parts need not hold the cells, because most of them may have been back.
    """
    networks = {part.scope.asn for part in parts} - {0}
    return all(cell.scope.asn in networks for cell in cells)


def _are_returning(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], since_us: int, now_us: int
) -> bool:
    """Return whether vantages that fell silent since a time come back, and still do.

    Of all networks in the cells, because a part of one in which nobody is back yet is no cut; or of
    the whole country, where many do. Where they fell one after another, as sessions do that break
    by themselves, few are enough, and returns may pause for longer.
    """
    fallen = [v for v in vantages if v.lost_us >= since_us]
    networks = {v.place.asn for v in select_inside(cells, fallen)}
    near = [v for v in fallen if v.place.asn in networks]
    if have_fallen_slowly(near):
        is_by_day = is_busy_hour(cells[0].scope.country, now_us)  # else the level's, if not at once
        return _has_returned(near, 1, _SLOW_SHARE, now_us, (1 + is_by_day) * _RECENT_US)
    least = _RETURNED_LINES if any(cell.scope.is_national for cell in cells) else 1
    return _has_returned(near, least, _RETURNED_SHARE, now_us) or _has_returned(
        fallen, _RETURNED_LINES, _MANY_SHARE, now_us
    )


def _have_returned(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], since_us: int, now_us: int
) -> bool:
    """Return whether a tenth came back one by one and more do; a fifth after `WAIT_S`.

    Vantages return so where packets are lost for minutes. In a cut nobody returns, and at its end
    all return at once.
    """
    fallen = select_inside(cells, [v for v in vantages if v.lost_us >= since_us])
    returned_us = [v.back_us for v in fallen if v.is_live]
    if len(returned_us) < _STEADY_LINES:
        return False
    if measure_spread(returned_us) <= _STEP_US:
        return False
    if now_us - since_us <= _WAIT_US:
        return len(returned_us) >= _STEADY_SHARE * len(fallen)
    return _has_returned(fallen, _STEADY_LINES, 2 * _STEADY_SHARE, now_us)


def have_fallen_slowly(fallen: Sequence[VantagePresence]) -> bool:
    """Return whether most fell slower than a sudden cut; the first may be churn."""
    return measure_middle(fallen) > _STEP_US


def measure_middle(fallen: Sequence[VantagePresence]) -> int:
    """Measure how long the middle three fifths took to fall silent; 0 for none."""
    return measure_spread([v.lost_us for v in fallen], 0.2)


def _has_returned(
    fallen: Sequence[VantagePresence],
    least_lines: int,
    share: float,
    now_us: int,
    recent_us: int = _RECENT_US,
) -> bool:
    returned = [v for v in fallen if v.is_live]
    is_recent = any(v.back_us >= now_us - recent_us for v in returned)
    line_count = len({v.witness.prefix for v in returned})
    return is_recent and line_count >= least_lines and len(returned) >= share * len(fallen)
