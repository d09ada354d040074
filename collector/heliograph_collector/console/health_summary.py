"""One plain line on each thing an operator worries about: pure, from what the office tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph.observation import Link
from heliograph_collector.console.backend import Ingest
from heliograph_collector.console.fleet_table import Row
from heliograph_collector.console.formats import count, size

BACKLOG = 20  # envelopes in one spool: more than a quiet agent ever holds
LOW_BYTES = 2_000_000_000
_HARMLESS = ("duplicate", "stored")


@dataclass(frozen=True, slots=True)
class Line:
    """`mood` is good, doubt or bad."""

    mood: str
    text: str


def of_incidents(standing: Mapping[str, int]) -> Line:
    """`standing`: how many are open, by state."""
    sure, doubtful = standing.get("confirmed", 0), standing.get("suspected", 0)
    if sure:
        also = f", {doubtful:,} suspected" if doubtful else ""
        return Line("bad", f"{count(sure, 'confirmed incident')} open{also}.")
    if doubtful:
        return Line("doubt", f"{count(doubtful, 'suspected incident')}, none confirmed.")
    return Line("good", "No incident is open.")


def of_fleet(rows: Sequence[Row]) -> Line:
    people = [row for row in rows if row.agent.role == "volunteer" and row.agent.revoked_s is None]
    here = sum(row.here is not None for row in people)
    doubtful = sum(row.doubt != "" for row in people)
    if not people:
        return Line("doubt", "No volunteer is enrolled: invite somebody.")
    if not here:
        return Line("bad", f"None of {count(len(people), 'volunteer')} is connected.")
    text = f"{here:,} of {count(len(people), 'volunteer')} connected"
    if doubtful:
        return Line("doubt", f"{text}; {doubtful:,} not counted, see the list.")
    return Line("good", f"{text}.")


def of_controls(rows: Sequence[Row]) -> Line:
    """Without a control that is online nothing can be told from a service that is down."""
    controls = [r for r in rows if r.agent.role == "control" and r.agent.revoked_s is None]
    here = [row.here for row in controls if row.here is not None]
    online = sum(one.link == Link.ONLINE for one in here)
    if not here:
        what = "No control is connected" if controls else "There is no control"
        return Line("bad", f"{what}: nothing can be judged blocked, and verdicts are unknown.")
    if not online:
        text = f"{count(len(here), 'control')} connected, none online: verdicts are in doubt."
        return Line("doubt", text)
    text = f"{online} of {count(len(here), 'connected control')} online: verdicts can be told."
    return Line("good" if online == len(here) else "doubt", text)


def of_ingest(ingest: Ingest) -> Line:
    if ingest.problems:
        return Line("bad", " ".join(ingest.problems))
    if ingest.behind is None:
        return Line("doubt", "The store is starting; agents are acknowledged meanwhile.")
    if ingest.free_bytes < LOW_BYTES:
        return Line("doubt", f"Only {size(ingest.free_bytes)} are free on the collector's disk.")
    lag = f"{count(ingest.behind, 'entry', 'entries')} behind" if ingest.behind else "up to date"
    return Line("good", f"The store is {lag}; {size(ingest.free_bytes)} free on the disk.")


def of_refusals(ingest: Ingest) -> Line:
    refused = sum(n for _, status, _, n in ingest.envelopes if status == "rejected")
    stored = sum(n for _, status, _, n in ingest.envelopes if status in _HARMLESS)
    if not refused:
        return Line("good", f"No envelope was refused; {stored:,} taken since the start.")
    share = refused / max(1, refused + stored)
    mood = "bad" if share > 0.05 else "doubt"
    return Line(mood, f"{count(refused, 'envelope')} refused of {refused + stored:,}.")


def of_spools(rows: Sequence[Row]) -> Line:
    waiting = [row.here.queued for row in rows if row.here is not None]
    behind = [queued for queued in waiting if queued > BACKLOG]
    if not waiting:
        return Line("doubt", "Nobody is connected, so nobody says what waits.")
    if behind:
        who = f"{count(len(behind), 'agent')} {'has' if len(behind) == 1 else 'have'} a backlog"
        return Line("doubt", f"{who}, {count(sum(behind), 'envelope')} in all: they catch up.")
    return Line("good", f"No backlog: {count(sum(waiting), 'envelope')} on the way.")
