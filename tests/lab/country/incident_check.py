"""Check the API's incidents against what the steps of a script must show.

A step lists it under `shows`: `{incident: KIND, label: …, service: …}`, `{turn: opening}` or
`{turn: cut}`, `{end: KIND}`, or `{none: KIND}` for what must not be there in the end. The truth is
the moment at which the step was put into force.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Shown = Mapping[str, str]
Incident = Mapping[str, Any]
SLACK_S = 20.0  # beside a bracket: applying a step takes a moment, noticing a heartbeat
ALERTS = 2  # calls to subscribers for one true event, and one more when it turns out to be another


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that a step must show, and the result."""

    step: str
    wanted: str
    found: str  # "" when it was not

    def __str__(self) -> str:
        return f"{self.step:6}{self.wanted:44}{self.found or '✗'}"


def looks(
    steps: Iterable[tuple[str, float, Sequence[Shown]]], incidents: Sequence[Incident]
) -> Iterator[Look]:
    """Yield a check for each shown thing of `steps`: (id, Unix seconds, shows).

    The seconds are those at which the step was put into force.
    """
    for name, at_s, shows in steps:
        for shown in shows:
            yield Look(name, _words(shown), _found(shown, at_s, incidents))


def too_loud(incidents: Iterable[Incident]) -> list[str]:
    """List incidents that called more than twice; a power cut corrects itself once."""
    calls = {i["id"]: [a["change"] for a in i["alerts"] if a["called"]] for i in incidents}
    return [
        f"{id_}: {', '.join(changes)}"
        for id_, changes in calls.items()
        if len(changes) > ALERTS + ("relabeled" in changes)
    ]


def _words(shown: Shown) -> str:
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _found(shown: Shown, at_s: float, incidents: Sequence[Incident]) -> str:
    seen = [i for i in incidents if i["state"] != "withdrawn"]
    if "none" in shown:
        standing = [i for i in seen if i["kind"] == shown["none"] and i["state"] != "suspected"]
        return "" if any(_holds(i["started"], at_s) for i in standing) else "none"
    if "turn" in shown:
        turns = [turn for i in seen for turn in i["turns"] if turn["way"] == shown["turn"]]
        return next((_bracket(t["when"], at_s) for t in turns if _holds(t["when"], at_s)), "")
    kind, end = shown.get("incident") or shown["end"], "end" in shown
    for incident in seen:
        bracket = incident["ended" if end else "started"]
        named = incident["kind"] == kind and (
            end or shown.get("label") in (None, incident["label"])
        )
        meant = "service" not in shown or incident["scope"]["service"] == shown["service"]
        if bracket and named and meant and _holds(bracket, at_s):
            return f"{incident['state']}, {_bracket(bracket, at_s)}"
    return ""


def _holds(bracket: Mapping[str, str], at_s: float) -> bool:
    return _s(bracket["earliest"]) - SLACK_S <= at_s <= _s(bracket["latest"]) + SLACK_S


def _bracket(bracket: Mapping[str, str], at_s: float) -> str:
    """Format a bracket in seconds from the truth on."""
    return f"{_s(bracket['earliest']) - at_s:+.0f} … {_s(bracket['latest']) - at_s:+.0f} s"


def _s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
