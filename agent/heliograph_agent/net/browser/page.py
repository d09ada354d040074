"""Fetch a page with a browser's TLS and HTTP by curl_cffi, in three steps.

The steps are its handshake, the head of its reply and its body.
"""

import asyncio
import hashlib
import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from heliograph.address import parse_literal
from heliograph.error_group import find_first_error
from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Tls
from heliograph_agent.net.browser.relay import HOST, ObservingRelay
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.http.head_facts import KEPT_BODY_BYTES, describe_head
from heliograph_agent.net.http.html_text import extract_title
from heliograph_agent.net.step import FactSource, Step, StepFacts
from heliograph_agent.net.tcp import read_segment_bytes
from heliograph_agent.net.tls.fingerprint import add_shape
from heliograph_agent.net.tls.step import UNSUPPORTED_ALERTS
from heliograph_agent.net.trace import ByteStream, StepResult

_MAX_HEAD = 262_144  # bytes of headers, as many as Chromium takes
_NO_SUCH_BROWSER = -2
_VERIFY_FAILED = 60  # CURLE_PEER_FAILED_VERIFICATION
# curl's errors on a certificate (lib/vtls/openssl.c), and OpenSSL's words behind it.
_DATES = ("has expired", "not yet valid")
_NAMES = ("subject name", "hostname")


def require_curl_cffi() -> Any:
    """Return the package. Raises ValueError, with the fix, when it is not installed."""
    try:
        return importlib.import_module("curl_cffi")
    except ImportError as error:
        raise ValueError(
            "browser needs curl_cffi: run pip install '.[browser]' in a checkout of Heliograph."
        ) from error


def name_newest(browser: str) -> str:
    """Return curl_cffi's own name of the newest version of a browser: chrome152."""
    impersonate = importlib.import_module("curl_cffi.requests.impersonate")
    return str(impersonate.REAL_TARGET_MAP.get(browser, browser))


