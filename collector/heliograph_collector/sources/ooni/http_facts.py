"""The facts of a reply, from OONI's record of it: title, first words, size, names of headers."""

import hashlib
import html
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from heliograph.observation import Http
from heliograph_collector.sources.ooni.values import Json, binary, obj, text, whole

MOST_NAMES = 64
MOST_TITLE = 1024 + len("</title")
MOST_WORDS = 512  # characters of visible text
LOOKED_AT = 64 * 1024  # of a body, for its title and its first words
_TITLE = re.compile(r"<title(?:\s[^>]{0,256})?>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title", re.IGNORECASE)
_TAG = re.compile(r"<!--|</?([a-zA-Z]{1,16})|<[!?/]")
# What no reader sees, to its end. Every search goes on where the last one stopped: a page of
# nothing but beginnings costs no more than any other.
_HIDDEN = {
    name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "head", "noscript")
}
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")


def reply(request: Json, response: Json, url: str) -> Http:
    """`url` is the one that was asked for; the body's visible words are kept only in clear."""
    body = binary(response.get("body"))
    names, values = _headers(response)
    digest = hashlib.sha256(body).hexdigest() if body else text(response.get("x_body_sha256"), 64)
    clear = urlsplit_scheme(url) == "http"
    beginning = body[:LOOKED_AT].decode("utf-8", "replace")
    return Http(
        method=text(request.get("method"), 16) or "GET",
        url=url,
        status=max(0, whole(response.get("code"))),
        title=title(beginning) or text(response.get("x_title"), 256),
        server=values.get("server", "")[:256],
        location=values.get("location", ""),
        body_bytes=max(0, whole(response.get("x_body_length")), len(body)),
        body_sha256=digest,
        truncated=response.get("body_is_truncated") is True,
        header_names=names,
        text=(words(beginning) or text(response.get("x_text"), MOST_WORDS)) if clear else "",
    )


def title(page: str) -> str:
    start = _TITLE.search(page)
    end = _TITLE_END.search(page, start.end(), start.end() + MOST_TITLE) if start else None
    if start is None or end is None:
        return ""
    return " ".join(html.unescape(page[start.end() : end.start()]).split())[:256]


def words(page: str) -> str:
    """The first visible words, without addresses."""
    seen = html.unescape(" ".join(_visible(page)))
    # twice as much, since what stands for an address is shorter than the longest one
    return _ADDRESS.sub("[scrubbed]", " ".join(seen.split())[: 2 * MOST_WORDS])[:MOST_WORDS]


def _visible(page: str) -> Iterator[str]:
    at = 0
    while (tag := _TAG.search(page, at)) is not None:
        yield page[at : tag.start()]
        at = _after(page, tag)
        if at < 0:
            return  # nothing ends what began here
    yield page[at:]


def _after(page: str, tag: re.Match[str]) -> int:
    """Where the text goes on; -1 where it does not."""
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


def header_names(headers: Json) -> tuple[str, ...]:
    return tuple(sorted({str(name).lower()[:128] for name in headers})[:MOST_NAMES])


def _headers(response: Json) -> tuple[tuple[str, ...], dict[str, str]]:
    values = {str(k).lower(): _value(v) for k, v in obj(response.get("headers")).items()}
    listed = response.get("headers_list")
    for pair in listed if isinstance(listed, list) else ():
        if isinstance(pair, list) and len(pair) == 2:
            values.setdefault(_value(pair[0]).lower(), _value(pair[1]))
    return header_names(values), values


def _value(value: object) -> str:
    return text(value) or binary(value).decode("utf-8", "replace")[:2048]


def urlsplit_scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme.lower()
    except ValueError:
        return ""
