"""Every block of the collector is passed, by another way or by hand, without loss.

Seconds are printed from the agents' start to an open way, to the first message at the collector,
and to the fourth new result. Batches are closed every half minute. Each result is there once in the
end.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.country.country import Country, country
from lab.country.interference import Interference
from lab.country.topology import (
    BEACON_ZONE,
    COLLECTOR,
    CONTROL,
    DOMESTIC,
    DOMESTIC_WEB,
    small_country,
)
from lab.country.world import require_for_test
from support.programs import agent, ask, eventually, module_command

pytestmark = [pytest.mark.lab, pytest.mark.slow]
NAME = "collector.example"
STREAM, POST, FRONT = f"stream://{NAME}:7443", f"post://{NAME}:7444", f"post://{CONTROL}:7444"
FRONT += " as www.example.net"
BOTH = (COLLECTOR, CONTROL)
RELAY_PORT = 7446
CUT = (Interference(kind="abroad_cut"),)
# What the network does, and the ways by which results may arrive all the same; none where it takes
# a hand.
CASES: dict[str, tuple[tuple[Interference, ...], tuple[str, ...]]] = {
    "open": ((), (STREAM,)),
    "name": ((Interference(kind="dns_nxdomain", names=(NAME,)),), (STREAM,)),
    "lie": ((Interference(kind="dns_bogon", names=(NAME,)),), (STREAM,)),
    "silence": ((Interference(kind="dns_dropped", names=(NAME,)),), (STREAM,)),
    "sni": ((Interference(kind="sni_reset", names=(NAME,)),), (STREAM,)),
    "packets": (
        tuple(Interference(kind="freeze", addresses=BOTH, port=p) for p in (7443, 7444)),
        (POST, FRONT),
    ),
    "bytes": ((Interference(kind="freeze", addresses=BOTH, size=16_000),), (STREAM, POST)),
    "address": ((Interference(kind="address_dropped", addresses=(COLLECTOR,)),), (FRONT,)),
    "both": (
        (Interference(kind="address_dropped", addresses=BOTH),),
        (f"{STREAM} by proxy", f"{POST} by proxy"),
    ),
    "loss": ((Interference(kind="lossy"),), (STREAM, POST, FRONT)),
    "portal": ((Interference(kind="portal"),), (STREAM, POST, FRONT)),
    "lent": ((), (STREAM,)),
    "dark": (CUT, ("relay://",)),
    "hand": (CUT, ()),
}
BY_HAND, BY_DNS = "hand", "portal"
BLOCKED = set(CASES) - {"open", "lent"}
WITHIN_S = 300  # lost packets have bad luck now and then; mostly each takes less than a minute
LAST = 20  # results that an agent may still hold when it is stopped
PLAN = {
    "heartbeat_s": 2,
    "limits": {"bytes_per_month": 10**12, "target_pause_s": 1},
    "tasks": [
        {"experiment": "connectivity", "service": "anchors", "interval_s": 10},
        {"experiment": "tcp", "target": "www.example.com:443", "interval_s": 10},
    ],
}
ENTRANCES = [
    {"carrier": "stream", "endpoint": f"{NAME}:7443"},
    {"carrier": "post", "endpoint": f"{NAME}:7444"},
    {"carrier": "post", "endpoint": f"{CONTROL}:7444", "server_name": "www.example.net"},
]
COLLECTS = {
    "post": {"listen": "0.0.0.0:7444"},
    "dns": {"listen": f"{COLLECTOR}:53", "zone": BEACON_ZONE},
    "entrances": ENTRANCES,
}
CODES = (10, 11, 15, 19, 23, 27, 31, 33, 35, 39, 43, 47, 55, 59, 61, 62, 63, 71, 75, 79)
REGIONS = {f"KZ-{code}": name for code, name in zip(CODES, CASES, strict=False)}  # ISO 3166-2


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Country]:
    require_for_test()
    networks = {name: {name: 1} for name in CASES}
    regions = {name: region for region, name in REGIONS.items()}
    with country(tmp_path / "country", small_country(networks, regions)) as made:
        made.collect(PLAN, COLLECTS)
        proxy = module_command("support.proxy_server", "socks5", DOMESTIC_WEB, "1080")
        made.start(DOMESTIC, "proxy", proxy)
        _configure(made)
        made.populate()
        eventually(lambda: _stored(made).keys() == CASES.keys(), "word of every agent", 90)
        yield made


def _configure(made: Country) -> None:
    """Configure the owners' choices: a proxy, a beacon by DNS, a line lent as a relay."""
    made.configure_agent("both-both-1", {"uplink": {"proxy": f"socks5://{DOMESTIC_WEB}:1080"}})
    made.configure_agent("portal-portal-1", {"uplink": {"beacon": True}})
    made.configure_agent("lent-lent-1", {"relay": {"listen": f"0.0.0.0:{RELAY_PORT}"}})


