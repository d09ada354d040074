"""What a censor does, as data, and the commands that do it. Pure.

Each kind of interference is one small function from its description to `Measures`: packet filter
rules of the gate, answers of the network's own resolver, traffic turned over to the censor's own
programs, an on-path observer that injects, a slower line. `README.md` lists them for people.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.country.topology import DOMESTIC_DNS, DOMESTIC_WEB, Network

Injection = Literal["", "rst", "dns"]

PROGRAM_HTTP, PROGRAM_TLS = 8090, 8453  # where the censor's own programs listen, at the gate
FREEZE_PACKETS = 25  # of one flow, after which nothing passes any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Interference:
    """One line of a scenario. Everything but `kind` narrows it down; empty means everywhere."""

    kind: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()  # of the names, or by themselves; 192.0.2.0/24 is allowed
    region: str = ""
    address: str = ""  # dns_bogon, dns_injected: what is answered
    port: int = 0
    rate_kbit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What the gate has to set up; everything is taken back by taking back its parts."""

    forward: tuple[str, ...] = ()  # iptables rules without `-A CHAIN`; {queue} is the observer's
    forward6: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()  # nat rules before routing; {gate} is the gate's own address
    zones: tuple[tuple[str, str, str], ...] = ()  # resolver: name, zone type, address or ""
    inject: Injection = ""  # by an observer that cannot hold packets back
    line_kbit: int = 0  # of the whole network
    names: tuple[str, ...] = field(default=())  # what the censor's programs look for


def measures(what: Interference, network: Network) -> Measures:
    """Raises ValueError, which names the kinds there are."""
    kind = KINDS.get(what.kind)
    if kind is None:
        raise ValueError(f"there is no interference {what.kind!r}; there are: {', '.join(KINDS)}")
    return kind(what, _source(what, network))


def _source(what: Interference, network: Network) -> str:
    return f"-s {network.region_prefix(what.region)} " if what.region else ""


def _resolver_says(zone: str) -> "Kind":
    def said(what: Interference, source: str) -> Measures:
        del source  # a resolver serves its whole network
        address = what.address or ("10.10.34.35" if zone == "redirect" else "")
        return Measures(zones=tuple((name, zone, address) for name in what.names))

    return said


def _to_addresses(action: str, match: str = "") -> "Kind":
    """Packets to some addresses, or to all."""

    def filtered(what: Interference, source: str) -> Measures:
        port = f" --dport {what.port}" if what.port else ""
        rule = f"{source}{{to}}{match.format(port=port)} -j {action}"
        four = [a for a in what.addresses if ":" not in a]
        six = [a for a in what.addresses if ":" in a]
        return Measures(
            forward=tuple(rule.format(to=f"-d {a} ") for a in four)
            or (() if six else (rule.format(to=""),)),
            forward6=tuple(rule.removeprefix(source).format(to=f"-d {a} ") for a in six),
        )

    return filtered


def _with_bytes(action: str, protocol: str = "tcp") -> "Kind":
    """Packets in which a name stands: a ClientHello, a Host header."""

    def filtered(what: Interference, source: str) -> Measures:
        port = f" --dport {what.port}" if what.port else ""
        rules = tuple(
            f"{source}-p {protocol}{port} -m string --algo bm --from 40 --to 1500"
            f' --string "{name}" -j {action}'
            for name in what.names
        )
        return Measures(forward=rules, forward6=rules if not source else ())

    return filtered


def _dns_dropped(what: Interference, source: str) -> Measures:
    """Queries for the names, on their way to any resolver abroad; the own one is silent too."""
    rules = tuple(
        f"{source}-p udp --dport 53 -m string --algo bm --hex-string '|{_wire(name)}|' -j DROP"
        for name in what.names
    )
    return Measures(forward=rules, zones=tuple((n, "always_deny", "") for n in what.names))


def _dns_injected(what: Interference, source: str) -> Measures:
    """Of every query that goes abroad, the provider's own resolver's included."""
    rules = tuple(
        f"{source}-p udp --dport 53 -m string --algo bm --hex-string '|{_wire(name)}|' -j {{queue}}"
        for name in what.names
    )
    return Measures(forward=rules, inject="dns", names=what.names)


def _rst_injected(what: Interference, source: str) -> Measures:
    rules = tuple(
        f'{source}-p tcp -m string --algo bm --from 40 --to 1500 --string "{name}" -j {{queue}}'
        for name in what.names
    )
    return Measures(forward=rules, inject="rst", names=what.names)


