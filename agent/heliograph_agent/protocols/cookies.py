"""The cookies of one visit, as far as redirects need them (RFC 6265): kept, sent back, forgotten.

Dates are not read: a visit is over before anything expires that was not to be deleted. There is no
list of public suffixes either: a jar serves one visit, and nothing secret is ever in it.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

MOST = 50  # cookies of one jar, the number that RFC 6265 section 6.1 asks of a browser for a domain
LONGEST = 4_096  # characters of one Set-Cookie that is heeded
MAX_HEADER = 8_192  # characters that are sent back


@dataclass(frozen=True, slots=True)
class Cookie:
    name: str
    value: str
    host: str
    path: str
    below: bool  # whether hosts below `host` get it too
    secure: bool

    def fits(self, host: str, path: str, *, secure: bool) -> bool:
        """Whether a request for this place takes it along (section 5.4)."""
        at_home = host == self.host or (self.below and _below(host, self.host))
        return at_home and _within(path, self.path) and (secure or not self.secure)


class Jar:
    """Made empty for one visit."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], Cookie] = {}

    def take(self, url: str, lines: Iterable[str]) -> None:
        """Heed the Set-Cookie lines of the reply for `url`; bad ones are passed over."""
        parts = urlsplit(url)
        for line in lines:
            cookie, dead = parsed(line, parts)
            if cookie is None:
                continue
            key = (cookie.name, cookie.host, cookie.path)
            self._kept.pop(key, None)
            if not dead and len(self._kept) < MOST:
                self._kept[key] = cookie

    def header(self, url: str) -> str:
        """The Cookie header of a request for `url`, "" for none; longer paths come first."""
        parts = urlsplit(url)
        host, path, secure = parts.hostname or "", parts.path or "/", parts.scheme == "https"
        fitting = [c for c in self._kept.values() if c.fits(host, path, secure=secure)]
        fitting.sort(key=lambda cookie: -len(cookie.path))
        text = ""
        for cookie in fitting:
            longer = f"{text}; {cookie.name}={cookie.value}" if text else _pair(cookie)
            text = longer if len(longer) <= MAX_HEADER else text
        return text


def parsed(line: str, url: SplitResult) -> tuple[Cookie | None, bool]:
    """What one Set-Cookie line says (section 5.2), and whether it says to forget it."""
    pair, *attributes = line.split(";")
    name, equals, value = (part.strip() for part in pair.partition("="))
    host = (url.hostname or "").lower()
    if not (name and equals) or len(line) > LONGEST or not _sendable(f"{name}={value}"):
        return None, False
    said = {k.strip().lower(): v.strip() for k, _, v in (a.partition("=") for a in attributes)}
    domain = said.get("domain", "").lower().lstrip(".")
    if domain and domain != host and not ("." in domain and _below(host, domain)):
        return None, False
    path = said.get("path", "")
    cookie = Cookie(
        name=name,
        value=value,
        host=domain or host,
        path=path if path.startswith("/") else _folder(url.path),
        below=bool(domain),
        secure="secure" in said,
    )
    age = said.get("max-age", "1")
    return cookie, age.startswith("-") or age.strip("0") == ""


def _pair(cookie: Cookie) -> str:
    return f"{cookie.name}={cookie.value}"


def _sendable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _below(host: str, domain: str) -> bool:
    """Section 5.1.3; an address has nothing below it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == domain or host.endswith(f".{domain}")
    return False


def _within(path: str, folder: str) -> bool:
    """Section 5.1.4."""
    below = path.startswith(folder) and (folder.endswith("/") or path[len(folder) :][:1] == "/")
    return path == folder or below


def _folder(path: str) -> str:
    """The default path of section 5.1.4: all but the last part."""
    return path.rpartition("/")[0] or "/"