class BrowserPage:
    """Make one request, in a thread that ends when the relay does."""

    def __init__(self, relay: ObservingRelay, url: str, browser: str, segment_bytes: int) -> None:
        self._relay = relay
        self._url = url
        self._package = require_curl_cffi()
        self._browser = name_newest(browser)
        self._segment_bytes = segment_bytes
        self._loop = asyncio.get_running_loop()
        self._head = asyncio.Event()  # has come, or never will
        self._end = asyncio.Event()
        self._code = 0  # of curl
        self._has_head = False
        self._lines: list[bytes] = []  # of the head
        self._head_bytes = 0
        self._body = bytearray()
        self._body_bytes = 0
        self._digest = hashlib.sha256()
        self._limit = 0
        self._is_over = False  # the body exceeds the limit
        self._is_read = False
        self._complaint = ""

    async def run(self, ca_file: str, deadline_s: float, body_limit: int) -> None:
        """Fetch the page; the other methods wait for parts of it."""
        self._limit = body_limit
        try:
            self._code = await asyncio.to_thread(self._perform, ca_file, deadline_s)
        finally:
            for event in (self._relay.progress, self._head, self._end):
                event.set()

    async def wait_handshake(self) -> None:
        """Wait until the handshake is over.

        Raises OSError or StepError, and ValueError when curl has sent nothing: our own fault.
        """
        await self._relay.progress.wait()
        if not self._relay.sent.has_data:
            self._raise_tls_failure()

    async def wait_head(self) -> None:
        """Wait for the head of the reply. Raises OSError or StepError."""
        await self._head.wait()
        if not self._has_head:
            self._raise_stream_failure(Failure.EOF_ERROR)
            raise StepError(Failure.HTTP_REQUEST_FAILED)

    async def wait_body(self) -> None:
        """Wait for the end of the body. Raises OSError or StepError."""
        await self._end.wait()
        self._is_read = True
        if self._code and not self._is_over:
            self._raise_stream_failure(Failure.HTTP_TRUNCATED_BODY)
            raise StepError(Failure.HTTP_REQUEST_FAILED)

    def describe_handshake(self) -> Tls:
        host = urlsplit(self._url).hostname or ""
        tls = Tls(
            server_name="" if parse_literal(host) else host,
            alert=self._relay.received.alert,
            profile=self._browser,
            library=f"curl_cffi {self._package.__version__}",
        )
        return add_shape(tls, self._relay.sent.first_record, self._segment_bytes)

    def describe_page(self) -> Http:
        fields = dict(self._iter_fields())
        head = self._lines[0].split() if self._lines else []
        version = head[0].rpartition(b"/")[2].decode("latin-1") if head else ""
        content_type = fields.get("content-type", "")
        is_read = self._is_read
        http = describe_head(
            self._url,
            status=_read_status(head),
            version=version,
            server=fields.get("server", ""),
            location=fields.get("location", ""),
            header_names=fields,
        )
        return replace(
            http,
            title=extract_title(bytes(self._body), content_type) if is_read else "",
            body_bytes=self._body_bytes if is_read else 0,
            body_sha256=self._digest.hexdigest() if is_read else "",
            truncated=self._is_over,
        )

    def _iter_fields(self) -> Iterator[tuple[str, str]]:
        for line in reversed(self._lines[1:]):  # so that the first of a name counts
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                yield name.strip().lower(), value.strip()

    def _raise_tls_failure(self) -> None:
        """Raise what ended the handshake; a client that refuses an answer sends an alert."""
        sent = self._relay.sent
        received = self._relay.received
        is_tls = bytes(received.start[:1]) in (b"", b"\x15", b"\x16")
        if not sent.start:
            raise ValueError(f"curl_cffi sent nothing as {self._browser}: {self._complaint}")
        if self._code == _VERIFY_FAILED:
            raise StepError(classify_complaint(self._complaint))
        if received.alert in UNSUPPORTED_ALERTS:
            raise StepError(Failure.SSL_UNSUPPORTED)
        if received.alert is not None or not is_tls:
            raise StepError(Failure.SSL_FAILED_HANDSHAKE)
        if sent.alert is None:
            self._raise_stream_failure(Failure.EOF_ERROR)
        raise StepError(Failure.SSL_UNSUPPORTED)

    def _raise_stream_failure(self, at_end: Failure) -> None:
        if self._relay.error is not None:
            raise self._relay.error
        if self._relay.is_ended:
            raise StepError(at_end)

    def _perform(self, ca_file: str, deadline_s: float) -> int:
        """Run curl, in its thread; return its code, 0 for success."""
        package = self._package
        option = package.CurlOpt
        curl = package.Curl()
        try:
            with merge_roots(ca_file) as roots:
                if curl.impersonate(self._browser, default_headers=True):
                    self._complaint = "it does not have this browser; update it."
                    return _NO_SUCH_BROWSER
                for key, value in {
                    option.URL: self._url,
                    option.PROXY: f"http://{HOST}:{self._relay.port}",
                    option.PROXYUSERPWD: self._relay.credentials,
                    option.NOPROXY: "",
                    option.HTTPPROXYTUNNEL: 1,
                    option.SUPPRESS_CONNECT_HEADERS: 1,
                    option.CAINFO: roots,
                    option.NOSIGNAL: 1,
                    option.TIMEOUT_MS: int(deadline_s * 1_000),
                    option.HEADERFUNCTION: self._take_line,
                    option.WRITEFUNCTION: self._take_body,
                }.items():
                    curl.setopt(key, value)
                curl.perform()
        except package.CurlError as error:
            self._complaint = str(error)
            return int(error.code) or -1
        finally:
            curl.close()
        return 0

    def _take_line(self, line: bytes) -> int:
        self._head_bytes += len(line)
        if self._head_bytes > _MAX_HEAD:
            return _STOP
        if line.startswith(b"HTTP/"):
            self._lines.clear()  # an interim reply came before
        if line.strip():
            self._lines.append(line.strip())
        elif self._lines and _read_status(self._lines[0].split()) >= 200:
            self._has_head = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._head.set)
        return len(line)

    def _take_body(self, data: bytes) -> int:
        room = self._limit - self._body_bytes
        content = data[:room]
        self._digest.update(content)
        self._body_bytes += len(content)
        self._body += content[: max(0, KEPT_BODY_BYTES - len(self._body))]
        self._is_over = len(data) > room
        return _STOP if self._is_over else len(data)


