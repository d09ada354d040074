"""Set the field up, play every row at its place and the control, return results.

Everything runs in a separate world (lab/country/world.py): real unbound, nginx and TLS servers,
real filter rules, observers that inject, and a box in the path.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heliograph.address import is_special_purpose
from heliograph.codec import measurement_from_pb
from heliograph.experiments import is_visitable
from heliograph.observation import Link, Measurement
from heliograph.v1 import observation_pb2
from heliograph.visit_servers import find_redirect_host
from heliograph_collector.control.met_endpoints import list_met_endpoints
from lab.country.world import World, world
from support.condition import Condition
from support.field import box, servers
from support.field import places as at
from support.field.setup import QUEUES, Certificates, Row
from support.programs import eventually, started

TESTS = Path(__file__).parents[2]
PYTHON = ["env", f"PYTHONPATH={TESTS}", sys.executable, "-m"]
DEADLINE_S = 150
ANCHORS = (("resolver-a", "dns", at.ANCHOR_NAME, 53, "/"),
 ("captive-a", "http", at.ANCHOR_NAME, 80, "/generate_204"),
 ("foreign-a", "https", at.ANCHOR_NAME, 443, "/generate_204"),
 ("foreign-address", "tcp", at.ANCHOR, 443, "/"),
 ("domestic-a", "https", at.DOMESTIC_NAME, 443, "/generate_204"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    measurement: Measurement
    link: Link


@dataclass(frozen=True, slots=True)
class Played:
    here: Seen
    control: Seen
    visit: Seen | None = None  # the control at the endpoints that were met here


def play(
    conditions: Iterable[Condition], folder: Path, *, visits: bool = False
) -> Mapping[str, Played]:
    """Play the conditions; return the results by the rows' names.

    Raises Missing where namespaces cannot be had.
    """
    rows = [Row(condition) for condition in conditions if condition.live is not None]
    with world() as where, ExitStack() as stack:
        field = Field(where, rows, folder, stack)
        field.wire()
        field.serve()
        field.interfere()
        played = field.look()
        return field.visit(played) if visits else played


class Field:
    """`folder` holds every configuration and log."""

    def __init__(self, where: World, rows: Sequence[Row], folder: Path, stack: ExitStack) -> None:
        self._world, self._rows, self._folder, self._stack = where, rows, folder, stack
        self._certificates = Certificates(folder)

    def wire(self) -> None:
        self._world.script(list(wiring()))

    def serve(self) -> None:
        """Start all servers; return once everything listens."""
        rows, folder = self._rows, self._folder
        self._start_server(
            "abroad", servers.resolver_conf(rows, self._certificates, folder), "unbound", at.ABROAD
        )
        self._start_server("provider", servers.provider_conf(rows, folder), "unbound", at.GATE)
        if any(row.is_signed for row in rows):
            self._start_server("lenient", servers.lenient_conf(rows, folder), "unbound", at.ABROAD)
        web = servers.web_conf(rows, self._certificates, folder)
        self._start_server("web", web, "nginx", at.ABROAD)
        home = servers.domestic_conf(self._certificates, folder)
        self._start_server("domestic", home, "nginx", at.GATE)
        doh = self._certificates.files("good", at.DOH)
        self._start(at.ABROAD, "doh", [*PYTHON, "lab.country.doh", *doh, at.DOH])
        hosts = [self._host(row, host) for row in rows for host in row.hosts()]
        self._box("hosts", at.ABROAD, [h for h in hosts if not h["address"].startswith("77.")], [])
        turned = [self._certified(row, rule) for row in rows for rule in row.turned()]
        portal = {"title": "Welcome to the hotel", "text": "Log in to go on."}
        turned += [
            {"source": at.address_of("captive"), "port": 80, "does": {"page": portal}},
            {
                "source": at.address_of("captive"),
                "port": 443,
                "does": {"intercept": self._certificates.files("stranger", "portal.example")},
            },
            {
                "source": at.address_of("office"),
                "port": 443,
                "does": {"intercept": self._certificates.office_files(self._office_names())},
            },
        ]
        gate = [h for h in hosts if h["address"].startswith("77.")]
        self._box("box", at.GATE, gate, turned)
        self._serve_protocols()
        eventually(self._listening, f"the field's servers, see {folder}", 20)

    def _office_names(self) -> list[str]:
        names = [row.host for row in self._rows if row.place == "office"]
        return [*names, at.ANCHOR_NAME, at.NEUTRAL_NAME, at.DOMESTIC_NAME]

    def _serve_protocols(self) -> None:
        stands: dict[str, list[tuple[str, int]]] = {}
        for row in self._rows:
            for one in row.said.get("stands", ()):
                stands.setdefault(one["as"], []).append((one["at"], one["port"]))
        self._ready(
            at.ABROAD, "stands", [*PYTHON, "lab.country.stand_ins", self._file("stands", stands)]
        )
        quic = [(at.NEUTRAL, at.NEUTRAL_NAME), *self._places("quic")]
        told = {
            "quic": [(address, *self._certificates.files("good", name)) for address, name in quic],
            "echo": [address for address, _ in self._places("echo")],
        }
        self._ready(at.ABROAD, "peers", [*PYTHON, "support.field.peers", self._file("peers", told)])
        if stun := [address for address, _ in self._places("stun")]:
            self._start(at.ABROAD, "stun", servers.coturn(stun, self._folder))
        if any(row.experiment == "vpn" for row in self._rows):
            good = self._certificates.good
            for transport in ("udp", "tcp-server"):
                command = servers.openvpn(transport, good, good.leaf("vpn.example"), "--multihome")
                self._start(at.ABROAD, f"openvpn-{transport}", command)

    def _places(self, key: str) -> Iterator[tuple[str, str]]:
        for row in self._rows:
            for address in row.said.get(key, ()):
                yield address, row.host_at(address)

    def _file(self, name: str, told: object) -> str:
        file = self._folder / f"{name}.json"
        file.write_text(json.dumps(told))
        return str(file)

    def interfere(self) -> None:
        """Apply the filter rules of all rows, and remove what the places lack."""
        self._world.run(at.GATE, "iptables-restore", text="\n".join(self._tables()) + "\n")
        for space, chain, key, program in (
            (at.GATE, "FORWARD", "gate6", "ip6tables"),
            (at.ABROAD, "INPUT", "site_gate", "iptables"),
        ):
            rules = [rule for row in self._rows for rule in row.said.get(key, ())]
            self._world.script([f"{program} -w -A {chain} {rule}" for rule in rules], space)
        routes = [route for row in self._rows for route in row.said.get("own_route", ())]
        self._world.script([f"ip route add {route}" for route in routes], "home")
        for (what, answer), queue in QUEUES.items():
            if any(f"--queue-num {queue} " in rule for row in self._rows for rule in row.rules()):
                argv = [*PYTHON, "lab.country.observer", what, "--queue", str(queue)]
                argv += ["--answer", answer] if answer else []
                self._ready(at.GATE, f"observer-{queue}", argv)

    def look(self) -> Mapping[str, Played]:
        """Measure in all places at the same time."""
        jobs: dict[str, list[Mapping[str, Any]]] = {at.CONTROL: []}
        for row in self._rows:
            jobs.setdefault(row.place, []).append(row.job())
            jobs.setdefault(row.control_place, []).append(row.job(control=True))
        seen = self._run(jobs)
        return {r.name: Played(seen[r.name], seen[f"control {r.name}"]) for r in self._rows}

    def visit(self, played: Mapping[str, Played]) -> Mapping[str, Played]:
        """Let the control repeat each row at the public addresses that were met."""
        jobs = []
        for row in self._rows:
            addresses = _list_met(played[row.name].here.measurement)
            is_asked = row.control_place == at.CONTROL and is_visitable(row.experiment)
            if addresses and is_asked:
                jobs.append({**row.job(control=True), "id": row.name, "addresses": addresses})
        seen = self._run({at.CONTROL: jobs})
        return {name: replace(one, visit=seen.get(name)) for name, one in played.items()}

    def _run(self, jobs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Seen]:
        running = {place: self._vantage(place, some) for place, some in jobs.items()}
        seen: dict[str, Seen] = {}
        for place, process in running.items():
            code = process.wait(timeout=DEADLINE_S)
            assert code == 0, f"{place}: {(self._folder / f'{place}.log').read_text()[-2_000:]}"
            seen |= dict(_results((self._folder / f"{place}.out").read_bytes()))
        return seen

    def _vantage(self, place: str, jobs: Sequence[Mapping[str, Any]]) -> "subprocess.Popen[bytes]":
        resolver = at.RESOLVER if place == at.CONTROL else at.PROVIDER
        plan = self._folder / f"{place}.json"
        keys = ("id", "kind", "host", "port", "path")
        anchors = [dict(zip(keys, anchor, strict=True)) for anchor in ANCHORS]
        told = {
            "anchors": anchors, "resolver": f"{resolver}:53", "jobs": jobs,
            "ca_file": str(self._certificates.trusted),
        }  # fmt: skip
        plan.write_text(json.dumps(told))
        argv = [*PYTHON, "support.field.vantage", str(plan)]
        out, log = ((self._folder / f"{place}.{kind}").open("wb") for kind in ("out", "log"))
        with out, log:  # a pipe would fill, and stop the place, until somebody reads
            return subprocess.Popen(self._world.command(place, argv), stdout=out, stderr=log)

    def _host(self, row: Row, host: Mapping[str, Any]) -> dict[str, Any]:
        tls = host.get("tls", "")
        files = self._certificates.files(tls, row.host) if tls else None
        port = host["port"]
        return {"address": host["at"], "port": port, "tls": files, "does": host["does"]}

    def _certified(self, row: Row, rule: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace `intercept`, the kind of a certificate, by its files."""
        does = rule["does"]
        if "intercept" not in does:
            return rule
        files = self._certificates.files(does["intercept"], does.get("of", row.host))
        return {**rule, "does": {"intercept": files}}

    def _box(self, name: str, space: str, hosts: list[Any], turned: list[Any]) -> None:
        plan = self._file(name, {"listen": hosts, "turned": turned})
        self._ready(space, name, [*PYTHON, "support.field.box", plan])

    def _start_server(self, name: str, config: str, program: str, space: str) -> None:
        file = self._folder / f"{name}.conf"
        file.write_text(config)
        argv = {
            "unbound": ["/usr/sbin/unbound", "-d", "-c", str(file)],
            "nginx": ["/usr/sbin/nginx", "-c", str(file), "-e", f"{self._folder}/{name}.errors"],
        }[program]
        self._start(space, name, argv)

    def _start(self, space: str, name: str, argv: list[str]) -> None:
        log = self._folder / f"{name}.log"
        self._stack.enter_context(started(self._world.command(space, argv), log))

    def _ready(self, space: str, name: str, argv: list[str]) -> None:
        """Start a program and wait until it prints that it is ready."""
        with (self._folder / f"{name}.log").open("ab") as log:
            program = subprocess.Popen(
                self._world.command(space, argv), stdout=subprocess.PIPE, stderr=log
            )
        self._stack.callback(_stop, program)
        assert program.stdout is not None
        if program.stdout.readline() != b"ready\n":
            raise RuntimeError(
                f"{name} did not start: {(self._folder / f'{name}.log').read_text()}"
            )

    def _listening(self) -> bool:
        wanted = {
            at.ABROAD: (f"{at.RESOLVER}:53", f"{at.ANCHOR}:443", f"{at.DOH}:443"),
            at.GATE: (f"{at.PROVIDER}:53", f"{at.DOMESTIC}:443"),
        }
        shown = {space: self._world.run(space, "ss", "-Hltun") for space in wanted}
        return all(place in shown[space] for space, some in wanted.items() for place in some)

    def _tables(self) -> Iterator[str]:
        yield "*nat"
        for row in self._rows:
            for rule in row.turned():
                yield _turn(f"-d {rule['to']} -p tcp --dport {rule['port']}")
            yield from (f"-A PREROUTING {rule}" for rule in row.said.get("turn", ()))
        for place, port in (("captive", 80), ("captive", 443), ("office", 443)):
            yield _turn(f"-s {at.address_of(place)} -p tcp --dport {port}")
        yield "COMMIT"
        yield "*filter"
        yield f"-A FORWARD -s {at.address_of('domestic')} -j DROP"
        for chain in ("INPUT", "FORWARD"):
            yield f"-A {chain} -s {at.address_of('offline')} -j DROP"
            for protocol in ("udp", "tcp"):
                yield f"-A {chain} -s {at.address_of('mute')} -p {protocol} --dport 53 -j DROP"
        for row in self._rows:
            yield from (f"-A FORWARD {rule}" for rule in row.rules())
        yield "COMMIT"


