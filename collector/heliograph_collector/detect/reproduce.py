"""Makes entries of the log again from the checkpoint and the rows that they name, and compares."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.engine import CLOSE_US, Frame, Lookout
from heliograph_collector.incidents.diff import public
from heliograph_collector.incidents.incident import Incident, Kind, State
from heliograph_collector.incidents.record import incident_of, micros, record
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.thresholds import DETECT_VERSION

VERSION = "of another version of the detectors"
STORE = "that rest on verdicts in the store"
STATE = "whose checkpoint is gone"
ROWS = "whose rows are gone"
OPINIONS = "whose verdicts are gone"

Rows = Callable[[int, int], Iterator[JournalRow]]  # after … up to and with …, in order


@dataclass(slots=True)
class Comparison:
    """How many entries came out the same; the numbers of those that did not; how many could not be
    made again, by why."""

    agreed: int = 0
    differ: list[int] = field(default_factory=list)
    uncovered: dict[str, int] = field(default_factory=dict)


def compare(
    bodies: Iterable[tuple[int, Mapping[str, Any]]],
    folder: Path,
    secret: bytes,
    rows: Rows,
    oldest: int,
) -> Comparison:
    """Of numbered bodies of a log that was verified. `oldest`: the first row that is still there.

    Raises OSError.
    """
    found, run = Comparison(), None
    for number, body in bodies:
        why = _uncovered(body, folder, oldest)
        if not why and (run is None or not run.leads_to(body)):
            run = _begin(body, folder, secret)
            why = "" if run else STATE
        if why or run is None:
            found.uncovered[why] = found.uncovered.get(why, 0) + 1
        elif agrees(body, run.incidents(body, rows)):
            found.agreed += 1
        else:
            found.differ.append(number)
    return found


def agrees(body: Mapping[str, Any], incidents: Sequence[Incident]) -> bool:
    """Whether one of these is the body's: its name may be older, and that it comes again is known
    from the log alone."""
    said = incident_of(body["incident"])
    least = float(body["versions"].get("k", 0))
    if said.state is State.WITHDRAWN and all(i.id != said.id for i in incidents):
        return True
    shown = (public(incident, said, least) for incident in incidents)
    return any(i is not None and _bare(i, said.id) == _bare(said, said.id) for i in shown)


@dataclass(slots=True)
class _Run:
    """A lookout on its way from a checkpoint."""

    state: str
    lookout: Lookout
    frames: list[Frame]
    late: list[Any]
    until_us: int = 0

    def leads_to(self, body: Mapping[str, Any]) -> bool:
        late = body["rows"].get("late", [])
        return (
            body["versions"].get("state") == self.state
            and late[: len(self.late)] == self.late
            and all(row > self.lookout.position for row, _ in late[len(self.late) :])
            and body["rows"]["last"] >= self.lookout.position
            and micros(body["window"]["until"]) >= self.until_us
        )

    def incidents(self, body: Mapping[str, Any], rows: Rows) -> Sequence[Incident]:
        self.late, self.until_us = body["rows"].get("late", []), micros(body["window"]["until"])
        late = {row: micros(moment) for row, moment in self.late}
        self.lookout.read(rows(self.lookout.position, body["rows"]["last"]), late)
        self.lookout.until(self.until_us)
        while self.frames and self.lookout.due(self.frames[0], self.until_us):
            self.lookout.again(self.frames.pop(0))
        self.lookout.close(self.until_us - CLOSE_US)
        return self.lookout.incidents()


def _begin(body: Mapping[str, Any], folder: Path, secret: bytes) -> _Run | None:
    hash_ = body["versions"]["state"]
    file = checkpoint.find(folder, hash_)
    loaded = checkpoint.load(file, secret) if file else None
    if file is None or loaded is None or loaded[1] != hash_:
        return None
    frames = list(checkpoint.frames(file.with_suffix(".opinions")))
    return _Run(hash_, loaded[0], frames, [])


def _uncovered(body: Mapping[str, Any], folder: Path, oldest: int) -> str:
    versions, rows = body["versions"], body["rows"]
    if versions["detect"] != str(DETECT_VERSION):
        return VERSION
    if "verdicts" in versions:
        return STORE
    file = checkpoint.find(folder, versions.get("state", ""))
    if file is None:
        return STATE
    if body["incident"]["kind"] != Kind.SILENCE and not file.with_suffix(".opinions").exists():
        return OPINIONS
    return ROWS if rows["first"] <= rows["last"] and oldest > rows["first"] else ""


def _bare(incident: Incident, name: str) -> Mapping[str, Any]:
    hints = tuple(hint for hint in incident.hints if hint != "recurring")
    return record(replace(incident, id=name, hints=hints))
