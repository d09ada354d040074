"""Operator entries in the alert log: their checks and their format. Pure.

An entry names its operator only by that operator's choice. Its text is public and can never be
withdrawn.
"""

import unicodedata
from dataclasses import dataclass, replace

from heliograph.timestamps import format_timestamp
from heliograph_collector.incidents.published.log import (
    EntryReference,
    IncidentReference,
    OperatorBody,
)
from heliograph_collector.incidents.state import OPERATOR, IncidentHistory, LogEntry, OperatorAct

MAX_TEXT = 500  # characters
MAX_NAME = 60
MAX_NOTES = 100  # about one incident
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts need them


class OperatorEntryError(Exception):
    """An entry is refused; str() is a sentence that names the remedy."""


class ChangedError(OperatorEntryError):
    """The incident has changed since the operator read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEntry:
    """An operator's entry about an incident.

    `seen_number` is the number of the newest entry that the operator read; a verdict on an incident
    that has changed since is refused. `name` is set only for an operator who wants to be named.
    """

    incident: str
    act: OperatorAct
    seen_number: int
    note: str = ""
    name: str = ""


def clean_text(raw_text: str, max_length: int = MAX_TEXT) -> str:
    """Return the text as one line without outer spaces.

    Raises OperatorEntryError on text that is too long or has invisible characters.
    """
    line = " ".join(raw_text.split())
    if len(line) > max_length:
        raise OperatorEntryError(
            f"It is {len(line)} characters long; at most {max_length} are taken."
        )
    for character in line:
        if (
            unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn")
            and character not in _JOINERS
        ):
            raise OperatorEntryError(
                f"It holds the invisible character U+{ord(character):04X}; leave that out."
            )
    return line


def check_entry(operator_entry: OperatorEntry, history: IncidentHistory | None) -> OperatorEntry:
    """Return the entry with clean text. Raises OperatorEntryError."""
    if history is None:
        raise OperatorEntryError("No incident has this id.")
    operator_entry = replace(
        operator_entry,
        note=clean_text(operator_entry.note),
        name=clean_text(operator_entry.name, MAX_NAME),
    )
    refusal = _refusal_reason(operator_entry, history)
    if refusal:
        raise OperatorEntryError(refusal)
    return operator_entry


def _refusal_reason(operator_entry: OperatorEntry, history: IncidentHistory) -> str:
    act = operator_entry.act
    state = history.state()
    if act is OperatorAct.ACKNOWLEDGED and history.is_acknowledged:
        return "It is acknowledged already."
    if act is OperatorAct.ANNOTATED and not operator_entry.note:
        return "A note wants some text."
    if act is OperatorAct.ANNOTATED and history.note_count >= MAX_NOTES:
        return f"It has {MAX_NOTES} notes, and takes no more."
    if act is OperatorAct.WITHDRAWN and not operator_entry.note:
        return "A reason is required to withdraw; readers will see it."
    if act is OperatorAct.WITHDRAWN and state.state == "withdrawn":
        return "It is withdrawn already."
    if act is OperatorAct.CONFIRMED and history.operator_verdict is OperatorAct.CONFIRMED:
        return "It is confirmed by the operator already."
    if act is OperatorAct.CONFIRMED and state.withdrawn_by == "detector":
        return "The detector has taken it back; say what you know in a note."
    return ""


def operator_body(
    operator_entry: OperatorEntry, detector_entry: LogEntry, at_us: int, alert: bool
) -> OperatorBody:
    """Build the body, which names the detector's entry that it is about."""
    return OperatorBody(
        at=format_timestamp(at_us),
        by=OPERATOR,
        change=operator_entry.act.value,
        alert=alert,
        incident=IncidentReference(operator_entry.incident),
        about=EntryReference(detector_entry.number, detector_entry.hash),
        name=operator_entry.name,
        text=operator_entry.note,
    )


def find_flaw(body: OperatorBody) -> str:
    """Return the flaw of an operator's entry by itself, "" if it has none."""
    if body.change not in tuple(OperatorAct):
        return "it is the operator's, with a word that an operator does not have"
    if len(body.text) > MAX_TEXT or len(body.name) > MAX_NAME:
        return "it is the operator's, and too long"
    return ""
