"""The country with its collector on many machines, each a namespace abroad.

    agents ── … ── border ── abroad ── broker1 … 3, ingest1 … 3, leader1, leader2, judge1, judge2
                             balancer

What comes to the collector's address is passed on to one ingest host, drawn for each connection,
alive or not: the balancer does not check its hosts. The leaders judge on the judge hosts, from
their first block, and have no judge process.
"""

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from heliograph_agent.spool.schema import HIDDEN
from heliograph_agent.state import SPOOL
from lab.country import early_judges, wiring
from lab.country.country import UP_S, Country, serving
from lab.country.topology import ABROAD, COLLECTOR, topology
from lab.country.world import world
from support.nats_servers import find_program
from support.programs import PYTHONPATH, ask, eventually, kill, operator_header

BROKERS = ("broker1", "broker2", "broker3")
INGEST = ("ingest1", "ingest2", "ingest3")
LEADERS = ("leader1", "leader2")
JUDGES = ("judge1", "judge2")
MACHINES = (*BROKERS, *INGEST, *LEADERS, *JUDGES)
ROLES = {
    "leader": ["judge", "detect", "publish", "console", "jobs"],
    "ingest": ["ingest"],
    "judge": ["judge"],
}
COUNT = "heliograph_judge_workers"
READY = "is ready"
_OLDEST = """
SELECT min(stored_us) FROM (
  SELECT stored_us FROM envelope WHERE priority < ? UNION ALL SELECT stored_us FROM measurement
)
"""
SIX_WIRE = "2a0d:5600:c"  # machines are the other ends of cables whose numbers these are


def locate_machine(name: str) -> str:
    return f"45.92.{1 + MACHINES.index(name)}.1"


class ClusterCountry(Country):
    """A country with its collector on MACHINES; `machines` are those that run now."""

    machines: dict[str, "subprocess.Popen[bytes]"]
    broker_mb = 0  # of each server's disk; 0: the machine's

    def wire(self) -> None:
        """Wire the country, the machines beside it, and the balancer."""
        super().wire()
        self.machines = {}
        for name in BROKERS if self.broker_mb else ():
            store = f"{self.folder}/{name}-store"
            self.world.run("", "mkdir", store)
            size = f"size={self.broker_mb}m"
            self.world.run("", "mount", "-t", "tmpfs", "-o", size, "lab", store)
        lines = [f"ip netns exec {ABROAD} sysctl -qw {' '.join(wiring.FORWARDING)}"]
        for number, name in enumerate(MACHINES, 1):
            here = locate_machine(name)
            lines += [
                f"ip netns add {name}",
                f"ip -n {name} link set lo up",
                *wiring.cable(name, ABROAD, (here, f"{here[:-1]}2"), f"{SIX_WIRE}{number}"),
            ]
        self.world.script(lines)
        self.world.run(ABROAD, "nft", "-f", "-", text=_balance())

    def start_collector(self) -> None:
        """Start the brokers, the leader, the one in reserve, and hosts of single roles."""
        for name in BROKERS:
            self.start_machine(name)
        self.start_machine("leader1")
        eventually(partial(self._listens, "leader1", 8080), "leader1, see its log", UP_S)
        keys = self.folder / "data" / "keys"
        for name in ("leader2", *INGEST, *JUDGES):
            shutil.copytree(keys, self.folder / name / "keys")
            self.start_machine(name)
        for name in INGEST:
            eventually(partial(self._listens, name, 7443), f"{name}, see its log", UP_S)
        self.lead("leader1")

    def start_machine(self, name: str) -> None:
        if name in BROKERS:
            self._write(f"{name}.nats", _configure_broker(name, self.folder))
            command = [find_program(), "-c", f"{self.folder}/{name}.nats"]
        else:
            command = self._serve(name)
        self.machines[name] = self.start(name, name, command)

    def restart_ended(self) -> None:
        """Start programs that ended by themselves, as systemd does."""
        for name in [name for name, process in self.machines.items() if process.poll() is not None]:
            print(f"  {name} ended by itself, and is started again", flush=True)
            self.start_machine(name)

    def plug_in(self, name: str) -> None:
        """Set a machine's cable up again, with the route that went with it."""
        here = locate_machine(name)
        self.world.script(
            [
                f"ip -n {name} link set out up",
                f"ip -n {name} route add default via {here[:-1]}2",
            ]
        )

    def kill_machine(self, name: str) -> None:
        kill(self.machines.pop(name))

    def list_behind(self, until_s: float) -> list[str]:
        """List agents with results in their spool from before this moment.

        Agents write their status once a minute.
        """
        oldest_us = {name: self._read_oldest_us(name) for name in self.agents}
        return [name for name, at in oldest_us.items() if at is not None and at < until_s * 1e6]

    def _read_oldest_us(self, name: str) -> int | None:
        with closing(sqlite3.connect(self.folder / name / SPOOL, timeout=60)) as spool:
            (oldest_us,) = spool.execute(_OLDEST, (HIDDEN,)).fetchone()
        return None if oldest_us is None else int(oldest_us)

    def list_agents_at(self, name: str) -> set[str]:
        """Return the agents with a session at an ingest host.

        The balancer does not change their addresses.
        """
        peers = self.world.run(name, "ss", "-Htn", "state", "established", "sport", "=", ":7443")
        return {place.name for place in self.topology.agents if f"{place.address}]" in peers}

    def lead(self, name: str) -> None:
        """Wait until this collector leads and serves pages; the API is asked there then."""
        self.pages = f"{locate_machine(name)}:8080"
        eventually(self._ready, f"{name} leads, see {self.folder}/{name}.log", UP_S)

    def find_leader(self) -> None:
        """Wait until one of the collectors leads and is ready; use its API from then on.

        Their answers until then are printed, with the seconds since: one may lead, and lack a host.
        """
        began_s = time.monotonic()
        answers: dict[str, str] = {}

        def is_any_ready() -> bool:
            self.restart_ended()
            for name in LEADERS:
                self.pages = f"{locate_machine(name)}:8080"
                answer = self._ask_ready()
                if answer != answers.get(name):
                    print(f"  {time.monotonic() - began_s:.1f} s: {name} {answer}", flush=True)
                answers[name] = answer
                if answer == READY:
                    return True
            return False

        eventually(is_any_ready, "a collector that leads", UP_S)

    def _ask_ready(self) -> str:
        """Return the readiness of the collector asked; one in reserve does not answer."""
        url = f"http://{self.pages}/readyz"
        try:
            said = self.world.run(ABROAD, "curl", "--silent", "--max-time", "5", url)
        except RuntimeError:
            return "does not answer"
        problems = json.loads(said)["problems"]
        return f"says: {' '.join(problems)}" if problems else READY

    def import_(self, *arguments: str) -> str:
        """Import a file beside the collector that leads."""
        leader = next(name for name in LEADERS if self.pages == f"{locate_machine(name)}:8080")
        data = self.folder / _name_data(leader)
        places = ("--data", str(data), "--config", f"{self.folder}/collector.yml")
        command = self.collector_command("import", arguments[0], *places, *arguments[1:])
        return ask(self.world.command(ABROAD, command))

    def count_judges(self) -> int:
        """Count the judge processes of the leading collector; 0 where none answers."""
        header = operator_header(self.folder / "data")
        url = f"http://{self.pages}/metrics"
        with suppress(RuntimeError):
            said = self.world.run(ABROAD, "curl", "--silent", "--fail", "--header", header, url)
            lines = said.splitlines()
            return int(float(next(x for x in lines if x.startswith(f"{COUNT} ")).split()[1]))
        return 0

    def find_leading_broker(self) -> str:
        """Return the server that leads the journal's stream, by the servers' own answer."""
        for name in BROKERS:
            with suppress(RuntimeError):
                said = self.world.run(
                    ABROAD, "curl", "--silent", "--max-time", "5",
                    f"http://{locate_machine(name)}:8222/jsz?streams=true&accounts=true",
                )  # fmt: skip
                return _find_stream_leader(yaml.safe_load(said))
        raise AssertionError("no broker answers")

    def _serve(self, name: str) -> list[str]:
        role = name.rstrip("123")
        data = _name_data(name)
        settings = yaml.safe_load((self.folder / "collector.yml").read_text())
        here = locate_machine(name)
        own: dict[str, dict[str, Any]] = {
            "leader": {"http": f"{here}:8080", "judge": {"workers": 0}},
            "ingest": {"grpc": f"{here}:7443"},
            "judge": {"judge": {"workers": 1}},
        }
        settings |= {"roles": ROLES[role], **own[role]}
        self._write(f"{name}.yml", yaml.safe_dump(settings))
        places = ("--data", f"{self.folder}/{data}", "--config", f"{self.folder}/{name}.yml")
        command = self.collector_command("serve", *places)
        if role != "leader":
            return command
        command[2] = early_judges.__name__
        return ["env", f"PYTHONPATH={PYTHONPATH}", *command]

    def _listens(self, name: str, port: int) -> bool:
        return f":{port} " in self.world.run(name, "ss", "-Hltn")


