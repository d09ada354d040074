"""Read the agent's configuration from YAML.

Every error names the file, the line, the key and the allowed values. Without a file the defaults
apply, and no YAML library is loaded.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from heliograph.address import parse_host_port, parse_https_host_port, parse_literal
from heliograph.clock import Clock
from heliograph.observation import Access
from heliograph.yaml_document import YamlEntry, YamlError, parse_yaml, read_yaml

if TYPE_CHECKING:
    from heliograph.plan import Entrance, Service
    from heliograph_agent.net.config import NetConfig
    from heliograph_agent.uplink.dial_context import DialContext
    from heliograph_agent.uplink.proxy import Proxy
    from heliograph_agent.uplink.transports import ProxyUse

MAX_PEM = 4_194_304
MAX_DOH = 16
RELAY_BYTES = 20_000_000  # a day, lent to other volunteers
LISTED = "listed"  # in place of a relay's line: all relays that the plan lists
MAX_LIST = 64  # values of one key
BATTERY_PERCENT = 20  # as OONI Probe's (ooni/probe#1896)
PROXY = "socks5://ADDRESS:PORT or http://ADDRESS:PORT, with USER:PASSWORD@ before the address"


class AgentConfigError(ValueError):
    """Report a configuration that cannot be used; str() is the sentence for the user."""


class AllowedValuesError(ValueError):
    """Report a value that is not allowed; str() lists those that are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Hold the volunteer's settings; empty means a default of the program or plan."""

    resolver: str = ""
    doh: tuple[str, ...] = ()
    ca_file: str = ""
    services_file: str = ""
    bytes_per_month: int = 0
    battery_percent: int = BATTERY_PERCENT  # below it only anchors are measured; 0: never
    country: str = ""
    region: str = ""
    access: Access | None = None
    local_targets: bool = False
    without: tuple[str, ...] = ()  # categories, experiments or services that are never run
    quiet_hours: frozenset[int] = frozenset()  # local hours in which nothing is run
    proxy: "Proxy | None" = None
    proxy_use: "ProxyUse | None" = None
    relays: tuple[str, ...] = ()  # lines of other volunteers' agents, or LISTED
    beacon: bool = False  # DNS beacons are allowed
    relay_listen: tuple[str, int] | None = None  # where this agent listens as a relay
    relay_bytes_per_day: int = RELAY_BYTES

    def entrances(self, planned: "Sequence[Entrance]") -> "tuple[Entrance, ...]":
        """Return configured relays and the plan's entrances; its relays only with LISTED."""
        from heliograph.plan import Carrier
        from heliograph.relay_line import parse_relay_line

        own = (parse_relay_line(line) for line in self.relays if line != LISTED)
        allowed = (x for x in planned if x.carrier is not Carrier.RELAY or LISTED in self.relays)
        return (*allowed, *own)

    def dial_context(self, clock: Clock, rng: Random) -> "DialContext":
        """Make the dial context of the uplink."""
        from heliograph_agent.uplink.dial_context import DialContext
        from heliograph_agent.uplink.transports import ProxyUse

        use = self.proxy_use or ProxyUse.LAST
        return DialContext(clock, rng, self.net_config(), self.proxy, use)

    def net_config(self, services: "Iterable[Service]" = ()) -> "NetConfig":
        """Make the configuration of the network layer, with the roots of services."""
        from heliograph_agent.net.config import NetConfig

        roots = {service.name: service.roots for service in services}
        net_config = NetConfig(resolver=self.resolver, ca_file=self.ca_file, roots=roots)
        return replace(net_config, doh=self.doh) if self.doh else net_config

    def planned_net_config(self, services: "Iterable[Service]") -> "NetConfig":
        """Make the network configuration for a plan's tests, which obey `local_targets`."""
        return replace(self.net_config(services), local_targets=self.local_targets)


