"""Alerts in plain text, for those who read them on a telephone at night. Pure."""

from collections import Counter
from collections.abc import Sequence

from heliograph_collector.alerting.message import Message
from heliograph_collector.config.receiver import Alert

MAX_LINES = 12
_LEAD = {"resumed": "Dark again: "}


def title(message: Message) -> str:
    """One line. Of many it says how many of each."""
    alerts = message.alerts
    if len(alerts) == 1 and not message.more:
        return _sentence(alerts[0])
    counted = Counter(str(alert["state"]) for alert in alerts)
    told = ", ".join(f"{n} {state}" for state, n in counted.items())
    return f"{len(alerts) + message.more} incidents: {told}"


def lines(message: Message, base: str) -> list[str]:
    """The paragraphs below the title; links where our address is known."""
    if len(message.alerts) == 1 and not message.more:
        return _one(message.alerts[0], base)
    told = [
        f"• {_sentence(alert)}{_link(alert, base, ' ')}" for alert in message.alerts[:MAX_LINES]
    ]
    more = len(message.alerts) - len(told) + message.more
    if more:
        told.append(f"… and {more} more." + (f" All of them: {base}/" if base else ""))
    return told


def text(message: Message, base: str) -> str:
    return "\n".join([title(message), *lines(message, base)])


def mail_text(message: Message, base: str) -> str:
    """The body of an e-mail: paragraphs, and at its end who says so."""
    seen = [title(message), *lines(message, base)]
    closing = (
        "-- \nHeliograph tells from volunteers' machines whether the Internet around them works.\n"
        "Every alert is an entry of a signed log that anybody can verify"
        + (f": {base}/api/v1/log" if base else ".")
    )
    return "\n\n".join([*seen, closing]) + "\n"


def link(message: Message, base: str) -> str:
    """Where one who taps on it should come to; "" when we do not know our address."""
    if not base:
        return ""
    return _link(message.alerts[0], base, "") if len(message.alerts) == 1 else f"{base}/"


def threads(alerts: Sequence[Alert]) -> list[str]:
    """Names of the incidents, for mail readers to keep what belongs together together."""
    return list(dict.fromkeys(str(alert["incident"]["id"]) for alert in alerts))


def _one(alert: Alert, base: str) -> list[str]:
    told = []
    if alert["text"] not in alert["about"]:
        told.append(f"The operator says: {alert['text']}")
    told.append(str(alert["about"]))
    if alert["entry"]:
        told.append(f"Entry {alert['entry']} of the log, {alert['at']}.")
    address = _link(alert, base, "")
    return [*told, address] if address else told


def _sentence(alert: Alert) -> str:
    return f"{_LEAD.get(alert['change'], '')}{alert['incident']['sentence']}"


def _link(alert: Alert, base: str, before: str) -> str:
    return f"{before}{base}{alert['incident']['links']['page']}" if base else ""