def _turn(match: str) -> str:
    return f"-A PREROUTING {match} -j DNAT --to-destination {at.PROVIDER}:{box.PORT}"


def _results(out: bytes) -> Iterator[tuple[str, Seen]]:
    for line in out.splitlines():
        said = json.loads(line)
        message = observation_pb2.Measurement.FromString(base64.b64decode(said["measurement"]))
        yield said["id"], Seen(measurement_from_pb(message), Link(said["link"]))


def _list_met(measurement: Measurement) -> dict[str, list[str]]:
    """Return, by endpoint, the addresses that an order for visits would name."""
    addresses: dict[str, list[str]] = {}
    for end in sorted(list_met_endpoints(measurement)):
        is_redirect = end.label.startswith(("redirect-", "https://"))
        is_named = not is_redirect or find_redirect_host(end.label, measurement.target, ())
        if is_named and not is_special_purpose(end.address):
            addresses.setdefault(end.label, []).append(end.address)
    return {label: list(dict.fromkeys(some)) for label, some in addresses.items()}


def _stop(program: "subprocess.Popen[bytes]") -> None:
    program.kill()
    program.wait(timeout=60)
    if program.stdout is not None:
        program.stdout.close()


def wiring() -> Iterator[str]:
    """Yield shell lines, in an order in which each finds what it needs."""
    for space in (at.ABROAD, at.BORDER, at.GATE, at.CONTROL, *at.PLACES):
        yield f"ip netns add {space}"
        yield f"ip netns exec {space} sysctl -qw net.ipv6.conf.default.dad_transmits=0"
        yield f"ip -n {space} link set lo up"
    for space in (at.ABROAD, at.BORDER, at.GATE):
        yield (
            f"ip netns exec {space} sysctl -qw net.ipv4.ip_forward=1"
            " net.ipv6.conf.all.forwarding=1 net.ipv6.ip_nonlocal_bind=1"
        )
    yield from _cable(at.BORDER, at.BORDER_WIRE, at.ABROAD, at.ABROAD_WIRE, "2a0d:5600:")
    yield from _cable(at.GATE, at.GATE_WIRE, at.BORDER, at.BORDER_HOME, "2a0d:5600:3:")
    yield from _cable(at.CONTROL, at.CONTROL_ADDRESS, at.ABROAD, at.CONTROL_WIRE, "2a0d:5600:2:")
    for prefix in ("45.90.2.0/24", "45.91.0.0/16", "45.92.0.0/16", f"{at.PUBLIC}/32"):
        yield f"ip -n {at.ABROAD} route add local {prefix} dev lo"
    yield f"ip -n {at.ABROAD} -6 route add local {at.SIX_ABROAD}::/48 dev lo"
    yield f"ip -n {at.ABROAD} route add 45.90.1.0/24 via {at.BORDER_WIRE}"
    for space, far, far_six in (
        (at.ABROAD, at.BORDER_WIRE, "2a0d:5600::2"),
        (at.BORDER, at.GATE_WIRE, "2a0d:5600:3::2"),
    ):
        yield f"ip -n {space} route add 5.0.0.0/8 via {far}"
        yield f"ip -n {space} -6 route add {at.SIX}::/48 via {far_six}"
    for prefix in (f"{at.PROVIDER}/32", f"{at.DOMESTIC}/32", "77.77.0.0/16"):
        yield f"ip -n {at.GATE} route add local {prefix} dev lo"
    for place in at.PLACES:
        yield from _home(place)


