"""Facts of an HTTP reply from OONI's record: title, text, size and header names."""

import codecs
import hashlib
import html
import re
import zlib
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from heliograph.observation import Http, Reference
from heliograph_collector.sources.ooni.document import RequestRow, Response

MAX_NAMES = 64
MAX_REFERENCES = 32
MAX_VALUE = 2048  # characters of a header's value
MAX_TITLE = 1024 + len("</title")
MAX_TEXT = 512  # characters of visible text
LOOKED_AT = 64 * 1024  # bytes of a body that are searched for title and text
_TITLE = re.compile(r"<title(?:\s[^>]{0,256})?>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title", re.IGNORECASE)
_TAG = re.compile(r"<!--|</?([a-zA-Z]{1,16})|<[!?/]")
# Invisible elements, up to their end. Every search continues where the last one stopped, so that
# a page of opening tags costs no more than another.
_HIDDEN = {
    name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "head", "noscript")
}
_CHARSET = re.compile(r"charset\s{0,8}=\s{0,8}[\"']?([a-z0-9_-]{1,40})", re.IGNORECASE)
# Charsets of web pages without UTF-8; Python's other codecs are no charsets.
_CHARSETS = re.compile(
    "big5|gb2312|gbk|gb18030|euc-(?:jp|kr)|iso-2022-jp|shift_jis|koi8-[ru]|cp866|ibm866|tis-620"
    "|iso-8859-(?:[1-9]|1[03-6])|windows-125[0-8]"
)
_GZIP = b"\x1f\x8b\x08"  # RFC 1952 section 2.3.1
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
_CYRILLIC_WORD = re.compile(rb"[\xc0-\xff]{3,}")
_SMALL_LETTER = re.compile(rb"[\xe0-\xff]")
_CYRILLIC_SHARE = 0.6  # assumed; of the high bytes that are in words of three letters or more
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")


def parse_reply(row: RequestRow, url: str) -> Http:
    """Parse a reply to the requested `url`; visible text is kept only for cleartext."""
    response = row.response
    body = response.body
    headers = _merge_headers(response)
    beginning = decode_page(body[:LOOKED_AT], headers.get("content-type", ""))
    is_cleartext = parse_scheme(url) == "http"
    visible_text = extract_text(beginning) or response.x_text[:MAX_TEXT] if is_cleartext else ""
    return Http(
        method=row.request.method or "GET",
        url=url,
        status=max(0, response.code),
        title=extract_title(beginning) or response.x_title,
        server=headers.get("server", "")[:256],
        location=headers.get("location", ""),
        body_bytes=max(0, response.x_body_length, len(body)),
        body_sha256=hashlib.sha256(body).hexdigest() if body else response.x_body_sha256,
        truncated=response.body_is_truncated is True,
        header_names=list_header_names(headers),
        text=visible_text,
        references=_read_references(response) if is_cleartext else (),
        markup=beginning if is_cleartext else "",
    )


def _read_references(response: Response) -> tuple[Reference, ...]:
    pairs = [pair for pair in response.x_references[:MAX_REFERENCES] if len(pair) == 2]
    return tuple(
        Reference(element=element[:32], address=address[:MAX_VALUE]) for element, address in pairs
    )


def decode_page(body: bytes, content_type: str) -> str:
    """Decode a page by its byte order mark, as UTF-8, or by the charset that it names.

    A probe that did not decompress the body recorded the beginning of a gzip stream.
    """
    if body.startswith(_GZIP):
        body = _decompress(body)
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    decoded = body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    if "\ufffd" not in decoded[:-1]:
        return decoded
    for declaration in (content_type, decoded[:2048]):
        match = _CHARSET.search(declaration)
        if match is not None and _CHARSETS.fullmatch(match[1].lower()):
            return body.decode(match[1], "replace")
    return body.decode(_guess_charset(body), "replace")


def _decompress(body: bytes) -> bytes:
    """Decompress the beginning of a gzip stream; a broken one stays as it is."""
    try:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(body, LOOKED_AT)
    except zlib.error:
        return body


def _guess_charset(body: bytes) -> str:
    """Guess between the charsets of Russian and of Western pages that name none.

    Most high bytes of Russian text are in words of letters from 0xC0 on, of which small ones are
    above 0xDF in windows-1251 and below it in KOI8-R (RFC 1489). In Western words they stand alone.
    """
    letters = b"".join(_CYRILLIC_WORD.findall(body))
    high_count = len(_HIGH_BYTE.findall(body))
    if len(letters) <= _CYRILLIC_SHARE * high_count:
        return "windows-1252"
    small_count = len(_SMALL_LETTER.findall(letters))
    return "windows-1251" if 2 * small_count > len(letters) else "koi8-r"


def extract_title(page: str) -> str:
    start = _TITLE.search(page)
    end = _TITLE_END.search(page, start.end(), start.end() + MAX_TITLE) if start else None
    if start is None or end is None:
        return ""
    return " ".join(html.unescape(page[start.end() : end.start()]).split())[:256]


def extract_text(page: str) -> str:
    """Return the first visible text, without addresses."""
    visible_text = html.unescape(" ".join(_iterate_visible_parts(page)))
    # twice as much, because the replacement is shorter than the longest address
    return _ADDRESS.sub("[scrubbed]", " ".join(visible_text.split())[: 2 * MAX_TEXT])[:MAX_TEXT]


def _iterate_visible_parts(page: str) -> Iterator[str]:
    at = 0
    while (tag := _TAG.search(page, at)) is not None:
        yield page[at : tag.start()]
        at = _find_text_start(page, tag)
        if at < 0:
            return  # the element is not closed
    yield page[at:]


def _find_text_start(page: str, tag: re.Match[str]) -> int:
    """Find where the text continues after a tag, or -1."""
    if tag.group() == "<!--":
        end = page.find("-->", tag.end())
        return end + 3 if end >= 0 else -1
    name = (tag.group(1) or "").lower()
    start = tag.end()
    if name in _HIDDEN and tag.group()[1] != "/":
        closing = _HIDDEN[name].search(page, start)
        if closing is None:
            return -1
        start = closing.end()
    end = page.find(">", start)
    return end + 1 if end >= 0 else -1


def list_header_names(headers: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name.lower()[:128] for name in headers})[:MAX_NAMES])


def decode_headers(headers: dict[str, bytes]) -> dict[str, str]:
    """Decode the values of headers, by name in lower case."""
    return {name.lower(): _decode(value) for name, value in headers.items()}


def get_header(response: Response, name: str) -> str:
    """Get the value of a reply's header, "" if it has none."""
    return _merge_headers(response).get(name, "")


def _merge_headers(response: Response) -> dict[str, str]:
    pairs = [pair for pair in response.headers_list if len(pair) == 2]
    listed = {_decode(name).lower(): _decode(value) for name, value in reversed(pairs)}
    return listed | decode_headers(response.headers)


def _decode(value: bytes) -> str:
    return value.decode("utf-8", "replace")[:MAX_VALUE]


def parse_scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme.lower()
    except ValueError:
        return ""
