"""Play a script against the country and check the collector's API against it.

Every step fills whole minutes of the clock, so that the timeline's one-minute cells belong to one
step each. The API is asked twice: while the step lasts, and at the end, when late data is in.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from lab.country import incident_check, outages
from lab.country.country import Country
from lab.country.interference import Interference
from lab.country.pace import DrillClock, Pace
from lab.country.scenario import MESSENGERS, Place, Script, Step, interferences
from support.programs import eventually

SITE = "https://www.wikipedia.org/"


def plan(
    every_s: int = 15, heartbeat_s: int = 2, messengers: Sequence[str] = MESSENGERS
) -> dict[str, Any]:
    """Return a plan with each messenger and the site tested so often.

    With messengers tried twice a minute, a block of four minutes was called partial in the end.
    """
    return {
        "heartbeat_s": heartbeat_s,
        "limits": {"bytes_per_month": 10**12, "concurrency": 16, "target_pause_s": 1},
        "tasks": [
            {"experiment": "connectivity", "service": "anchors", "interval_s": every_s * 2 // 3},
            *({"experiment": name, "service": name, "interval_s": every_s} for name in messengers),
            {"experiment": "web", "target": SITE, "interval_s": every_s},
        ],
    }


PLAN = plan()
LOOK_S = 5.0  # before a step's end, so that the next one begins on its minute
BEHIND_S = 60.0  # a judge that is later makes a gap in coverage
AGAIN_S = 10.0
CAUGHT_UP_S = 300.0

KNOWN = ("reachable", "blocked", "down")

Say = Callable[[str], None]

Rows = dict[str, list[dict[str, Any]]]  # cells by service


@dataclass(frozen=True, slots=True)
class Word:
    """The state of one place in one step, by the API."""

    live: str
    later: str = ""


@dataclass
class Played:
    """A step as it went."""

    step: Step
    began_s: int
    words: dict[Place, Word] = field(default_factory=dict)


def play(
    country: Country, script: Script, say: Say, clock: DrillClock | None = None
) -> list[Played]:
    """Play the script; a step takes a minute, and the end up to two more.

    The country must be populated.

    Args:
        clock: Starts when the first step begins.
    """
    in_force: dict[Place, list[tuple[str, int]]] = {}
    played: list[Played] = []
    lasts_s = sum(step.lasts_s for step in script.steps)
    say(f"{script.name}: {len(script.steps)} steps, {lasts_s // 60} minutes")
    with ThreadPoolExecutor(1) as reader:  # its answer may take longer than the step
        looks = []
        for step in script.steps:
            began_s = _next_minute(country.pace)
            if clock and clock.began_s is None:
                clock.began_s = began_s
            _put(country, step, in_force)
            outages.switch_power(country, played[-1].step.states if played else {}, step.states)
            for place, number in outages.fade(country, step, began_s):
                in_force[place].append((outages.FADING, number))
            one = Played(step, began_s)
            played.append(one)
            country.pace.sleep_until(began_s + step.lasts_s - LOOK_S)
            looks.append(reader.submit(_look, country, one, say))
        for look in looks:
            look.result()
    for gate in country.gates.values():
        gate.lift_all()
    ended_s = country.pace.now_s()
    say("waiting for what was measured in the dark")
    wait_for_backlog(country, ended_s)
    _read_later_words(country, played)
    return played


def wait_for_calm(country: Country, places: Sequence[Place]) -> None:
    """Wait until each place is shown in its true state.

    On a crowded machine, agents that all start at once are late by some minutes of the country's
    clock; a step would then show their start.
    """

    def is_calm() -> bool:
        asked_s = int(country.pace.now_s())
        with suppress(RuntimeError):  # a network has no page before its first result
            if set(words(country, places, asked_s // 60 * 60 - 60, 120)) == {"ok"}:
                return True
        country.pace.sleep_until(asked_s + AGAIN_S)  # each question is work for the collector
        return False

    eventually(is_calm, "each place told as it is", CAUGHT_UP_S)


def _read_later_words(country: Country, played: Sequence[Played]) -> None:
    """Read late results for all steps, one query a place and service to save costs."""
    first_s = played[0].began_s
    lasts_s = played[-1].began_s + played[-1].step.lasts_s - first_s
    series: dict[Place, Rows] = {}
    for one in played:
        until = _iso(one.began_s + one.step.lasts_s)
        for place, word in one.words.items():
            if place not in series:
                series[place] = _read_rows(country, place, first_s, lasts_s)
            rows = {
                service: [cell for cell in cells if _iso(one.began_s) <= cell["start"] < until]
                for service, cells in series[place].items()
            }
            one.words[place] = Word(word.live, told(rows))


def _next_minute(pace: Pace) -> int:
    """Wait for the next full minute of the country's clock, and return it."""
    began_s = -(-int(pace.now_s() * 10) // 600) * 60
    pace.sleep_until(began_s)
    return began_s


def _put(country: Country, step: Step, in_force: dict[Place, list[tuple[str, int]]]) -> None:
    """Apply the changes of a step to the gates."""
    for place, state in step.states.items():
        network, region = place
        gate = country.gates[network]
        if in_force.get(place, [("ok", 0)])[0][0] == state:
            continue
        for _, number in in_force.pop(place, []):
            if number in gate.applied:
                gate.lift(number)
        slow = any(what.kind == "slow_line" for what in gate.applied.values())
        wanted = [
            _as_fast(what, country.pace)
            for what in interferences(state, region, country.abroad)
            if not (slow and what.kind == "slow_line")
        ]
        numbers = [(state, gate.apply(what)) for what in wanted]
        if state != "ok":
            in_force[place] = numbers or [(state, 0)]


def _as_fast(what: Interference, pace: Pace) -> Interference:
    """Scale the rate of a slow line to the country's clock."""
    return replace(what, rate_kbit=round(what.rate_kbit * pace.factor))


def _look(country: Country, one: Played, say: Say) -> None:
    """Read the live state near the step's end, when all had a chance to be measured.

    A place with a wrong state is read again for as long as a cell may be late.
    """
    states = one.step.states
    waiting = list(states)
    while waiting:
        asked_s = country.pace.now_s()
        said = words(country, waiting, one.began_s, one.step.lasts_s)
        one.words |= {place: Word(live) for place, live in zip(waiting, said, strict=True)}
        waiting = [
            place for place in waiting if one.words[place].live not in ACCEPTED[states[place]]
        ]
        if asked_s >= one.began_s + one.step.lasts_s + BEHIND_S:
            break
        country.pace.sleep_until(asked_s + AGAIN_S if waiting else asked_s)
    held = len(states) - len(waiting)
    say(f"{one.step.id:5} {one.step.title:55} live: {held} of {len(states)} places as true")


def words(country: Country, places: Sequence[Place], began_s: int, step_s: int) -> list[str]:
    """Return the state of each place by one-minute timelines of all its services."""
    return [told(_read_rows(country, place, began_s, step_s)) for place in places]


def _read_rows(country: Country, place: Place, began_s: int, lasts_s: int) -> Rows:
    services = country.planned_services
    queries = [_query(country, place, service, began_s, lasts_s) for service in services]
    answers = country.get_many([("/api/v1/timeline", query) for query in queries])
    return {
        service: list(answer["cells"]) for service, answer in zip(services, answers, strict=True)
    }


def told(rows: Rows) -> str:
    """Return ok, messengers, degraded, silent, or dark. Pure.

    Dark means that late data is in: agents were alive without the world.
    """
    silent = bool(rows["anchors"]) and bool(rows["anchors"][-1]["silent"])
    site, anchors = _state(rows[SITE]), _state(rows["anchors"])
    messengers = [_state(rows[name]) for name in MESSENGERS if name in rows]
    if silent:
        voted = any(row["vantages"] for row in rows[SITE])
        return "dark" if voted and site != "reachable" else "silent"
    if messengers.count("blocked") >= 2 and site == "reachable":
        return "messengers"
    if site == "reachable" and "blocked" not in messengers:
        return "ok"
    if site == "" and anchors == "":
        return "nothing"
    return "degraded" if "blocked" not in messengers else "in doubt"


# Right states of a place. A cut agent cannot report: silence is the live state of
# it, and what it measured in the dark comes later. On a line that is only slow, things still work.
# A blocked agent reports again when it has found another way.
ACCEPTED = {
    "ok": {"ok"},
    "messengers": {"messengers"},
    "degraded": {"ok", "degraded"},
    "whitelist": {"silent", "dark"},
    "cut": {"silent", "dark"},
    "collector": {"ok", "silent"},
    "powerless": {"silent", "nothing"},
    "fading": {"ok", "silent", "dark", "degraded", "in doubt"},
}


def _state(rows: Sequence[dict[str, Any]]) -> str:
    """Return the state of most votes of the step without doubtful ones; "" for none.

    A minute's cell is in doubt where half of its runs straddled a change, so cells are not asked.
    """
    votes = Counter({name: sum(row[name] or 0 for row in rows) for name in KNOWN})
    if votes.total():
        return votes.most_common(1)[0][0]
    return "unknown" if any(row["vantages"] for row in rows) else ""


def _query(
    country: Country, place: Place, service: str, began_s: int, step_s: int
) -> dict[str, str | int]:
    network, region = place
    return {
        "country": country.topology.country,
        "region": country.topology.regions[region],
        "asn": country.topology.network(network).asn,
        "service": service,
        "bin": "1m",
        "since": _iso(began_s),
        "until": _iso(began_s + step_s),
    }


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wait_for_backlog(country: Country, until_s: float) -> None:
    """Wait for every backlog; raise AssertionError that names agents with a rest."""
    with suppress(AssertionError):
        eventually(lambda: not behind(country, until_s), "every backlog sent", CAUGHT_UP_S)
    held = {name: country.told(name) for name in behind(country, until_s)}
    assert not held, f"after {CAUGHT_UP_S:.0f} s some still hold what they measured: {held}"


def behind(country: Country, until_s: float) -> list[str]:
    """Return agents that still hold a measurement from before this moment."""
    oldest_us = {name: country.told(name).get("oldest_us") for name in country.agents}
    return [name for name, at in oldest_us.items() if at is not None and at < until_s * 1_000_000]


def table(played: Sequence[Played]) -> Iterator[str]:
    """Yield truth against answers, a line for each place of each step not calm."""
    yield f"{'step':6}{'place':14}{'truth':12}{'live':12}{'later':12}"
    for one in played:
        for place, state in one.step.states.items():
            said = one.words[place]
            good = said.live in ACCEPTED[state] and said.later in ACCEPTED[state]
            mark = "" if good else "  ✗"
            where = "/".join(place)
            yield f"{one.step.id:6}{where:14}{state:12}{said.live:12}{said.later:12}{mark}".rstrip()


def incidents(country: Country) -> list[dict[str, Any]]:
    """Return all incidents of the country from the API."""
    answer = country.get("/api/v1/incidents", country=country.topology.country, limit=100)
    return list(answer["incidents"])


def looked(played: Sequence[Played], found: Sequence[dict[str, Any]]) -> list[incident_check.Look]:
    """Return the expected incidents of each step, with what was found."""
    steps = [(one.step.id, float(one.began_s), one.step.shows) for one in played]
    return list(incident_check.looks(steps, found))


def wait_for_looks(
    country: Country, played: Sequence[Played]
) -> tuple[list[dict[str, Any]], list[incident_check.Look]]:
    """Return the incidents and their checks, once late results have been judged."""
    until = time.monotonic() + CAUGHT_UP_S
    while True:
        found = incidents(country)
        looks = looked(played, found)
        if all(look.found for look in looks) or time.monotonic() > until:
            return found, looks
        time.sleep(1.0)  # each question costs the collector, which is still judging


def begins(played: Sequence[Played]) -> dict[str, float]:
    """Return the second of the script at which each step was put into force."""
    return {one.step.id: float(one.began_s - played[0].began_s) for one in played}


def wrong(played: Sequence[Played]) -> list[str]:
    """Return the lines of the table where the API was wrong."""
    return [line for line in table(played) if line.endswith("✗")]


def stored(country: Country) -> dict[str, Counter[int]]:
    """Count how often each sequence of a pseudonym is in the store."""
    counts: dict[str, Counter[int]] = {}
    for row in country.measurements():
        counts.setdefault(row["vantage"]["nym"], Counter())[int(row["sequence"])] += 1
    return counts
