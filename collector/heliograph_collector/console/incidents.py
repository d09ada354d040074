"""Incidents for those who answer for them: what they rest on, and four words to say of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, Add, Gate
from heliograph_collector.http.problem import Problem

PLACE = "/console/incidents"
ACTS = ("acknowledged", "annotated", "confirmed", "withdrawn")
SHOW = ("open", "over", "all")
_LATEST = 200  # lines of the list
_EVIDENCE_S = 10.0  # so long the store may think before the page goes without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One incident in the list. `marks` are words beside its state."""

    id: str
    sentence: str
    state: str
    open: bool
    country: str
    service: str
    facts: Sequence[str]
    marks: Sequence[str]
    updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One entry of the log about it."""

    entry: int
    at: str
    change: str
    by: str  # detector or operator
    text: str
    name: str
    called: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that the log tells of one; `seen` is its newest entry, `may` what can be said of it."""

    line: Line
    seen: int
    may: Sequence[str]
    facts: Sequence[tuple[str, str]]
    held: Sequence[str]
    hints: Sequence[str]
    parts: Sequence[Mapping[str, Any]]
    turns: Sequence[tuple[str, str]]
    said: Sequence[Said]
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The vantages of one network while it lasted.

    Of a silence (`silent`) `bad` are those that were away at once, `good` those here now.
    """

    name: str
    bad: int
    good: int
    unknown: int
    silent: bool

    @property
    def widths(self) -> tuple[int, int, int]:
        """Per cent of its vantages: failing, well, in doubt."""
        every = max(1, self.bad + self.good + self.unknown)
        bad, good = round(100 * self.bad / every), round(100 * self.good / every)
        return bad, good, 100 - bad - good


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A measurement that speaks for it."""

    id: str
    at: str
    network: str
    target: str
    state: str
    how: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    networks: Sequence[Network] = ()
    measurements: Sequence[Measured] = ()
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Registry:
    """What these pages stand on. `act` takes (id, act, seen, text, name) and raises `Refused`;
    `evidence` may raise OSError or a StoreError, which the page then tells."""

    many: Callable[[], Sequence[Line]]
    one: Callable[[str], Case | None]
    evidence: Callable[[str], Awaitable[Evidence]]
    act: Callable[[str, str, int, str, str], Awaitable[None]]


class Refused(Exception):  # noqa: N818 -- it is an answer
    """What the operator wanted to say cannot be said; the text is a sentence with the cure."""


def routes(add: Add, gate: Gate, registry: Registry) -> None:
    pages = _Pages(gate, registry)
    add("GET", PLACE, VIEWER, pages.many)
    add("GET", PLACE + "/{id}", VIEWER, pages.one)
    add("POST", PLACE + "/{id}", OPERATOR, pages.act)


class _Pages:
    def __init__(self, gate: Gate, registry: Registry) -> None:
        self._gate, self._registry = gate, registry

    async def many(self, request: web.Request) -> web.StreamResponse:
        asked = {name: request.query.get(name, "")[:64] for name in ("show", "country", "service")}
        show = asked["show"] if asked["show"] in SHOW else "open"
        lines = await asyncio.to_thread(self._registry.many)
        wanted = [
            line
            for line in lines
            if (not asked["country"] or line.country == asked["country"])
            and (not asked["service"] or line.service == asked["service"])
        ]
        counts = {
            "open": sum(line.open for line in wanted),
            "over": sum(not line.open for line in wanted),
            "all": len(wanted),
        }
        rows = [line for line in wanted if show == "all" or line.open is (show == "open")]
        return templates.render(
            request,
            "incidents.html",
            rows=rows[:_LATEST],
            more=len(rows[_LATEST:]),
            counts=counts,
            show=show,
            asked=asked,
            countries=sorted({line.country for line in lines}),
            services=sorted({line.service for line in lines if line.service}),
        )

    async def one(self, request: web.Request) -> web.StreamResponse:
        return await self._show(request, self._found(request))

    async def act(self, request: web.Request) -> web.StreamResponse:
        case, form = self._found(request), self._gate.form(request)
        act = form.get("act", "")
        if act not in ACTS:
            raise Problem(400, "No such act", f"It is one of {', '.join(ACTS)}.")
        seen, text = form.get("seen", ""), form.get("text", "")
        session = templates.session_of(request)
        name = session.name if session and form.get("named") else ""
        await self._gate.note(request, f"incident.{act}", case.line.id)
        try:
            at = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else 0
            await self._registry.act(case.line.id, act, at, text, name)
        except Refused as refusal:
            fresh = self._found(request)
            return await self._show(
                request, fresh, status=409, wrong=str(refusal), act=act, text=text
            )
        return templates.away(f"{PLACE}/{case.line.id}")

    def _found(self, request: web.Request) -> Case:
        """Raises Problem 404."""
        case = self._registry.one(request.match_info["id"])
        if case is None:
            raise Problem(404, "No such incident", f"Those that there are, are at {PLACE}.")
        return case

    async def _show(
        self,
        request: web.Request,
        case: Case,
        *,
        status: int = 200,
        wrong: str = "",
        act: str = "",
        text: str = "",
    ) -> web.StreamResponse:
        return templates.render(
            request,
            "incident.html",
            status=status,
            case=case,
            evidence=await self._evidence(case.line.id),
            wrong=wrong,
            act=act,
            text=text,
        )

    async def _evidence(self, id_: str) -> Evidence:
        """Without it the page still shows, and says why."""
        try:
            async with asyncio.timeout(_EVIDENCE_S):
                return await self._registry.evidence(id_)
        except TimeoutError:
            return Evidence(trouble="The store takes too long; load the page again.")
