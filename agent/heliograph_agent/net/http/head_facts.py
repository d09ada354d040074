"""Describe a request and the head of its reply, within the limits of a record."""

from collections.abc import Iterable

from heliograph.observation import Http
from heliograph_agent.net.http.html_text import make_single_line
from heliograph_agent.net.http.response_parser import decode_location

KEPT_BODY_BYTES = 65_536  # of the body; they are searched for a title
_MAX_ADDRESS = 2_048  # characters, as of the next
_MAX_SERVER = 200
_MAX_NAME = 128
_MAX_NAMES = 64


def describe_request(url: str, method: str = "GET") -> Http:
    """Describe a request that has no reply yet."""
    return Http(method=method, url=url[:_MAX_ADDRESS])


def describe_head(
    url: str,
    *,
    method: str = "GET",
    status: int,
    version: str,
    server: str,
    location: str,
    header_names: Iterable[str],
) -> Http:
    """Describe a reply's head; `server` and `location` are values of these headers."""
    return Http(
        method=method,
        url=url[:_MAX_ADDRESS],
        status=status,
        version=version,
        server=make_single_line(server, _MAX_SERVER),
        location=make_single_line(decode_location(location), _MAX_ADDRESS),
        header_names=tuple(sorted({name[:_MAX_NAME] for name in header_names})[:_MAX_NAMES]),
    )
