"""Parse addresses, address:port pairs and resolver URLs as typed; widen addresses."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

# A listener's names for all addresses of its machine, and where this machine reaches it.
WILDCARDS = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 replaced, not bound
WILDCARD_HOSTS = frozenset(("0.0.0.0", "::", "*"))  # noqa: S104 agents cannot dial these
# RFC 2544; tunnels and proxies on the vantage make up addresses of it.
FAKE_NETWORK = ipaddress.ip_network("198.18.0.0/15")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def parse_host_port(value: str, setting_name: str) -> tuple[str, int]:
    """Parse 127.0.0.1:5353, [::1]:5353 or an address alone into (address, port).

    An address alone has port 53. Raises ValueError, naming `setting_name`, when `value` is not
    an address literal with a port.
    """
    host, _, port = f"{value}:53".rpartition(":") if parse_literal(value) else value.rpartition(":")
    if not parse_literal(host):
        raise ValueError(f"{setting_name}: {value!r} is no address:port, such as 9.9.9.9:53")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise ValueError(f"{setting_name}: {value!r} has no port between 1 and 65535")
    return parse_literal(host), int(port)


def parse_name_port(value: str, setting_name: str) -> tuple[str, int]:
    """Parse dns.example:853 into ("dns.example", 853).

    An address alone has port 853. Raises ValueError, naming `setting_name`, when `value` is
    neither a name nor an address with a port.
    """
    if parse_literal(value):
        return parse_literal(value), 853
    name, _, port = value.rpartition(":")
    if not _NAME.fullmatch(name) or parse_literal(name):
        return parse_host_port(value, setting_name)
    return name, parse_host_port(f"127.0.0.1:{port}", setting_name)[1]


def parse_https_host_port(value: str, setting_name: str) -> tuple[str, int]:
    """Parse https://dns.google/dns-query into ("dns.google", 443).

    Raises ValueError, naming `setting_name`.
    """
    try:
        parts = urlsplit(value)
        host = parts.hostname
        port = parts.port
    except ValueError:
        host = port = None
    if not host or not value.startswith("https://") or not _is_sendable(value):
        raise ValueError(
            f"{setting_name}: {value!r} is no https URL, such as https://dns.google/dns-query"
        )
    return host, port or 443


def split_endpoint(address: str) -> tuple[str, int]:
    """Split HOST:PORT, with IPv6 in brackets. Raises ValueError with the problem."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"{address[:64]!r} must be HOST:PORT, for example 127.0.0.1:7443")
    if not re.fullmatch(r"[^\s/\[\]]+|\[[^\s/\[\]]+\]", host):
        raise ValueError(f"{address[:64]!r} must be HOST:PORT alone, for example 127.0.0.1:7443")
    if ":" in host and not host.startswith("["):
        raise ValueError(
            f"{address[:64]!r} needs brackets around an IPv6 address, and in a file quotes around "
            'all of it: "[::1]:7443"'
        )
    return host.strip("[]"), int(port)


def list_hosts(*endpoints: str) -> list[str]:
    """List the hosts of those that are not empty. Raises ValueError."""
    return [split_endpoint(endpoint)[0] for endpoint in endpoints if endpoint]


def format_dial_address(host: str, port: int) -> str:
    """Format the address by which this machine reaches its listener, even a wildcard."""
    reachable_host = WILDCARDS.get(host, host)
    return f"[{reachable_host}]:{port}" if ":" in reachable_host else f"{reachable_host}:{port}"


@lru_cache(maxsize=4_096)
def parse_literal(value: str) -> str:
    """Return the canonical address that `value` is, with or without brackets, else ""."""
    try:
        return str(ipaddress.ip_address(value.removeprefix("[").removesuffix("]")))
    except ValueError:
        return ""


def enclosing_network(address: str) -> str:
    """Return the /24 of an IPv4 address, the /48 of an IPv6 address, "" for others.

    That is about one site or one carrier's pool (RFC 6177), too wide to name a person. An IPv4
    address mapped into IPv6 counts as IPv4, and a zone is left out.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(ipaddress.ip_network((mapped, 24 if mapped.version == 4 else 48), strict=False))


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in its end (RFC 6052 section 2.1)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA has assigned of IPv6
# Beyond what `ipaddress` calls not global. IANA's special-purpose registries (RFC 6890) hold them
# all, but for 64:ff9b::/96 and 2002::/16 in part: those stand for an IPv4 address (RFC 6052, 3056).
_SPECIAL_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        str(NAT64),
        "64:ff9b:1::/48",  # NAT64 of one network
        "2001::/23",  # IETF protocols, Teredo among them
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
    )
)


@lru_cache(maxsize=4_096)
def is_special_purpose(literal: str) -> bool:
    """Tell whether this is anything but a plain public unicast address.

    That includes an IPv4 address inside an IPv6 address, an address with a zone, and a name.
    """
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        return True
    is_wrapped = "%" in literal or getattr(address, "ipv4_mapped", None) is not None
    is_listed = any(address in network for network in _SPECIAL_NETWORKS)
    is_unicast = address.version == 4 or address in _GLOBAL_UNICAST
    is_plain = is_unicast and address.is_global and not address.is_multicast
    return is_wrapped or is_listed or not is_plain


def _is_sendable(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value
