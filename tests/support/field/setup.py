"""Turn the rows' `live` parts into settings of the field; it makes certificates.

says          the set-up in words
target        what is tested; by default the row's own name, as the experiment wants it
options, net, deadline_s, clock_s   of the job
place         home, offline, domestic, captive, mute, six, office; control_place for the control
endpoints     of a service, as in services.yml
resolver      what the provider's resolver says: addresses, or an unbound zone type
asks          abroad: the vantage's system asks the resolver abroad
control_asks  the address of the control's resolver, as $lenient, which validates nothing
signed        the name's zone has DNSSEC: {validated_by: [provider, abroad], is_changed: true}
truth         what the name's records are: addresses, or nothing
names         further names, by their addresses
site          the name's own web server (nginx): good, expired, other_host, stranger, nobody, none
hosts         servers by script: {at, port, tls, does}, see box.py; tls is whose certificate
fails, resolver_fails   nobody's resolver, or not the provider's, gets an answer for the name
gate6, site_gate   rules of the gate for IPv6, of the hosts abroad; own_route of the vantage
gate          packet filter: {kind: …} of the lab's interference, or a rule of iptables
box           what the censor's box does: {to, port, sees, does}
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.country.interference import Interference, measures
from lab.country.topology import Network
from support.condition import Condition
from support.field.places import (
    ALIVE,
    INJECTED,
    NEUTRAL_NAME,
    NOWHERE,
    PROVIDER,
    RESOLVER,
    filled,
    placeholders,
)
from support.field.signed_zone import SignedZone
from support.loopback_ca import Leaf, LoopbackCA

NETWORK = Network(0, "home", "Home", 64_500, "mobile", {}, ())
QUEUES = {("rst", ""): 1, ("dns", INJECTED): 2, ("dns", ALIVE): 3}  # of observers, by their answer
TARGETS = {
    "web": "https://$name/", "dns": "$name", "tcp": "$name:443", "tls": "$name:443",
    "dns_integrity": "$name", "sni": "$name", "http_host": "$name", "quic": "$name:443",
    "ech": "$name:443", "path": "$name:443", "middlebox": "$site:80",
    "throttling": "https://$name/large",
}  # fmt: skip
SEALED = "https://45.90.2.54/dns-query"
OPTIONS = {
    "web": {"doh": SEALED},
    "dns": {"doh": SEALED},
    "dns_integrity": {
        "doh": SEALED, "dot": "9.9.9.10:853", "nowhere": f"{NOWHERE}:53", "neutral": NEUTRAL_NAME,
        "whoami": "",
    },
    "sni": {"neutral": f"{NEUTRAL_NAME}:443"},
    "http_host": {"neutral": f"{NEUTRAL_NAME}:80"},
    "quic": {"neutral": f"{NEUTRAL_NAME}:443", "page": "false"},
    "ech": {"doh": SEALED},
    "path": {"neutral": NEUTRAL_NAME, "hops": "6"},
    "throttling": {"neutral": f"https://{NEUTRAL_NAME}/large"},
}  # fmt: skip
FEW = {"options", "net", "deadline_s", "endpoints"}


class Row:
    def __init__(self, condition: Condition) -> None:
        assert condition.live is not None
        self.name = condition.name
        self.experiment = condition.experiment
        self.words = placeholders(condition.number)
        self.host = self.words["name"]
        self.said: Mapping[str, Any] = filled(condition.live, self.words)
        self._signed: SignedZone | None = None

    @property
    def place(self) -> str:
        return str(self.said.get("place", "home"))

    @property
    def control_place(self) -> str:
        return str(self.said.get("control_place", "control"))

    @property
    def truth(self) -> Sequence[str]:
        return tuple(self.said.get("truth", (self.words["site"],)))

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """Return every existing name of the row, with its addresses."""
        return {self.host: self.truth, **self.said.get("names", {})}

    def host_at(self, address: str) -> str:
        return next((n for n, some in self.names.items() if address in some), self.host)

    def job(self, *, control: bool = False) -> dict[str, Any]:
        target = self.said.get("target", filled(TARGETS.get(self.experiment, ""), self.words))
        asks = RESOLVER if control or self.said.get("asks") == "abroad" else PROVIDER
        if control:
            asks = self.said.get("control_asks", asks)
        more = {key: self.said[key] for key in FEW if key in self.said and key != "options"}
        if not control and "clock_s" in self.said:
            more["clock_s"] = self.said["clock_s"]
        options = OPTIONS.get(self.experiment, {}) | dict(self.said.get("options", {}))
        if control:
            more.pop("deadline_s", None)
        return {
            "id": f"control {self.name}" if control else self.name, "experiment": self.experiment,
            "target": target if self.experiment in TARGETS or "target" in self.said else "",
            "options": {key: str(value) for key, value in options.items()},
            "resolver": f"{asks}:53", **more,
        }  # fmt: skip

    @property
    def is_signed(self) -> bool:
        return "signed" in self.said

    def signed(self, folder: Path) -> SignedZone:
        """Return the name's zone, which all resolvers read; the keys are made once."""
        if self._signed is None:
            said = self.said["signed"]
            self._signed = SignedZone(
                self.host,
                self.truth[0],
                folder,
                said["validated_by"],
                is_changed=said["is_changed"],
            )
        return self._signed

    def zones(self) -> Iterator[str]:
        """Yield the lies of the provider's resolver as lines for unbound."""
        said = self.said.get("resolver", ())
        if isinstance(said, str):
            yield f'  local-zone: "{self.host}." {said}\n'
        elif said:
            yield f'  local-zone: "{self.host}." redirect\n'
            for address in said:
                kind = "AAAA" if ":" in address else "A"
                yield f'  local-data: "{self.host}. 5 IN {kind} {address}"\n'

    def rules(self) -> Iterator[str]:
        """Yield the rules of the gate's packet filter for traffic that it forwards."""
        for number, one in enumerate(self.said.get("gate", ())):
            if isinstance(one, str):
                yield one
                continue
            what = Interference(**{"names": (self.host,), "addresses": self.truth, **_tuples(one)})
            does = measures(what, NETWORK)
            queue = (
                f"NFQUEUE --queue-num {QUEUES.get((does.inject, what.address), 0)} --queue-bypass"
            )
            unique = f"lab-{self.host[1:4]}{number}"
            for rule in does.forward:
                rule = rule.replace("{queue}", queue).replace(
                    "'", '"'
                )  # as iptables-restore quotes
                yield rule.replace("--hashlimit-name lab-", f"--hashlimit-name {unique}-")

    def turned(self) -> Iterator[Mapping[str, Any]]:
        for one in self.said.get("box", ()):
            yield {"to": self.words["site"], "port": 443, **one}

    def hosts(self) -> Sequence[Mapping[str, Any]]:
        return tuple(self.said.get("hosts", ()))

    def taken(self) -> frozenset[tuple[str, int]]:
        """Return the endpoints at which the ordinary web server must not listen."""
        scripted = {(one["at"], one["port"]) for one in self.hosts()}
        spoken = {(one["at"], one["port"]) for one in self.said.get("stands", ())}
        echoes = {(address, 80) for address in self.said.get("echo", ())}
        return frozenset(scripted | spoken | echoes)


