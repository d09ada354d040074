"""Parse the URLs of pages, and where their redirects lead, as browsers do."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from heliograph_agent.experiments.endpoints import PORTS, parse_host

MAX_URL = 2_048  # characters
_SAFE = "%!$&'()*+,-./:;=?@_~[]"  # characters that need no escape in a URL
_SCHEME = re.compile(r"(https?):(/*)", re.IGNORECASE)
_QUERY_START = re.compile(r"[?#]")
_STRIPPED = "".join(map(chr, range(0x21)))  # controls and space
_REMOVED = str.maketrans("", "", "\t\n\r")


@dataclass(frozen=True, slots=True)
class Page:
    """Hold the parts of a URL, encoded for the request, and the label of its steps."""

    url: str
    scheme: str
    host: str
    port: int
    label: str = ""


@lru_cache(maxsize=1_024)
def parse_page(url: str, label: str = "") -> Page | None:
    """Parse a URL; None when it is not an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        host = parse_host(unquote(parts.hostname or "", errors="strict"))
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not host or len(url) > MAX_URL:
        return None
    port = port or PORTS[parts.scheme]
    return Page(_encode_url(parts, host, port), parts.scheme, host, port, label)


def resolve_location(base: str, location: str) -> str:
    """Resolve a Location as browsers do (url.spec.whatwg.org, section 4.4).

    Backslashes count as slashes, and any number of slashes begins a host. Raises ValueError.
    """
    text = location.strip(_STRIPPED).translate(_REMOVED)
    end = len(_QUERY_START.split(text, maxsplit=1)[0])
    path = text[:end].replace("\\", "/")
    scheme = _SCHEME.match(path)
    if scheme is not None:
        is_relative = not scheme[2] and base.lower().startswith(f"{scheme[1].lower()}:")
        path = ("" if is_relative else f"{scheme[1]}://") + path[scheme.end() :]
    elif path.startswith("//"):
        path = "//" + path.lstrip("/")
    return urljoin(base, path + text[end:])


def _encode_url(parts: SplitResult, host: str, port: int) -> str:
    """Encode a URL: host in IDNA, odd characters escaped, no fragment and no login."""
    host_part = f"[{host}]" if ":" in host else host
    return urlunsplit(
        (
            parts.scheme,
            host_part if port == PORTS[parts.scheme] else f"{host_part}:{port}",
            quote(parts.path, safe=_SAFE) or "/",
            quote(parts.query, safe=_SAFE),
            "",
        )
    )
