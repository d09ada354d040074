"""Judge stored measurements again, for the command and for the console's dry run."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from heliograph.plan import Service
from heliograph_collector.aggregate.cell_updater import CellRefresher
from heliograph_collector.console.backend import DryRun, TriedList, VerdictChangeCount
from heliograph_collector.control import STALE_US, ControlContext
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge.fingerprints.library import LIBRARY, FingerprintList
from heliograph_collector.judge.fingerprints.list_reader import FingerprintError
from heliograph_collector.judge.fingerprints.list_summary import read_named_list
from heliograph_collector.judge.rejudge import RejudgeReport, RejudgeScope, rejudge
from heliograph_collector.store.store import Store, StoreError

_MAX_OBSERVATIONS = 2_000_000  # in memory: more than an hour of a busy collector
_MAX_CHANGES = 200


async def rejudge_store(
    store: Store,
    services: Sequence[Service],
    scope: RejudgeScope,
    *,
    data: Path,
    is_written: bool,
    on_progress: Callable[[int], None] | None,
    max_judged: int = 0,
    tried: FingerprintList | None,
) -> RejudgeReport:
    """Judge `scope` again by the current rules and lists. Raises StoreError.

    See `judge.rejudge`; `data` is the collector's directory, and `tried` a list that is not in use.
    """
    LIBRARY.watch(SignedLists(data))
    LIBRARY.refresh()
    with LIBRARY.try_list(tried) if tried else nullcontext():
        return await rejudge(
            store,
            ControlContext(services, observations=_MAX_OBSERVATIONS),
            CellRefresher(store),
            scope,
            control_reach_us=STALE_US,
            is_written=is_written,
            on_progress=on_progress,
            max_judged=max_judged,
        )


class StoreDryRunner:
    """Dry runs of the current rules over the store, for the console."""

    def __init__(self, store: Store, services: Sequence[Service], data: Path) -> None:
        self._store = store
        self._data = data
        self._services = services

    def check_list(self, tried: TriedList) -> None:
        """Check that a list can be tried. Raises ValueError with the place and the cure."""
        try:
            read_named_list(tried.name, tried.content)
        except FingerprintError as error:
            raise ValueError(str(error)) from error

    async def run_dry(
        self,
        since_us: int,
        until_us: int,
        max_judged: int,
        tried: TriedList | None,
        on_progress: Callable[[int], None],
    ) -> DryRun:
        """Judge a window again and store nothing. Raises OSError if the store fails."""
        scope = RejudgeScope(since_us=since_us, until_us=until_us)
        tried_list = (
            await asyncio.to_thread(read_named_list, tried.name, tried.content) if tried else None
        )
        try:
            report = await rejudge_store(
                self._store,
                self._services,
                scope,
                data=self._data,
                is_written=False,
                max_judged=max_judged,
                on_progress=on_progress,
                tried=tried_list,
            )
        except StoreError as error:
            raise OSError(str(error)) from error
        return DryRun(
            since_us=since_us,
            until_us=until_us,
            judged_count=report.judged_count,
            changed_count=report.changed_count,
            is_complete=report.is_complete,
            changes=[
                VerdictChangeCount(**asdict(change), count=count)
                for change, count in report.changes.most_common(_MAX_CHANGES)
            ],
        )
