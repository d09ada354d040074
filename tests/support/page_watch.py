"""Read a collector's pages all the time, and record how long each answer takes."""

import asyncio
import itertools
import time
from collections.abc import Sequence

import aiohttp

from heliograph_lab.evaluate.intervals import quantile
from support.load_bench import table

PAUSE_S = 0.25  # between two pages; assumed: some persons who read at the same time


class PageWatch:
    """Reads pages in turn, each as its first reader for some seconds."""

    def __init__(self, http: str, paths: Sequence[str]) -> None:
        self._http = http
        self._paths = paths
        self._took_ms: dict[str, list[float]] = {path: [] for path in paths}

    async def run(self) -> None:
        """Read until cancelled. A page that does not answer with 200 raises."""
        async with aiohttp.ClientSession(f"http://{self._http}") as session:
            for path in itertools.cycle(self._paths):
                began_s = time.perf_counter()
                async with session.get(path) as answer:
                    await answer.read()
                self._took_ms[path].append(1_000 * (time.perf_counter() - began_s))
                answer.raise_for_status()
                await asyncio.sleep(PAUSE_S)

    def report(self) -> str:
        """Return a table of each page's times, and last that of all pages."""
        every = [took_ms for each in self._took_ms.values() for took_ms in each]
        rows = [_build_row(*each) for each in (*self._took_ms.items(), ("all", every))]
        return table([("answers", "p50, ms", "p95, ms", "most, ms", "page"), *rows])


def _build_row(path: str, took_ms: Sequence[float]) -> tuple[str, ...]:
    ranks = (f"{quantile(took_ms, share):.0f}" for share in (0.5, 0.95, 1.0))
    return (f"{len(took_ms)}", *ranks, path)
