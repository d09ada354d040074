"""Incident states from the log entries of the detector and of operators. Pure.

Operator entries supplement the detector's record and never change it: `detected` and `confirmed`
are always the detector's.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

EMPTY_HEAD = "0" * 64  # the head of a log without entries
DETECTOR = "detector"
OPERATOR = "operator"
_CELL_FIELDS = ("country", "region", "asn", "access")


class OperatorAct(StrEnum):
    """The `change` of an operator's entry; no detector change has this prefix."""

    ACKNOWLEDGED = "operator_acknowledged"
    ANNOTATED = "operator_annotated"
    CONFIRMED = "operator_confirmed"
    WITHDRAWN = "operator_withdrawn"


class IncidentHistory:
    """The history of one incident, entry by entry.

    An operator's withdrawal is valid until the detector has new evidence: it confirms the incident,
    resumes it, or detects it in a cell outside all known cells. An operator's confirmation stays
    valid: an incident that the detector then withdraws is closed.
    """

    def __init__(self, entries: "Iterable[LogEntry]" = ()) -> None:
        self.record: Mapping[str, Any] = {}  # of the detector's last entry
        self.change = ""  # of the detector's last entry
        self.last_number = 0  # of the detector's last entry
        self._numbers: list[int] = []
        self._statements: dict[str, Any] | None = None
        self._standing_verdict: OperatorAct | None = None  # the operator's confirmed or withdrawn
        self._known_cells: list[tuple[Any, ...]] = []  # all cells that the detector named
        for entry in entries:
            self.add_entry(entry)

    def add_entry(self, entry: "LogEntry") -> None:
        self._numbers.append(entry.number)
        if is_operator_entry(entry.body):
            self._add_statement(entry)
        else:
            self._add_detection(entry)

    def with_entry(self, entry: "LogEntry") -> "IncidentHistory":
        """Return a copy with this entry, so that readers of the original see no change."""
        successor = deepcopy(self, {id(self.record): self.record})  # the record never changes
        successor.add_entry(entry)
        return successor

    @property
    def operator_verdict(self) -> OperatorAct | None:
        return self._standing_verdict

    @property
    def is_acknowledged(self) -> bool:
        return bool(self._statements and self._statements["acknowledged"])

    @property
    def note_count(self) -> int:
        return len(self._statements["notes"]) if self._statements else 0

    def state(self) -> dict[str, Any]:
        """Return the detector's record with combined `state` and operator statements."""
        detected = str(self.record["state"])
        document = {
            **self.record,
            "state": _combined_state(detected, self._standing_verdict),
            "detected": detected,
            "withdrawn_by": self._withdrawn_by(detected),
            "operator": _copy_statements(self._statements),
            "alerts": list(self._numbers),
        }
        return document | {"confirmed_by": self._confirmed_by(document)}

    def _add_statement(self, entry: "LogEntry") -> None:
        act = OperatorAct(entry.body["change"])
        if self._statements is None:
            self._statements = {
                "acknowledged": None,
                "confirmed": None,
                "withdrawn": None,
                "notes": [],
            }
        statement = {"entry": entry.number, **{n: entry.body[n] for n in ("at", "name", "text")}}
        if act is OperatorAct.ANNOTATED:
            self._statements["notes"].append(statement)
        elif act is OperatorAct.ACKNOWLEDGED:
            self._statements["acknowledged"] = self._statements["acknowledged"] or statement
        else:
            self._end_verdict(entry.number)
            self._standing_verdict = act
            self._statements[_ACT_NAMES[act]] = statement | {"until": None}

    def reopens(self, record: Mapping[str, Any], change: str) -> bool:
        """Return whether this is new evidence against a valid withdrawal."""
        has_new_cell = any(
            not any(_is_within(cell, known_cell) for known_cell in self._known_cells)
            for cell in _cell_keys(record)
        )
        return self._standing_verdict is OperatorAct.WITHDRAWN and (
            has_new_cell or change in ("confirmed", "resumed")
        )

    def _add_detection(self, entry: "LogEntry") -> None:
        record = entry.body["incident"]
        change = str(entry.body.get("change", ""))
        if self.reopens(record, change):
            self._end_verdict(entry.number)
        self._known_cells += [cell for cell in _cell_keys(record) if cell not in self._known_cells]
        self.record = record
        self.change = change
        self.last_number = entry.number

    def _end_verdict(self, number: int) -> None:
        """End the operator's valid verdict by this entry."""
        if self._standing_verdict is not None and self._statements is not None:
            self._statements[_ACT_NAMES[self._standing_verdict]]["until"] = number
        self._standing_verdict = None

    def _confirmed_by(self, document: Mapping[str, Any]) -> list[str]:
        if document["state"] == "withdrawn":
            return []
        confirmers = [DETECTOR] if self.record.get("confirmed") else []
        return (
            [*confirmers, OPERATOR]
            if self._standing_verdict is OperatorAct.CONFIRMED
            else confirmers
        )

    def _withdrawn_by(self, detected: str) -> str:
        if self._standing_verdict is OperatorAct.WITHDRAWN:
            return OPERATOR
        return DETECTOR if detected == "withdrawn" and self._standing_verdict is None else ""


