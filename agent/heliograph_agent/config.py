"""The agent's configuration: YAML in, one frozen value out.

Every error names the file, the line, the key and what is allowed. A missing file is the default
one, and then no YAML library is loaded.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from heliograph.address import host_port, https_host_port, literal
from heliograph.clock import Clock
from heliograph.observation import Access

if TYPE_CHECKING:
    from yaml import Node

    from heliograph.plan import Entrance
    from heliograph_agent.net.config import NetConfig
    from heliograph_agent.uplink.dial_context import Ways
    from heliograph_agent.uplink.proxy import Proxy
    from heliograph_agent.uplink.transports import Use

MAX_FILE = 262_144
MAX_PEM = 4_194_304
MAX_DOH = 16
RELAY_BYTES = 20_000_000  # a day that is lent to others
LISTED = "listed"  # in place of a relay's line: those that the plan lists
MAX_LIST = 64  # of anything
PROXY = "socks5://ADDRESS:PORT or http://ADDRESS:PORT, with USER:PASSWORD@ before the address"


class ConfigError(ValueError):
    """A configuration that cannot be used; str() is the sentence for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the volunteer set; empty means "as the program, the plan or the consent has it"."""

    resolver: str = ""
    doh: tuple[str, ...] = ()
    ca_file: str = ""
    services_file: str = ""
    bytes_per_month: int = 0
    country: str = ""
    region: str = ""
    access: Access | None = None
    local_targets: bool = False
    without: tuple[str, ...] = ()  # categories, experiments or services that are never run
    quiet_hours: frozenset[int] = frozenset()  # of this machine's clock, in which nothing is run
    proxy: "Proxy | None" = None
    proxy_use: "Use | None" = None
    relays: tuple[str, ...] = ()  # lines of other volunteers' agents, or LISTED
    beacon: bool = False  # a last word may be said by DNS
    relay_listen: tuple[str, int] | None = None  # where other volunteers are answered
    relay_bytes_per_day: int = RELAY_BYTES

    def entrances(self, listed: "Sequence[Entrance]") -> "tuple[Entrance, ...]":
        """Those of the plan, other volunteers' agents only as far as this one's owner wants it."""
        from heliograph.plan import Carrier
        from heliograph.relay_line import parse_line

        own = (parse_line(line) for line in self.relays if line != LISTED)
        wanted = (x for x in listed if x.carrier is not Carrier.RELAY or LISTED in self.relays)
        return (*wanted, *own)

    def ways(self, clock: Clock, rng: Random) -> "Ways":
        """How the uplink goes out."""
        from heliograph_agent.uplink.dial_context import Ways
        from heliograph_agent.uplink.transports import Use

        use = self.proxy_use or Use.LAST
        return Ways(clock, rng, self.net(), self.proxy, use)

    def net(self) -> "NetConfig":
        """The part that the door to the network takes."""
        from heliograph_agent.net.config import NetConfig

        chosen = NetConfig(resolver=self.resolver, ca_file=self.ca_file)
        return replace(chosen, doh=self.doh) if self.doh else chosen

    def planned_net(self) -> "NetConfig":
        """The same for what a plan asks for, which may not look behind this machine's router."""
        return replace(self.net(), local_targets=self.local_targets)


@dataclass(frozen=True, slots=True)
class Key:
    """One line of the table in agent/README.md."""

    attribute: str  # of Config
    allowed: str
    parse: Callable[[str], Any]  # raises ValueError
    many: bool = False
    most: int = MAX_DOH
    whole: Callable[[tuple[Any, ...]], Any] = tuple  # of what each of many was parsed to


def load(path: Path) -> Config:
    """Raises ConfigError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    if len(text) > MAX_FILE:
        raise ConfigError(f"{path} is larger than {MAX_FILE} bytes.")
    return parse(text, str(path))


def parse(text: bytes, place: str) -> Config:
    """Raises ConfigError; `place` is the file's name in its sentence."""
    import yaml

    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{place}, line {line}: not YAML ({error.problem}).") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{place}, line 1: not YAML.") from error
    values: dict[str, Any] = {}
    if root is not None:
        _walk(root, "", place, values)
    return Config(**values)


def with_options(config: Config, options: Mapping[str, str]) -> Config:
    """`config` with dotted keys of the command line set. Raises ConfigError."""
    values: dict[str, Any] = {}
    for name, text in options.items():
        key = _key(name, "--option")
        texts = text.split(",") if key.many else [text]
        values[key.attribute] = _parsed(key, name, texts, "--option")
    return replace(config, **values)


def _walk(node: "Node", prefix: str, place: str, values: dict[str, Any]) -> None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        where = f"{place}, line {node.start_mark.line + 1}"
        raise ConfigError(
            f"{where}: {prefix or 'the file'} must be keys and values; "
            f"allowed keys are {_names(prefix)}."
        )
    for key_node, value in node.value:
        where = f"{place}, line {key_node.start_mark.line + 1}"
        name = f"{prefix}.{key_node.value}" if prefix else str(key_node.value)
        if any(known.startswith(f"{name}.") for known in KEYS):
            _walk(value, name, place, values)
            continue
        key = _key(name, where)
        if key.attribute in values:
            raise ConfigError(f"{where}: the key {name} stands twice.")
        values[key.attribute] = _parsed(key, name, _scalars(key, name, value, where), where)


def _scalars(key: Key, name: str, node: "Node", where: str) -> list[str]:
    import yaml

    nodes = node.value if key.many and isinstance(node, yaml.SequenceNode) else [node]
    for item in nodes:
        if not isinstance(item, yaml.ScalarNode):
            raise ConfigError(f"{where}: {name} must be {key.allowed}.")
    return [str(item.value) for item in nodes]


