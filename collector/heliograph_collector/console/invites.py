"""Invitations: created, shown once with a QR code, listed and withdrawn."""

import asyncio
import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph.address import split_endpoint
from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.console.backend import InvalidInputError
from heliograph_collector.fleet.invites import (
    InviteStatus,
    is_loopback,
    list_invites,
    read_address,
    withdraw_invite,
)
from heliograph_collector.http.problem import Problem

MAX_USES = 100_000
LIFETIMES_S = {"1h": 3_600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000, "365d": 31_536_000}
ROLES = ("volunteer", "control")


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitesView(templates.PageView):
    template: ClassVar[str] = "invites.html"
    error_text: str
    invite_line: str  # of a new invite, "" for none
    address: str  # that the line leads to
    is_local: bool
    qr_code: str  # a data URL
    uses: int
    open_invites: Sequence[InviteStatus]
    ended_invites: Sequence[InviteStatus]
    lifetimes: Collection[str]


class InvitePages:
    def __init__(self, access_control: AccessControl) -> None:
        self._access_control = access_control
        self._backend = access_control.backend

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", "/console/invites", VIEWER, self.show)
        add_route("POST", "/console/invites", OPERATOR, self.create)
        add_route("POST", "/console/invites/{id}/withdraw", OPERATOR, self.withdraw)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return await self._render_page(request)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Create an invitation; only this response ever shows its line."""
        form = self._access_control.checked_form(request)
        uses = form.get("uses", "")
        lifetime = form.get("life", "")
        role = form.get("role", "")
        error_text = _check_form(uses, lifetime, role)
        if error_text:
            return await self._render_page(request, status=400, error_text=error_text)
        await self._access_control.record_audit(
            request, "invite.make", f"{role}, {uses} uses, {lifetime}"
        )
        try:
            line = await asyncio.to_thread(
                self._backend.create_invite, role, int(uses), LIFETIMES_S[lifetime]
            )
        except InvalidInputError as error:
            return await self._render_page(request, status=409, error_text=str(error))
        return await self._render_page(
            request, invite_line=line, qr_code=render_qr_code(line), uses=int(uses)
        )

    async def withdraw(self, request: web.Request) -> web.StreamResponse:
        id_ = request.match_info["id"]
        now_s = self._now_s()
        await self._access_control.record_audit(request, "invite.withdraw", id_)
        if not await asyncio.to_thread(withdraw_invite, self._backend.fleet, id_, now_s):
            raise Problem(404, "No such invitation", "None of that name lets anybody in still.")
        return templates.redirect("/console/invites")

    async def _render_page(
        self,
        request: web.Request,
        *,
        status: int = 200,
        error_text: str = "",
        invite_line: str = "",
        qr_code: str = "",
        uses: int = 0,
    ) -> web.Response:
        address = read_address(invite_line) if invite_line else ""
        all_offers = await asyncio.to_thread(list_invites, self._backend.fleet)
        now_s = self._now_s()
        view = InvitesView(
            error_text=error_text,
            invite_line=invite_line,
            address=address,
            is_local=bool(address) and is_loopback(split_endpoint(address)[0]),
            qr_code=qr_code,
            uses=uses,
            open_invites=[offer for offer in all_offers if offer.is_open(now_s)],
            ended_invites=[offer for offer in all_offers if not offer.is_open(now_s)][:20],
            lifetimes=LIFETIMES_S,
        )
        return templates.render(request, view, status=status)

    def _now_s(self) -> int:
        return self._backend.clock.wall_us() // 1_000_000


def render_qr_code(invite_line: str) -> str:
    """Render the line as a QR code, an SVG in a data URL.

    It is black on white in every color scheme, because cameras need that.
    """
    import segno

    file = io.BytesIO()
    segno.make(invite_line, error="m").save(file, kind="svg", scale=4, border=4, light="#fff")
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _check_form(uses: str, lifetime: str, role: str) -> str:
    if not (uses.isascii() and uses.isdigit() and 1 <= int(uses[:9]) <= MAX_USES):
        return f"Uses: a whole number from 1 to {MAX_USES:,} is wanted."
    if lifetime not in LIFETIMES_S:
        return f"Expires: one of {', '.join(LIFETIMES_S)} is wanted."
    if role not in ROLES:
        return f"For: one of {', '.join(ROLES)} is wanted."
    return ""
