"""Measure every experiment under every interference, a network for each row.

`matrix.yml` lists the interference, the tasks and the expected results; only the collector's own
judge judges, with a prober abroad as the control.
"""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from heliograph.observation import Link, Measurement
from heliograph_agent.runtime.link import classify_link
from heliograph_collector.control.vantage_profiles import VantageProfiles
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import AgentRole, ControlView, PeerComparison, Verdict
from lab.country import peers, servers
from lab.country.country import Country, country
from lab.country.interference import Interference
from lab.country.prober import told
from lab.country.topology import ABROAD, small_country
from support.programs import module_command
from support.scenario import taken

MATRIX = Path(__file__).parents[1] / "matrix.yml"
STATES = ("reachable", "blocked", "down", "unknown")
VPN, SITE, NEUTRAL = "vpn.example", "www.bbc.com", "neutral.example"
NAMES = ["www.wikipedia.org", "www.example.com", SITE, "anchor.example", NEUTRAL, VPN]
INSIDE, CLOSED = "outside_in", "sites"  # the one experiment that is run from abroad
EVERY = 100  # tasks at once, which is all of them
MOST_S = 150.0
Cells = dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Row:
    """A network and what its gate does; `cells` by column."""

    id: str
    applied: tuple[Mapping[str, Any], ...]
    cells: Mapping[str, str]
    at_once: int  # tasks: on a line that is slow by itself they would slow each other


@dataclass(frozen=True, slots=True)
class Matrix:
    """`reasons` are those for blanks: a state and a sentence."""

    rows: tuple[Row, ...]
    columns: Mapping[str, Mapping[str, Any]]
    reasons: Mapping[str, tuple[str, str]]

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the columns measured in every place; domestic sites are measured abroad."""
        return tuple(name for name in self.columns if name != INSIDE)

    @property
    def experiments(self) -> set[str]:
        return {column.get("experiment", name) for name, column in self.columns.items()}

    def holds(self, said: str, verdict: str) -> bool:
        """Return whether the verdict is the expected one; a reason implies its state."""
        return verdict == (self.reasons[said][0] if said in self.reasons else said)


def matrix(file: Path = MATRIX) -> Matrix:
    """Read the matrix; raise ValueError on an unknown cell."""
    said = yaml.safe_load(file.read_text())
    reasons = {name: (one["state"], one["says"]) for name, one in said["reasons"].items()}
    rows = tuple(_row(name, one, said) for name, one in said["rows"].items())
    for row in rows:
        for cell in row.cells.values():
            if cell not in reasons and cell.split(maxsplit=1)[0] not in STATES:
                raise ValueError(f"{row.id}: {cell!r} is no verdict and no reason")
        if unknown := set(row.cells) - set(said["columns"]):
            raise ValueError(f"{row.id}: no columns {unknown}")
    return Matrix(rows, said["columns"], reasons)


def _row(name: str, one: Mapping[str, Any], said: Mapping[str, Any]) -> Row:
    cells = dict.fromkeys(said["columns"], one["others"])
    for verdict, columns in one.get("cells", {}).items():
        for column in columns:
            cells |= dict.fromkeys(said["sets"].get(column, [column]), verdict)
    return Row(name, tuple(one.get("apply", ())), cells, int(one.get("at_once", EVERY)))


@contextmanager
def built(folder: Path, wanted: Matrix) -> Iterator[tuple[Country, dict[str, Any]]]:
    """Build a country with a network and a gate for each row; return the task values."""
    folder.mkdir(parents=True, exist_ok=True)
    # One agent's place in each network; names are short, for devices are named after them.
    networks = {f"r{number}": {"ala": 1} for number, _ in enumerate(wanted.rows)}
    description = small_country(networks, {"ala": "KZ-75"}, NAMES)
    tested = [c["service"] for c in wanted.columns.values() if "service" in c]
    tested = [name for name in tested if name not in ("anchors", CLOSED)]
    with country(folder, description, tested) as made:
        keys = [peers.Keys() for _ in (ABROAD, *wanted.rows)]
        server = peers.start(made, VPN, (SITE, NEUTRAL), keys)
        _open_sites(made)
        made.configure_agents()
        (folder / "services.yml").write_text(servers.services_yaml(made.abroad) + _sites(made))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(partial(_apply, made), networks, wanted.rows))
        yield made, {"wireguard": server, "keys": keys}


def _apply(made: Country, network: str, row: Row) -> None:
    services = [s.name for s in made.abroad.services if s.name != "anchors"]
    names = dict.fromkeys(n for s in services for n in made.abroad.names_of(s))
    addresses = dict.fromkeys(a for s in services for a in made.abroad.of_service(s))
    own = made.abroad.addresses_of(SITE, VPN)
    minded = {"names": (*names, SITE), "addresses": (*addresses, *own)}
    for said in row.applied:
        narrowed = {
            key: _narrowed(made, minded[key], said[key])
            for key in ("names", "addresses")
            if key in said
        }
        made.gates[network].apply(Interference(**{**said, **narrowed}))


def _narrowed(made: Country, minded: tuple[str, ...], said: Any) -> tuple[str, ...]:
    if said == "minded":
        return tuple(minded)
    return tuple(made.abroad.names.get(one, one) if one in NAMES else one for one in said)


def _open_sites(made: Country) -> None:
    """Open a web server in every network of the country, for tests from outside."""
    addresses = [place.address for place in made.topology.agents]
    leaf = made.ca.leaf(*addresses)
    for place in made.topology.agents:
        site = (
            f"  server {{ listen {place.address}:443 ssl; ssl_certificate {leaf.chain};"
            f" ssl_certificate_key {leaf.key}; location / {{ return 200 'At home'; }} }}\n"
        )
        name = f"site-{place.name}"
        (made.folder / f"{name}.nginx").write_text(servers.nginx(name, made.folder, site))
        made.start(place.name, name, servers.nginx_command(made.folder, name))


def _sites(made: Country) -> str:
    """Return the services file's entry of each domestic site."""
    services = {
        f"{CLOSED}-{place.network}": {
            "title": "A site at home",
            "experiment": INSIDE,
            "endpoints": [{"id": "site", "kind": "https", "host": place.address, "port": 443}],
        }
        for place in made.topology.agents
    }
    lines = yaml.safe_dump(services).splitlines(keepends=True)
    return "".join(f"  {line}" for line in lines)


