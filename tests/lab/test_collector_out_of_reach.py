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

from lab.country.country import Country, country, eventually
from lab.country.interference import Interference
from lab.country.topology import COLLECTOR, DOH
from lab.country.world import require_for_test
from support.programs import agent, ask

pytestmark = [pytest.mark.lab, pytest.mark.slow]
NAME = "collector.example"
SMALL = {
    "country": "KZ",
    "regions": {"ala": "KZ-75"},
    "networks": [
        {"name": name, "title": name, "asn": asn, "access": "mobile", "agents": {"ala": 1}}
        for name, asn in (("name", 1), ("address", 2), ("protocol", 3), ("power", 4))
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
        eventually(lambda: len(reached(made)) == 4, "four agents seen by the collector", 60)
        yield made


def reached(made: Country) -> set[int]:
    """Networks whose measurements the collector has."""
    return {row["vantage"]["asn"] for row in rows(made) if row["role"] == "volunteer"}


def rows(made: Country) -> list[dict[str, Any]]:
    return list(made.get("/api/v1/measurements", limit=500)["measurements"])


def status(made: Country, name: str) -> dict[str, Any]:
    told = ask(agent("status", "--json", "--state", made.folder / name))
    return dict(json.loads(told))


def highest(made: Country, asn: int) -> int:
    mine = [int(row["sequence"]) for row in rows(made) if row["vantage"]["asn"] == asn]
    return max(mine, default=0)


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
    before = {n.name: highest(lab, n.asn) for n in lab.topology.networks}
    for name in BLOCKS:
        eventually(partial(cut_off, lab, f"{name}-ala-1"), f"{name}: cut off and measuring", 120)
    for name in BLOCKS:
        lab.gates[name].lift_all()
    lab.start_place(lab.topology.network("power").agents[0])
    for network in lab.topology.networks:
        wanted = before[network.name] + 4
        eventually(
            partial(arrived, lab, network.asn, wanted), f"the backlog of {network.name}", 120
        )
    lab.stop_agents()
    for network in lab.topology.networks:
        given = lab.given(network.agents[0].name)
        whole = list(range(1, given + 1))
        what = f"{given} measurements of {network.name}, each once"
        eventually(partial(_is, lab, network.asn, whole), what, 20)


def _is(made: Country, asn: int, sequences: list[int]) -> bool:
    mine = (int(row["sequence"]) for row in rows(made) if row["vantage"]["asn"] == asn)
    return sorted(mine) == sequences


def arrived(made: Country, asn: int, sequence: int) -> bool:
    return highest(made, asn) >= sequence
