"""The page of notifications: receivers, deliveries, and resending."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import OPERATOR, VIEWER, AccessControl, AddRoute
from heliograph_collector.http import labels
from heliograph_collector.http.problem import Problem

PATH = "/console/alerts"
_MAX_DELIVERIES = 100
_SUSPECTED_NOTES = {"quiet": "quietly", "loud": "too"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverView:
    name: str
    kind: str
    address: str
    interests: str  # in words
    state: str  # of its newest message; "" without one


class AlertReceiver(Protocol):
    """A configured receiver of notifications."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def to(self) -> Sequence[str]: ...
    @property
    def room(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def countries(self) -> Sequence[str]: ...
    @property
    def services(self) -> Sequence[str]: ...
    @property
    def kinds(self) -> Sequence[str]: ...
    @property
    def states(self) -> Sequence[str]: ...
    @property
    def suspected(self) -> str: ...
    @property
    def health(self) -> str: ...


class SentMessage(Protocol):
    """One line of the delivery log; `state` is waiting, arrived or given_up."""

    @property
    def id(self) -> str: ...
    @property
    def receiver(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def made_us(self) -> int: ...
    @property
    def due_us(self) -> int | None: ...
    @property
    def tries(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def reply(self) -> str: ...


class Notifications(Protocol):
    """Receivers and their delivery log; calls raise sqlite3.Error if it is unusable."""

    @property
    def receivers(self) -> Sequence[AlertReceiver]: ...
    @property
    def change_count(self) -> int:
        """Return a number that rises with every change of the outbox."""
        ...

    async def list_deliveries(self, limit: int) -> Sequence[SentMessage]: ...
    async def resend(self, id_: str) -> bool:
        """Send a message again; return False if it does not exist."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsView(templates.PageView):
    template: ClassVar[str] = "incident_alerts.html"
    receivers: Sequence[ReceiverView]
    deliveries: Sequence[SentMessage]


class AlertPages:
    """The page of receivers and deliveries, and its form."""

    def __init__(self, access_control: AccessControl, notifications: Notifications) -> None:
        self._access_control = access_control
        self._notifications = notifications

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", PATH, VIEWER, self.show)
        add_route("POST", PATH, OPERATOR, self.resend)

    async def show(self, request: web.Request) -> web.StreamResponse:
        try:
            messages = await self._notifications.list_deliveries(_MAX_DELIVERIES)
        except sqlite3.Error as error:
            raise Problem(503, "No outbox", f"The outbox cannot be read: {error}.") from error
        newest_states = {message.receiver: message.state for message in reversed(messages)}
        view = AlertsView(
            receivers=[
                build_receiver_view(receiver, newest_states.get(receiver.name, ""))
                for receiver in self._notifications.receivers
            ],
            deliveries=messages,
        )
        return templates.render(request, view)

    async def resend(self, request: web.Request) -> web.StreamResponse:
        id_ = self._access_control.checked_form(request).get("id", "")[:64]
        await self._access_control.record_audit(request, "alert.again", id_)
        try:
            is_known = await self._notifications.resend(id_)
        except sqlite3.Error as error:
            raise Problem(503, "No outbox", f"The outbox cannot be used: {error}.") from error
        if not is_known:
            raise Problem(404, "No such message", "It is not in the delivery log any more.")
        return templates.redirect(PATH)


def build_receiver_view(receiver: AlertReceiver, state: str) -> ReceiverView:
    interests = [
        *receiver.countries,
        *receiver.services,
        *(labels.label_code("kind", kind) for kind in receiver.kinds),
    ]
    summary = ", ".join(interests) or "everything"
    if receiver.kind == "heartbeat":
        summary = "a request a minute while the collector is ready"
    elif receiver.health == "only":
        summary = "the collector's own health"
    elif receiver.health == "too":
        summary += "; the collector's own health"
    if receiver.states:
        summary += f"; only {', '.join(receiver.states)}"
    if receiver.suspected in _SUSPECTED_NOTES:
        summary += f"; suspected ones {_SUSPECTED_NOTES[receiver.suspected]}"
    address = ", ".join(receiver.to) or receiver.room or receiver.host
    return ReceiverView(
        name=receiver.name,
        kind=str(receiver.kind),
        address=address or "an address in a file",
        interests=summary,
        state=state,
    )
