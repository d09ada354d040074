"""Address literals, address:port and resolvers' URLs as users write them."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def host_port(text: str, place: str) -> tuple[str, int]:
    """("127.0.0.1", 5353) from 127.0.0.1:5353, [::1]:5353 or an address alone (port 53).

    Raises ValueError, naming `place`, when it is no address literal with a port.
    """
    host, _, port = f"{text}:53".rpartition(":") if literal(text) else text.rpartition(":")
    if not literal(host):
        raise ValueError(f"{place}: {text!r} is no address:port, such as 9.9.9.9:53")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise ValueError(f"{place}: {text!r} has no port between 1 and 65535")
    return literal(host), int(port)


def name_port(text: str, place: str) -> tuple[str, int]:
    """("dns.example", 853) from dns.example:853; an address as for `host_port`, with port 853.

    Raises ValueError, naming `place`, when it is neither a name nor an address with a port.
    """
    if literal(text):
        return literal(text), 853
    name, _, port = text.rpartition(":")
    if not _NAME.fullmatch(name) or literal(name):
        return host_port(text, place)
    return name, host_port(f"127.0.0.1:{port}", place)[1]


def https_host_port(text: str, place: str) -> tuple[str, int]:
    """("dns.google", 443) from https://dns.google/dns-query. Raises ValueError, naming `place`."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not text.startswith("https://") or not _is_sendable(text):
        raise ValueError(f"{place}: {text!r} is no https URL, such as https://dns.google/dns-query")
    return host, port or 443


@lru_cache(maxsize=4_096)
def literal(text: str) -> str:
    """The address in its usual form when `text` is one, in brackets or not; else ""."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return ""


def _is_sendable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