_ACT_NAMES = {OperatorAct.CONFIRMED: "confirmed", OperatorAct.WITHDRAWN: "withdrawn"}


def is_operator_entry(body: Mapping[str, Any]) -> bool:
    return body.get("by") == OPERATOR


def _combined_state(detected: str, operator_verdict: OperatorAct | None) -> str:
    if operator_verdict is OperatorAct.WITHDRAWN:
        return "withdrawn"
    if operator_verdict is OperatorAct.CONFIRMED:
        return {"suspected": "confirmed", "withdrawn": "closed"}.get(detected, detected)
    return detected


def _cell_keys(record: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(part[name] for name in _CELL_FIELDS) for part in record.get("parts", ())]


def _is_within(cell: tuple[Any, ...], wider: tuple[Any, ...]) -> bool:
    return all(
        not wider_value or cell_value == wider_value
        for cell_value, wider_value in zip(cell, wider, strict=True)
    )


def _copy_statements(statements: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if statements is None else {**statements, "notes": list(statements["notes"])}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One verified line of the log; `hash` is its SHA-256 in hex."""

    number: int  # from 1
    hash: str
    line: bytes  # without its newline
    body: Mapping[str, Any]

    @property
    def incident(self) -> str:
        """Return the id of its incident."""
        return str(self.body["incident"]["id"])


class IncidentBook:
    """All entries in order, and the newest state of every incident."""

    def __init__(self, log_entries: Iterable[LogEntry] = ()) -> None:
        self._entries: list[LogEntry] = []
        self._by_incident: dict[str, list[LogEntry]] = {}
        self._histories: dict[str, IncidentHistory] = {}
        for entry in log_entries:
            self.append(entry)

    @property
    def entries(self) -> Sequence[LogEntry]:
        return self._entries

    @property
    def head(self) -> str:
        """Return the last entry's hash, which proves all entries; 64 zeros without one."""
        return self._entries[-1].hash if self._entries else EMPTY_HEAD

    def append(self, entry: LogEntry) -> None:
        """Append the next entry. Raises ValueError on another number."""
        if entry.number != len(self._entries) + 1:
            raise ValueError(f"entry {entry.number} does not follow entry {len(self._entries)}")
        # Another thread may read: it gets each incident before or after the change. The head comes
        # last, because its readers must find all entries that it proves.
        history = self._histories.get(entry.incident, IncidentHistory())
        self._histories[entry.incident] = history.with_entry(entry)
        self._by_incident.setdefault(entry.incident, []).append(entry)
        self._entries.append(entry)

    def incidents(self) -> list[dict[str, Any]]:
        """Return the newest state of each incident, newest start first."""
        states = [history.state() for history in list(self._histories.values())]
        return sorted(states, key=lambda i: (i["started"]["earliest"], i["id"]), reverse=True)

    def get(self, id: str) -> dict[str, Any] | None:  # noqa: A002 the name in the record
        """Return the newest state of one incident, as `incidents` does."""
        history = self._histories.get(id)
        return history.state() if history else None

    def entries_of(self, id: str) -> list[LogEntry]:  # noqa: A002 the name in the record
        """Return all entries about one incident, in order."""
        return list(self._by_incident.get(id, ()))

    def history_of(self, id: str) -> IncidentHistory | None:  # noqa: A002 the name in the record
        """Return the history of one incident, read-only; None if it has no entry."""
        return self._histories.get(id)
