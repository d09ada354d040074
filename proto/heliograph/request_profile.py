"""Describe a browser's HTTP requests: headers in order, and how HTTP/2 begins.

They are part of its profile (heliograph.hello_profiles), because servers and filters compare the
hello with the headers, and because both change with the browser's versions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from heliograph.yaml_document import YamlEntry

BUILT = "built"  # value of a header that each request builds
MAX_HEADERS = 32  # of one kind; assumed, Chromium sends 15
MAX_NAME = 64  # characters; assumed, the longest of Chromium's has 25
MAX_VALUE = 512  # characters; assumed, the longest of Chromium's has 135
PSEUDO_HEADERS = (":method", ":authority", ":scheme", ":path")

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(rf"[\x20-\x7e]{{1,{MAX_VALUE}}}")
# RFC 9113 section 6.5.2, with the most that costs a volunteer no more memory than Chromium does.
_MAX_SETTINGS = {1: 1 << 16, 2: 0, 3: 1_000, 4: 6 << 20, 5: 1 << 14, 6: 1 << 18}
_MIN_SETTINGS = {5: 1 << 14}
_MAX_WINDOW_UPDATE = 16 << 20
_KEYS = ("pseudo_headers", "settings", "window_update", "weight", "exclusive", "headers")


class RequestKind(StrEnum):
    """Name the kinds of requests whose headers differ."""

    CLEAR = "clear"  # HTTP/1.1 without encryption
    TLS = "tls"  # HTTP/1.1 over TLS
    HTTP2 = "http2"  # HTTP/2 and HTTP/3
    WEBSOCKET = "websocket"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestProfile:
    """Describe the requests of one browser; `hello_profiles.yml` explains the fields."""

    headers: Mapping[RequestKind, Mapping[str, str]]
    pseudo_headers: tuple[str, ...]
    settings: Mapping[int, int]
    window_update: int
    weight: int
    is_exclusive: bool


def parse_requests(entry: YamlEntry) -> RequestProfile:
    """Parse the key `requests` of a profile. Raises YamlError."""
    keys = entry.mapping(_KEYS, required=_KEYS)
    kinds = tuple(RequestKind)
    headers = keys["headers"].mapping(kinds, required=kinds)
    pseudo_headers = tuple(item.parse_text() for item in keys["pseudo_headers"].items())
    if sorted(pseudo_headers) != sorted(PSEUDO_HEADERS):
        raise keys["pseudo_headers"].error(f"must be {', '.join(PSEUDO_HEADERS)} in some order")
    return RequestProfile(
        headers={kind: _parse_headers(headers[kind]) for kind in kinds},
        pseudo_headers=pseudo_headers,
        settings=dict(map(_parse_setting, keys["settings"].items())),
        window_update=keys["window_update"].parse_integer(1, _MAX_WINDOW_UPDATE),
        weight=keys["weight"].parse_integer(1, 256),
        is_exclusive=keys["exclusive"].parse_flag(),
    )


def _parse_headers(entry: YamlEntry) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, item in entry.mapping().items():
        value = item.parse_text()
        if len(name) > MAX_NAME or not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise item.error("is no header that can be sent")
        headers[name] = value
    if not 0 < len(headers) <= MAX_HEADERS:
        raise entry.error(f"from 1 to {MAX_HEADERS} are allowed")
    return headers


def _parse_setting(entry: YamlEntry) -> tuple[int, int]:
    pair = entry.items()
    if len(pair) != 2:
        raise entry.error("must be a number and its value")
    number = pair[0].parse_integer(min(_MAX_SETTINGS), max(_MAX_SETTINGS))
    return number, pair[1].parse_integer(_MIN_SETTINGS.get(number, 0), _MAX_SETTINGS[number])