def looked(
    made: Country, wanted: Matrix, filled: Mapping[str, Any]
) -> dict[str, list[Measurement]]:
    """Return each place's measurements in column order; abroad, inbound ones too.

    Those come when all else is done: on a slow line they would wait behind it.
    """
    places = {ABROAD: EVERY}
    places |= {a.name: r.at_once for a, r in zip(made.topology.agents, wanted.rows, strict=True)}
    keys = dict(zip(places, filled["keys"], strict=True))
    jobs = []
    for space, most in places.items():
        columns = [(name, wanted.columns[name]) for name in wanted.asked]
        tasks = [_task(made, name, column, filled, keys[space]) for name, column in columns]
        jobs.append(make_job(made, space, most, tasks))
    sites = [
        {"experiment": INSIDE, "target": "", "service": f"{CLOSED}-{n.name}", "options": {}}
        for n in made.topology.networks
    ]
    inside = made.topology.agents[0].name  # of the open network
    found = run_jobs(made, jobs)
    behind = run_jobs(made, [make_job(made, space, EVERY, sites) for space in (ABROAD, inside)])
    return {space: seen + behind.get(space, []) for space, seen in found.items()}


def make_job(
    made: Country, space: str, at_once: int, tasks: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "space": space,
        "config": str(made.folder / "agent.yml"),
        "services": str(made.folder / "services.yml"),
        "at_once": at_once,
        "out": str(made.folder / f"{space}.seen"),
        "tasks": tasks,
    }


