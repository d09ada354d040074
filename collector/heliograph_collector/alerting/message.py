"""Selection of log entries for notifications, and the texts of a message. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict, cast

from msgspec import to_builtins

from heliograph_collector.alerting.words import DEFAULT, translate
from heliograph_collector.config.receivers import (
    AlertedIncident,
    AlertTranslation,
    IncidentAlert,
)
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.incidents.published.log import EntryBody, OperatorBody

VERSION = 1  # version of the payload
MAX_ALERTS = 50  # alerts in one message; the others are only counted
_OMITTED_FIELDS = ("evidence", "alerts", "turns", "phases")  # long, and available by the links
MAX_LINES = 12
_HEALTH_PAGE = "/console/health"
_PREFIXED = ("resumed", "relabeled")  # changes that are named before the sentence


def build_alert(
    entry: int, hash_: str, body: EntryBody, incident: IncidentDocument, explanation: str
) -> IncidentAlert | None:
    """Build the alert of a log entry; None if no receiver is notified of it.

    `incident` is the API document after that entry, `explanation` a summary of its evidence. The
    field `called` is true for entries that notify all subscribers. The others are only for
    receivers that want suspicions.
    """
    change = body.change
    is_minor = change == "suspected" or (change == "withdrawn" and incident.confirmed is None)
    if not (body.alert or is_minor):
        return None
    return {
        "entry": entry,
        "hash": hash_,
        "at": incident.updated,
        "change": change,
        "state": incident.state,
        "by": body.by if isinstance(body, OperatorBody) else "detector",
        "called": body.alert,
        "text": body.text if isinstance(body, OperatorBody) else "",
        "about": explanation,
        "incident": cast(
            "AlertedIncident",
            {
                name: value
                for name, value in to_builtins(incident).items()
                if name not in _OMITTED_FIELDS
            },
        ),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """Problems that keep the collector from working; none if it works again."""

    problems: Sequence[str]
    since: str  # when it stopped working


class MessagePayload(TypedDict):
    """The body of a webhook; only one of the type `health` has the last two."""

    type: str
    version: int
    id: str
    timestamp: str
    base: str
    alerts: list[IncidentAlert]
    more: int
    problems: NotRequired[list[str]]
    since: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Alerts that are delivered together; every retry uses the same `id`."""

    id: str
    alerts: Sequence[IncidentAlert]
    more: int = 0  # alerts that are counted but not included
    is_sample: bool = False
    health: HealthReport | None = None  # in place of alerts
    language: str = DEFAULT  # of the texts below; a payload has all

    def to_payload(self, base: str, at: str) -> MessagePayload:
        """Build the webhook payload; `base` is our public address, "" if unknown."""
        payload: MessagePayload = {
            "type": "incidents.sample" if self.is_sample else "incidents",
            "version": VERSION,
            "id": self.id,
            "timestamp": at,
            "base": base,
            "alerts": list(self.alerts[:MAX_ALERTS]),
            "more": self.more + len(self.alerts[MAX_ALERTS:]),
        }
        if self.health:
            payload["type"] = "health"
            payload["problems"] = list(self.health.problems)
            payload["since"] = self.health.since
        return payload


def build_sample(id_: str, at: str) -> Message:
    """Build the message of `alerts test`: an invented incident in no real country."""
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
    sample_alert: IncidentAlert = {
        "entry": 0,
        "hash": "0" * 64,
        "at": at,
        "change": "confirmed",
        "state": "confirmed",
        "by": "detector",
        "called": True,
        "text": "",
        "about": "It was sent by hand to see whether this way works.",
        "incident": cast("AlertedIncident", incident),
    }
    return Message(id=id_, alerts=[sample_alert], is_sample=True)


def format_title(message: Message) -> str:
    """Format the title: the incident's sentence, or the number of each state."""
    if message.health:
        return _format_health_title(message.health)
    alerts = message.alerts
    if len(alerts) == 1 and not message.more:
        return _format_sentence(alerts[0], message.language)
    state_counts = Counter(str(alert["state"]) for alert in alerts)
    summary = ", ".join(
        translate(message.language, state, n=n) for state, n in state_counts.items()
    )
    n = len(alerts) + message.more
    return translate(message.language, "incidents", n=n, states=summary)