def _rows(made: Country, **query: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield volunteers' measurements with their networks, by declared region."""
    for row in made.measurements(**query):
        if row["role"] == "volunteer" and row["vantage"]["region"] in REGIONS:
            yield REGIONS[row["vantage"]["region"]], row


def _stored(made: Country) -> dict[str, list[int]]:
    """Return the sequences that the collector has, by the network that made them."""
    found: dict[str, list[int]] = {}
    for name, row in _rows(made):
        found.setdefault(name, []).append(int(row["sequence"]))
    return found


def _lend(made: Country) -> None:
    """Give the line of a neighbor's relay to the agent that is cut off."""
    (place,) = made.topology.network("lent").agents
    where = f"{place.address}:{RELAY_PORT}"
    told = ask(agent("relay", where, "--json", "--state", made.folder / place.name))
    made.configure_agent("dark-dark-1", {"uplink": {"relays": [json.loads(told)["line"]]}})


def test_word_gets_out_of_each(lab: Country) -> None:
    _lend(lab)
    lab.power_cut(list(lab.agents.keys() - {"control"}))
    before = {name: max(numbers) for name, numbers in _stored(lab).items()}
    for name, (blocks, _) in CASES.items():
        for block in blocks:
            lab.gates[name].apply(block)
    lab.replace_plan(PLAN | {"heartbeat_s": 3})
    for place in lab.topology.agents:  # what they wrote down before says nothing of now
        (lab.folder / place.name / "status.json").unlink(missing_ok=True)
    passage = Passage(lab, before, time.monotonic())
    for place in lab.topology.agents:
        lab.start_place(place)
    try:
        _by_dns_then_in(lab, passage)
        _by_voice(lab, passage)
        passage.watch(passage.complete, "results past every block, by the way that is open")
        _by_file(lab, passage)
        eventually(lambda: _planned(lab), "the newest plan with everybody", 60)
    finally:
        passage.tell()
    lab.stop_agents()
    _hand_in_what_is_left(lab)
    given = {name: lab.given(f"{name}-{name}-1") for name in CASES}
    whole = {name: list(range(1, count + 1)) for name, count in given.items()}
    what = f"what everybody measured, each once: {given}"
    eventually(lambda: {n: sorted(s) for n, s in _stored(lab).items()} == whole, what, 60)
    _tried_is_told(lab)


def _by_dns_then_in(lab: Country, passage: "Passage") -> None:
    """Check a message by DNS behind a portal; then pay the portal."""
    name = f"{BY_DNS}-{BY_DNS}-1"
    passage.watch(lambda: bool(lab.told(name).get("last_word_us")), "an answer by DNS")
    passage.note(BY_DNS, "a word by DNS")
    lab.gates[BY_DNS].lift_all()


def _by_voice(lab: Country, passage: "Passage") -> None:
    """Read out a code over the telephone."""
    name = f"{BY_HAND}-{BY_HAND}-1"
    passage.watch(
        lambda: bool(lab.told(name).get("lives", {}).get("foreign", ("",))[0] == "fails"),
        "what answers in the dark, as the agent has it",
    )
    said = ask(agent("code", "--words", "--state", lab.folder / name)).splitlines()[0]
    assert "hosts abroad" in lab.import_("code", *said.split())
    passage.note(BY_HAND, "a code by voice")


def _is_cut_off(lab: Country, name: str) -> bool:
    """Return whether an agent is not connected and holds some sealed results."""
    status = json.loads(ask(agent("status", "--json", "--state", lab.folder / name)))
    return not status["connected"] and status["queued_measurements"] >= 12


def _by_file(lab: Country, passage: "Passage") -> None:
    """Export results and import receipts while the agent stays offline."""
    state, stick = lab.folder / f"{BY_HAND}-{BY_HAND}-1", lab.folder / "stick"
    eventually(lambda: _is_cut_off(lab, state.name), "the agent to measure on while cut off", 120)
    ask(agent("export", stick, "--state", state))
    lab.import_("bundle", str(stick))
    passage.note(BY_HAND, "a file")
    ask(agent("export", "--receipts", f"{stick}.receipts", "--state", state))
    passage.watch(lambda: BY_HAND in passage.took, "the file's results", 60)


def _planned(lab: Country) -> bool:
    """Return whether the plan came by session, envelope, relay and file alike."""
    versions = {name: lab.told(f"{name}-{name}-1").get("plan_version", 0) for name in CASES}
    return len(set(versions.values())) == 1 and min(versions.values()) > 1


def _hand_in_what_is_left(lab: Country) -> None:
    """Import what is left: little, except for the agent served by hand."""
    left = lab.hand_in(f"{name}-{name}-1" for name in CASES)
    assert [n for n in left if left[n] > LAST and n != f"{BY_HAND}-{BY_HAND}-1"] == []


def _tried_is_told(lab: Country) -> None:
    """Check that failed tries to reach the collector are stored as measurements."""
    told = {name for name, row in _rows(lab, experiment="uplink")}
    assert told >= BLOCKED - {"bytes", "loss"}, "where every try may go well, nothing need be told"


@dataclass
class Passage:
    """The first arrival at the collector and the ways of each agent."""

    lab: Country
    before: dict[str, int]
    began: float
    took: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)  # any word
    ways: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in CASES})
    there: dict[str, float] = field(default_factory=dict)  # by a way that is open

    @property
    def _now(self) -> float:
        return time.monotonic() - self.began

    def note(self, name: str, way: str) -> None:
        """Note an arrival by hand or by DNS."""
        self.first.setdefault(name, self._now)
        self.ways[name].add(f"{way} ({self._now:.0f} s)")

    def look(self) -> None:
        for name, numbers in _stored(self.lab).items():
            fresh = max(numbers) - self.before.get(name, 0)
            if fresh > 0:
                self.first.setdefault(name, self._now)
            if fresh > 3:
                self.took.setdefault(name, self._now)
        for name, seen in self.ways.items():
            told = self.lab.told(f"{name}-{name}-1")
            seen |= {str(told["way"])} if told.get("connected") else set()
            if self._as_expected(name):
                self.there.setdefault(name, self._now)

    def watch(self, condition: Callable[[], bool], what: str, limit_s: float = WITHIN_S) -> None:
        """Poll until the condition holds."""

        def holds() -> bool:
            self.look()
            return condition()

        eventually(holds, what, limit_s)

    def complete(self) -> bool:
        alone = CASES.keys() - {BY_HAND}
        return self.took.keys() >= alone and all(map(self._as_expected, alone))

    def tell(self) -> None:
        for name, seen in self.ways.items():
            there = f"{self.there[name]:5.1f}" if name in self.there and CASES[name][1] else "    -"
            first, took = self.first.get(name, -1), self.took.get(name, -1)
            ways = ", ".join(sorted(seen))
            print(f"{name:8} way {there} s, word {first:5.1f} s, results {took:5.1f} s  {ways}")

    def _as_expected(self, name: str) -> bool:
        expected = CASES[name][1]
        return not expected or any(way.startswith(expected) for way in self.ways[name])
