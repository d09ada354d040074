"""Log writer: write changes of incidents to the log, and keep the incident book."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from heliograph.durable_file import read_lines
from heliograph.keys import SigningKey
from heliograph.timestamps import parse_timestamp
from heliograph.units import DAY_US, MINUTE_US
from heliograph_collector.incidents.diff import IncidentChange, Revision, diff_incidents
from heliograph_collector.incidents.incident import (
    Incident,
    IncidentKind,
    IncidentState,
    hint_recurring,
)
from heliograph_collector.incidents.log_file import (
    AlertLog,
    EntryBasis,
    EntryFence,
    body_of,
    entry_body,
    hash_of,
)
from heliograph_collector.incidents.operator_entries import (
    ChangedError,
    OperatorEntry,
    check_entry,
    operator_body,
)
from heliograph_collector.incidents.published.log import DetectorBody, EntryBody, OperatorBody
from heliograph_collector.incidents.record import incident_record, parse_incident
from heliograph_collector.incidents.state import (
    IncidentBook,
    LogEntry,
    OperatorAct,
)

MIN_REVISION_INTERVAL_US = MINUTE_US  # between entries without a change of state; assumed
_FINAL_STATES = (IncidentState.CLOSED, IncidentState.WITHDRAWN)
_ALERTING_ACTS = {
    OperatorAct.CONFIRMED: IncidentChange.CONFIRMED,
    OperatorAct.WITHDRAWN: IncidentChange.WITHDRAWN,
}
# In which a closed incident can be corrected: late results count for 30 days. Assumed.
REOPEN_WINDOW_US = 31 * DAY_US


# From the begin of a block of the collector to its publication: operators can open another entrance
# first. A published silence is corrected at once. Assumed.
BLOCKED_DELAY_US = 4 * MINUTE_US


def is_early(incident: Incident, at_us: int) -> bool:
    """Return whether the operators alone may know of it yet."""
    is_block = incident.kind is IncidentKind.COLLECTOR_BLOCKED
    return is_block and at_us < incident.started.latest_us + BLOCKED_DELAY_US


class IncidentLogWriter:
    """The writer of incident changes, which verifies the whole log on opening.

    Raises AlertLogError, OSError.
    """

    def __init__(
        self, file: Path, key: SigningKey, min_votes: float, fence: EntryFence | None = None
    ) -> None:
        self._log = AlertLog(file, key, fence)
        self._min_votes = min_votes
        self._detected_ids: set[str] = set()  # detected by this process
        self.last_logged: dict[str, Incident] = {}  # by id, within REOPEN_WINDOW_US of its end
        self._logged_at_us: dict[str, int] = {}  # time of that entry
        self._alerts_sent: set[tuple[str, IncidentChange]] = set()
        self.book = IncidentBook()
        for number, line in enumerate(read_lines(file), 1):
            self._apply_entry(LogEntry(number, hash_of(line), line, body_of(line)))

    def write_changes(
        self,
        incidents: Iterable[Incident],
        basis: EntryBasis,
        at_us: int,
        amended: Container[str] = (),
    ) -> Sequence[LogEntry]:
        """Write changes of incidents. Raises OSError; then the next call tries again.

        Args:
            amended: Ids whose entries name the store's verdicts as their basis.
        """
        revisions = self._pending_revisions(incidents, at_us)
        if not revisions:
            return ()
        store_basis = replace(basis, versions={**basis.versions, "verdicts": "store"})
        return self._append_entries(
            [
                entry_body(r, store_basis if r.incident.id in amended else basis, at_us)
                for r in revisions
            ]
        )

    def write_operator_entry(self, operator_entry: OperatorEntry, at_us: int) -> LogEntry:
        """Write an operator's entry. Raises OperatorEntryError, OSError."""
        return self._append_entries([self._build_operator_body(operator_entry, at_us)])[0]

    def preview_operator_entry(self, operator_entry: OperatorEntry, at_us: int) -> LogEntry:
        """Return the entry that would be written, unsigned. Raises OperatorEntryError."""
        body = self._build_operator_body(operator_entry, at_us)
        return LogEntry(len(self.book.entries) + 1, "", b"", body)

    def _build_operator_body(self, operator_entry: OperatorEntry, at_us: int) -> OperatorBody:
        history = self.book.history_of(operator_entry.incident)
        accepted = check_entry(operator_entry, history)
        entries = self.book.entries_of(operator_entry.incident)
        if accepted.act in _ALERTING_ACTS and any(
            _is_relevant_change(e, accepted.seen_number) for e in entries
        ):
            raise ChangedError("It has changed since you looked: look again, then say so.")
        detector_entry = next(e for e in reversed(entries) if isinstance(e.body, DetectorBody))
        return operator_body(accepted, detector_entry, at_us, self._is_alerting(accepted))

    def _is_alerting(self, operator_entry: OperatorEntry) -> bool:
        """Return whether an operator's entry alerts subscribers: verdicts do, once each.

        A withdrawal alerts only after an alert of the beginning. A confirmation alerts again if it
        revokes a withdrawal that alerted.
        """
        alert_change = _ALERTING_ACTS.get(operator_entry.act)
        changes_sent = {
            change for id_, change in self._alerts_sent if id_ == operator_entry.incident
        }
        if alert_change is IncidentChange.WITHDRAWN:
            return IncidentChange.CONFIRMED in changes_sent and not changes_sent & {
                IncidentChange.CLOSED,
                IncidentChange.WITHDRAWN,
            }
        return alert_change is not None and (
            alert_change not in changes_sent or IncidentChange.WITHDRAWN in changes_sent
        )

    def _pending_revisions(self, incidents: Iterable[Incident], at_us: int) -> list[Revision]:
        self._drop_old(at_us - REOPEN_WINDOW_US)
        logged = list(self.last_logged.values())
        with_hints = [_add_hints(incident, logged) for incident in incidents]
        named, revisions = diff_incidents(logged, with_hints, self._alerts_sent, self._min_votes)
        current_ids = {incident.id for incident in named}
        due_revisions = [
            self._mark_reopening(r if r.incident.id in current_ids else _close_missing(r, at_us))
            for r in revisions
            if self._is_due(r, current_ids, at_us)
        ]
        self._detected_ids |= current_ids
        return due_revisions

    def _mark_reopening(self, revision: Revision) -> Revision:
        """Alert on new evidence against a withdrawal that alerted."""
        id_ = revision.incident.id
        history = self.book.history_of(id_)
        was_told = (id_, IncidentChange.WITHDRAWN) in self._alerts_sent
        if (
            history
            and was_told
            and history.reopens(incident_record(revision.incident), revision.change)
        ):
            return replace(revision, alert=True)
        return revision

    def _is_due(self, revision: Revision, current_ids: set[str], at_us: int) -> bool:
        """Return whether to write a revision now.

        An incident that only an earlier process detected is not withdrawn by this one.
        """
        id_ = revision.incident.id
        if id_ not in self.last_logged and is_early(revision.incident, at_us):
            return False
        if id_ not in current_ids and id_ not in self._detected_ids:
            return False
        return (
            revision.change is not IncidentChange.REVISED
            # A later entry was logged while the clock was ahead.
            or not 0 <= at_us - self._logged_at_us[id_] < MIN_REVISION_INTERVAL_US
        )

    def _append_entries(self, bodies: Sequence[EntryBody]) -> Sequence[LogEntry]:
        first = self._log.proof.entries + 1
        lines = self._log.write(bodies)
        entries = [
            LogEntry(number, hash_of(line), line, body_of(line))
            for number, line in enumerate(lines, first)
        ]
        for entry in entries:
            self._apply_entry(entry)
        return entries

    def _apply_entry(self, entry: LogEntry) -> None:
        self.book.append(entry)
        history = self.book.history_of(entry.incident)
        if history and history.state().state in ("suspected", "confirmed"):
            # Its later end may alert again.
            self._alerts_sent.discard((entry.incident, IncidentChange.WITHDRAWN))
        change: IncidentChange | None
        if isinstance(entry.body, DetectorBody):
            self.last_logged[entry.incident] = parse_incident(entry.body.incident)
            self._logged_at_us[entry.incident] = parse_timestamp(entry.body.at)
            change = IncidentChange(entry.body.change)
        else:
            change = _ALERTING_ACTS.get(OperatorAct(entry.body.change))
        if change and entry.body.alert:
            self._alerts_sent.add((entry.incident, change))

    def _drop_old(self, before_us: int) -> None:
        for id_, incident in list(self.last_logged.items()):
            over_us = incident.closed_us or self._logged_at_us[id_]
            if incident.state in _FINAL_STATES and over_us < before_us:
                del self.last_logged[id_], self._logged_at_us[id_]
                self._detected_ids.discard(id_)
                self._alerts_sent = {call for call in self._alerts_sent if call[0] != id_}


def _close_missing(revision: Revision, at_us: int) -> Revision:
    closed_us = revision.incident.closed_us or at_us
    return replace(revision, incident=replace(revision.incident, closed_us=closed_us))


def _is_relevant_change(entry: LogEntry, seen_number: int) -> bool:
    """Return whether an entry after `seen_number` changes more than details."""
    minor_changes = (IncidentChange.REVISED, OperatorAct.ACKNOWLEDGED, OperatorAct.ANNOTATED)
    return entry.number > seen_number and entry.body.change not in minor_changes


def _add_hints(incident: Incident, earlier: Sequence[Incident]) -> Incident:
    hints = hint_recurring(incident, earlier)
    return replace(incident, hints=(*incident.hints, *hints)) if hints else incident
