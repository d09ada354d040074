"""The rules: which are in use, and what they, or a list not yet in use, would change."""

from datetime import UTC, datetime

from aiohttp import web

from heliograph.units import SECOND_US
from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import DryRun, InvalidInputError, TriedList


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
        return templates.render(
            request,
            "rules.html",
            status=status,
            rules=self._backend.rules_version,
            dry_run=dry_run,
            wrong=error_text,
            name=name,
            text=list_text,
            **(_describe_result(dry_run.result) if dry_run.result else {}),
        )


def _describe_result(result: DryRun) -> dict[str, object]:
    """Return the rows of a finished run, and its bounds as `rejudge` takes them."""
    moves = [c for c in result.changes if (c.state_before, c.before) != (c.state_after, c.after)]
    moved = sum(move.count for move in moves)
    return {
        "moves": moves,
        "moved": moved,
        "kept": sum(change.count for change in result.changes) - moved,
        "since": _format_bound(result.since_us),
        "until": _format_bound(result.until_us),
    }


def _format_bound(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // SECOND_US, UTC):%Y-%m-%dT%H:%M:%SZ}"
