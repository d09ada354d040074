"""Choose a request's headers: a browser profile's, in its order and case.

A header that the request brings goes where the browser puts it, else to the end.
"""

import re
from collections.abc import Mapping

from heliograph.request_profile import BUILT, TOKEN, RequestKind, RequestProfile
from heliograph_agent.net.http.content_coding import select_supported

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")
# Headers that a browser sends when a person visits a page, and not with what a program posts.
_OF_VISITS = (
    *("upgrade-insecure-requests", "priority"),
    *("sec-fetch-site", "sec-fetch-mode", "sec-fetch-user", "sec-fetch-dest"),
)


def choose_kind(scheme: str, headers: Mapping[str, str]) -> RequestKind:
    """Choose the kind of an HTTP/1.1 request by its URL and its own headers."""
    if any(name.lower() == "upgrade" for name in headers):
        return RequestKind.WEBSOCKET
    return RequestKind.TLS if scheme == "https" else RequestKind.CLEAR


def make_headers(
    profile: RequestProfile,
    kind: RequestKind,
    headers: Mapping[str, str],
    content: bytes,
) -> dict[str, str]:
    """Make a request's headers; `headers` are its own. Raises ValueError for bad ones."""
    own = {name.lower(): (name, value) for name, value in headers.items()}
    if content:
        own["content-length"] = ("Content-Length", str(len(content)))
    # The profile's own headers were checked when it was read.
    for name, value in own.values():
        if not TOKEN.fullmatch(name) or _UNSENDABLE.search(value):
            raise ValueError(f"request: the header {name!r} cannot be sent")
    fields: dict[str, str] = {}
    for name, usual in profile.headers[kind].items():
        key = name.lower()
        if key in own:
            own_name, value = own.pop(key)
            fields[own_name] = value
        elif usual != BUILT and not (content and key in _OF_VISITS):
            fields[name] = select_supported(usual) if key == "accept-encoding" else usual
    return fields | dict(own.values())
