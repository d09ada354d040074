"""The page for codes of `heliograph-agent code` that are read out by telephone."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, AccessControl, AddRoute
from heliograph_collector.console.backend import InvalidInputError, VoiceReport

_MAX_CODE_CHARS = 1_000  # characters: three times the longest code in words


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceCodeView(templates.PageView):
    template: ClassVar[str] = "code.html"
    code_text: str
    error_text: str
    report: VoiceReport | None
    is_stored: bool


class VoiceCodePage:
    def __init__(self, access_control: AccessControl) -> None:
        self._access_control = access_control
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/code", OPERATOR, self.show)
        add_route("POST", "/console/code", OPERATOR, self.check_code)
        add_route("POST", "/console/code/keep", OPERATOR, self.store_code)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return self._render_page(request)

    async def check_code(self, request: web.Request) -> web.StreamResponse:
        """Show the meaning of a code without storing it."""
        return await self._process_code(request, is_stored=False)

    async def store_code(self, request: web.Request) -> web.StreamResponse:
        return await self._process_code(request, is_stored=True)

    async def _process_code(self, request: web.Request, *, is_stored: bool) -> web.StreamResponse:
        code_text = self._access_control.checked_form(request).get("code", "")[:_MAX_CODE_CHARS]
        try:
            report = await self._prove_code(request, code_text, is_kept=False)
            if is_stored:
                await self._access_control.record_audit(
                    request, "code.keep", report.agent, note=f"made {report.created}"
                )
                report = await self._prove_code(request, code_text, is_kept=True)
        except InvalidInputError as error:
            return self._render_page(request, code_text, status=400, error_text=str(error))
        return self._render_page(request, code_text, report=report, is_stored=is_stored)

    async def _prove_code(
        self, request: web.Request, code_text: str, *, is_kept: bool
    ) -> VoiceReport:
        session = templates.session_of(request)
        source = f"operator {session.name if session else ''}"
        return await asyncio.to_thread(
            self._backend.prove_voice_code, code_text, source, is_kept=is_kept
        )

    def _render_page(
        self,
        request: web.Request,
        code_text: str = "",
        *,
        status: int = 200,
        error_text: str = "",
        report: VoiceReport | None = None,
        is_stored: bool = False,
    ) -> web.Response:
        view = VoiceCodeView(
            code_text=code_text, error_text=error_text, report=report, is_stored=is_stored
        )
        return templates.render(request, view, status=status)
