"""One HTTP/1.1 exchange over a stream that is already there.

`Exchange` holds what has been learnt so far: a step that fails halfway has its facts all the same.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import TypedDict
from urllib.parse import SplitResult, urlsplit

from heliograph.failure import Failure
from heliograph.observation import Arrival, Http
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.html_text import one_line, text_of, title_of
from heliograph_agent.net.http.response_parser import Body, Head, NotHttpError, take_head
from heliograph_agent.net.trace import Reader, Writer

_MAX_INTERIM = 8  # 1xx replies before the real one
_READ = 65_536
_MAX_HEADER = 2_048
_MAX_NAMES = 64  # of headers
_MAX_NAME = 128  # characters
_MAX_COOKIES = 64  # lines of one reply
_MAX_ARRIVALS = 64
_KEPT = 65_536  # bytes of the body that are looked at for a title
_SWITCHING = 101
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")
_SPACE_TOO = re.compile(r"[\x00-\x20\x7f-\uffff]")

# An ordinary browser's words: a rare User-Agent would mark a volunteer.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "identity",  # what is counted and hashed is what was sent
    "Connection": "close",
}


_BROWSER_LINES = "".join(f"{name}: {value}\r\n" for name, value in BROWSER.items()) + "\r\n"


class Exchange:
    """A request and its reply: `round_trip`, then `read_body`, each once."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        keep: int = _KEPT,
        in_clear: bool = False,
        watch: Callable[[], int] | None = None,
    ) -> None:
        """`in_clear`: nobody encrypted the stream, so that the text of the page may be kept.
        `watch`: a clock in microseconds, to keep how the body arrives.

        Raises ValueError when `url` or a header cannot be sent.
        """
        self._reader = reader
        self._writer = writer
        self._method = method
        self._url = url
        self._in_clear = in_clear and url.startswith("http:")
        self._request = _request(method, urlsplit(url), headers or {}, content)
        self._received = bytearray()  # and not understood yet
        self._head: Head | None = None
        self._said: _HeadFacts | None = None
        self._body: Body | None = None
        self._keep = keep
        self._digest = hashlib.sha256()
        self._size = 0
        self._truncated = False
        self._watch = watch
        self._sent_us = 0
        self._arrivals: list[Arrival] = []
        self.status = 0
        self.cookies: tuple[str, ...] = ()
        self.body = bytearray()  # the first `keep` bytes

    @property
    def has_body(self) -> bool:
        """What follows 101 is another protocol."""
        return self.status != _SWITCHING

    async def round_trip(self) -> None:
        """To the end of the reply's head. Raises OSError or StepError."""
        self._sent_us = self._watch() if self._watch else 0
        self._writer.write(self._request)
        await self._writer.drain()
        try:
            for _ in range(_MAX_INTERIM):
                head = await self._next_head()
                if head.status >= 200 or head.status == _SWITCHING:
                    self._body = Body(head, self._method)
                    self._settle(head)
                    return
        except NotHttpError as error:
            raise StepError(Failure.HTTP_REQUEST_FAILED) from error
        raise StepError(Failure.HTTP_REQUEST_FAILED)

    async def read_body(self, limit: int) -> None:
        """To the end of the body, or to `limit` bytes. Raises OSError or StepError."""
        body = self._body
        if body is None:
            raise RuntimeError("the head has not been read")
        self._truncated = True  # until its end has been seen
        data = bytes(self._received)
        while True:
            self._take(body.feed(data), limit)
            if body.broken:
                raise StepError(Failure.HTTP_REQUEST_FAILED)
            if body.done or self._size > limit:
                break
            data = await self._reader.read(_READ)
            if not data and not body.end():
                raise StepError(Failure.HTTP_TRUNCATED_BODY)
        self._truncated = self._size > limit

    def head(self) -> Http:
        """The facts of the round trip."""
        if self._said is None:
            return Http(method=self._method, url=self._url[:_MAX_HEADER])
        return Http(method=self._method, url=self._url[:_MAX_HEADER], **self._said)

    def whole(self, limit: int) -> Http:
        """The facts of round trip and body."""
        head, said = self._head, self._said
        if head is None or said is None:
            return self.head()
        kind = head.first("content-type")
        page = _readable(bytes(self.body), head.first("content-encoding"))
        return Http(
            method=self._method,
            url=self._url[:_MAX_HEADER],
            **said,
            title=title_of(page, kind),
            body_bytes=min(self._size, limit),
            body_sha256=self._digest.hexdigest(),
            truncated=self._truncated,
            text=text_of(page, kind) if self._in_clear else "",
            arrivals=tuple(self._arrivals),
        )

    async def _next_head(self) -> Head:
        while (head := take_head(self._received)) is None:
            data = await self._reader.read(_READ)
            if not data:
                raise StepError(Failure.EOF_ERROR)
            self._received += data
        return head

    def _settle(self, head: Head) -> None:
        """Set-Cookie cannot be folded into one header (RFC 6265 section 3)."""
        self._head = head
        self._said = _facts(head)
        self.status = head.status
        self.cookies = tuple(head.every("set-cookie")[:_MAX_COOKIES])

    def _take(self, data: bytes, limit: int) -> None:
        within = data[: max(0, limit - self._size)]
        self._size += len(data)
        self._digest.update(within)
        self.body += within[: max(0, self._keep - len(self.body))]
        if self._watch is not None and within:
            at_us = self._watch() - self._sent_us
            self._arrivals.append(Arrival(at_us=at_us, bytes=min(self._size, limit)))
            if len(self._arrivals) > _MAX_ARRIVALS:
                del self._arrivals[1:-1:2]  # every second one, but not the first, nor the last