def _tuples(said: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in said.items()}


class Certificates:
    """Certificates of the good CA, the censor's untrusted CA, and a gateway's CA."""

    def __init__(self, folder: Path) -> None:
        good, other = LoopbackCA(folder / "ca"), LoopbackCA(folder / "other", "Another CA")
        self.good, self._other = good, other
        self.trusted = folder / "trusted.pem"
        self.trusted.write_bytes(good.ca_file.read_bytes() + other.ca_file.read_bytes())
        self._untrusted = {
            "stranger": LoopbackCA(folder / "censor", "Qaznet Trust Network, a test's"),
            "gateway": LoopbackCA(folder / "gateway", "Fortinet, a test's"),
            "nobody": LoopbackCA(folder / "nobody", "Nobody in particular"),
        }
        self._office = LoopbackCA(folder / "office", "Acme Industries Forward Trust")

    def of(self, kind: str, name: str) -> Leaf:
        """Return a certificate; a kind that is not listed is the name of a good one."""
        if kind == "expired":
            return self.good.expired(name)
        if kind == "expired_elsewhere":
            return self._other.expired(name)
        if kind == "other_host":
            return self.good.leaf("elsewhere.example")
        if kind in self._untrusted:
            return self._untrusted[kind].leaf(name, common_name=name)
        return self.good.leaf(name if kind == "good" else kind)

    def files(self, kind: str, name: str) -> list[str]:
        leaf = self.of(kind, name)
        return [str(leaf.chain), str(leaf.key)]

    def office_files(self, names: Iterable[str]) -> list[str]:
        """Issue one certificate of the office's CA for all names; real gateways make many."""
        leaf = self._office.leaf(*names)
        return [str(leaf.chain), str(leaf.key)]
