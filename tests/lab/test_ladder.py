"""The collector blocked in each way: results arrive by another, by themselves, each once.

What it took is printed: seconds from the agents' start to a way that is open, as the agent has it,
and to the fourth new result at the collector; batches are closed every half minute.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.country.country import Country, country, eventually
from lab.country.gate import TESTS
from lab.country.interference import Interference
from lab.country.topology import COLLECTOR, CONTROL, DOMESTIC, DOMESTIC_WEB
from lab.country.world import require_for_test

pytestmark = [pytest.mark.lab, pytest.mark.slow]
NAME = "collector.example"
STREAM, POST, FRONT = f"stream://{NAME}:7443", f"post://{NAME}:7444", f"post://{CONTROL}:7444"
FRONT += " as www.example.net"
BOTH = (COLLECTOR, CONTROL)
# What the network does, and the ways by which results may arrive all the same.
CASES: dict[str, tuple[tuple[Interference, ...], tuple[str, ...]]] = {
    "open": ((), (STREAM,)),
    "name": ((Interference(kind="dns_nxdomain", names=(NAME,)),), (STREAM,)),
    "lie": ((Interference(kind="dns_bogon", names=(NAME,)),), (STREAM,)),
    "silence": ((Interference(kind="dns_dropped", names=(NAME,)),), (STREAM,)),
    "sni": ((Interference(kind="sni_reset", names=(NAME,)),), (STREAM,)),
    "packets": (
        tuple(Interference(kind="freeze", addresses=BOTH, port=p) for p in (7443, 7444)),
        (POST,),
    ),
    "bytes": ((Interference(kind="freeze", addresses=BOTH),), (STREAM, POST)),
    "address": ((Interference(kind="address_dropped", addresses=(COLLECTOR,)),), (FRONT,)),
    "both": (
        (Interference(kind="address_dropped", addresses=BOTH),),
        (f"{STREAM} by proxy", f"{POST} by proxy"),
    ),
}
WITHIN_S = 150
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
TOPOLOGY = {
    "country": "KZ",
    "regions": {"ala": "KZ-75"},
    "networks": [
        {"name": name, "title": name, "asn": asn, "access": "mobile", "agents": {"ala": 1}}
        for asn, name in enumerate(CASES, 1)
    ],
    "domestic": {"names": ["gov.kz"]},
    "abroad": {
        "names": ["www.example.com", "www.example.net", "www.example.org", "anchor.example"],
        "collector": NAME,
    },
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Country]:
    require_for_test()
    topology = tmp_path / "topology.yml"
    topology.write_text(yaml.safe_dump(TOPOLOGY))
    with country(tmp_path / "country", topology) as made:
        made.collect(PLAN, {"post": {"listen": "0.0.0.0:7444"}, "entrances": ENTRANCES})
        made.configure_agents({"uplink": {"proxy": f"socks5://{DOMESTIC_WEB}:1080"}})
        proxy = ["socks5", DOMESTIC_WEB, "1080"]
        made.start(DOMESTIC, "proxy", _program("support.proxy_server", *proxy))
        made.populate()
        wanted = {network.asn for network in made.topology.networks}
        eventually(lambda: set(_stored(made)) >= wanted, "every agent seen by the collector", 90)
        yield made


def _program(module: str, *arguments: str) -> list[str]:
    return ["env", f"PYTHONPATH={TESTS}", sys.executable, "-m", module, *arguments]


def _stored(made: Country) -> dict[int, list[int]]:
    """Sequences that the collector has, by the network that sent them."""
    found: dict[int, list[int]] = {}
    cursor = ""
    while True:
        page: dict[str, Any] = made.get(
            "/api/v1/measurements", limit=500, **({"cursor": cursor} if cursor else {})
        )
        for row in page["measurements"]:
            if row["role"] == "volunteer":
                found.setdefault(_network(row), []).append(int(row["sequence"]))
        cursor = page.get("next_cursor") or ""
        if not cursor:
            return found


def _network(row: dict[str, Any]) -> int:
    """What came by the proxy says nothing of its network; one network alone has need of it."""
    return int(row["vantage"]["asn"]) or 1 + list(CASES).index("both")


def _way(made: Country, name: str) -> tuple[bool, str]:
    """As the agent last wrote it down; nothing while it starts."""
    with suppress(OSError, ValueError):
        told = json.loads((made.folder / name / "status.json").read_text())
        return bool(told["connected"]), str(told.get("way"))
    return False, ""


def test_each_block_is_passed_by_some_way(lab: Country) -> None:
    lab.power_cut(list(lab.agents.keys() - {"control"}))
    before = {asn: max(numbers) for asn, numbers in _stored(lab).items()}
    for name, (blocks, _) in CASES.items():
        for block in blocks:
            lab.gates[name].apply(block)
    for place in lab.topology.agents:  # what they wrote down before says nothing of now
        (lab.folder / place.name / "status.json").unlink(missing_ok=True)
    began = time.monotonic()
    for place in lab.topology.agents:
        lab.start_place(place)
    passage = Passage(lab, before, began)
    try:
        eventually(passage.complete, "results past every block, by the way that is open", WITHIN_S)
    finally:
        passage.tell()
    lab.stop_agents()
    for network in lab.topology.networks:
        given = lab.given(network.agents[0].name)
        what = f"what {network.name} has, each once, and next to all of {given}"
        eventually(partial(_once_each, lab, network.asn, given), what, 60)


@dataclass
class Passage:
    """What came past the blocks, when, and by which ways."""

    lab: Country
    before: dict[int, int]
    began: float
    took: dict[int, float] = field(default_factory=dict)
    ways: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in CASES})
    there: dict[str, float] = field(default_factory=dict)  # by a way that is open

    def complete(self) -> bool:
        for asn, numbers in _stored(self.lab).items():
            if max(numbers) > self.before[asn] + 3:
                self.took.setdefault(asn, time.monotonic() - self.began)
        for name, seen in self.ways.items():
            connected, way = _way(self.lab, f"{name}-ala-1")
            seen |= {way} if connected else set()
            if self._as_expected(name):
                self.there.setdefault(name, time.monotonic() - self.began)
        return len(self.took) == len(CASES) and all(map(self._as_expected, CASES))

    def tell(self) -> None:
        for asn, name in enumerate(CASES, 1):
            ways = ", ".join(sorted(self.ways[name]))
            there, took = self.there.get(name, -1), self.took.get(asn, -1)
            print(f"{name:8} way {there:5.1f} s, results {took:5.1f} s  {ways}")

    def _as_expected(self, name: str) -> bool:
        return bool(self.ways[name] & set(CASES[name][1]))


def _once_each(made: Country, asn: int, given: int) -> bool:
    """The last batch may be on the way when an agent is stopped; it is kept, and goes later."""
    numbers = _stored(made).get(asn, [])
    return len(numbers) == len(set(numbers)) and len(numbers) >= given - LAST
