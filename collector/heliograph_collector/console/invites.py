"""Invitations: made, shown once with their QR code, listed with what is left, withdrawn."""

import asyncio
import base64
import io

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, Add, Gate
from heliograph_collector.console.backend import NotSoError
from heliograph_collector.fleet.invites import offers, withdraw
from heliograph_collector.http.problem import Problem

MAX_USES = 100_000
LIVES = {"1h": 3_600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000, "365d": 31_536_000}
ROLES = ("volunteer", "control")


class Invites:
    def __init__(self, gate: Gate) -> None:
        self._gate, self._office = gate, gate.office

    def routes(self, add: Add) -> None:
        add("GET", "/console/invites", VIEWER, self.show)
        add("POST", "/console/invites", OPERATOR, self.make)
        add("POST", "/console/invites/{id}/withdraw", OPERATOR, self.withdraw)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request)

    async def make(self, request: web.Request) -> web.StreamResponse:
        """The page that shows the line is the only one that ever does."""
        form = self._gate.form(request)
        uses, life, role = form.get("uses", ""), form.get("life", ""), form.get("role", "")
        wrong = _wrong(uses, life, role)
        if wrong:
            return await self._page(request, status=400, wrong=wrong)
        await self._gate.note(request, "invite.make", f"{role}, {uses} uses, {life}")
        try:
            line = await asyncio.to_thread(self._office.invite, role, int(uses), LIVES[life])
        except NotSoError as error:
            return await self._page(request, status=409, wrong=str(error))
        return await self._page(request, line=line, picture=picture(line), uses=int(uses))

    async def withdraw(self, request: web.Request) -> web.StreamResponse:
        id_, now_s = request.match_info["id"], self._now_s()
        await self._gate.note(request, "invite.withdraw", id_)
        if not await asyncio.to_thread(withdraw, self._office.fleet, id_, now_s):
            raise Problem(404, "No such invitation", "None of that name lets anybody in still.")
        return templates.away("/console/invites")

    async def _page(
        self,
        request: web.Request,
        *,
        status: int = 200,
        wrong: str = "",
        line: str = "",
        picture: str = "",
        uses: int = 0,
    ) -> web.Response:
        found, now_s = await asyncio.to_thread(offers, self._office.fleet), self._now_s()
        return templates.render(
            request,
            "invites.html",
            status=status,
            wrong=wrong,
            line=line,
            picture=picture,
            uses=uses,
            now_s=now_s,
            open=[offer for offer in found if offer.is_open(now_s)],
            over=[offer for offer in found if not offer.is_open(now_s)][:20],
            lives=LIVES,
            roles=ROLES,
        )

    def _now_s(self) -> int:
        return self._office.clock.wall_us() // 1_000_000


def picture(line: str) -> str:
    """The line as a QR code, an SVG in a data URL: black on white in every scheme, as cameras
    want it."""
    import segno

    file = io.BytesIO()
    segno.make(line, error="m").save(file, kind="svg", scale=4, border=4, light="#fff")
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _wrong(uses: str, life: str, role: str) -> str:
    if not (uses.isascii() and uses.isdigit() and 1 <= int(uses[:9]) <= MAX_USES):
        return f"Uses: a whole number from 1 to {MAX_USES:,} is wanted."
    if life not in LIVES:
        return f"Expires: one of {', '.join(LIVES)} is wanted."
    if role not in ROLES:
        return f"For: one of {', '.join(ROLES)} is wanted."
    return ""