def _key(name: str, where: str) -> Key:
    key = KEYS.get(name)
    if key is None:
        raise ConfigError(f"{where}: unknown key {name[:64]}; allowed keys are {_names('')}.")
    return key


def _parsed(key: Key, name: str, texts: list[str], where: str) -> Any:
    try:
        values = [key.parse(text) for text in texts]
        if len(values) > key.most:
            raise ValueError(f"more than {key.most}")
    except (ValueError, KeyError, OSError):
        shown = ", ".join(text.rpartition("@")[2] for text in texts)[:64]  # never a password
        raise ConfigError(f"{where}: {name} cannot be {shown!r}; allowed: {key.allowed}.") from None
    return key.whole(tuple(values)) if key.many else values[0]


def _names(prefix: str) -> str:
    return ", ".join(name for name in KEYS if name.startswith(prefix))


def _resolver(text: str) -> str:
    """No name: who would look it up?"""
    host_port(text, "net.resolver")
    return text


def _doh(text: str) -> str:
    https_host_port(text, "net.doh")
    return text


def _file(text: str) -> str:
    if not Path(text).expanduser().is_file():
        raise ValueError("no such file")
    return str(Path(text).expanduser())


def _pem_file(text: str) -> str:
    """Told apart here from a key or a DER file; what is inside, net.roots reads."""
    path = Path(_file(text))
    with path.open("rb") as file:
        if b"-----BEGIN CERTIFICATE-----" not in file.read(MAX_PEM):
            raise ValueError("holds no certificate")
    return str(path)


def _proxy(text: str) -> "Proxy":
    from heliograph_agent.uplink.proxy import parse_proxy

    return parse_proxy(text)


def _proxy_use(text: str) -> "Use":
    from heliograph_agent.uplink.transports import Use

    return Use(text)


def _relay(text: str) -> str:
    from heliograph.relay_line import parse_line

    if text != LISTED:
        parse_line(text)
    return "".join(text.split())


def _listen(text: str) -> tuple[str, int]:
    """No name: an agent answers where its owner says, and nowhere by chance."""
    if literal(text):
        raise ValueError("no port")
    return host_port(text, "relay.listen")


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text.lower()]


def _bytes_per_day(text: str) -> int:
    if not re.fullmatch(r"[0-9_]{1,16}", text) or int(text) < 100_000:
        raise ValueError("too small")
    return int(text)


def _bytes_per_month(text: str) -> int:
    if not re.fullmatch(r"[0-9_]{1,16}", text) or int(text) < 1_000_000:
        raise ValueError("too small")
    return int(text)


def _allow(text: str) -> bool:
    return {"allow": True, "refuse": False}[text]


def _test_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", text):
        raise ValueError("no name of a test")
    return text


def _hours(text: str) -> frozenset[int]:
    """`22-6` is from 22:00 to 6:00."""
    found = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", text)
    first, last = (int(found[1]), int(found[2])) if found else (24, 24)
    if first > 23 or last > 24 or first == last:
        raise ValueError("no hours")
    return frozenset(hour % 24 for hour in range(first, last if last > first else last + 24))


def _united(hours: tuple[frozenset[int], ...]) -> frozenset[int]:
    return frozenset[int]().union(*hours)


def country_code(text: str) -> str:
    """An ISO 3166-1 alpha-2 code in capitals. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise ValueError("not two letters")
    return text.upper()


def region_code(text: str) -> str:
    """An ISO 3166-2 code in capitals. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z]{2}-[A-Za-z0-9]{1,3}", text):
        raise ValueError("not an ISO 3166-2 code")
    return text.upper()


KEYS: Mapping[str, Key] = {
    "net.resolver": Key("resolver", "address:port, such as 9.9.9.9:53", _resolver),
    "net.doh": Key("doh", f"a list of at most {MAX_DOH} https URLs", _doh, many=True),
    "net.ca_file": Key("ca_file", "a PEM file with certificates", _pem_file),
    "net.local_targets": Key("local_targets", "refuse, allow", _allow),
    "opt_out.tests": Key(
        "without",
        f"a list of at most {MAX_LIST} categories, experiments or services, such as web",
        _test_name,
        many=True,
        most=MAX_LIST,
    ),
    "opt_out.hours": Key(
        "quiet_hours", "a list of hours, such as 22-6", _hours, many=True, whole=_united
    ),
    "plan.services_file": Key("services_file", "an existing services file", _file),
    "uplink.proxy": Key("proxy", PROXY, _proxy),
    "uplink.proxy_use": Key("proxy_use", "last, always", _proxy_use),
    "uplink.relays": Key(
        "relays",
        f"a list of at most {MAX_DOH} lines of `heliograph-agent relay`, or {LISTED}",
        _relay,
        many=True,
    ),
    "uplink.beacon": Key("beacon", "yes, no", _yes_or_no),
    "relay.listen": Key("relay_listen", "address:port of this machine", _listen),
    "relay.bytes_per_day": Key("relay_bytes_per_day", "a whole number from 100000", _bytes_per_day),
    "limits.bytes_per_month": Key(
        "bytes_per_month", "a whole number from 1000000", _bytes_per_month
    ),
    "vantage.country": Key("country", "two letters, ISO 3166-1", country_code),
    "vantage.region": Key("region", "an ISO 3166-2 code like KZ-75", region_code),
    "vantage.access": Key("access", ", ".join(Access), Access),
}
