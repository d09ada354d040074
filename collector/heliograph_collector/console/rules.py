"""Show the rules in use, and the effect of rules or of a list not yet in use.

The effect is found by a dry run over the last day, one at a time, while pages are served.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from aiohttp import web

from heliograph.clock import Clock
from heliograph.timestamps import format_second
from heliograph.units import DAY_US
from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import (
    DryRun,
    DryRunStatus,
    InvalidInputError,
    TriedList,
    VerdictChangeCount,
)

_MAX_JUDGED = 50_000  # measurements: some minutes of one core at most
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunOutcome:
    """The rows of a finished run, and its bounds as `rejudge` takes them."""

    moves: Sequence[VerdictChangeCount]  # of state or rule
    moved: int
    unchanged: int  # verdicts with the same state and rule
    since: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesView(templates.PageView):
    template: ClassVar[str] = "rules.html"
    rules_version: str
    dry_run: DryRunStatus
    outcome: DryRunOutcome | None  # None without a finished run
    error_text: str
    name: str
    list_text: str


class RulesPages:
    def __init__(self, access_control: AccessControl) -> None:
        self._access_control = access_control
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/rules", VIEWER, self.show)
        add_route("POST", "/console/rules", OPERATOR, self.start)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return self._render(request)

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Ask for a dry run, with the list in the form if it has one."""
        form = self._access_control.checked_form(request)
        name = form.get("name", "").strip()
        list_text = form.get("list", "").replace("\r\n", "\n")
        tried = TriedList(name, list_text.encode()) if list_text.strip() else None
        await self._access_control.record_audit(request, "rules.rehearse", name if tried else "")
        try:
            await self._backend.start_dry_run(tried)
        except InvalidInputError as error:
            return self._render(
                request, status=409, error_text=str(error), name=name, list_text=list_text
            )
        return templates.redirect("/console/rules")

    def _render(
        self,
        request: web.Request,
        *,
        status: int = 200,
        error_text: str = "",
        name: str = "",
        list_text: str = "",
    ) -> web.Response:
        dry_run = self._backend.read_dry_run()
        view = RulesView(
            rules_version=self._backend.rules_version,
            dry_run=dry_run,
            outcome=_describe_outcome(dry_run.result) if dry_run.result else None,
            error_text=error_text,
            name=name,
            list_text=list_text,
        )
        return templates.render(request, view, status=status)


def _describe_outcome(result: DryRun) -> DryRunOutcome:
    moves = [c for c in result.changes if (c.state_before, c.before) != (c.state_after, c.after)]
    moved = sum(move.count for move in moves)
    return DryRunOutcome(
        moves=moves,
        moved=moved,
        unchanged=sum(change.count for change in result.changes) - moved,
        since=format_second(result.since_us),
        until=format_second(result.until_us),
    )


class DryRunner(Protocol):
    def check_list(self, tried: TriedList) -> None:
        """Check that a list can be tried. Raises ValueError with the place and the cure."""
        ...

    async def run_dry(
        self,
        since_us: int,
        until_us: int,
        max_judged: int,
        tried: TriedList | None,
        on_progress: Callable[[int], None],
    ) -> DryRun:
        """Judge a window again and store nothing. Raises OSError if the store fails.

        Args:
            tried: Takes the place of the list of its name.
            on_progress: Gets the number of judged measurements after each hour.
        """
        ...


class DryRuns:
    """Runs what operators ask for until cancelled; the last status stays."""

    def __init__(self, runner: DryRunner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._requests: asyncio.Queue[TriedList | None] = asyncio.Queue(1)
        self.status = DryRunStatus()

    async def start(self, tried: TriedList | None) -> None:
        """Ask for a run. Raises InvalidInputError."""
        if tried is not None:
            try:
                await asyncio.to_thread(self._runner.check_list, tried)
            except ValueError as error:
                raise InvalidInputError(f"{error}.") from error
        if self.status.is_running:
            raise InvalidInputError("The past is being judged already: wait for that to end.")
        self._requests.put_nowait(tried)
        self.status = DryRunStatus(list_name=tried.name if tried else "", is_running=True)

    async def run(self) -> None:
        while True:
            tried = await self._requests.get()
            self.status = await self._finish(tried)

    async def _finish(self, tried: TriedList | None) -> DryRunStatus:
        until_us = self._clock.wall_us()
        ended = replace(self.status, is_running=False)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                result = await self._runner.run_dry(
                    until_us - DAY_US, until_us, _MAX_JUDGED, tried, self._note_progress
                )
        except TimeoutError:
            return replace(
                ended,
                error=f"A day could not be judged in {_TIMEOUT_S:g} s: stop `serve`, and say "
                "`heliograph-collector rejudge --dry-run`.",
            )
        except OSError as error:
            return replace(ended, error=f"The store does not answer: {error}")
        return replace(ended, result=result, judged_count=result.judged_count)

    def _note_progress(self, judged_count: int) -> None:
        self.status = replace(self.status, judged_count=judged_count)
