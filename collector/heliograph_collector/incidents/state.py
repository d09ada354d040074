"""Incident states from the log entries of the detector and of operators. Pure.

Operator entries supplement the detector's record and never change it: `detected` and `confirmed`
are always the detector's.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from msgspec.structs import asdict, replace

from heliograph_collector.incidents.published.incident import (
    OperatorNote,
    OperatorStatements,
    OperatorVerdict,
)
from heliograph_collector.incidents.published.log import EntryBody, IncidentRecord, OperatorBody
from heliograph_collector.model.scope import Scope

EMPTY_HEAD = "0" * 64  # the head of a log without entries
DETECTOR = "detector"
OPERATOR = "operator"


class OperatorAct(StrEnum):
    """The `change` of an operator's entry; no detector change has this prefix."""

    ACKNOWLEDGED = "operator_acknowledged"
    ANNOTATED = "operator_annotated"
    CONFIRMED = "operator_confirmed"
    WITHDRAWN = "operator_withdrawn"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One verified line of the log; `hash` is its SHA-256 in hex."""

    number: int  # from 1
    hash: str
    line: bytes  # without its newline
    body: EntryBody

    @property
    def incident(self) -> str:
        """Return the id of its incident."""
        return self.body.incident.id


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIncident:
    """Detector's last record of an incident, and its state after operators' verdicts."""

    record: IncidentRecord
    state: str  # suspected, confirmed, closed, withdrawn
    confirmed_by: tuple[str, ...]  # DETECTOR, OPERATOR
    withdrawn_by: str  # DETECTOR, OPERATOR or ""
    operator: OperatorStatements | None
    entries: tuple[int, ...]  # numbers of all entries about it


class IncidentHistory:
    """The history of one incident, entry by entry.

    An operator's withdrawal is valid until the detector has new evidence: it confirms the incident,
    resumes it, or detects it in a cell outside all known cells. An operator's confirmation stays
    valid: an incident that the detector then withdraws is closed.
    """

    def __init__(self, entries: Iterable[LogEntry] = ()) -> None:
        self._record: IncidentRecord | None = None  # of the detector's last entry
        self._numbers: tuple[int, ...] = ()
        self._acknowledged: OperatorNote | None = None
        self._notes: tuple[OperatorNote, ...] = ()
        self._verdicts: Mapping[OperatorAct, OperatorVerdict] = {}  # the last ones
        self._standing_verdict: OperatorAct | None = None  # the operator's confirmed or withdrawn
        self._known_cells: tuple[Scope, ...] = ()  # all cells that the detector named
        for entry in entries:
            self.add_entry(entry)

    def add_entry(self, entry: LogEntry) -> None:
        self._numbers = (*self._numbers, entry.number)
        if isinstance(entry.body, OperatorBody):
            self._add_statement(entry.number, entry.body)
            return
        record = entry.body.incident
        if self.reopens(record, entry.body.change):
            self._end_verdict(entry.number)
        self._known_cells = tuple(dict.fromkeys((*self._known_cells, *_list_cells(record))))
        self._record = record

    def with_entry(self, entry: LogEntry) -> "IncidentHistory":
        """Return a copy with this entry, so that readers of the original see no change."""
        successor = copy(self)  # no method changes a value in place
        successor.add_entry(entry)
        return successor

    @property
    def operator_verdict(self) -> OperatorAct | None:
        return self._standing_verdict

    @property
    def is_acknowledged(self) -> bool:
        return self._acknowledged is not None

    @property
    def note_count(self) -> int:
        return len(self._notes)

    def state(self) -> LoggedIncident:
        """Return the combined state. Raises ValueError before the detector's first entry."""
        if self._record is None:
            raise ValueError("the detector has no entry about this incident")
        state = self._combine_state(self._record.state)
        return LoggedIncident(
            record=self._record,
            state=state,
            confirmed_by=() if state == "withdrawn" else self._confirmers(self._record),
            withdrawn_by=self._withdrawn_by(self._record.state),
            operator=self._statements(),
            entries=self._numbers,
        )

    def reopens(self, record: IncidentRecord, change: str) -> bool:
        """Return whether this is new evidence against a valid withdrawal."""
        has_new_cell = any(
            not any(cell.is_within(known_cell) for known_cell in self._known_cells)
            for cell in _list_cells(record)
        )
        return self._standing_verdict is OperatorAct.WITHDRAWN and (
            has_new_cell or change in ("confirmed", "resumed")
        )

    def _add_statement(self, number: int, body: OperatorBody) -> None:
        act = OperatorAct(body.change)
        note = OperatorNote(entry=number, at=body.at, name=body.name, text=body.text)
        if act is OperatorAct.ANNOTATED:
            self._notes = (*self._notes, note)
        elif act is OperatorAct.ACKNOWLEDGED:
            self._acknowledged = self._acknowledged or note
        else:
            self._end_verdict(number)
            self._standing_verdict = act
            verdict = OperatorVerdict(**asdict(note), until=None)
            self._verdicts = {**self._verdicts, act: verdict}

    def _end_verdict(self, number: int) -> None:
        act = self._standing_verdict
        if act is not None:
            ended = replace(self._verdicts[act], until=number)
            self._verdicts = {**self._verdicts, act: ended}
        self._standing_verdict = None

    def _statements(self) -> OperatorStatements | None:
        if not (self._acknowledged or self._notes or self._verdicts):
            return None
        return OperatorStatements(
            acknowledged=self._acknowledged,
            confirmed=self._verdicts.get(OperatorAct.CONFIRMED),
            withdrawn=self._verdicts.get(OperatorAct.WITHDRAWN),
            notes=self._notes,
        )

    def _combine_state(self, detected: str) -> str:
        if self._standing_verdict is OperatorAct.WITHDRAWN:
            return "withdrawn"
        if self._standing_verdict is OperatorAct.CONFIRMED:
            return {"suspected": "confirmed", "withdrawn": "closed"}.get(detected, detected)
        return detected

    def _confirmers(self, record: IncidentRecord) -> tuple[str, ...]:
        has_operator = self._standing_verdict is OperatorAct.CONFIRMED
        return (DETECTOR,) * bool(record.confirmed) + (OPERATOR,) * has_operator

    def _withdrawn_by(self, detected: str) -> str:
        if self._standing_verdict is OperatorAct.WITHDRAWN:
            return OPERATOR
        return DETECTOR if detected == "withdrawn" and self._standing_verdict is None else ""


def _list_cells(record: IncidentRecord) -> list[Scope]:
    return [Scope(part.country, part.region, part.asn, part.access) for part in record.parts]


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

    def incidents(self) -> list[LoggedIncident]:
        """Return the newest state of each incident, newest start first."""
        states = [history.state() for history in list(self._histories.values())]
        return sorted(states, key=attrgetter("record.started.earliest", "record.id"), reverse=True)

    def get(self, id: str) -> LoggedIncident | None:  # noqa: A002 the name in the record
        """Return the newest state of one incident, as `incidents` does."""
        history = self._histories.get(id)
        return history.state() if history else None

    def entries_of(self, id: str) -> list[LogEntry]:  # noqa: A002 the name in the record
        """Return all entries about one incident, in order."""
        return list(self._by_incident.get(id, ()))

    def history_of(self, id: str) -> IncidentHistory | None:  # noqa: A002 the name in the record
        """Return the history of one incident, read-only; None if it has no entry."""
        return self._histories.get(id)
