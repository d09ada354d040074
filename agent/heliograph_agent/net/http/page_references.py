"""Extract a page's references: frames, redirects, scripts, forms, pictures.

Half of the known block pages have no words of a block: they are recognized by the address of a
frame or a script. Only hosts and paths are kept. A portal puts its visitor's address, session or
number into such addresses; so queries, fragments, user names and whatever looks like an identifier
go, and the scrubber removes addresses from the rest.

The tokenizer reads a tag as WHATWG HTML section 13.2.5 does: it ends at the first `>` outside of a
quoted value. Each search starts where the last one ended, so the time is linear in the page.

Example:
    extract_references(b'<iframe src="http://10.10.34.34/?id=7">')  # iframe http://10.10.34.34/
"""

import html
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from itertools import islice

from heliograph.observation import Reference
from heliograph_agent.net.http.html_text import decode_page, find_text, is_markup, truncate

MAX_REFERENCES = 16
MAX_ADDRESS = 200  # characters; the longest address of OONI's list has 157
MAX_TOTAL = 1_024  # characters of all addresses; assumed: what a volunteer may pay for
REMOVED = "*"  # in place of what may identify the visitor
_MAX_VALUE = 2_048  # characters of an attribute that are read
_MAX_URL = 400  # characters of an address in a script
_MAX_HOST = 100
_MAX_COUNTERS = 4
_MAX_READ = 1_024  # of a page; assumed
_SHORT_TEXT = 400  # characters; an article is longer, and its anchors are no sign; assumed
_OPENING = re.compile(r"<(!--|[a-z][a-z0-9]{0,31})", re.IGNORECASE)
_TAG_MARK = re.compile(r"=\s{0,8}([\"'])|>")
_ASSIGNMENT = re.compile(
    r"([a-z][a-z0-9-]{0,31})\s{0,8}=\s{0,8}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE
)
_RAW_TEXT = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea")
}
_REFERENCES = frozenset(("src", "href", "action", "formaction", "data", "background", "poster"))
_LEADING = frozenset(("iframe", "frame", "refresh", "embed", "object"))
_ANCHORS = frozenset(("a", "area"))
_OTHER = "other"  # a page may make up elements, and name its visitor by them
_ELEMENTS = frozenset(
    (
        *_LEADING,
        *_ANCHORS,
        *("base", "body", "button", "comment", "form", "img", "input", "link", "meta"),
        *("script", "source", "style"),
    )
)
_REFRESH = re.compile(r"url\s{0,8}=\s{0,8}[\"']?([^\"'>]+)", re.IGNORECASE)
_ABSOLUTE = re.compile(
    r"(?:\bhttps?:|(?<=[\"'(=]))//[\w.\[@-][^\s\"'<>()`\\,]{3,400}", re.IGNORECASE
)
# Numbers of the page's owner at Google Analytics and Yandex Metrica, by which lists know pages.
_COUNTER = re.compile(r"\bUA-\d{4,10}-\d{1,3}\b|\byaCounter\d{4,9}\b")
_COUNTER_STARTS = ("UA-", "yaCounter")
_URL = re.compile(r"(?:(https?):)?//([^/]*)(.*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?", re.IGNORECASE)
_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_ESCAPE = re.compile("%([2-7][0-9a-f])", re.IGNORECASE)
_KEPT_ESCAPES = '"#%/<>?\\`\x7f '
_FORBIDDEN = re.compile('[<>"]')
_IDENTIFIER = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}"  # MAC address
    r"|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}"  # the same, as Cisco writes it
    r"|\d{1,3}(?:[._-]\d{1,3}){3}"  # IPv4 address
    r"|(?<!watch/)\d{5,}"  # of a phone or a contract; the counters of mc.yandex.ru are no person's
    r"|(?<=(?:user|room)/)[^/]+|(?<=(?:guest)/)[^/]+|(?<=(?:msisdn)/)[^/]+"
    r"|(?<=(?:abonent|account)/)[^/]+"
    r"|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,})(?![0-9a-z])"  # IPv4 address, UUID or digest
    r"|(?<![^/])[^/]*@[^/]*",
    re.IGNORECASE,
)
_LONG_TOKEN = re.compile("[0-9A-Za-z]{16,}")  # assumed: sessions; base64 of an address has 16
_CHANGE_OF_CASE = re.compile("[a-z][A-Z]")
# No block page of a list is there, and a home's own devices are.
_HOUSE = ipaddress.ip_network("192.168.0.0/16")


def extract_references(body: bytes, content_type: str = "") -> tuple[Reference, ...]:
    """Extract at most MAX_REFERENCES: automatic ones first, short pages' anchors last."""
    if not is_markup(content_type):
        return ()
    markup = decode_page(body, content_type)
    return find_references(markup, is_short=is_short_text(find_text(markup, content_type)))


def is_short_text(text: str) -> bool:
    """Return whether the visible text is so short that a page's anchors count."""
    return len(text) < _SHORT_TEXT


def find_references(markup: str, *, is_short: bool) -> tuple[Reference, ...]:
    """Find in a decoded page what `extract_references` extracts."""
    # The search for both words first costs a hundredth of the pattern's, which a page seldom needs.
    has_counter = any(start in markup for start in _COUNTER_STARTS)
    counters = _COUNTER.findall(markup)[:_MAX_COUNTERS] if has_counter else ()
    references = dict.fromkeys(Reference(element="counter", address=number) for number in counters)
    for element, value in islice(_iterate_references(markup), _MAX_READ):
        if is_short or element not in _ANCHORS:
            address = normalize_address(value)
            if address:
                name = element if element in _ELEMENTS else _OTHER
                references[Reference(element=name, address=address)] = None
    return tuple(_select(sorted(references, key=_rank)))


