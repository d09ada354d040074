"""Says again, with the rules of today, what a stretch of the store means.

Whole hours are taken in order, each with what lies within a control's reach of it, so that late
uploads find the controls of their time, and that memory is bounded by an hour's measurements.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from heliograph.plan import Service
from heliograph_collector.aggregate.cell_updater import renew_all
from heliograph_collector.control import STALE_US, Judge, Light
from heliograph_collector.judge import judge as standard_judge
from heliograph_collector.model.records import TIME_BAD, Judgement, Verdict
from heliograph_collector.store.store import Store

HOUR_US = 3_600_000_000
ROOM = 2_000_000  # observations that a memory keeps: more than an hour's worth of a busy collector

Said = Callable[[int], None]  # how many measurements were looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to judge again; controls are read from everywhere."""

    since_us: int
    until_us: int
    country: str = ""
    service: str = ""

    def takes(self, judgement: Judgement) -> bool:
        taken = judgement.taken
        here = not self.country or taken.vantage.country == self.country
        return here and self.since_us <= taken.started_us < self.until_us


@dataclass(frozen=True, slots=True)
class Move:
    """One verdict before and after; "" stands for none at all."""

    country: str
    service: str
    before: str
    after: str
    state_before: str
    state_after: str


@dataclass(slots=True)
class Report:
    """What a run came to."""

    looked_at: int = 0
    changed: int = 0  # measurements
    bins: int = 0  # of cells rolled up again
    whole: bool = True  # false when it ended before its time
    moves: Counter[Move] = field(default_factory=Counter)


async def rejudge(
    store: Store,
    services: Iterable[Service],
    wanted: Wanted,
    *,
    write: bool,
    judge: Judge = standard_judge,
    said: Said = lambda _: None,
    most: int = 0,
) -> Report:
    """Judge again what `wanted` names; with `write` also put it in, cells too. Raises StoreError.

    Again does nothing: what is said already is not said twice. A run that was cut off goes on by
    being started again, but for the cells of what it had changed; `serve` rolls up the last day's.
    It ends with the hour in which `most` measurements were looked at (0: never).
    """
    light, report = Light(services, observations=ROOM), Report()
    for since_us in range(wanted.since_us, wanted.until_us, HOUR_US):
        until_us = min(since_us + HOUR_US, wanted.until_us)
        some = [j async for j in _near(store, since_us, until_us, wanted.service)]
        inside = [j for j in some if wanted.takes(j) and since_us <= j.taken.started_us < until_us]
        changed = await asyncio.to_thread(_again, some, inside, judge, light, report)
        if write and changed:
            await store.judge_again(changed)
            report.bins += await renew_all(store, [j.taken.started_us for j in changed])
        said(report.looked_at)
        if most and report.looked_at >= most:
            report.whole = until_us >= wanted.until_us
            break
    return report


async def _near(
    store: Store, since_us: int, until_us: int, service: str
) -> AsyncIterator[Judgement]:
    after: tuple[int, str] | None = None
    bounds = (since_us - STALE_US, until_us + STALE_US)
    while page := await store.stretch(*bounds, service=service, after=after):
        for judgement in page:
            yield judgement
        after = (page[-1].taken.started_us, page[-1].taken.id)


def _again(
    some: Sequence[Judgement],
    inside: Sequence[Judgement],
    judge: Judge,
    light: Light,
    report: Report,
) -> list[Judgement]:
    """In a thread, so that whoever else is served in this process is not kept waiting."""
    for judgement in some:
        light.take(judgement.taken)
    return list(_changed(inside, judge, light, report))


def _changed(
    inside: Sequence[Judgement], judge: Judge, light: Light, report: Report
) -> Iterator[Judgement]:
    for old in inside:
        report.looked_at += 1
        if old.taken.time_bad or any(v.rule == TIME_BAD for v in old.verdicts):
            continue
        now = judge(old.taken, light.view_of(old.taken))
        if _by_endpoint(now) != _by_endpoint(old.verdicts):
            report.changed += 1
            report.moves.update(_moves(old, now))
            yield Judgement(taken=old.taken, verdicts=now, number=old.number + 1)


def _moves(old: Judgement, now: Sequence[Verdict]) -> Iterator[Move]:
    """A verdict whose confidence or evidence alone is another is a move from a rule to itself."""
    before, after = _by_endpoint(old.verdicts), _by_endpoint(now)
    for endpoint in sorted(before.keys() | after.keys()):
        one, other = before.get(endpoint), after.get(endpoint)
        if one != other:
            yield Move(
                country=old.taken.vantage.country,
                service=old.taken.measurement.service or old.taken.measurement.target,
                before=one.rule if one else "",
                after=other.rule if other else "",
                state_before=one.state.value if one else "",
                state_after=other.state.value if other else "",
            )


def _by_endpoint(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    return {verdict.endpoint: verdict for verdict in verdicts}
