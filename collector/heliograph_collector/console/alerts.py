"""Whom the courier tells, what became of it, and sending it again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, Add, Gate
from heliograph_collector.http.problem import Problem

PLACE = "/console/alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    name: str
    kind: str
    place: str
    wants: str  # in words
    state: str  # of its newest message; "" when it has had none


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    id: str
    receiver: str
    title: str
    made: str
    state: str  # waiting, arrived or given_up
    tries: int
    said: str
    next: str  # when it is tried again; "" when it is not


@dataclass(frozen=True, kw_only=True)
class Courier:
    """What the page stands on; `again` is False when the message is not there any more.
    `deliveries` and `again` raise OSError when the outbox cannot be used."""

    receivers: Callable[[Sequence[Delivery]], Sequence[Receiver]]
    deliveries: Callable[[], Awaitable[Sequence[Delivery]]]
    again: Callable[[str], Awaitable[bool]]


def routes(add: Add, gate: Gate, courier: Courier) -> None:

    async def show(request: web.Request) -> web.StreamResponse:
        try:
            deliveries = await courier.deliveries()
        except OSError as error:
            raise Problem(503, "No outbox", f"The outbox cannot be read: {error}.") from error
        return templates.render(
            request,
            "incident_alerts.html",
            receivers=courier.receivers(deliveries),
            deliveries=deliveries,
        )

    async def again(request: web.Request) -> web.StreamResponse:
        id_ = gate.form(request).get("id", "")[:64]
        await gate.note(request, "alert.again", id_)
        try:
            done = await courier.again(id_)
        except OSError as error:
            raise Problem(503, "No outbox", f"The outbox cannot be used: {error}.") from error
        if not done:
            raise Problem(404, "No such message", "It is not in the delivery log any more.")
        return templates.away(PLACE)

    add("GET", PLACE, VIEWER, show)
    add("POST", PLACE, OPERATOR, again)
