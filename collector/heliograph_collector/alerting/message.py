"""Which entries of the log are news to people, and what a message holds of them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.config.receiver import Alert

VERSION = 1  # of the payload
MOST = 50  # alerts in one message; the others are counted
_LEFT_OUT = ("evidence", "alerts", "turns")  # long, and behind the links


def alert(
    entry: int, hash_: str, body: Mapping[str, Any], incident: Mapping[str, Any], about: str
) -> dict[str, Any] | None:
    """What is told of an entry; None where it is none that people are told of.

    `incident` is as the API gives it after that entry, `about` in words what it rests on.
    `called`: of those whom the log calls subscribers; the others are for who wants suspicions.
    """
    change = body["change"]
    minor = change == "suspected" or (change == "withdrawn" and incident["confirmed"] is None)
    if not (body["alert"] or minor):
        return None
    return {
        "entry": entry,
        "hash": hash_,
        "at": incident["updated"],
        "change": change,
        "state": incident["state"],
        "by": body.get("by", "detector"),
        "called": bool(body["alert"]),
        "text": body.get("text", ""),
        "about": about,
        "incident": {name: value for name, value in incident.items() if name not in _LEFT_OUT},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What goes out in one piece, and again with the same `id` until it has arrived."""

    id: str
    alerts: Sequence[Alert]
    more: int = 0  # alerts that are not in it
    sample: bool = False

    def payload(self, base: str, at: str) -> dict[str, Any]:
        """For webhooks. `base` is our public address, "" when we do not know it."""
        return {
            "type": "incidents.sample" if self.sample else "incidents",
            "version": VERSION,
            "id": self.id,
            "timestamp": at,
            "base": base,
            "alerts": [dict(alert) for alert in self.alerts[:MOST]],
            "more": self.more + len(self.alerts[MOST:]),
        }


def sample(id_: str, at: str) -> Message:
    """What `alerts test` sends: an incident that never was, in a country that is none."""
    incident = {
        "id": "0" * 16,
        "kind": "network_silence",
        "label": "national",
        "state": "confirmed",
        "detected": "confirmed",
        "confirmed_by": ["detector"],
        "withdrawn_by": "",
        "operator": None,
        "scope": {"country": "ZZ", "region": "", "asn": 0, "access": "", "service": ""},
        "title": "",
        "sentence": "This is a test of Heliograph's alerts; nothing has happened.",
        "started": {"earliest": at, "latest": at},
        "ended": None,
        "suspected": at,
        "confirmed": at,
        "closed": None,
        "layer": "",
        "method": "",
        "confidence": 0.9,
        "parts": [],
        "hints": [],
        "held": [],
        "updated": at,
        "links": {"self": "/api/v1/incidents", "page": "/", "log": "/api/v1/log"},
    }
    told = {
        "entry": 0,
        "hash": "0" * 64,
        "at": at,
        "change": "confirmed",
        "state": "confirmed",
        "by": "detector",
        "called": True,
        "text": "",
        "about": "It was sent by hand to see whether this way works.",
        "incident": incident,
    }
    return Message(id=id_, alerts=[told], sample=True)
