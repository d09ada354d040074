"""Evaluation run: play and score replays in several independent processes."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

from heliograph_collector.model.scope import Scope, scopes_of
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate.detectors import CONTENDERS
from heliograph_lab.evaluate.scenario import play_scenario
from heliograph_lab.evaluate.scenario_file import list_honest, load_scenario
from heliograph_lab.evaluate.score import ReplayScore, score_replay
from heliograph_lab.evaluate.world.families import (
    HALVES,
    WorldDraw,
    draw_world,
    list_draws,
    settle_scenario,
)
from heliograph_lab.evaluate.world.render import render_replay

FILE = "file"  # the family of a user's scenarios
DATED = "dated"  # the family of shipped real events, as their observers dated them
DATED_PER_SEED = 0.1  # assumed
MIN_VANTAGES = 5  # of a cell that counts as exposure: fewer votes confirm nothing
REPLAY_TIMEOUT_S = 3_600.0  # for the next chunk of replays, on a busy machine; assumed
_YEAR_DAYS = 365.25
_YEAR_US = _YEAR_DAYS * 86_400e6
_CHUNK = 4  # replays that a worker gets at once; assumed


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """One replay, of the corpus or of a file."""

    draw: WorldDraw
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """The scores of every contender on one replay, and its exposure in years."""

    draw: WorldDraw
    country_years: float
    cell_years: float
    verdicts: Mapping[str, ReplayScore]


def list_jobs(
    paths: Sequence[Path], seeds: int, half: str, families: Sequence[str] = ()
) -> list[ReplayJob]:
    """List jobs of the files, or of the corpus and the dated events if there are none.

    Args:
        families: Only these of the corpus; all if empty.
    """
    first = HALVES[half]
    if paths:
        return _file_jobs(FILE, paths, first, seeds)
    drawn = [
        ReplayJob(draw)
        for draw in list_draws(seeds, half)
        if not families or draw.family in families
    ]
    is_dated = not families or DATED in families
    dated_seeds = max(1, round(seeds * DATED_PER_SEED))
    dated = _file_jobs(DATED, list_honest(), first, dated_seeds) if is_dated else []
    return [*dated, *drawn]


def _file_jobs(family: str, paths: Sequence[Path], first: int, seeds: int) -> list[ReplayJob]:
    return [
        ReplayJob(WorldDraw(family, first + number, path.stem), path)
        for path in paths
        for number in range(seeds)
    ]


def run_jobs(work: Sequence[ReplayJob], processes: int | None = None) -> Iterator[ReplayOutcome]:
    """Yield outcomes in order.

    Raises multiprocessing.TimeoutError after REPLAY_TIMEOUT_S.
    """
    count = min(len(work), processes or os.cpu_count() or 1)
    if count <= 1:
        yield from map(run_job, work)
        return
    parts = [work[index : index + _CHUNK] for index in range(0, len(work), _CHUNK)]
    # The resource tracker starts first, because its later start would unblock the signal.
    resource_tracker.ensure_running()
    with ExitStack() as stack:
        with _interrupts_blocked():
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(count))
        results = pool.imap(_run_chunk, parts)
        for _ in parts:
            yield from results.next(timeout=REPLAY_TIMEOUT_S)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C while workers start, because the parent handles it and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_chunk(chunk: Sequence[ReplayJob]) -> list[ReplayOutcome]:
    return [run_job(job) for job in chunk]


def run_job(job: ReplayJob) -> ReplayOutcome:
    """Play a world or a file, run every contender on the replay and score the alarms."""
    if job.path is None:
        replay = render_replay(draw_world(job.draw))
    else:
        scenario = load_scenario(job.path)
        is_honest = scenario.is_honest
        replay = (
            render_replay(settle_scenario(scenario, job.draw.seed))
            if is_honest
            else play_scenario(scenario, job.draw.seed)
        )
    verdicts = {
        name: score_replay(replay, contender.run(replay)) for name, contender in CONTENDERS.items()
    }
    return ReplayOutcome(job.draw, *_exposure_years(replay), verdicts)


def _exposure_years(replay: Replay) -> tuple[float, float]:
    """Return the years of countries, and of smaller cells, with frequent disturbances."""
    sizes: dict[Scope, int] = {}
    for vantage in replay.vantages:
        for scope in scopes_of(vantage.place):
            sizes[scope] = sizes.get(scope, 0) + 1
    cells = Counter(
        scope.country
        for scope, size in sizes.items()
        if size >= MIN_VANTAGES and not scope.is_national
    )
    if replay.risky_days is None:
        years = (replay.until_us - replay.since_us) / _YEAR_US
        return years * len({v.place.country for v in replay.vantages}), years * cells.total()
    days = [country for country, _ in replay.risky_days]
    return len(days) / _YEAR_DAYS, sum(cells[country] for country in days) / _YEAR_DAYS
