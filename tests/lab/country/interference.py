"""Interference of a censor as data, and the commands that apply it. Pure.

Each kind of interference is one small function from its description to `Measures`: packet filter
rules of the gate, answers of the network's resolver, traffic turned over to the censor's programs,
an on-path observer that injects, a slower line. `README.md` lists them for people.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.country.topology import DOMESTIC_DNS, DOMESTIC_WEB, Network

Injection = Literal["", "rst", "dns"]
# Of hello_dropper.
HelloFilter = Literal["", "browsers", "all_but_browsers", "sealed", "name", "first_segment"]
Program = Literal["", "pages", "intercept", "headers", "portal"]  # of interceptor.py

# Where the censor's own programs listen, at the gate.
PROGRAM_HTTP, PROGRAM_PROXY, PROGRAM_TLS = 8090, 8091, 8453
KNOWN, MINDED = "0x77", "0x66"  # marks of connections: opened in a known protocol; named a name
HELLO_PACKETS = 64  # of a flow from its client: a hello, and its repeats for a minute
LOST = 0.3  # share of packets, either way, on a lossy line
FREEZE_PACKETS = 25  # of one flow on a named port, likewise
FREEZE_BYTES = 24_000  # of one flow's answers, after which nothing passes any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Interference:
    """One line of a scenario; an empty field other than `kind` matches everything."""

    kind: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()  # of the names, or by themselves; 192.0.2.0/24 is allowed
    region: str = ""
    source: str = ""  # one address of the network's, in place of a region
    address: str = ""  # dns_bogon, dns_injected: what is answered
    port: int = 0
    rate_kbit: int = 0
    size: int = 0  # freeze: bytes of a flow's answers that pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The settings of a gate; removing the parts removes all of it."""

    forward: tuple[str, ...] = ()  # iptables rules without `-A CHAIN`; {queue} is the observer's
    forward6: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()  # nat rules before routing; {gate} is the gate's own address
    program: Program = ""  # to which connections are turned
    zones: tuple[tuple[str, str, str], ...] = ()  # resolver: name, zone type, address or ""
    inject: Injection = ""  # by an observer that cannot hold packets back
    hellos: HelloFilter = ""  # which of them end a flow, by a program in the path
    line_kbit: int = 0  # of the whole network
    names: tuple[str, ...] = field(default=())  # what the censor's programs look for


def measures(what: Interference, network: Network) -> Measures:
    """Return a gate's measures; raise ValueError that names the existing kinds."""
    kind = KINDS.get(what.kind) or CONDITIONS.get(what.kind)
    if kind is None:
        raise ValueError(f"there is no interference {what.kind!r}; there are: {', '.join(KINDS)}")
    return kind(what, _source(what, network))


def _source(what: Interference, network: Network) -> str:
    source = what.source or (network.region_prefix(what.region) if what.region else "")
    return f"-s {source} " if source else ""


def _resolver_says(zone: str) -> "Kind":
    def said(what: Interference, _: str) -> Measures:  # a resolver serves its whole network
        address = what.address or ("10.10.34.35" if zone == "redirect" else "")
        return Measures(zones=tuple((name, zone, address) for name in what.names))

    return said


def _to_addresses(action: str, match: str = "") -> "Kind":
    """Return a kind that acts on packets to some addresses, or to all."""

    def filtered(what: Interference, source: str) -> Measures:
        port = _port(what)
        rule = f"{source}{{to}}{match.format(port=port)} -j {action}"
        four = _four(what)
        six = [a for a in what.addresses if ":" in a]
        return Measures(
            forward=tuple(rule.format(to=f"-d {a} ") for a in four)
            or (() if six else (rule.format(to=""),)),
            forward6=tuple(rule.removeprefix(source).format(to=f"-d {a} ") for a in six),
        )

    return filtered


def _with_bytes(action: str) -> "Kind":
    """Return a kind for packets with a name: a ClientHello, a Host header."""

    def filtered(what: Interference, source: str) -> Measures:
        port = _port(what)
        rules = tuple(f"{source}{_name_in_tcp(name, port)} -j {action}" for name in what.names)
        return Measures(forward=rules, forward6=rules if not source else ())

    return filtered


def _injected(inject: Injection, match: Callable[[str], str]) -> "Kind":
    """Return a kind that hands packets with a name to the observer.

    Those of the provider's own resolver are included.
    """

    def injected(what: Interference, source: str) -> Measures:
        rules = tuple(f"{source}{match(name)} -j {{queue}}" for name in what.names)
        return Measures(forward=rules, inject=inject, names=what.names)

    return injected