def _block_page(what: Interference, source: str) -> Measures:
    turn = (f"{source}-p tcp --dport 80 -j DNAT --to-destination {{gate}}:{PROGRAM_HTTP}",)
    return Measures(turn=turn, names=what.names)


def _tls_interception(what: Interference, source: str) -> Measures:
    turn = (f"{source}-p tcp --dport 443 -j DNAT --to-destination {{gate}}:{PROGRAM_TLS}",)
    return Measures(turn=turn, names=what.names)


def _policed(what: Interference, source: str) -> Measures:
    """Packets beyond a rate are dropped, both ways, for these addresses."""
    bytes_s = max(1, what.rate_kbit or 64) * 125
    over = (
        f"-m hashlimit --hashlimit-above {bytes_s}b/s --hashlimit-burst {max(3_000, bytes_s)}b"
        f" --hashlimit-mode srcip,dstip --hashlimit-name lab-{{n}} -j DROP"
    )
    del source
    rules = [f"-s {a} {over.format(n=i)}" for i, a in enumerate(what.addresses)]
    return Measures(forward=tuple(rules) or (over.format(n="all"),))


def _slow_line(what: Interference, source: str) -> Measures:
    del source
    return Measures(line_kbit=what.rate_kbit or 256)


def _freeze(what: Interference, source: str) -> Measures:
    """One flow passes so many packets, then nothing: no reset, no end."""
    port = f" --dport {what.port}" if what.port else ""
    long = (
        f"-m connbytes --connbytes {FREEZE_PACKETS}: --connbytes-mode packets"
        " --connbytes-dir both -j DROP"
    )
    to = [f"-d {a} " for a in what.addresses] or [""]
    back = [f"-s {a} " for a in what.addresses]
    del source
    return Measures(
        forward=(
            *(f"{a}-p tcp{port} {long}" for a in to),
            *(f"{a}-p tcp {long}" for a in back),
        )
    )


def _whitelist(what: Interference, source: str) -> Measures:
    """Only the named addresses, and names by the network's own resolver, pass."""
    passing = (*what.addresses, DOMESTIC_WEB, DOMESTIC_DNS)
    return Measures(
        forward=(
            "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
            *(f"{source}-d {a} -j RETURN" for a in passing),
            f"{source}-j DROP",
        ),
        forward6=("-j DROP",) if not source else (),
    )


def _cut(what: Interference, source: str) -> Measures:
    del what
    if not source:
        return Measures(forward=("-j DROP",), forward6=("-j DROP",))
    back = source.replace("-s ", "-d ", 1)
    return Measures(forward=(f"{source}-j DROP", f"{back}-j DROP"))


def _abroad_cut(what: Interference, source: str) -> Measures:
    """The country's own hosts stay."""
    del what
    inside = "5.0.0.0/8"
    both = (f"{source}! -d {inside} -j DROP",)
    back = source.replace("-s ", "-d ", 1) if source else f"-d {inside} "
    return Measures(
        forward=(*both, f"{back}! -s {inside} -j DROP"), forward6=("-j DROP",) if not source else ()
    )


def _wire(name: str) -> str:
    """The name as DNS writes it, in hex: lengths and labels (RFC 1035 section 3.1)."""
    labels = name.rstrip(".").split(".")
    return "".join(f"{len(label):02x}{label.encode().hex()}" for label in labels) + "00"


Kind = Callable[[Interference, str], Measures]
KINDS: Mapping[str, Kind] = {
    "dns_nxdomain": _resolver_says("always_nxdomain"),
    "dns_refused": _resolver_says("always_refuse"),
    "dns_bogon": _resolver_says("redirect"),
    "dns_dropped": _dns_dropped,
    "dns_injected": _dns_injected,
    "syn_dropped": _to_addresses("DROP", "-p tcp{port} --syn"),
    "syn_reset": _to_addresses("REJECT --reject-with tcp-reset", "-p tcp{port} --syn"),
    "address_dropped": _to_addresses("DROP"),
    "sni_reset": _with_bytes("REJECT --reject-with tcp-reset"),
    "sni_reset_injected": _rst_injected,
    "sni_dropped": _with_bytes("DROP"),
    "host_reset": _with_bytes("REJECT --reject-with tcp-reset"),
    "block_page": _block_page,
    "tls_interception": _tls_interception,
    "quic_dropped": _to_addresses("DROP", "-p udp --dport 443"),
    "policed": _policed,
    "slow_line": _slow_line,
    "freeze": _freeze,
    "whitelist": _whitelist,
    "abroad_cut": _abroad_cut,
    "cut": _cut,
}
