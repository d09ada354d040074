"""Address literals, address:port and resolvers' URLs as users write them."""

import ipaddress
from urllib.parse import urlsplit


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


def literal(text: str) -> str:
    """The address in its usual form when `text` is one, in brackets or not; else ""."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return ""


def _is_sendable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
