"""A code from `heliograph-agent code`, typed in as it is read out over the telephone."""

import asyncio

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, Add, Gate
from heliograph_collector.console.backend import NotSoError, Spoken

_MOST = 1_000  # characters: the longest way to say one in words is a third of that


class Voice:
    def __init__(self, gate: Gate) -> None:
        self._gate, self._office = gate, gate.office

    def routes(self, add: Add) -> None:
        add("GET", "/console/code", OPERATOR, self.show)
        add("POST", "/console/code", OPERATOR, self.hear)
        add("POST", "/console/code/keep", OPERATOR, self.keep)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return self._page(request)

    async def hear(self, request: web.Request) -> web.StreamResponse:
        """Says what it means; nothing is stored."""
        return await self._heard(request, keep=False)

    async def keep(self, request: web.Request) -> web.StreamResponse:
        return await self._heard(request, keep=True)

    async def _heard(self, request: web.Request, *, keep: bool) -> web.StreamResponse:
        text = self._gate.form(request).get("code", "")[:_MOST]
        try:
            found = await asyncio.to_thread(self._office.hear, text, False)
            if keep:
                await self._gate.note(request, "code.keep", found.agent, note=f"made {found.made}")
                found = await asyncio.to_thread(self._office.hear, text, True)
        except NotSoError as error:
            return self._page(request, text, status=400, wrong=str(error))
        return self._page(request, text, found=found, kept=keep)

    def _page(
        self,
        request: web.Request,
        text: str = "",
        *,
        status: int = 200,
        wrong: str = "",
        found: Spoken | None = None,
        kept: bool = False,
    ) -> web.Response:
        return templates.render(
            request, "code.html", status=status, text=text, wrong=wrong, found=found, kept=kept
        )