class _HeadFacts(TypedDict):
    status: int
    server: str
    location: str
    version: str
    header_names: tuple[str, ...]


def _facts(head: Head) -> _HeadFacts:
    names = sorted({name[:_MAX_NAME] for name, _ in head.fields})
    return {
        "status": head.status,
        "server": one_line(head.first("server"), 200),
        "location": one_line(head.first("location"), _MAX_HEADER),
        "version": head.version,
        "header_names": tuple(names[:_MAX_NAMES]),
    }


def _readable(body: bytes, coding: str) -> bytes:
    """Unpacked, for servers that compress though nobody asked; bounded; b"" when it cannot be."""
    if coding.lower() in ("", "identity"):
        return body
    if coding.lower() not in ("gzip", "x-gzip", "deflate"):
        return b""
    for window in (47, -15):  # gzip or zlib, told by its header; deflate as some mistake it
        try:
            return zlib.decompressobj(window).decompress(body, _KEPT)
        except zlib.error:
            continue
    return b""


def _request(method: str, url: SplitResult, headers: Mapping[str, str], content: bytes) -> bytes:
    """Raises ValueError when the URL or a header cannot be sent."""
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"url: {url.geturl()!r} is no http or https URL")
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if not target.isascii() or _SPACE_TOO.search(target) or not _NAME.fullmatch(method):
        raise ValueError(f"request: {method!r} {url.geturl()!r} cannot be sent")
    if not headers and not content:
        head = f"{method} {target} HTTP/1.1\r\nHost: {_host(url)}\r\n"
        return (head + _BROWSER_LINES).encode("latin-1")
    given = {name.lower() for name in headers}
    sent = {"Host": _host(url)} | {k: v for k, v in BROWSER.items() if k.lower() not in given}
    sent |= headers
    if content:
        sent["Content-Length"] = str(len(content))
    for name, value in sent.items():
        if not _NAME.fullmatch(name) or _UNSENDABLE.search(value):
            raise ValueError(f"request: the header {name!r} cannot be sent")
    lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def _host(url: SplitResult) -> str:
    name = url.hostname or ""
    name = f"[{name}]" if ":" in name else name
    default = {"http": 80, "https": 443}[url.scheme]
    return name if url.port in (None, default) else f"{name}:{url.port}"
