"""Commands typed at the lab's prompt: words in, a sentence out."""

from collections.abc import Callable, Mapping, Sequence

from lab.country.country import Country
from lab.country.interference import KINDS, Interference

HELP = """\
block SERVICE on NETWORK [in REGION]      no connection to its servers: block telegram on kcell
reset SERVICE on NETWORK                  its names bring a reset after the ClientHello
apply KIND on NETWORK [NAME…]             any interference: apply dns_nxdomain on tele2 www.bbc.com
cut NETWORK [in REGION]                   nothing passes its gate; `cut everything` cuts all four
power-cut NETWORK [in REGION]             its agents die at once, with nothing said
boot                                      and start again
lift NETWORK | lift everything            take it all back
show                                      networks, regions, what is in force, kinds, services
quit"""


class Usage(Exception):  # noqa: N818 - it is advice
    """An unknown command; the text lists what would work."""


def obey(country: Country, line: str) -> str:
    """Execute a command line and return its answer; raise Usage on unknown words."""
    words = line.split()
    if not words or words[0] in ("help", "?"):
        return HELP
    command = COMMANDS.get(words[0])
    if command is None:
        raise Usage(f"I know {', '.join(COMMANDS)}; `help` tells more.")
    return command(country, words[1:])


def _block(country: Country, words: Sequence[str]) -> str:
    service, network, region = _service_on(country, words)
    addresses = country.abroad.of_service(service)
    return _apply(country, network, Interference(kind="syn_dropped", addresses=addresses,
                                                 region=region))  # fmt: skip


def _reset(country: Country, words: Sequence[str]) -> str:
    service, network, region = _service_on(country, words)
    names = country.abroad.names_of(service)
    return _apply(country, network, Interference(kind="sni_reset", names=names, region=region))


def _any(country: Country, words: Sequence[str]) -> str:
    if len(words) < 3 or words[1] != "on" or words[0] not in KINDS:
        raise Usage(f"apply KIND on NETWORK [NAME…]; kinds are {', '.join(KINDS)}.")
    kind, _, network, *names = words
    known = [country.abroad.names[name] for name in names if name in country.abroad.names]
    what = Interference(kind=kind, names=tuple(names), addresses=tuple(known))
    return _apply(country, network, what)


def _cut(country: Country, words: Sequence[str]) -> str:
    networks, region = _where(country, words)
    for network in networks:
        _apply(country, network, Interference(kind="cut", region=region))
    return f"cut: {', '.join(networks)}"


def _power_cut(country: Country, words: Sequence[str]) -> str:
    networks, region = _where(country, words)
    names = [n for network in networks for n in country.names(network, region)]
    country.power_cut([name for name in names if name in country.agents])
    return f"without power: {', '.join(names)}"


def _boot(country: Country, _: Sequence[str]) -> str:
    dark = [place for place in country.topology.agents if place.name not in country.agents]
    for place in dark:
        country.start_place(place)
    return f"started: {', '.join(place.name for place in dark) or 'nobody was off'}"


def _lift(country: Country, words: Sequence[str]) -> str:
    networks, _ = _where(country, words)
    for network in networks:
        country.gates[network].lift_all()
    return f"lifted: {', '.join(networks)}"


def _show(country: Country, _: Sequence[str]) -> str:
    lines = [
        f"{name:9} {gate.network.title:14} AS{gate.network.asn:<6} {gate.network.access:8} "
        f"{', '.join(what.kind for what in gate.applied.values()) or 'open'}"
        for name, gate in country.gates.items()
    ]
    services = ", ".join(s.name for s in country.abroad.services)
    regions = ", ".join(country.topology.regions)
    return "\n".join([*lines, f"regions   {regions}", f"services  {services}"])


def _apply(country: Country, network: str, what: Interference) -> str:
    if network not in country.gates:
        raise Usage(f"networks are {', '.join(country.gates)}.")
    country.gates[network].apply(what)
    asn = country.topology.network(network).asn
    return f"{what.kind} on {network}: in force; on the page it is AS{asn}"


def _service_on(country: Country, words: Sequence[str]) -> tuple[str, str, str]:
    services = [s.name for s in country.abroad.services]
    if len(words) < 3 or words[1] != "on" or words[0] not in services:
        raise Usage(f"SERVICE on NETWORK [in REGION]; services are {', '.join(services)}.")
    return words[0], words[2], _region(country, words[3:])


def _where(country: Country, words: Sequence[str]) -> tuple[list[str], str]:
    if words[:1] == ["everything"]:
        return list(country.gates), ""
    if not words or words[0] not in country.gates:
        raise Usage(f"networks are {', '.join(country.gates)}, or everything.")
    return [words[0]], _region(country, words[1:])


def _region(country: Country, words: Sequence[str]) -> str:
    if not words:
        return ""
    if len(words) != 2 or words[0] != "in" or words[1] not in country.topology.regions:
        raise Usage(f"in REGION; regions are {', '.join(country.topology.regions)}.")
    return words[1]


COMMANDS: Mapping[str, Callable[[Country, Sequence[str]], str]] = {
    "block": _block,
    "reset": _reset,
    "apply": _any,
    "cut": _cut,
    "power-cut": _power_cut,
    "boot": _boot,
    "lift": _lift,
    "show": _show,
}