def _cable(space: str, address: str, other: str, far: str, six: str) -> Iterator[str]:
    """Link two namespaces: `space` gets device `out` and its default route by it."""
    yield f"ip -n {space} link add out type veth peer name {space} netns {other}"
    for where, device, end, last in ((space, "out", address, 2), (other, space, far, 1)):
        yield f"ip -n {where} address add {end}/24 dev {device}"
        yield f"ip -n {where} -6 address add {six}:{last}/64 dev {device} nodad"
        yield f"ip -n {where} link set {device} up"
    yield f"ip -n {space} route add default via {far}"
    yield f"ip -n {space} -6 route add default via {six}:1"


def _home(place: str) -> Iterator[str]:
    """Link a vantage to the gate; only the one named `six` gets IPv6."""
    address = at.address_of(place)
    yield f"ip -n {place} link add out type veth peer name {place} netns {at.GATE}"
    yield f"ip -n {place} address add {address}/32 dev out"
    yield f"ip -n {place} link set out up"
    yield f"ip -n {at.GATE} link set {place} up"
    yield f"ip -n {at.GATE} route add {address}/32 dev {place}"
    yield f"ip -n {place} route add {at.PROVIDER}/32 dev out"
    yield f"ip -n {place} route add default via {at.PROVIDER}"
    if place == "six":
        yield f"ip -n {place} -6 address add {at.SIX}::2/128 dev out nodad"
        yield f"ip -n {at.GATE} -6 address add fe80::1/64 dev {place} nodad"
        yield f"ip -n {at.GATE} -6 route add {at.SIX}::2/128 dev {place}"
        yield f"ip -n {place} -6 route add default via fe80::1 dev out"