def _hellos(dropped: HelloFilter) -> "Kind":
    """Return a kind that hands the start of TLS connections to a hello filter."""

    def filtered(what: Interference, source: str) -> Measures:
        first = f"-m connbytes --connbytes 0:{HELLO_PACKETS} --connbytes-dir original"
        match = f"-p tcp --dport 443 {first} --connbytes-mode packets -j {{queue}}"
        return Measures(
            forward=tuple(f"{source}-d {a} {match}" for a in _four(what)) or (f"{source}{match}",),
            hellos=dropped,
            names=what.names,
        )

    return filtered


def _dns_query(name: str) -> str:
    return f"-p udp --dport 53 -m string --algo bm --hex-string '|{_wire(name)}|'"


def _name_in_tcp(name: str, port: str = "") -> str:
    return f'-p tcp{port} -m string --algo bm --from 40 --to 1500 --string "{name}"'


def _flows_with_bytes(what: Interference, source: str) -> Measures:
    """Drop the rest of a connection once a name was in it."""
    port = _port(what)
    mark = f"-j CONNMARK --set-mark {MINDED}"
    marked = [f"{source}{_name_in_tcp(name, port)} {mark}" for name in what.names]
    rules = (*marked, f"{source}-p tcp{port} -m connmark --mark {MINDED} -j DROP")
    return Measures(forward=rules, forward6=rules if not source else ())


def _redirect(match: str, port: int, program: Program = "") -> "Kind":
    """Turn matching connections over to a port of the gate, where `program` listens."""

    def redirected(what: Interference, source: str) -> Measures:
        turn = f"{source}{match} -j DNAT --to-destination {{gate}}:{port}"
        return Measures(turn=(turn,), program=program, names=what.names)

    return redirected


def _drop(match: str) -> "Kind":
    """Drop matching packets of the network, or of one region."""
    return lambda what, source: Measures(forward=(f"{source}{match} -j DROP",))


def _dns_dropped(what: Interference, source: str) -> Measures:
    """Drop queries for the names to resolvers abroad; the domestic one is silent too."""
    rules = tuple(f"{source}{_dns_query(name)} -j DROP" for name in what.names)
    return Measures(forward=rules, zones=tuple((n, "always_deny", "") for n in what.names))


def _vpn_dropped(_: Interference, source: str) -> Measures:
    """Drop the first messages of WireGuard (148 bytes) and OpenVPN (14, its opcode)."""
    return Measures(
        forward=(
            f"{source}-p udp -m length --length 176 {_bytes_at('01000000', 28, 32)} -j DROP",
            f"{source}-p udp -m length --length 42 {_bytes_at('38', 28, 29)} -j DROP",
            f"{source}-p tcp {_bytes_at('000e38', 40, 60)} -j DROP",
        )
    )


def _unknown_dropped(what: Interference, source: str) -> Measures:
    """Drop connections that begin with neither TLS nor HTTP, as some filters do.

    Connections with a good start are marked, since their later packets look like anything.
    """
    to = [f"-d {a} " for a in _four(what)] or [""]
    known = ("-m string --algo bm --string 'HTTP/1'", _bytes_at("1603", 40, 60))
    tcp = f"{source}-p tcp ! --dport 53"
    data = "-m conntrack --ctdir ORIGINAL -m length --length 54:65535"
    return Measures(
        forward=(
            *(f"{tcp} {data} {opens} -j CONNMARK --set-mark {KNOWN}" for opens in known),
            f"{tcp} -m connmark --mark {KNOWN} -j RETURN",
            *(f"{a}{tcp} ! --syn {data} -j DROP" for a in to),
        )
    )


def _bytes_at(hex_: str, first: int, last: int) -> str:
    """Match bytes that begin between two offsets from the IP header on."""
    return f"-m string --algo bm --from {first} --to {last} --hex-string '|{hex_}|'"


def _policed(what: Interference, _: str) -> Measures:
    """Drop packets beyond a rate, both ways, for these addresses."""
    bytes_s = max(1, what.rate_kbit or 64) * 125
    over = (
        f"-m hashlimit --hashlimit-above {bytes_s}b/s --hashlimit-burst {max(3_000, bytes_s)}b"
        f" --hashlimit-mode srcip,dstip --hashlimit-name lab-{{n}} -j DROP"
    )
    rules = [f"-s {a} {over.format(n=i)}" for i, a in enumerate(_four(what))]
    return Measures(forward=tuple(rules) or (over.format(n="all"),))


def _freeze(what: Interference, _: str) -> Measures:
    """Stop a flow after so many bytes, without a reset or an end.

    On a named port packets of both directions are counted: long streams of some protocols bring few
    bytes and many packets.
    """
    if what.port:
        over = (
            f"-m connbytes --connbytes {FREEZE_PACKETS}: --connbytes-dir both"
            " --connbytes-mode packets -j DROP"
        )
        return Measures(
            forward=tuple(
                f"{side} {a} -p tcp {port} {what.port} {over}"
                for a in _four(what)
                for side, port in (("-d", "--dport"), ("-s", "--sport"))
            )
        )
    size = what.size or FREEZE_BYTES
    over = f"-m connbytes --connbytes {size}: --connbytes-dir reply --connbytes-mode bytes"
    rules = [f"-s {a} -p tcp {over} -j DROP" for a in _four(what)]
    return Measures(forward=tuple(rules) or (f"-p tcp {over} -j DROP",))