def _task(
    made: Country, name: str, column: Mapping[str, Any], filled: Mapping[str, Any], key: peers.Keys
) -> dict[str, Any]:
    at = made.abroad.names[VPN]
    public = filled["wireguard"]
    service = column.get("service", "")
    target = str(column.get("target", service)).format(vpn=at, tunnel=peers.TUNNEL, key=public)
    options = {k: str(v).format(key=key.private) for k, v in column.get("options", {}).items()}
    experiment = column.get("experiment", name)
    return {"experiment": experiment, "target": target, "service": service, "options": options}


def run_jobs(made: Country, jobs: list[dict[str, Any]]) -> dict[str, list[Measurement]]:
    """Return the measurements of each space in the order of the tasks."""
    done = subprocess.run(
        made.world.command("", module_command("lab.country.prober")),
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=MOST_S,
        check=False,
    )
    with (made.folder / "prober.log").open("a") as log:  # both runs
        log.write(done.stderr)
    assert done.returncode == 0, done.stderr[-2_000:]
    return {
        job["space"]: [seen for _, seen in sorted(told(Path(job["out"])).items())] for job in jobs
    }


def judged(made: Country, wanted: Matrix, seen: Mapping[str, list[Measurement]]) -> Cells:
    """Return the verdict of every cell: state, layer, method and rule."""
    columns = wanted.asked
    abroad = seen[ABROAD]
    found: Cells = {}
    for number, (row, place) in enumerate(zip(wanted.rows, made.topology.agents, strict=True)):
        link = classify_link(seen[place.name][columns.index("connectivity")].observations)
        found_here = [replace(m, link=link, epoch=row.id) for m in seen[place.name][: len(columns)]]
        profiles = _profiles(found_here, abroad)
        for column, here, there in zip(columns, found_here, abroad, strict=False):
            verdict = _verdict(made, here, there, profiles.profile_of(taken(here)))
            is_link_told = column == "connectivity" and link is not Link.ONLINE
            found[row.id, column] = _words(verdict) + (f" link {link}" if is_link_told else "")
        behind = len(columns) + number
        inside = seen[made.topology.agents[0].name][behind]
        found[row.id, INSIDE] = _words(_from_outside(made, abroad[behind], inside))
    return found


def _profiles(here: Iterable[Measurement], there: Iterable[Measurement]) -> VantageProfiles:
    """Build the profile of a place from its hellos, as the collector would."""
    profiles = VantageProfiles()
    controls = [replace(measurement, link=Link.ONLINE) for measurement in there]
    for role, measurements in ((AgentRole.CONTROL, controls), (AgentRole.VOLUNTEER, here)):
        for measurement in measurements:
            if measurement.experiment == "hello":
                profiles.update(taken(measurement, role=role))
    return profiles


def _verdict(
    made: Country, here: Measurement, there: Measurement, profile: VantageProfile
) -> Verdict:
    groups = {
        e.id: e.group for s in made.abroad.services if s.name == here.service for e in s.endpoints
    }
    apart_us = abs(here.started_us - there.started_us)
    control = ControlView(
        measurement=there, age_us=apart_us, link=Link.ONLINE, groups=groups,
        # The line passes other tests' hellos, which this profile has not seen.
        profile=replace(profile, passed_hellos=None),
    )  # fmt: skip
    return judge(taken(here), control)[-1]


def _from_outside(made: Country, seen: Measurement, inside: Measurement) -> Verdict:
    """Run by a control, which is its own measure, beside what a vantage inside found."""
    reached = any(x.tls is not None and x.failure is None for x in inside.observations)
    contrast = {
        "site": PeerComparison(reached_vantages=int(reached), reached_countries=int(reached))
    }
    control = ControlView(measurement=seen, age_us=0, link=Link.ONLINE, peer_comparisons=contrast)
    of = taken(replace(seen, link=Link.ONLINE), role=AgentRole.CONTROL)
    return judge(of, control)[-1]


def _words(verdict: Verdict) -> str:
    parts = (str(verdict.state), verdict.layer, verdict.method)
    return " ".join(part for part in parts if part)