class ValueParser(Protocol):
    """Parse the value of a key. Raises ValueError, KeyError, OSError."""

    def __call__(self, raw_value: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """Describe one line of the table in agent/README.md."""

    attribute: str  # of Config
    allowed: str
    parse: ValueParser
    is_list: bool = False
    max_values: int = MAX_DOH

    def parse_values(self, raw_values: list[str]) -> Any:
        """Parse the value, or all values of a list. Raises ValueError, KeyError, OSError."""
        values = tuple(self.parse(raw_value) for raw_value in raw_values)
        if len(values) > self.max_values:
            raise ValueError(f"more than {self.max_values}")
        return self.combine(values) if self.is_list else values[0]

    def combine(self, values: tuple[Any, ...]) -> Any:
        return values


class HoursKey(ConfigKey):
    """Unite several ranges of hours."""

    def combine(self, values: tuple[frozenset[int], ...]) -> frozenset[int]:
        return frozenset[int]().union(*values)


def load_config(path: Path) -> Config:
    """Load a configuration file, or the defaults without one. Raises AgentConfigError."""
    try:
        return _read_config(read_yaml(path))
    except YamlError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return Config()
        raise AgentConfigError(str(error)) from error


def parse_config(content: bytes, source: str) -> Config:
    """Parse a configuration; `source` names it in errors. Raises AgentConfigError."""
    try:
        return _read_config(parse_yaml(content, source))
    except YamlError as error:
        raise AgentConfigError(str(error)) from error


def with_options(config: Config, options: Mapping[str, str]) -> Config:
    """Return `config` with options of the command line. Raises AgentConfigError."""
    for name, value in options.items():
        key = _find_key(name, "--option")
        raw_values = value.split(",") if key.is_list else [value]
        parsed = _parse_values(key, name, raw_values, "--option")
        config = replace(config, **{key.attribute: parsed})
    return _check_region(config, "--option")


def _read_config(root: YamlEntry) -> Config:
    if not isinstance(root.content, dict):
        raise _not_a_mapping(root)
    config = Config()
    for section in root.content.values():
        if not any(key_name.startswith(f"{section.key}.") for key_name in KEYS):
            _find_key(section.key, _place_of(section))
        if not isinstance(section.content, dict):
            raise _not_a_mapping(section)
        for entry in section.content.values():
            key = _find_key(entry.key, _place_of(entry))
            value = _parse_values(key, entry.key, _read_scalars(key, entry), _place_of(entry))
            config = replace(config, **{key.attribute: value})
    return _check_region(config, root.source)


def _check_region(config: Config, where: str) -> Config:
    """Return the configuration if its region is in its country.

    Raises AgentConfigError.
    """
    if config.country and config.region and not config.region.startswith(f"{config.country}-"):
        from heliograph.regions import list_regions

        allowed = ", ".join(list_regions(config.country)) or "none"
        raise AgentConfigError(
            f"{where}: vantage.region cannot be {config.region!r} with vantage.country "
            f"{config.country}; allowed: {allowed}."
        )
    return config


def _not_a_mapping(entry: YamlEntry) -> YamlError:
    prefix = "" if entry.key == "the file" else entry.key
    return YamlError(
        entry.source,
        entry.line,
        f"{entry.key} must be keys and values; allowed keys are {_key_names(prefix)}",
    )


def _read_scalars(key: ConfigKey, entry: YamlEntry) -> list[str]:
    items = entry.content if isinstance(entry.content, tuple) and key.is_list else (entry,)
    texts = [item.content for item in items if isinstance(item.content, str)]
    if len(texts) < len(items):
        raise AgentConfigError(f"{_place_of(entry)}: {entry.key} must be {key.allowed}.")
    return texts


def _place_of(entry: YamlEntry) -> str:
    return f"{entry.source}, line {entry.line}"


def _find_key(name: str, where: str) -> ConfigKey:
    key = KEYS.get(name)
    if key is None:
        raise AgentConfigError(
            f"{where}: unknown key {name[:64]}; allowed keys are {_key_names('')}."
        )
    return key


def _parse_values(key: ConfigKey, name: str, raw_values: list[str], where: str) -> Any:
    try:
        return key.parse_values(raw_values)
    except (ValueError, KeyError, OSError) as error:
        allowed = str(error) if isinstance(error, AllowedValuesError) else key.allowed
        hidden = (raw_value.rpartition("@")[2] for raw_value in raw_values)  # without passwords
        quoted_values = ", ".join(hidden)[:64]
        raise AgentConfigError(
            f"{where}: {name} cannot be {quoted_values!r}; allowed: {allowed}."
        ) from None


def _key_names(prefix: str) -> str:
    return ", ".join(name for name in KEYS if name.startswith(prefix))


def _parse_resolver(value: str) -> str:
    parse_host_port(value, "net.resolver")  # a name could not be looked up without a resolver
    return value


def _parse_doh(value: str) -> str:
    parse_https_host_port(value, "net.doh")
    return value


def _parse_file(value: str) -> str:
    if not Path(value).expanduser().is_file():
        raise ValueError("no such file")
    return str(Path(value).expanduser())


def _parse_pem_file(value: str) -> str:
    """Check that the file holds PEM certificates, which net.tls loads later."""
    path = Path(_parse_file(value))
    with path.open("rb") as file:
        if b"-----BEGIN CERTIFICATE-----" not in file.read(MAX_PEM):
            raise ValueError("holds no certificate")
    return str(path)


def _parse_proxy(value: str) -> "Proxy":
    from heliograph_agent.uplink.proxy import parse_proxy

    return parse_proxy(value)


def _parse_proxy_use(value: str) -> "ProxyUse":
    from heliograph_agent.uplink.transports import ProxyUse

    return ProxyUse(value)


def _parse_relay(value: str) -> str:
    from heliograph.relay_line import parse_relay_line

    if value != LISTED:
        parse_relay_line(value)
    return "".join(value.split())


def _parse_listen(value: str) -> tuple[str, int]:
    """Parse an address and port, because a name could resolve to another address."""
    if parse_literal(value):
        raise ValueError("no port")
    return parse_host_port(value, "relay.listen")


def _parse_yes_or_no(value: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[value.lower()]


def _parse_byte_limit(value: str, minimum: int) -> int:
    if not re.fullmatch(r"[0-9_]{1,16}", value) or int(value) < minimum:
        raise ValueError("too small")
    return int(value)


def _parse_percent(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or int(value) > 100:
        raise ValueError("no percentage")
    return int(value)


def _parse_allow(value: str) -> bool:
    return {"allow": True, "refuse": False}[value]


def _parse_test_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", value):
        raise ValueError("no name of a test")
    return value


def _parse_hours(value: str) -> frozenset[int]:
    """Parse hours, for example `22-6` for 22:00 to 6:00."""
    match = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", value)
    first, last = (int(match[1]), int(match[2])) if match else (24, 24)
    if first > 23 or last > 24 or first == last:
        raise ValueError("no hours")
    return frozenset(hour % 24 for hour in range(first, last if last > first else last + 24))


def country_code(value: str) -> str:
    """Parse an ISO 3166-1 alpha-2 code into capitals. Raises ValueError."""
    from heliograph.regions import is_country

    if not re.fullmatch(r"[A-Za-z]{2}", value):
        raise ValueError("not two letters")
    if not is_country(value.upper()):
        raise AllowedValuesError("a country's code, ISO 3166-1, such as KZ, or GB for Britain")
    return value.upper()


def region_code(value: str) -> str:
    """Parse an ISO 3166-2 code, also a former one.

    Raises ValueError with the allowed ones.
    """
    from heliograph.regions import find_region, list_regions

    country = value[:2].upper()
    code = find_region(country, value) if value[2:3] == "-" else ""
    if not code:
        regions = ", ".join(list_regions(country)) if value[2:3] == "-" else ""
        raise AllowedValuesError(regions or "an ISO 3166-2 code like KZ-75")
    return code


KEYS: Mapping[str, ConfigKey] = {
    "net.resolver": ConfigKey("resolver", "address:port, such as 9.9.9.9:53", _parse_resolver),
    "net.doh": ConfigKey(
        "doh", f"a list of at most {MAX_DOH} https URLs", _parse_doh, is_list=True
    ),
    "net.ca_file": ConfigKey("ca_file", "a PEM file with certificates", _parse_pem_file),
    "net.local_targets": ConfigKey("local_targets", "refuse, allow", _parse_allow),
    "opt_out.tests": ConfigKey(
        "without",
        f"a list of at most {MAX_LIST} categories, experiments or services, such as web",
        _parse_test_name,
        is_list=True,
        max_values=MAX_LIST,
    ),
    "opt_out.hours": HoursKey(
        "quiet_hours", "a list of hours, such as 22-6", _parse_hours, is_list=True
    ),
    "plan.services_file": ConfigKey("services_file", "an existing services file", _parse_file),
    "uplink.proxy": ConfigKey("proxy", PROXY, _parse_proxy),
    "uplink.proxy_use": ConfigKey("proxy_use", "last, always", _parse_proxy_use),
    "uplink.relays": ConfigKey(
        "relays",
        f"a list of at most {MAX_DOH} lines of `heliograph-agent relay`, or {LISTED}",
        _parse_relay,
        is_list=True,
    ),
    "uplink.beacon": ConfigKey("beacon", "yes, no", _parse_yes_or_no),
    "relay.listen": ConfigKey("relay_listen", "address:port of this machine", _parse_listen),
    "relay.bytes_per_day": ConfigKey(
        "relay_bytes_per_day",
        "a whole number from 100000",
        partial(_parse_byte_limit, minimum=100_000),
    ),
    "limits.bytes_per_month": ConfigKey(
        "bytes_per_month",
        "a whole number from 1000000",
        partial(_parse_byte_limit, minimum=1_000_000),
    ),
    "limits.battery_percent": ConfigKey(
        "battery_percent", "a whole number from 0 to 100", _parse_percent
    ),
    "vantage.country": ConfigKey("country", "two letters, ISO 3166-1", country_code),
    "vantage.region": ConfigKey("region", "an ISO 3166-2 code like KZ-75", region_code),
    "vantage.access": ConfigKey("access", ", ".join(Access), Access),
}
