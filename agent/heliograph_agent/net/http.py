"""One HTTP/1.1 exchange over a stream that is already there, by h11.

`Exchange` holds what has been learnt so far: a step that fails halfway has its facts all the same.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from heliograph.failure import Failure
from heliograph.observation import Http
from heliograph_agent.net.failures import StepError
from heliograph_agent.net.title import one_line, title_of

if TYPE_CHECKING:
    import h11

MAX_HEAD = 65_536
_MAX_INTERIM = 8  # 1xx replies before the real one
_READ = 65_536
_MAX_HEADER = 2_048
_MAX_COOKIES = 64  # lines of one reply
_KEPT = 65_536  # bytes of the body that are looked at for a title

# An ordinary browser's words: a rare User-Agent would mark a volunteer.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "identity",  # what is counted and hashed is what was sent
    "Connection": "close",
}


class Exchange:
    """A request and its reply: `round_trip`, then `read_body`, each once."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        keep: int = _KEPT,
    ) -> None:
        """Raises ValueError when `url` is none."""
        import h11

        self._reader = reader
        self._writer = writer
        self._method = method
        self._url = url
        self._content = content
        self._request = _request(method, urlsplit(url), headers or {}, content)
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._headers: dict[str, str] = {}
        self._keep = keep
        self._digest = hashlib.sha256()
        self._size = 0
        self._truncated = False
        self._received = False  # anything at all
        self._eof = False
        self.status = 0
        self.cookies: tuple[str, ...] = ()
        self.body = bytearray()  # the first `keep` bytes

    async def round_trip(self) -> None:
        """To the end of the reply's head. Raises OSError or StepError."""
        import h11

        self._send()
        await self._writer.drain()
        for _ in range(_MAX_INTERIM):
            event = await self._next()
            if isinstance(event, h11.Response):
                self.status = event.status_code
                self._headers = _headers(event)
                self.cookies = _cookies(event)
                return
            if not isinstance(event, h11.InformationalResponse):
                raise StepError(Failure.EOF_ERROR if self._eof else Failure.HTTP_REQUEST_FAILED)
        raise StepError(Failure.HTTP_REQUEST_FAILED)

    async def read_body(self, limit: int) -> None:
        """To the end of the body, or to `limit` bytes. Raises OSError or StepError."""
        import h11

        self._truncated = True  # until its end has been seen
        while self._size <= limit:
            event = await self._next()
            if isinstance(event, h11.Data):
                self._take(event.data, limit)
            elif isinstance(event, h11.EndOfMessage):
                self._truncated = False
                return
            else:
                raise StepError(Failure.HTTP_TRUNCATED_BODY)

    def head(self) -> Http:
        """The facts of the round trip."""
        return Http(
            method=self._method,
            url=self._url[:_MAX_HEADER],
            status=self.status,
            server=one_line(self._headers.get("server", ""), 200),
            location=one_line(self._headers.get("location", ""), _MAX_HEADER),
        )

    def whole(self, limit: int) -> Http:
        """The facts of round trip and body."""
        head = self.head()
        return Http(
            method=head.method,
            url=head.url,
            status=head.status,
            server=head.server,
            location=head.location,
            title=title_of(bytes(self.body), self._headers.get("content-type", "")),
            body_bytes=min(self._size, limit),
            body_sha256=self._digest.hexdigest(),
            truncated=self._truncated,
        )

    def _send(self) -> None:
        import h11

        wire = self._h11.send(self._request) or b""
        if self._content:
            wire += self._h11.send(h11.Data(self._content)) or b""
        self._writer.write(wire + (self._h11.send(h11.EndOfMessage()) or b""))

    async def _next(self) -> "h11.Event | type[h11.NEED_DATA | h11.PAUSED]":
        import h11

        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                data = await self._reader.read(_READ)
                self._eof = not data
                self._received = self._received or bool(data)
                self._h11.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise StepError(self._fault()) from error
        return event

    def _fault(self) -> Failure:
        """h11 has one exception for a reply cut short and for one that is not HTTP."""
        if not self._eof:
            return Failure.HTTP_REQUEST_FAILED
        return Failure.HTTP_TRUNCATED_BODY if self.status else Failure.EOF_ERROR

    def _take(self, data: bytes | bytearray, limit: int) -> None:
        within = data[: max(0, limit - self._size)]
        self._size += len(data)
        self._digest.update(within)
        self.body += within[: max(0, self._keep - len(self.body))]


def _request(
    method: str, url: SplitResult, headers: Mapping[str, str], content: bytes
) -> "h11.Request":
    """Raises ValueError when the URL or a header cannot be sent."""
    import h11

    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"url: {url.geturl()!r} is no http or https URL")
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    given = {name.lower() for name in headers}
    sent = {"Host": _host(url)} | {k: v for k, v in BROWSER.items() if k.lower() not in given}
    sent |= headers
    if content:
        sent["Content-Length"] = str(len(content))
    try:
        return h11.Request(
            method=method,
            target=target.encode("ascii"),
            headers=[(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        )
    except h11.LocalProtocolError as error:
        raise ValueError(f"request: {error}") from error


def _host(url: SplitResult) -> str:
    name = url.hostname or ""
    name = f"[{name}]" if ":" in name else name
    default = {"http": 80, "https": 443}[url.scheme]
    return name if url.port in (None, default) else f"{name}:{url.port}"


def _headers(reply: "h11.Response") -> dict[str, str]:
    """Names in lower case; of a repeated header the first one counts."""
    found: dict[str, str] = {}
    for name, value in reply.headers:
        found.setdefault(name.decode("ascii"), value.decode("latin-1"))
    return found


def _cookies(reply: "h11.Response") -> tuple[str, ...]:
    """Set-Cookie cannot be folded into one header (RFC 6265 section 3)."""
    lines = [value.decode("latin-1") for name, value in reply.headers if name == b"set-cookie"]
    return tuple(lines[:_MAX_COOKIES])
