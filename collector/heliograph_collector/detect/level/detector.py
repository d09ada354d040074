"""Level detector: readings of public series in, incidents out.

Theory of operation. Each source of a cell has a drop test. The first low source of a cell opens its
episode, suspected; the first one that is confirmed confirms it. It is over when no source is low: a
confirmed episode is closed, a suspected one withdrawn. Where a source falls in nearly all countries
it has failed itself (`common_dip.py`). A source that another one of its cell contradicts only
suspects, and a telescope not even that: of a small country it hears a handful. The last step of a
series alone only suspects too, since it may be of a part of its time, and so does a first step of
nothing at all: tables have 0 where a value is missing. An episode inside a wider one of the same
two hours is a part of it. A level counts addresses or queries and no vantages: there are no votes,
and the confidence is never high.

What the sources of a cell say against one of them is in `counter_evidence.py`. People ask for less
on a holiday, while their lines answer as ever; no holiday halves it, nor takes more than twice what
a night takes. So what people's days show in, and which fell by so little and alone, may be a
holiday too. One step of requests alone is noise where few ask. So may what fell over hours to what
a night leaves: after a month of fasting people sleep at hours at which they were up. A file that
begins by day has seen no night: until it holds a day, what people ask for must fall steeply, or
with the probes of its cell. All services of Google fall together, on a holiday and where its feed
fails: of one publisher no source joins another. On a holiday no source of requests joins another.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.detect.level.common_dip import correct_value, find_common_share
from heliograph_collector.detect.level.counter_evidence import (
    LAG_US,
    SHALLOW,
    have_probes_failed,
    is_contradicted,
    is_telescope_alone,
)
from heliograph_collector.detect.level.drop_test import DropStage, DropTest
from heliograph_collector.detect.level.habit import LevelHabit
from heliograph_collector.detect.level.source_level import (
    PROBES,
    REQUESTS,
    ROUTES,
    TELESCOPES,
    SourceLevel,
    find_publisher,
)
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    hint_on_the_hour,
    incident_id,
)
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_NIGHTS = 2.0  # times what a night takes, that a holiday takes at most
_QUIET = 1 / 3  # of what a night leaves, that a holiday may take, and no more than a night takes
_STEEP = 0.25  # of the usual level, which no habit takes within an hour
_FIRST_STEEP = 0.4  # the same of a first night, whose usual level is that of an afternoon
_NIGHT_US = 16 * HOUR_US  # after which people are up; assumed

ONE_SOURCE = 0.5  # confidence; assumed, as are the next two
SEVERAL_SOURCES = 0.7
SUSPECTED = 0.3
_LAST_EPISODES = 2  # that may have ended and are doubted still; assumed


@dataclass(slots=True)
class LevelEpisode:
    """One drop of a cell, over all of its sources."""

    scope: Scope
    started: Bracket
    suspected_us: int
    sources: dict[str, bool] = field(default_factory=dict)  # those that fell; confirmed or not
    lost_share: float = 0.0
    confirmed_us: int | None = None
    ended: Bracket | None = None
    closed_us: int | None = None
    have_probes_failed: bool | None = None  # so that they confirm nothing; None: not known yet

    @property
    def is_open(self) -> bool:
        return self.closed_us is None

    @property
    def state(self) -> IncidentState:
        if self.is_open:
            is_confirmed = self.confirmed_us is not None
            return IncidentState.CONFIRMED if is_confirmed else IncidentState.SUSPECTED
        return IncidentState.WITHDRAWN if self.confirmed_us is None else IncidentState.CLOSED

    @property
    def is_of_probes(self) -> bool:
        """Return whether probes alone confirm it, and may have failed."""
        certain = {find_publisher(source) for source, sure in self.sources.items() if sure}
        is_asked = self.confirmed_us is not None and self.have_probes_failed is None
        return is_asked and certain == {PROBES}

    def doubt_probes(self) -> None:
        """Take back the confirmation by probes alone."""
        self.confirmed_us = None
        self.sources = dict.fromkeys(self.sources, False)

    def is_part_of(self, other: "LevelEpisode") -> bool:
        """Return whether it belongs to a wider episode that began within `join_s`."""
        apart_us = abs(self.started.latest_us - other.started.latest_us)
        return (
            self.scope != other.scope
            and self.scope.is_within(other.scope)
            and apart_us <= THRESHOLDS.join_s * SECOND_US
        )

    def to_incident(self) -> Incident:
        certain = sum(self.sources.values())
        confidence = SUSPECTED if not certain else ONE_SOURCE if certain == 1 else SEVERAL_SOURCES
        share = round(self.lost_share, 3)
        names = sorted(self.sources)
        return Incident(
            id=incident_id("level", "", self.scope, self.started, names),
            kind=IncidentKind.SILENCE,
            state=self.state,
            parts=(AffectedCell(self.scope, 0.0, share, 0),),
            started=self.started,
            suspected_us=self.suspected_us,
            confidence=confidence,
            confirmed_us=self.confirmed_us,
            ended=self.ended,
            closed_us=self.closed_us,
            layer=",".join(names),
            method="level",
            hints=hint_on_the_hour(self.started),
        )


class LevelDetector:
    """Incremental detector that reads levels in order of the ends of their steps."""

    def __init__(self, last_us: Mapping[tuple[str, Scope], int] | None = None) -> None:
        """Create a detector.

        Args:
            last_us: The ends of the last known steps of series that end, by source and scope.
        """
        self._last_us = last_us or {}
        self._levels: dict[tuple[str, Scope], SourceLevel] = {}
        self._episodes: defaultdict[Scope, list[LevelEpisode]] = defaultdict(list)
        self._pending: list[LevelReading] = []  # of one end

    def add(self, reading: LevelReading) -> None:
        self.advance_to(reading.until_us - 1)
        self._pending.append(reading)

    def advance_to(self, now_us: int) -> None:
        """Judge the readings whose steps ended by this time."""
        if self._pending and self._pending[0].until_us <= now_us:
            by_source: defaultdict[str, list[LevelReading]] = defaultdict(list)
            for reading in self._pending:
                by_source[reading.source].append(reading)
            self._pending = []
            for readings in by_source.values():
                self._judge_step(readings)

    def incidents(self) -> tuple[Incident, ...]:
        """Return the incidents, without those that are parts of a wider one."""
        all_episodes = [episode for episodes in self._episodes.values() for episode in episodes]
        return tuple(
            episode.to_incident()
            for episode in all_episodes
            if not any(
                episode.is_part_of(other)
                for other in all_episodes
                if other.state is not IncidentState.WITHDRAWN or episode.confirmed_us is None
            )
        )

    def _judge_step(self, readings: Iterable[LevelReading]) -> None:
        """Judge the values of one source at one time."""
        own = {reading.scope: reading for reading in readings}
        common = self._find_common_share(own.values())
        for reading in own.values():
            level = self._find_level(reading)
            level.skip_to(reading.at_us)
            usual = level.test.habit.find_usual() if common < 1.0 else None
            value = correct_value(reading.value, usual.middle if usual else None, common)
            stage = level.observe(reading, value)
            if stage is not DropStage.UNKNOWN:
                self._update_episode(reading, level)
                if reading.source.startswith(REQUESTS):
                    self._doubt_probes(reading)

    def _find_common_share(self, readings: Iterable[LevelReading]) -> float:
        """Return the share that the source still measures in all countries."""
        shares = []
        for reading in readings:
            level = self._levels.get((reading.source, reading.scope))
            usual = level.test.habit.find_usual() if level and reading.scope.is_national else None
            if usual is not None and usual.middle > 0 and reading.value is not None:
                shares.append(reading.value / usual.middle)
        return find_common_share(shares)

    def _find_level(self, reading: LevelReading) -> SourceLevel:
        key = (reading.source, reading.scope)
        level = self._levels.get(key)
        if level is None or level.test.habit.step_us != reading.step_us:
            test = DropTest(LevelHabit(reading.step_us))
            level = self._levels[key] = SourceLevel(test, reading.at_us, reading.at_us)
        return level

    def _update_episode(self, reading: LevelReading, level: SourceLevel) -> None:
        episodes = self._episodes[reading.scope]
        episode = episodes[-1] if episodes and episodes[-1].is_open else None
        test = level.test
        if test.is_low:
            others = self._find_others(reading)
            tests = (is_telescope_alone, _is_first_night)
            if episode is None and any(is_noise(reading, level, others) for is_noise in tests):
                return
            if episode is None:
                started = Bracket(level.well_us, level.low_us)
                episode = LevelEpisode(reading.scope, started, reading.until_us)
                episodes.append(episode)
            is_low_step = test.stage is DropStage.CONFIRMED and test.well_steps == 0
            is_certain = is_low_step and not self._is_doubtful(reading, level, others)
            if episode.have_probes_failed and find_publisher(reading.source) == PROBES:
                is_certain = False
            episode.sources[reading.source] = is_certain or episode.sources.get(
                reading.source, False
            )
            episode.lost_share = max(episode.lost_share, test.lost_share)
            if is_certain and episode.confirmed_us is None:
                episode.confirmed_us = reading.until_us
        elif episode is not None and reading.source in episode.sources:
            self._close_if_over(episode, reading, level)

    def _doubt_probes(self, reading: LevelReading) -> None:
        """Take back what probes alone confirmed, if people ask as ever; also if it has ended."""
        for episode in self._episodes[reading.scope][-_LAST_EPISODES:]:
            over_us = reading.until_us - (episode.closed_us or reading.until_us)
            if episode.is_of_probes and over_us <= LAG_US:
                levels = self._find_levels(reading.scope)
                began_us = episode.started.latest_us
                episode.have_probes_failed = have_probes_failed(reading, levels, began_us)
                if episode.have_probes_failed:
                    episode.doubt_probes()

    def _is_doubtful(
        self, reading: LevelReading, level: SourceLevel, others: Mapping[str, SourceLevel]
    ) -> bool:
        """Return whether a low step may be of the source alone, or of a part of its time."""
        joined = {
            source
            for source, other in others.items()
            if other.test.is_low and other.low_us < reading.until_us
            if find_publisher(source) != find_publisher(reading.source)
        }
        is_first = level.low_us == reading.until_us
        last_us = self._last_us.get((reading.source, reading.scope), 0)
        is_last = reading.until_us == last_us
        if is_first and not joined and (is_last or not reading.value):
            return True
        if _is_first_night(reading, level, others):
            return True
        if reading.source.startswith(REQUESTS):  # a holiday takes all that people ask for
            joined = {source for source in joined if not source.startswith(REQUESTS)}
        if not joined and (_is_holiday_sized(level.test) or _is_later_night(reading, level.test)):
            return True
        return is_contradicted(reading, level, others, last_us)

    def _find_others(self, reading: LevelReading) -> dict[str, SourceLevel]:
        """Return the levels of the other sources of a cell."""
        levels = self._find_levels(reading.scope)
        return {source: level for source, level in levels.items() if source != reading.source}

    def _find_levels(self, scope: Scope) -> dict[str, SourceLevel]:
        return {source: level for (source, own), level in self._levels.items() if own == scope}

    def _close_if_over(
        self, episode: LevelEpisode, reading: LevelReading, level: SourceLevel
    ) -> None:
        """Close the episode when none of its sources is low any more."""
        own_levels = [self._levels.get((name, episode.scope)) for name in episode.sources]
        if any(other is not None and other.test.is_low for other in own_levels):
            return
        step_us = reading.step_us
        episode.ended = Bracket(level.back_us - step_us, level.back_us + step_us)
        episode.closed_us = reading.until_us


def detect_levels(readings: Iterable[LevelReading], until_us: int) -> tuple[Incident, ...]:
    """Detect drops in the readings up to a time; the order of readings is free."""
    ordered = sorted(readings, key=_order_key)
    measured = (reading for reading in ordered if reading.value is not None)
    detector = LevelDetector({(r.source, r.scope): r.until_us for r in measured})
    for reading in ordered:
        detector.add(reading)
    detector.advance_to(until_us)
    return detector.incidents()


def _order_key(reading: LevelReading) -> tuple[int, str, Scope]:
    return reading.until_us, reading.source, reading.scope


def _is_first_night(
    reading: LevelReading, level: SourceLevel, others: Mapping[str, SourceLevel]
) -> bool:
    """Return whether the first night of a file could explain how a level fell.

    It falls over hours, and is over in the morning. Of few things a step may be chance.
    """
    has_probes_fallen = any(
        other.test.is_low for source, other in others.items() if find_publisher(source) == PROBES
    )
    if has_probes_fallen or find_publisher(reading.source) in (ROUTES, PROBES, *TELESCOPES):
        return False
    lasted_us = reading.until_us - level.low_us
    was_new = not level.test.habit.held_day(lasted_us // reading.step_us + 1)
    is_slow = level.test.steepest < _FIRST_STEEP or level.test.unit is not None
    return was_new and is_slow and lasted_us < _NIGHT_US


def _is_later_night(reading: LevelReading, test: DropTest) -> bool:
    """Return whether a change of sleeping hours could explain how far a level fell.

    They do not fall asleep in one hour, and what answers while they sleep still does.
    """
    low = test.habit.find_usual_low()
    left = 1.0 - min(_QUIET, 1.0 - test.habit.measure_usual_swing())
    return low is not None and (reading.value or 0.0) >= left * low and test.steepest < _STEEP


def _is_holiday_sized(test: DropTest) -> bool:
    """Return whether people who keep a holiday could explain how far a level fell.

    A holiday lasts, so what counts is the mean of hours and no step that noise made the deepest.
    The part that a night takes is people, and the rest answers by night as on a holiday.
    """
    night_share = 1.0 - test.habit.measure_usual_swing()
    return test.lasting_loss < min(SHALLOW, _NIGHTS * night_share)