def _name_data(machine: str) -> str:
    """Return a machine's data directory; the first leader's is made beforehand."""
    return "data" if machine == "leader1" else machine


def build_store(more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the configuration by which a collector shares the brokers' journal."""
    urls = ",".join(f"nats://{locate_machine(name)}:4222" for name in BROKERS)
    return {"store": {"journal": urls}, **(more or {})}


def _configure_broker(name: str, folder: Path) -> str:
    here = locate_machine(name)
    routes = ", ".join(f"nats://{locate_machine(other)}:6222" for other in BROKERS)
    return "\n".join(
        [
            f"listen: {here}:4222",
            f"http: {here}:8222",
            f"server_name: {name}",
            "max_payload: 4MB",
            f"jetstream {{ store_dir: '{folder}/{name}-store' }}",
            f"cluster {{ name: c, listen: {here}:6222, routes: [{routes}] }}",
        ]
    )


def _find_stream_leader(document: Any) -> str:
    streams = [
        stream for account in document["account_details"] for stream in account["stream_detail"]
    ]
    journal = next(stream for stream in streams if stream["name"] == "heliograph")
    return str(journal["cluster"]["leader"])


def _balance() -> str:
    """Return rules that balance connections, those of the local control included."""
    hosts = ", ".join(f"{number} : {locate_machine(name)}" for number, name in enumerate(INGEST))
    rule = (
        f"ip daddr {COLLECTOR} tcp dport 7443 dnat to numgen random mod {len(INGEST)} "
        f"map {{ {hosts} }}"
    )
    chains = "\n".join(
        f"chain {hook} {{ type nat hook {hook} priority -100; {rule}; }}"
        for hook in ("prerouting", "output")
    )
    return f"table ip balancer {{\n{chains}\n}}\n"


@contextmanager
def cluster_country(
    folder: Path, description: Mapping[str, Any], broker_mb: int = 0
) -> Iterator[ClusterCountry]:
    """Wire a country and start its sites, without collector and agents."""
    with world() as place:
        built = ClusterCountry(place, topology(description), folder)
        built.broker_mb = broker_mb
        with serving(built) as made:
            yield made