def format_lines(message: Message, base: str) -> list[str]:
    """Format the paragraphs below the title, with links if our address is known."""
    if message.health:
        return _format_health(message.health, base)
    if len(message.alerts) == 1 and not message.more:
        return _format_alert(message.alerts[0], base, message.language)
    paragraphs = [
        f"• {_format_sentence(alert, message.language)}{_format_alert_link(alert, base, ' ')}"
        for alert in message.alerts[:MAX_LINES]
    ]
    omitted_count = len(message.alerts) - len(paragraphs) + message.more
    if omitted_count:
        more = translate(message.language, "more", n=omitted_count)
        link = translate(message.language, "all", link=f"{base}/") if base else ""
        paragraphs.append(f"{more} {link}".rstrip())
    return paragraphs


def format_text(message: Message, base: str) -> str:
    return "\n".join([format_title(message), *format_lines(message, base)])


def format_mail_text(message: Message, base: str) -> str:
    """Format the body of an e-mail: paragraphs and a signature."""
    paragraphs = [format_title(message), *format_lines(message, base)]
    closing = f"-- \n{translate(message.language, 'closing')}"
    if base:
        closing += f"\n{translate(message.language, 'log', link=f'{base}/api/v1/log')}"
    return "\n\n".join([*paragraphs, closing]) + "\n"


def format_link(message: Message, base: str) -> str:
    """Return the page to open from a notification; "" if our address is unknown."""
    if not base:
        return ""
    if message.health:
        return f"{base}{_HEALTH_PAGE}"
    return (
        _format_alert_link(message.alerts[0], base, "") if len(message.alerts) == 1 else f"{base}/"
    )


def list_threads(alerts: Sequence[IncidentAlert]) -> list[str]:
    """List the incident ids, by which mail readers group messages into threads."""
    return list(dict.fromkeys(str(alert["incident"]["id"]) for alert in alerts))


def _format_health_title(health: HealthReport) -> str:
    if health.problems:
        return f"Heliograph's collector is not ready: {health.problems[0]}"
    return "Heliograph's collector is ready again."


def _format_health(health: HealthReport, base: str) -> list[str]:
    if not health.problems:
        return [f"It had not been ready since {health.since}."]
    paragraphs = [
        *(f"• {problem}" for problem in health.problems[1:MAX_LINES]),
        f"Since {health.since}. Agents keep what they cannot send.",
    ]
    return [*paragraphs, f"{base}{_HEALTH_PAGE}"] if base else paragraphs


def _format_alert(alert: IncidentAlert, base: str, language: str) -> list[str]:
    paragraphs = []
    about = _find_translation(alert, language)["about"]
    if alert["text"] not in about:
        paragraphs.append(translate(language, "operator", text=alert["text"]))
    paragraphs.append(about)
    if alert["entry"]:
        paragraphs.append(translate(language, "entry", number=alert["entry"], at=alert["at"]))
    address = _format_alert_link(alert, base, "")
    return [*paragraphs, address] if address else paragraphs


def _find_translation(alert: IncidentAlert, language: str) -> AlertTranslation:
    """Return the texts in a language, in English if the outbox has no others."""
    english: AlertTranslation = {
        "sentence": alert["incident"]["sentence"],
        "about": str(alert["about"]),
    }
    return alert.get("translations", {}).get(language, english)


def _format_sentence(alert: IncidentAlert, language: str) -> str:
    is_lowered = alert["change"] == "suspected" and alert["called"]  # it was sent as confirmed
    change = "relabeled" if is_lowered else alert["change"]
    sentence = _find_translation(alert, language)["sentence"]
    return translate(language, change, sentence=sentence) if change in _PREFIXED else sentence


def _format_alert_link(alert: IncidentAlert, base: str, prefix: str) -> str:
    return f"{prefix}{base}{alert['incident']['links']['page']}" if base else ""
