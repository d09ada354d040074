"""The replays, played and judged in several processes that share nothing."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

from heliograph_collector.incidents.scope import scopes_of
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate import corpus
from heliograph_lab.evaluate.detectors import CONTENDERS
from heliograph_lab.evaluate.priors import Draw
from heliograph_lab.evaluate.scenario import play
from heliograph_lab.evaluate.scenario_file import load, shipped
from heliograph_lab.evaluate.score import Verdict, score

FILE, DATED = "file", "dated"  # given by the user; shipped, and as its observers dated it
DATED_PER_SEED = 0.003
LEAST = 5  # vantages of a cell that is watched
PATIENCE_S = 900.0  # the longest that the next replay may take
_YEAR_US = 365.25 * 86_400e6
_CHUNK = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One replay: of the corpus, or of a file."""

    draw: Draw
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What every contender was worth on it. Years are those of all its countries, of all cells."""

    draw: Draw
    country_years: float
    cell_years: float
    verdicts: Mapping[str, Verdict]


def jobs(paths: Sequence[Path], seeds: int, half: str) -> list[Job]:
    """Of the files, or of the shipped corpus where there are none."""
    first = corpus.HALVES[half]
    if not paths:
        dated = [
            Job(Draw(DATED, first + number, path.stem), path)
            for path in shipped()
            for number in range(max(1, round(seeds * DATED_PER_SEED)))
        ]
        return [*dated, *(Job(draw) for draw in corpus.draws(seeds, half))]
    return [
        Job(Draw(FILE, first + number, path.stem), path)
        for path in paths
        for number in range(seeds)
    ]


def outcomes(work: Sequence[Job], processes: int | None = None) -> Iterator[Outcome]:
    """In the order of the jobs. Raises TimeoutError when one takes longer than PATIENCE_S."""
    count = min(len(work), processes or os.cpu_count() or 1)
    if count <= 1:
        yield from map(outcome, work)
        return
    parts = [work[at : at + _CHUNK] for at in range(0, len(work), _CHUNK)]
    with _interrupts_held() as let, multiprocessing.get_context("spawn").Pool(count) as pool:
        let()
        found = pool.imap(_several, parts)
        for _ in parts:
            yield from found.next(timeout=PATIENCE_S)


@contextmanager
def _interrupts_held() -> Iterator[Callable[[], object]]:
    """Ctrl-C is the parent's, who ends the others: they are born with it blocked, and it waits
    until they are all there. The tracker of resources would unblock it if it began later.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _several(work: Sequence[Job]) -> list[Outcome]:
    return [outcome(job) for job in work]


def outcome(job: Job) -> Outcome:
    """Play it, let everybody look, judge what they say."""
    scenario = corpus.scenario(job.draw) if job.path is None else load(job.path)
    replay = play(scenario, job.draw.seed)
    verdicts = {
        name: score(replay, contender.run(replay)) for name, contender in CONTENDERS.items()
    }
    return Outcome(job.draw, *_exposure(replay), verdicts)


def _exposure(replay: Replay) -> tuple[float, float]:
    years = (replay.until_us - replay.since_us) / _YEAR_US
    sizes: dict[object, int] = {}
    for witness in replay.vantages:
        for scope in scopes_of(witness.place):
            sizes[scope] = sizes.get(scope, 0) + 1
    countries = len({w.place.country for w in replay.vantages})
    cells = sum(1 for size in sizes.values() if size >= LEAST) - countries
    return years * countries, years * cells