def normalize_address(value: str) -> str:
    """Return an address's scheme, host and path, "" if none of these may be kept."""
    value = re.sub("[\t\r\n]", "", html.unescape(truncate(value, _MAX_VALUE))).strip()
    value = re.split("[?#;]", value.replace("\\", "/"), maxsplit=1)[0].strip()
    if not value.isprintable() or _FORBIDDEN.search(value):
        return ""
    url = _URL.fullmatch(value)
    if url is None:
        return "" if _SCHEME.match(value) else truncate(_clean_path(value), MAX_ADDRESS)
    host = _normalize_authority(url[2])
    start = f"{(url[1] or 'http').lower()}://{host}"
    return truncate(start + _clean_path(url[3]), MAX_ADDRESS) if host else ""


def _iterate_references(markup: str) -> Iterator[tuple[str, str]]:
    """Yield elements with the addresses in their attributes, text and comments."""
    offset = 0
    while (opening := _OPENING.search(markup, offset)) is not None:
        element = opening[1].lower()
        if element == "!--":
            offset = _find_or_end(markup, "-->", opening.end())
            yield from _find_urls("comment", markup[opening.end() : offset])
            continue
        end = _find_tag_end(markup, opening.end())
        yield from _read_attributes(element, markup[opening.end() : end])
        offset = end
        if element in _RAW_TEXT:
            closing = _RAW_TEXT[element].search(markup, end)
            offset = closing.start() if closing else len(markup)
            if element in ("script", "style"):
                yield from _find_urls(element, markup[end:offset])


def _find_or_end(markup: str, text: str, offset: int) -> int:
    position = markup.find(text, offset)
    return position if position >= 0 else len(markup)


def _find_tag_end(markup: str, offset: int) -> int:
    """Find the `>` that ends a tag, outside of quoted values, or the page's end."""
    while (mark := _TAG_MARK.search(markup, offset)) is not None:
        if mark[1] is None:
            return mark.start()
        closing = markup.find(mark[1], mark.end())
        offset = closing + 1 if closing >= 0 else mark.end()
    return len(markup)


def _read_attributes(element: str, attributes: str) -> Iterator[tuple[str, str]]:
    is_refresh = element == "meta" and "refresh" in attributes.lower()
    for match in _ASSIGNMENT.finditer(attributes):
        name = match[1].lower()
        value = match[2] or match[3] or match[4] or ""
        if name in _REFERENCES:
            yield element, value
        elif is_refresh and name == "content":
            yield from (("refresh", url) for url in _REFRESH.findall(value[:_MAX_VALUE])[:1])
        elif name != "xmlns":
            yield from _find_urls(element, html.unescape(value[:_MAX_VALUE]))


def _find_urls(element: str, text: str) -> Iterator[tuple[str, str]]:
    for match in _ABSOLUTE.finditer(text.replace("\\/", "/")):
        yield element, truncate(match[0], _MAX_URL).rstrip(".;")


def _normalize_authority(authority: str) -> str:
    """Return host and port, "" if it is no host on the Internet or of a provider."""
    match = _AUTHORITY.fullmatch(authority.rpartition("@")[2].strip().lower())
    if match is None or len(match[0]) > _MAX_HOST:
        return ""
    port = f":{match[3]}" if match[3] else ""
    name = (match[2] or "").rstrip(".")
    if match[1] or _NUMBER.fullmatch(name):
        address = _parse_address(match[1] or name)
        if address is None or not _may_be_kept(address):
            return ""
        return f"[{address}]{port}" if address.version == 6 else f"{address}{port}"
    return _remove_identifiers(name) + port if "." in name else ""


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address as a browser does.

    Examples: 10.10.34.34, 168436258, 0x0a.10.8738, ::ffff:a0a:2222.
    """
    try:
        if ":" not in text:
            return ipaddress.IPv4Address(socket.inet_aton(text))
        address = ipaddress.IPv6Address(text)
        return address.ipv4_mapped or address
    except (OSError, ValueError):
        return None


def _may_be_kept(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether a provider can have a block page there: Iran's is at 10.10.34.34."""
    if address.version == 6:
        return address.is_global
    is_local = address.is_loopback or address.is_link_local or address.is_unspecified
    return not (is_local or address.is_multicast or address in _HOUSE)


def _clean_path(path: str) -> str:
    decoded = _ESCAPE.sub(_unescape, path.strip())
    readable = decoded.partition("%25")[0]  # escaped twice: nobody can tell what it is
    return _remove_identifiers(readable).replace(" ", "%20")


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return match[0] if character in _KEPT_ESCAPES else character


def _remove_identifiers(text: str) -> str:
    return _LONG_TOKEN.sub(_remove_session, _IDENTIFIER.sub(REMOVED, text))


def _remove_session(match: re.Match[str]) -> str:
    token = match[0]
    has_digit = any(character.isdigit() for character in token)
    return REMOVED if has_digit or len(_CHANGE_OF_CASE.findall(token)) > 2 else token


def _rank(reference: Reference) -> int:
    if reference.element in _LEADING:
        return 0
    if reference.element in _ANCHORS:
        return 3
    return 1 if "://" in reference.address or reference.element == "counter" else 2


def _select(references: Iterable[Reference]) -> Iterator[Reference]:
    addresses: set[str] = set()
    size = 0
    for reference in references:
        size += len(reference.address) if reference.address not in addresses else 0
        if len(addresses) >= MAX_REFERENCES or size > MAX_TOTAL:
            return
        if reference.address not in addresses:
            addresses.add(reference.address)
            yield reference