def _whitelist(what: Interference, source: str) -> Measures:
    """Pass only the named addresses, and names by the network's own resolver."""
    passing = (*_four(what), DOMESTIC_WEB, DOMESTIC_DNS)
    return Measures(
        forward=(
            "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
            *(f"{source}-d {a} -j RETURN" for a in passing),
            f"{source}-j DROP",
        ),
        forward6=("-j DROP",) if not source else (),
    )


def _either_way(action: str) -> "Kind":
    """Return a kind for packets to and from the network, or one region."""

    def filtered(_: Interference, source: str) -> Measures:
        rules = tuple(f"{way}{action}" for way in dict.fromkeys((source, _back(source))))
        return Measures(forward=rules, forward6=() if source else (action,))

    return filtered


def _back(source: str) -> str:
    return source.replace("-s ", "-d ", 1)


def _abroad_cut(_: Interference, source: str) -> Measures:
    """Drop all traffic to other countries; domestic hosts stay."""
    inside = "5.0.0.0/8"
    back = _back(source) or f"-d {inside} "
    return Measures(
        forward=(f"{source}! -d {inside} -j DROP", f"{back}! -s {inside} -j DROP"),
        forward6=("-j DROP",) if not source else (),
    )


def _port(what: Interference) -> str:
    return f" --dport {what.port}" if what.port else ""


def _four(what: Interference) -> list[str]:
    return [a for a in what.addresses if ":" not in a]


def _wire(name: str) -> str:
    """Return the name in DNS form, in hex: lengths and labels (RFC 1035 section 3.1)."""
    labels = name.rstrip(".").split(".")
    return "".join(f"{len(label):02x}{label.encode().hex()}" for label in labels) + "00"


Kind = Callable[[Interference, str], Measures]
KINDS: Mapping[str, Kind] = {
    "dns_nxdomain": _resolver_says("always_nxdomain"),
    "dns_refused": _resolver_says("always_refuse"),
    "dns_bogon": _resolver_says("redirect"),
    "dns_dropped": _dns_dropped,
    "dns_injected": _injected("dns", _dns_query),
    "syn_dropped": _to_addresses("DROP", "-p tcp{port} --syn"),
    "syn_reset": _to_addresses("REJECT --reject-with tcp-reset", "-p tcp{port} --syn"),
    "address_dropped": _to_addresses("DROP"),
    "sni_reset": _with_bytes("REJECT --reject-with tcp-reset"),
    "sni_reset_injected": _injected("rst", _name_in_tcp),
    "sni_dropped": _flows_with_bytes,
    "host_reset": _with_bytes("REJECT --reject-with tcp-reset"),
    "block_page": _redirect("-p tcp --dport 80", PROGRAM_HTTP, "pages"),
    "tls_interception": _redirect("-p tcp --dport 443", PROGRAM_TLS, "intercept"),
    "quic_dropped": _to_addresses("DROP", "-p udp --dport 443"),
    "policed": _policed,
    "slow_line": lambda what, _: Measures(line_kbit=what.rate_kbit or 256),
    "freeze": _freeze,
    "whitelist": _whitelist,
    "abroad_cut": _abroad_cut,
    "cut": _either_way("-j DROP"),
    "dns_turned": _redirect(
        "-p udp --dport 53", 53
    ),  # the provider answers queries to all resolvers
    "header_proxy": _redirect("-p tcp --dport 80", PROGRAM_PROXY, "headers"),
    "unknown_dropped": _unknown_dropped,
    "stun_dropped": _drop(f"-p udp {_bytes_at('2112a442', 28, 36)}"),  # RFC 8489, section 5
    "vpn_dropped": _vpn_dropped,
    "ech_dropped": _hellos("sealed"),
    "browsers_dropped": _hellos("browsers"),
    "browsers_only": _hellos("all_but_browsers"),
    "hello_name_dropped": _hellos("name"),
    "first_segment_dropped": _hellos("first_segment"),
    "closed_to_abroad": lambda *_: Measures(forward=("! -s 5.0.0.0/8 -p tcp --syn -j DROP",)),
}
# Conditions of a line: they are no block, so no experiment has to find them.
CONDITIONS: Mapping[str, Kind] = {
    "lossy": _either_way(f"-m statistic --mode random --probability {LOST} -j DROP"),
    "portal": _redirect("-p tcp", PROGRAM_HTTP, "portal"),
}
