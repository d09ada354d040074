"""Make one HTTP/1.1 exchange over an open stream.

`Http1Exchange` holds the facts so far, so that a step that fails halfway keeps them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

from heliograph.failure import Failure
from heliograph.hello_profiles import get_requests
from heliograph.observation import Arrival, Http, Reference
from heliograph.request_profile import TOKEN, RequestProfile
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.content_coding import BodyContent
from heliograph_agent.net.http.head_facts import KEPT_BODY_BYTES, describe_head, describe_request
from heliograph_agent.net.http.html_text import (
    decode_page,
    extract_text,
    extract_title,
    find_text,
    find_title,
    is_markup,
)
from heliograph_agent.net.http.page_references import find_references, is_short_text
from heliograph_agent.net.http.request_headers import choose_kind, make_headers
from heliograph_agent.net.http.response_parser import (
    NotHttpError,
    ResponseBody,
    ResponseHead,
    take_head,
)
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.trace import BodyReader, ByteReader, ByteWriter, StepTrace

_MAX_INTERIM = 8  # 1xx replies before the real one
_READ = 65_536
_MAX_COOKIES = 64  # Set-Cookie lines of one reply
_MAX_ARRIVALS = 64
_SWITCHING = 101
_SPACE_TOO = re.compile(r"[\x00-\x20\x7f-\uffff]")


class Http1Exchange:
    """Make one request: `run_round_trip`, then `read_body`, each once."""

    def __init__(
        self,
        reader: ByteReader,
        writer: ByteWriter,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        keep_bytes: int = KEPT_BODY_BYTES,
        in_clear: bool = False,
        stopwatch: StepTrace | None = None,
        profile: RequestProfile | None = None,
    ) -> None:
        """Encode the request. Raises ValueError when `url` or a header cannot be sent.

        `in_clear`: the stream is not encrypted, so that the text of the page may be kept.
        `stopwatch`: records the progress of the body, None for no record.
        `profile`: the browser whose requests these are, None for the shipped one.
        """
        self._profile = profile or get_requests()
        self._reader: BodyReader = reader
        self._writer = writer
        self._method = method
        self._url = url
        self._in_clear = in_clear and url.startswith("http:")
        parts = urlsplit(url)
        _check_request(method, parts)
        self._prepare_request(reader, parts, headers or {}, content)
        self._received = bytearray()  # and not parsed yet
        self._head: ResponseHead | None = None
        self._head_facts: Http | None = None
        self._body: ResponseBody | None = None
        self._keep_bytes = keep_bytes
        self._body_content: BodyContent | None = None  # once it is read
        self._truncated = False
        self._stopwatch = stopwatch
        self._sent_us = 0
        self._arrivals: list[Arrival] = []
        self.status = 0
        self.cookies: tuple[str, ...] = ()

    @property
    def body(self) -> bytearray:
        """Return the first `keep_bytes` decoded bytes."""
        return bytearray() if self._body_content is None else self._body_content.body

    @property
    def has_body(self) -> bool:
        """Tell whether a body follows; after 101 another protocol follows."""
        return self.status != _SWITCHING

    async def run_round_trip(self) -> None:
        """Send the request and read the reply's headers. Raises OSError or StepError."""
        self._sent_us = self._stopwatch.elapsed_us() if self._stopwatch else 0
        await self._send_request()
        try:
            for _ in range(_MAX_INTERIM):
                head = await self._read_head()
                if head.status >= 200 or head.status == _SWITCHING:
                    self._body = ResponseBody(head, self._method)
                    self._head = head
                    self.status = head.status
                    # They stay apart from the other headers (RFC 6265 section 3).
                    self.cookies = tuple(head.all_values("set-cookie")[:_MAX_COOKIES])
                    return
        except NotHttpError as error:
            raise StepError(Failure.HTTP_REQUEST_FAILED) from error
        raise StepError(Failure.HTTP_REQUEST_FAILED)

    async def read_body(self, limit: int) -> None:
        """Read the body, at most `limit` bytes. Raises OSError or StepError."""
        body = self._body
        head = self._head
        if body is None or head is None:
            raise RuntimeError("the head has not been read")
        coding = head.first_value("content-encoding")
        self._body_content = content = BodyContent(coding, limit, self._keep_bytes)
        self._truncated = True  # until the end of the body has arrived
        data = bytes(self._received)
        while True:
            self._add_body(body.feed_data(data), content)
            if body.is_broken:
                raise StepError(Failure.HTTP_REQUEST_FAILED)
            if body.is_done or content.is_over:
                break
            data = await self._reader.read(_READ)
            if not data and not body.feed_end():
                raise StepError(Failure.HTTP_TRUNCATED_BODY)
        self._truncated = content.is_over or content.is_broken

    def step_facts(self) -> StepFacts:
        """Return the facts of the round trip, and of the body once it is read."""
        head = self._head
        if head is None:
            return {"http": describe_request(self._url, self._method)}
        if self._head_facts is None:
            self._head_facts = describe_head(
                self._url,
                method=self._method,
                status=head.status,
                version=head.version,
                server=head.first_value("server"),
                location=head.first_value("location"),
                header_names=(name for name, _ in head.fields),
            )
        content = self._body_content
        if content is None:
            return {"http": self._head_facts}
        page = _describe_page(content, head.first_value("content-type"), in_clear=self._in_clear)
        http = replace(
            self._head_facts,
            title=page.title,
            body_bytes=content.size,
            coded_bytes=content.coded_size,
            body_sha256=content.sha256,
            truncated=self._truncated,
            text=page.text,
            references=page.references,
            arrivals=tuple(self._arrivals),
        )
        return {"http": http}

    def _prepare_request(
        self, reader: ByteReader, url: SplitResult, headers: Mapping[str, str], content: bytes
    ) -> None:
        own = {"Host": format_host(url)} | dict(headers)
        fields = make_headers(self._profile, choose_kind(url.scheme, headers), own, content)
        head = [f"{self._method} {format_target(url)} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in fields.items()]
        self._request = "\r\n".join((*head, "", "")).encode("latin-1") + content

    async def _send_request(self) -> None:
        self._writer.write(self._request)
        await self._writer.drain()

    async def _read_head(self) -> ResponseHead:
        while (head := take_head(self._received)) is None:
            data = await self._reader.read(_READ)
            if not data:
                raise StepError(Failure.EOF_ERROR)
            self._received += data
        return head

    def _add_body(self, data: bytes, content: BodyContent) -> None:
        received = content.received
        content.add(data)
        if self._stopwatch is not None and content.received > received:
            arrived_us = self._stopwatch.elapsed_us() - self._sent_us
            self._arrivals.append(Arrival(at_us=arrived_us, bytes=content.received))
            if len(self._arrivals) > _MAX_ARRIVALS:
                del self._arrivals[1:-1:2]  # drop every second one, never the first or the last


@dataclass(frozen=True, slots=True)
class _ContentFacts:
    """Hold what the record keeps of a page's content."""

    title: str = ""
    text: str = ""
    references: tuple[Reference, ...] = ()


def _describe_page(content: BodyContent, content_type: str, *, in_clear: bool) -> _ContentFacts:
    """Decode a page once and describe it; of an encrypted one only the title is kept."""
    body = bytes(content.body)
    if not in_clear:
        return _ContentFacts(extract_title(body, content_type))
    if not is_markup(content_type):
        return _ContentFacts(text=extract_text(body, content_type))
    markup = decode_page(body, content_type)
    text = find_text(markup, content_type)
    references = find_references(markup, is_short=is_short_text(text))
    return _ContentFacts(find_title(markup), text, references)


def _check_request(method: str, url: SplitResult) -> None:
    """Raise ValueError when the method or the URL cannot be sent."""
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"url: {url.geturl()!r} is no http or https URL")
    target = format_target(url)
    if not target.isascii() or _SPACE_TOO.search(target) or not TOKEN.fullmatch(method):
        raise ValueError(f"request: {method!r} {url.geturl()!r} cannot be sent")


def format_target(url: SplitResult) -> str:
    """Return path and query, as a request names them."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def format_host(url: SplitResult) -> str:
    """Return the host with a port that is not the usual one."""
    name = url.hostname or ""
    name = f"[{name}]" if ":" in name else name
    default = {"http": 80, "https": 443}[url.scheme]
    return name if url.port in (None, default) else f"{name}:{url.port}"
