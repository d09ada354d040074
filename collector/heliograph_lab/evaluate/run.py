"""Evaluation run: play and score replays in several independent processes."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

from heliograph_collector.model.scope import scopes_of
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate import corpus
from heliograph_lab.evaluate.detectors import CONTENDERS
from heliograph_lab.evaluate.priors import Draw
from heliograph_lab.evaluate.scenario import play_scenario
from heliograph_lab.evaluate.scenario_file import list_shipped, load_scenario
from heliograph_lab.evaluate.score import ReplayScore, score_replay

FILE = "file"  # the family of a user's scenarios
DATED = "dated"  # the family of shipped real events, as their observers dated them
DATED_PER_SEED = 0.003  # assumed
MIN_VANTAGES = 5  # of a cell that counts as exposure; the lowest of BANDS
REPLAY_TIMEOUT_S = 900.0  # for the next chunk of replays; assumed
_YEAR_US = 365.25 * 86_400e6
_CHUNK = 4  # replays that a worker gets at once; assumed


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """One replay, of the corpus or of a file."""

    draw: Draw
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """The scores of every contender on one replay, and its exposure in years."""

    draw: Draw
    country_years: float
    cell_years: float
    verdicts: Mapping[str, ReplayScore]


def list_jobs(paths: Sequence[Path], seeds: int, half: str) -> list[ReplayJob]:
    """List jobs of the files, or of the shipped corpus if there are none."""
    first = corpus.HALVES[half]
    if not paths:
        dated = [
            ReplayJob(Draw(DATED, first + number, path.stem), path)
            for path in list_shipped()
            for number in range(max(1, round(seeds * DATED_PER_SEED)))
        ]
        return [*dated, *(ReplayJob(draw) for draw in corpus.corpus_draws(seeds, half))]
    return [
        ReplayJob(Draw(FILE, first + number, path.stem), path)
        for path in paths
        for number in range(seeds)
    ]


def run_jobs(work: Sequence[ReplayJob], processes: int | None = None) -> Iterator[ReplayOutcome]:
    """Yield outcomes in order. Raises TimeoutError after REPLAY_TIMEOUT_S."""
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
    """Play a scenario, run every contender on the replay and score the alarms."""
    scenario = corpus.draw_scenario(job.draw) if job.path is None else load_scenario(job.path)
    replay = play_scenario(scenario, job.draw.seed)
    verdicts = {
        name: score_replay(replay, contender.run(replay)) for name, contender in CONTENDERS.items()
    }
    return ReplayOutcome(job.draw, *_exposure_years(replay), verdicts)


def _exposure_years(replay: Replay) -> tuple[float, float]:
    years = (replay.until_us - replay.since_us) / _YEAR_US
    sizes: dict[object, int] = {}
    for vantage in replay.vantages:
        for scope in scopes_of(vantage.place):
            sizes[scope] = sizes.get(scope, 0) + 1
    countries = len({w.place.country for w in replay.vantages})
    cells = sum(1 for size in sizes.values() if size >= MIN_VANTAGES) - countries
    return years * countries, years * cells
