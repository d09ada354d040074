"""The collector is blocked by name, by address, or as a protocol, and there is no other way.

The agent goes on measuring, says that it cannot reach the collector, and delivers once it can:
nothing is lost. What it does where there is another way, `test_ladder.py` shows.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.country.by_hand import hand_in
from lab.country.country import Country, country, eventually
from lab.country.interference import Interference
from lab.country.topology import COLLECTOR, DOH
from lab.country.world import require_for_test
from support.programs import agent, ask

pytestmark = [pytest.mark.lab, pytest.mark.slow]
NAME = "collector.example"
NETWORKS = ("name", "address", "protocol", "power")
REGIONS = {name: f"KZ-{number:02}" for number, name in enumerate(NETWORKS, 1)}
SMALL = {
    "country": "KZ",
    "regions": REGIONS,
    "networks": [
        {"name": name, "title": name, "asn": asn, "access": "mobile", "agents": {name: 1}}
        for asn, name in enumerate(NETWORKS, 1)
    ],
    "domestic": {"names": ["gov.kz"]},
    "abroad": {
        "names": ["www.example.com", "www.example.net", "www.example.org", "anchor.example"],
        "collector": NAME,
    },
}
BLOCKS = {
    "name": (
        Interference(kind="dns_nxdomain", names=(NAME,)),
        Interference(kind="address_dropped", addresses=(DOH,)),  # who would know it better
    ),
    "address": (Interference(kind="address_dropped", addresses=(COLLECTOR,)),),
    "protocol": (Interference(kind="freeze", addresses=(COLLECTOR,), port=7443),),
}
PLAN = {
    "heartbeat_s": 2,
    "limits": {"bytes_per_month": 10**12, "target_pause_s": 1},
    "tasks": [
        {"experiment": "connectivity", "service": "anchors", "interval_s": 10},
        {"experiment": "tcp", "target": "www.example.com:443", "interval_s": 10},
    ],
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Country]:
    require_for_test()
    topology = tmp_path / "topology.yml"
    topology.write_text(yaml.safe_dump(SMALL))
    with country(tmp_path / "country", topology) as made:
        made.collect(PLAN)
        made.populate()
        eventually(lambda: all(stored(made).values()), "four agents seen by the collector", 60)
        yield made


def stored(made: Country) -> dict[str, list[int]]:
    """Sequences of each network's agent that the collector has, by the region it declares."""
    found: dict[str, list[int]] = {name: [] for name in NETWORKS}
    names = {region: name for name, region in REGIONS.items()}
    for row in made.get("/api/v1/measurements", limit=500)["measurements"]:
        if row["role"] == "volunteer":
            found[names[row["vantage"]["region"]]].append(int(row["sequence"]))
    return found


def status(made: Country, name: str) -> dict[str, Any]:
    told = ask(agent("status", "--json", "--state", made.folder / name))
    return dict(json.loads(told))


def cut_off(made: Country, name: str) -> bool:
    told = status(made, name)
    return not told["connected"] and told["queued_measurements"] >= 4


def test_measuring_goes_on_and_everything_arrives(lab: Country) -> None:
    for name, blocks in BLOCKS.items():
        for block in blocks:
            lab.gates[name].apply(block)
    # A name is looked up when a session begins: those under way go on.
    lab.power_cut([place for name in ("name", "power") for place in lab.names(name)])
    lab.start_place(lab.topology.network("name").agents[0])
    before = {name: max(numbers) for name, numbers in stored(lab).items()}
    for name in BLOCKS:
        eventually(partial(cut_off, lab, f"{name}-{name}-1"), f"{name}: cut off and measuring", 120)
    for name in BLOCKS:
        lab.gates[name].lift_all()
    lab.start_place(lab.topology.network("power").agents[0])
    for name in NETWORKS:
        wanted = before[name] + 4
        eventually(partial(arrived, lab, name, wanted), f"the backlog of {name}", 120)
    lab.stop_agents()
    hand_in(lab, lab.names())  # what a busy machine left at the stop
    given = {name: lab.given(f"{name}-{name}-1") for name in NETWORKS}
    whole = {name: list(range(1, last + 1)) for name, last in given.items()}
    what = f"what everybody measured, each once: {given}"
    eventually(lambda: {n: sorted(s) for n, s in stored(lab).items()} == whole, what, 30)


def arrived(made: Country, name: str, sequence: int) -> bool:
    return max(stored(made)[name], default=0) >= sequence
