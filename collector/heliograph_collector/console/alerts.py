"""The page of notifications: receivers, deliveries, and resending."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.http.problem import Problem

PATH = "/console/alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverView:
    name: str
    kind: str
    address: str
    interests: str  # in words
    state: str  # of its newest message; "" without one


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    id: str
    receiver: str
    title: str
    created: str
    state: str  # waiting, arrived or given_up
    tries: int
    reply: str
    next_try: str  # time of the next try; "" if there is none


@dataclass(frozen=True, kw_only=True)
class AlertsBackend:
    """Data of the page; `resend` returns False if the message no longer exists.

    `list_deliveries` and `resend` raise OSError if the outbox cannot be used.
    """

    build_receivers: Callable[[Sequence[DeliveryView]], Sequence[ReceiverView]]
    list_deliveries: Callable[[], Awaitable[Sequence[DeliveryView]]]
    resend: Callable[[str], Awaitable[bool]]


def routes(add_route: AddRoute, access_control: AccessControl, backend: AlertsBackend) -> None:

    async def show(request: web.Request) -> web.StreamResponse:
        try:
            deliveries = await backend.list_deliveries()
        except OSError as error:
            raise Problem(503, "No outbox", f"The outbox cannot be read: {error}.") from error
        return templates.render(
            request,
            "incident_alerts.html",
            receivers=backend.build_receivers(deliveries),
            deliveries=deliveries,
        )

    async def resend(request: web.Request) -> web.StreamResponse:
        id_ = access_control.checked_form(request).get("id", "")[:64]
        await access_control.record_audit(request, "alert.again", id_)
        try:
            is_known = await backend.resend(id_)
        except OSError as error:
            raise Problem(503, "No outbox", f"The outbox cannot be used: {error}.") from error
        if not is_known:
            raise Problem(404, "No such message", "It is not in the delivery log any more.")
        return templates.redirect(PATH)

    add_route("GET", PATH, VIEWER, show)
    add_route("POST", PATH, OPERATOR, resend)
