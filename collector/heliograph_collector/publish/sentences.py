"""The state of the world in plain sentences."""

from collections.abc import Mapping

from heliograph.observation import Link
from heliograph_collector.publish import words
from heliograph_collector.publish.snapshot import Bracket, Column, Group, Reading, Snapshot
from heliograph_collector.publish.strip import clock
from heliograph_collector.store.rows import State

DASH = "\N{EN DASH}"
_A_NETWORK = {
    "mobile": "a mobile network",
    "fixed": "a fixed network",
    "hosting": "a hosting network",
}


def dashed(text: str) -> str:
    """Ranges as a printer sets them."""
    return text.replace("-", DASH)


def place(group: Group) -> str:
    """ "Kazakhstan, AS9198 fixed"; "Kazakhstan, a fixed network" when its number is not known."""
    parts = [words.country(group.country)]
    if not group.asn and group.access in _A_NETWORK:
        return f"{parts[0]}, {_A_NETWORK[group.access]}"
    if group.asn or group.country != "ZZ":
        parts.append(words.network(group.asn, group.access))
    known = group.access not in ("", "unknown")
    return ", ".join(parts) + (f" {group.access}" if known else "")


def since(bracket: Bracket | None) -> str:
    """The bracket; "before" when the beginning lies before all we look at."""
    if bracket is None:
        return ""
    if bracket.earliest_us is not None:
        return f"since {clock(bracket.earliest_us)}{DASH}{clock(bracket.latest_us)}"
    return f"since before {clock(bracket.latest_us)}"


def of_group(column: Column, snapshot: Snapshot) -> str:
    """One network: its link, then what is wrong, then how much is right."""
    if column.link is Link.OFFLINE:
        return f"{place(column.group)}: offline — nothing is judged."
    parts = [words.LINKS[column.link]] if column.link is not Link.UNKNOWN else []
    parts += _troubles(column, dict(snapshot.services)) + _rest(column)
    return f"{place(column.group)}: {'; '.join(parts)}."


def _troubles(column: Column, titles: Mapping[str, str]) -> list[str]:
    told = []
    for state in (State.BLOCKED, State.DOWN):
        for service, reading in column.readings.items():
            if reading.state is state:
                told.append(_trouble(titles[service], reading))
    return told


def _trouble(title: str, reading: Reading) -> str:
    cell = reading.cell
    layer = words.LAYERS.get(cell.layer, "") if cell else ""
    how = f" ({layer})" if layer else ""
    if reading.state is State.DOWN:
        how = " for everybody"
    word = words.STATES[reading.state] if reading.state else ""
    return f"{title} {word}{how} {since(reading.since)}".rstrip()


def _rest(column: Column) -> list[str]:
    states = [reading.state for reading in column.readings.values()]
    good, unknown, missing = (states.count(s) for s in (State.REACHABLE, State.UNKNOWN, None))
    troubled = len(states) - good - unknown - missing
    told = []
    if good:
        told.append(
            "everything else reachable"
            if good + troubled == len(states) and troubled
            else _services(good)
        )
    if unknown:
        told.append(f"{unknown} unknown")
    return told or ([] if troubled else ["nothing measured lately"])


def _services(good: int) -> str:
    return "1 service reachable" if good == 1 else f"{good} services reachable"


def headline(snapshot: Snapshot) -> str:
    columns = snapshot.columns
    if not columns:
        return "No network can be shown yet."
    if len(columns) == 1:
        return of_group(columns[0], snapshot)
    told = [*_blocked(snapshot), *_links(snapshot)]
    if told:
        text = "; ".join(told)
        return f"{text[0].upper()}{text[1:]}."
    if any(r.state is State.REACHABLE for c in columns for r in c.readings.values()):
        return f"No blocking seen from {len(columns)} networks."
    return f"{len(columns)} networks report, and nothing can be judged yet."


def _blocked(snapshot: Snapshot) -> list[str]:
    counts: Mapping[str, int] = {
        title: sum(c.readings[service].state is State.BLOCKED for c in snapshot.columns)
        for service, title in snapshot.services
    }
    total = len(snapshot.columns)
    worst = sorted((item for item in counts.items() if item[1]), key=lambda item: -item[1])
    told = [f"{title} in {n}" for title, n in worst[:3]]
    if not told:
        return []
    told[0] = f"{worst[0][0]} is blocked in {worst[0][1]} of {total} networks"
    if len(worst) > 3:
        told.append(f"and {len(worst) - 3} more somewhere")
    return [", ".join(told)]


def _links(snapshot: Snapshot) -> list[str]:
    told = []
    for link, word in ((Link.OFFLINE, "offline"), (Link.DOMESTIC_ONLY, "cut off from abroad")):
        n = sum(c.link is link for c in snapshot.columns)
        if n:
            told.append(f"{n} network{' is' if n == 1 else 's are'} {word}")
    return told
