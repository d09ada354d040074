"""A running country: servers, resolvers, agents and collector are real processes."""

import contextlib
import ipaddress
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import yaml

from heliograph import bundle
from heliograph.v1.envelope_pb2 import Envelope
from heliograph_agent import spool
from heliograph_agent.runtime.status_file import read_status
from heliograph_agent.state import SPOOL, State
from heliograph_collector.ingest.geo.asn_table import write_table
from lab.country import lean_agent, servers, wiring
from lab.country.gate import Gate
from lab.country.pace import Pace
from lab.country.topology import (
    ABROAD,
    COLLECTOR,
    DOH,
    DOMESTIC,
    AgentPlace,
    Topology,
    topology,
)
from lab.country.world import World, world
from support.loopback_ca import Leaf, LoopbackCA
from support.programs import (
    PYTHONPATH,
    age_agents,
    agent,
    ask,
    collector,
    eventually,
    kill,
    module_command,
    operator_header,
    started,
)

Made = TypeVar("Made", bound="Country")
LISTENS, PAGES = f"{COLLECTOR}:7443", f"{COLLECTOR}:8080"
UP_S = 240.0
JOIN_AT_ONCE = 4


class Country:
    """`folder` holds every configuration, state and log."""

    def __init__(
        self,
        world: World,
        country: Topology,
        folder: Path,
        tested: Iterable[str] = servers.TESTED,
        pace: Pace | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.world, self.topology, self.folder = world, country, folder
        self.pace = pace or Pace()
        self.abroad = servers.abroad(country, tested)
        self.ca = LoopbackCA(folder / "ca")
        self.gates = {n.name: Gate(world, n, folder) for n in country.networks}
        self.agents: dict[str, subprocess.Popen[bytes]] = {}
        self.door = f"{country.collector_name}:7443"  # what invites say
        self.pages = PAGES
        self.planned_services: list[str] = []
        self._webs: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()

    def wire(self) -> None:
        self.world.script(list(wiring.lines(self.topology, self.abroad.addresses)))

    def serve_sites(self) -> None:
        """Start resolvers and web servers, abroad and domestic; return once they listen."""
        folder, known, ca = self.folder, self.abroad, self.ca
        (folder / "large.bin").write_bytes(bytes(1_000_000))
        self._write("abroad.conf", servers.resolver_conf(known, folder, ca))
        self._write("domestic.conf", servers.domestic_conf(self.topology, folder))
        self._write("web.nginx", servers.web_conf(known, ca, folder))
        self._write("domestic.nginx", servers.domestic_web_conf(self.topology, ca, folder))
        self._start_resolver(ABROAD, "abroad")
        self._start_resolver(DOMESTIC, "domestic")
        for space, name in ((ABROAD, "web"), (DOMESTIC, "domestic")):
            self._start_web(space, name)
        self._write("stand-ins.json", json.dumps(servers.spoken(known)))
        self.start_program(ABROAD, "stand_ins", f"{folder}/stand-ins.json")
        leaf = ca.leaf(*servers.DOH_NAMES, servers.DOH_ADDRESS)
        doh = (str(leaf.chain), str(leaf.key), DOH, servers.DOH_ADDRESS)
        self.start_program(ABROAD, "doh", *doh)
        for network in self.topology.networks:
            self._write(f"{network.name}.conf", servers.provider_conf(network, folder))
            self._start_resolver(network.gate, network.name)
        eventually(self._sites_answer, "the sites of the lab", UP_S)

    def replace_leaf(self, leaf: Leaf, names: Sequence[str]) -> None:
        """Replace the certificate of the sites of these names abroad; wait for the effect."""
        file = self.folder / "web.nginx"
        file.write_text(servers.with_leaf(file.read_text(), leaf, names))
        kill(self._webs.pop(ABROAD))  # alone, without a master, it does not reload its files
        self._start_web(ABROAD, "web")
        place = f"-connect {self.abroad.names[names[0]]}:443 -servername {names[0]}"
        ask = ("sh", "-c", f"openssl s_client {place} </dev/null 2>&1 || true")
        first_line = leaf.chain.read_text().splitlines()[1]
        eventually(lambda: first_line in self.world.run(ABROAD, *ask), "the certificate", UP_S)

    def _start_web(self, space: str, name: str) -> None:
        command = servers.nginx_command(self.folder, name)
        self._webs[space] = self.start(space, f"{name}-nginx", command)

    def _start_resolver(self, space: str, name: str) -> None:
        self.start(space, name, ["/usr/sbin/unbound", "-d", "-c", f"{self.folder}/{name}.conf"])

    def collect(self, plan: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> None:
        """Start the collector, its plan set beforehand, and a control beside it.

        `more` is added to its configuration.
        """
        self._write("services.yml", servers.services_yaml(self.abroad))
        self.configure_agents()
        settings = {
            "endpoint": self.door,
            "control": {"endpoints": []},
            "feed": {"k_anonymity": 1},
            "geo": {"asn_file": str(self._asn_table())},
            "plan": {"services_file": str(self.folder / "services.yml")},
            **({"post": {"listen": "0.0.0.0:7444"}} if self.topology.lean else {}),
            **(more or {}),
        }
        if self.pace.factor != 1.0:  # a child lives by the machine's clock
            settings["intake"] = {**settings.get("intake", {}), "processes": 0}
        self._write("collector.yml", yaml.safe_dump(settings))
        self.replace_plan(plan)
        self.start_collector()
        self.join(self.invite("--control"), "control", ABROAD, "hosting")
        self.start_agent("control", ABROAD)

    def configure_agents(self) -> None:
        """Let agents trust the lab's CA too, and ask the resolver of their network.

        Their volunteers allow what a drill costs: by default those on mobile lines save their day's
        share of 300 MB a month, and after 40 min of tests every 15 s hardly measure any more.
        """
        net = {"ca_file": str(self.ca.ca_file), "local_targets": "allow"}
        limits = {"bytes_per_month": 10**12}
        self._write("agent.yml", yaml.safe_dump({"net": net, "limits": limits}))

    def configure_agent(self, name: str, settings: Mapping[str, Any]) -> None:
        """Give one agent more settings than the others, from its next start on."""
        net = {"ca_file": str(self.ca.ca_file)}
        self._write(f"{name}.yml", yaml.safe_dump({"net": net, **settings}))

    def start_collector(self) -> None:
        serve = self._collector("serve", "--grpc", LISTENS, "--http", PAGES)
        self.start(ABROAD, "collector", serve)
        eventually(self._ready, f"the collector, see {self.folder}/collector.log", UP_S)

    def invite(self, *options: str) -> str:
        return ask(self._collector("invite", "--endpoint", self.door, *options)).strip()

    def join(self, invite: str, name: str, space: str, access: str, region: str = "") -> None:
        where = ["--region", region] if region else []
        joining = self._agent(
            name, "join", invite, "--yes", "--state", self.folder / name,
            "--config", self.folder / "agent.yml", "--country", self.topology.country,
            "--access", access, *where,
        )  # fmt: skip
        ask(self.world.command(space, joining))
        age_agents(self.folder / "data")

    def populate(self, leave: Container[str] = ()) -> None:
        """Join and start every agent but those to `leave` out, some side by side."""
        places = [place for place in self.topology.agents if place.name not in leave]
        invite = self.invite("--uses", str(len(places)))
        with ThreadPoolExecutor(JOIN_AT_ONCE) as hands:
            list(hands.map(lambda place: self.join_place(place, invite), places))
        for place in places:
            self.start_place(place)

    def join_place(self, place: AgentPlace, invite: str = "") -> None:
        network = self.topology.network(place.network)
        region = self.topology.regions[place.region]
        self.join(invite or self.invite(), place.name, place.name, network.access, region)

    def start_place(self, place: AgentPlace) -> None:
        self.start_agent(place.name, place.name)

    def start_agent(self, name: str, space: str, before: Sequence[str] = ()) -> None:
        """Start an agent, by its own configuration if `configure_agent` wrote one.

        `before` is a command that runs it.
        """
        own = self.folder / f"{name}.yml"
        config = own if own.exists() else self.folder / "agent.yml"
        run = self._agent(name, "run", "--state", self.folder / name, "--config", config)
        self.agents[name] = self.start(space, f"{name}-agent", [*before, *run])

    def stop_agents(self) -> None:
        """Stop the agents by SIGTERM, so that they send all; return when all are gone.

        The lock shows that an agent is gone: the started process only enters the namespace, and
        ends before the agent.
        """
        for process in self.agents.values():
            os.killpg(process.pid, signal.SIGTERM)
        for name in self.agents:
            eventually(partial(_has_gone, self.folder / name), f"{name} has gone")
        self.agents.clear()

    def given(self, name: str) -> int:
        """Return the last sequence that this agent's spool ever gave."""
        with contextlib.closing(sqlite3.connect(self.folder / name / "spool.db")) as spool:
            (last,) = spool.execute(
                "SELECT MAX(seq) FROM sqlite_sequence WHERE name LIKE 'measurement%'"
            ).fetchone()
        return int(last)

    def import_(self, *arguments: str) -> str:
        """Import a file beside the running collector."""
        return ask(self.world.command(ABROAD, self._collector("import", *arguments)))

    def hand_in(self, names: Iterable[str]) -> dict[str, int]:
        """Import by one file what stopped agents have left; return the batches of each."""
        held = {name: list(spool.iter_envelopes(self.folder / name / SPOOL)) for name in names}
        envelopes = [envelope for batches in held.values() for envelope in batches]
        if envelopes:
            file, key_id = self.folder / "rest", Envelope.FromString(envelopes[0]).key_id
            file.write_bytes(b"".join(bundle.pack_bundle(key_id, envelopes)))
            self.import_("bundle", str(file))
        return {name: len(batches) for name, batches in held.items()}

    def replace_plan(self, plan: Mapping[str, Any]) -> None:
        self.planned_services = [task.get("service") or task["target"] for task in plan["tasks"]]
        self._write("plan.yml", yaml.safe_dump(dict(plan)))
        ask(self._collector("plan", "set", str(self.folder / "plan.yml")))

    def told(self, name: str) -> dict[str, Any]:
        """Read an agent's status file, since running `status` would cost a second."""
        return dict(read_status(State(self.folder / name)))

    def power_cut(self, names: list[str]) -> None:
        """Kill the agents of these names at once, without a goodbye."""
        for name in names:
            kill(self.agents.pop(name))

    def names(self, network: str = "", region: str = "") -> list[str]:
        """Return the agents' names by network and region."""
        return [
            place.name
            for place in self.topology.agents
            if network in ("", place.network) and region in ("", place.region)
        ]

    @property
    def password_file(self) -> Path:
        """Return the file of the operator's password."""
        return self.folder / "data" / "keys" / "operator.password"

    def get(self, path: str, **query: str | int) -> Any:
        """Get a document of the collector's API as an operator."""
        return self.get_many([(path, query)])[0]

    def get_many(self, asked: Sequence[tuple[str, Mapping[str, str | int]]]) -> list[Any]:
        """Get several answers over one connection, which is faster than a process each."""
        urls = [f"http://{self.pages}{path}{'?' + urlencode(q) if q else ''}" for path, q in asked]
        said = self.world.run(
            ABROAD, "curl", "--silent", "--fail-with-body", "--fail-early", "--max-time", "60",
            "--header", operator_header(self.folder / "data"), *urls, timeout=60 * len(urls) + 60,
        )  # fmt: skip
        return list(_documents(said))

    def measurements(self, **query: str) -> Iterator[dict[str, Any]]:
        """Yield every measurement in the store, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self.get("/api/v1/measurements", limit=500, **query, **cursor)
            yield from page["measurements"]
            if not page["next"]:
                return
            cursor = {"cursor": page["next"]}

    def close(self) -> None:
        for gate in self.gates.values():
            gate.close()
        self._stack.close()

    def start_program(self, space: str, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start one of the lab's own programs in the background."""
        return self.start(space, module, module_command(f"lab.country.{module}", *arguments))

    def start(self, space: str, name: str, argv: list[str]) -> "subprocess.Popen[bytes]":
        """Start any program until the lab ends; its output goes to NAME.log."""
        log = self.folder / f"{name}.log"
        return self._stack.enter_context(started(self.world.command(space, argv), log))

    def _asn_table(self) -> Path:
        """Write each network's prefix as its own autonomous system; the rest is abroad's."""
        ranges = [_range(n.prefix, n.asn) for n in self.topology.networks]
        ranges.append(_range("45.90.0.0/16", 64_500))
        write_table(self.folder / "asn.table", sorted(ranges), [])
        return self.folder / "asn.table"

    def _collector(self, *arguments: str) -> list[str]:
        places = ("--data", str(self.folder / "data"), "--config", f"{self.folder}/collector.yml")
        words = 2 if arguments[0] in ("plan", "agents", "import") else 1
        return self.collector_command(*arguments[:words], *places, *arguments[words:])

    def collector_command(self, *arguments: str) -> list[str]:
        return self._paced(collector(*arguments))

    def _agent(self, name: str, *arguments: str | Path) -> list[str]:
        command = agent(*arguments)
        if name not in self.topology.lean:
            return self._paced(command)
        command[2] = lean_agent.__name__
        return ["env", f"PYTHONPATH={PYTHONPATH}", *self.pace.command(command)]

    def _paced(self, command: list[str]) -> list[str]:
        if self.pace.factor == 1.0:
            return command
        return ["env", f"PYTHONPATH={PYTHONPATH}", *self.pace.command(command)]

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def _sites_answer(self) -> bool:
        wanted = {ABROAD: "45.90.2.53:53", DOMESTIC: "5.2.0.53:53"}
        wanted |= {n.gate: f"{n.resolver}:53" for n in self.topology.networks}
        listening = {space: self.world.run(space, "ss", "-Hltun") for space in wanted}
        doh = [(ABROAD, f"{a}:443") for a in (DOH, servers.DOH_ADDRESS)]
        web = [*doh, (ABROAD, "{}:{}".format(*servers.WEBSOCKETS))]
        web += [(ABROAD, ":80"), (DOMESTIC, ":80")]
        return all(place in listening[space] for space, place in (*web, *wanted.items()))

    def _ready(self) -> bool:
        with contextlib.suppress(RuntimeError):
            self.world.run(ABROAD, "curl", "--silent", "--fail", f"http://{self.pages}/readyz")
            return True
        return False


def _has_gone(folder: Path) -> bool:
    return State(folder).running_pid() is None


def _documents(text: str) -> Iterator[Any]:
    """Yield JSON documents that follow one another."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        document, at = decoder.raw_decode(text, at)
        yield document
        while at < len(text) and text[at].isspace():
            at += 1


def _range(prefix: str, asn: int) -> tuple[int, int, int]:
    network = ipaddress.ip_network(prefix)
    return int(network[0]), int(network[-1]), asn


@contextmanager
def country(
    folder: Path,
    description: Mapping[str, Any] | None = None,
    tested: Iterable[str] = servers.TESTED,
    pace: Pace | None = None,
) -> Iterator[Country]:
    """Wire a country and start its sites, without collector and agents.

    `description` is a topology, by default that of topology.yml; `tested` names services of the
    shipped list that have servers abroad; `pace` is the clock of its agents and its collector.
    """
    with world() as place:
        built = Country(place, topology(description), folder, tested, pace)
        with serving(built) as made:
            yield made


@contextmanager
def serving(made: Made) -> Iterator[Made]:
    """Wire a country and start its sites; close it, whatever happens."""
    try:
        made.wire()
        made.serve_sites()
        yield made
    finally:
        made.close()