_STOP = 0xFFFFFFFF  # CURL_WRITEFUNC_ERROR


def classify_complaint(complaint: str) -> Failure:
    """Return what curl found wrong with a certificate."""
    lower_complaint = complaint.lower()
    if any(phrase in lower_complaint for phrase in _NAMES):
        return Failure.SSL_INVALID_HOSTNAME
    if any(phrase in lower_complaint for phrase in _DATES):
        return Failure.SSL_INVALID_CERTIFICATE
    return Failure.SSL_UNKNOWN_AUTHORITY


@contextmanager
def merge_roots(ca_file: str) -> Iterator[str]:
    """Give a file with the public roots, and those of `ca_file` too where it is set."""
    import certifi

    if not ca_file:
        yield certifi.where()
        return
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "roots.pem"
        merged.write_bytes(Path(certifi.where()).read_bytes() + Path(ca_file).read_bytes())
        yield str(merged)


def _read_status(head: list[bytes]) -> int:
    return int(head[1]) if len(head) > 1 and head[1].isdigit() else 0


class _StepMaker(Protocol):
    """Make the steps of a net."""

    def make_step(
        self,
        operation: Operation,
        deadline_s: float,
        on: StepResult | None,
        endpoint: str | None = None,
        source: FactSource | None = None,
        facts: StepFacts | None = None,
    ) -> Step: ...


class _HandshakeFacts:
    """Describe the handshake of a page."""

    def __init__(self, page: BrowserPage) -> None:
        self._page = page

    def step_facts(self) -> StepFacts:
        return {"tls": self._page.describe_handshake()}


class _PageFacts:
    """Describe the reply of a page."""

    def __init__(self, page: BrowserPage) -> None:
        self._page = page

    def step_facts(self) -> StepFacts:
        return {"http": self._page.describe_page()}


class BrowserVisit:
    """Fetch one page over an open stream."""

    def __init__(self, stream: ByteStream, url: str, browser: str, token: bytes) -> None:
        """Prepare the page. Raises ValueError without curl_cffi."""
        self._stream = stream
        self._relay = ObservingRelay(stream, token)
        segment_bytes = read_segment_bytes(stream.writer.transport)
        self._page = BrowserPage(self._relay, url, browser, segment_bytes)

    async def run(self, steps: _StepMaker, config: NetConfig, body_limit: int) -> StepResult:
        """Make the steps, up to the first that fails, and close the stream.

        Raises ValueError when curl_cffi cannot send anything.
        """
        whole_s = config.tls_s + config.http_s + config.body_s
        try:
            async with asyncio.TaskGroup() as group:
                relaying = group.create_task(self._relay.run())
                group.create_task(self._page.run(config.ca_file, whole_s, body_limit))
                try:
                    return await self._make_steps(steps, config)
                finally:
                    self._relay.close()
                    relaying.cancel()
        except ExceptionGroup as errors:
            raise find_first_error(errors) from errors

    async def _make_steps(self, steps: _StepMaker, config: NetConfig) -> StepResult:
        page = self._page
        handshake = _HandshakeFacts(page)
        reply = _PageFacts(page)
        operation = Operation.TLS_HANDSHAKE
        on = self._stream.step_result
        with steps.make_step(operation, config.tls_s, on, source=handshake) as step:
            await page.wait_handshake()
        if not step.result.is_success:
            return step.result
        operation = Operation.HTTP_ROUND_TRIP
        with steps.make_step(operation, config.http_s, step.result, source=reply) as step:
            await page.wait_head()
        if not step.result.is_success:
            return step.result
        operation = Operation.READ_BODY
        with steps.make_step(operation, config.body_s, step.result, source=reply) as step:
            await page.wait_body()
        return step.result
