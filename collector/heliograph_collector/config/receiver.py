"""Who is told of incidents, of which ones, by which way, and how much at once. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

Alert = Mapping[str, Any]  # as news.alert makes it


class Kind(StrEnum):
    WEBHOOK = "webhook"
    EMAIL = "email"
    NTFY = "ntfy"
    MATRIX = "matrix"
    SLACK = "slack"


class Suspected(StrEnum):
    """What becomes of incidents that are only suspected."""

    LEAVE_OUT = "leave_out"
    QUIET = "quiet"  # told without a sound
    LOUD = "loud"


STATES = ("confirmed", "closed", "withdrawn")
INCIDENTS = ("network_silence", "service_blocking", "throttling", "partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One item of `alerts`. An empty filter lets everything through."""

    name: str
    kind: Kind
    url: str = ""
    secret_file: Path | None = None
    room: str = ""  # of Matrix
    sender: str = ""  # of e-mail, as `to` and `user`
    to: tuple[str, ...] = ()
    user: str = ""
    private: bool = False  # may be in a private network, or on this machine
    countries: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    suspected: Suspected = Suspected.LEAVE_OUT
    per_hour: int = 20  # messages
    gather_s: int = 60  # what comes so soon after a message goes together

    def wants(self, alert: Alert) -> bool:
        """Of suspicions only who chose them hears, and then of their end as well."""
        incident, state = alert["incident"], alert["state"]
        scope = incident["scope"]
        return (
            (not self.countries or scope["country"] in self.countries)
            and (not self.services or scope["service"] in self.services)
            and (not self.kinds or incident["kind"] in self.kinds)
            and (not self.states or state in (*self.states, "suspected"))
            and (bool(alert["called"]) or self.suspected is not Suspected.LEAVE_OUT)
        )

    def quietly(self, alert: Alert) -> bool:
        return not alert["called"] and self.suspected is Suspected.QUIET
