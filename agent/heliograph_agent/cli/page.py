"""`page`: show `results` in a browser of this machine, and of no other.

The address alone admits a reader. It holds a random token, so that other users and other pages of
the browser cannot guess it. A page elsewhere whose name leads to this machine (DNS
rebinding) is turned away by the Host header. Nothing is written to a disk, the browser is asked
to keep no copy, and the page has no script.
"""

import argparse
import asyncio
import os
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from html import escape
from http import HTTPStatus

from heliograph.clock import SystemClock
from heliograph.translation import RIGHT_TO_LEFT, choose_language, find_languages, mark
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.cli.absence import describe_absence
from heliograph_agent.cli.circumvention import describe_tools
from heliograph_agent.cli.results import NOT_ON_DISK, NOTHING_YET, describe_place, list_rows
from heliograph_agent.runtime.event_loop import run_until_stopped
from heliograph_agent.runtime.status_file import AgentStatus, read_status

MAX_PORT = 65_535
LOOPBACK = "127.0.0.1"
MAX_HEAD = 8_192  # bytes; browsers send some 700
READ_S = 5.0  # for a whole request; assumed, it comes from this machine
MAX_CONNECTIONS = 16  # a browser opens up to 6 to one host
REFRESH_S = 60  # the collector's findings change at most so often
TOKEN_BYTES = 16
TITLE = mark("What your network lets through")
HEADINGS = (mark("service"), mark("what all agents' tests tell"), mark("this machine"))
STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid;padding:.5rem;text-align:start;vertical-align:top}"
)
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
)
HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-store",
    f"Content-Security-Policy: {POLICY}",
    "Cross-Origin-Resource-Policy: same-origin",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "Connection: close",
)


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "page",
        help="show `results` as a page in this machine's browser, until Ctrl-C",
        description="Show `results` as a page that only this machine's browsers can open, by an "
        "address that is new each time. The browser's history keeps the address, and not the page.",
        epilog="Example: heliograph-agent page",
    )
    p.add_argument(
        "--port", type=_parse_port, default=0, metavar="PORT",
        help="the port on 127.0.0.1; by default one that is free",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    state = cli.get_state(args)
    state.joined_collector()
    page = LocalPage(
        read_status=partial(read_status, state),
        language=choose_language(os.environ, find_languages(cli.LOCALE)),
        token=secrets.token_urlsafe(TOKEN_BYTES),
        port=args.port,
    )
    try:
        run_until_stopped(partial(_serve, page))
    except OSError as error:
        text = _("Port {port} of this machine is not free ({reason}): name another with --port.")
        raise cli.AgentCommandError(text.format(port=page.port, reason=error.strerror)) from error
    return 0


async def _serve(page: "LocalPage", stop: asyncio.Event) -> None:
    async with serve_page(page):
        print(page.url, flush=True)
        cli.print_note(_("open this address in a browser of this machine; Ctrl-C ends the page."))
        await stop.wait()


def _parse_port(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or int(raw) > MAX_PORT:
        raise argparse.ArgumentTypeError(
            _("{value} is no port: a number from 0 to {limit}").format(value=raw, limit=MAX_PORT)
        )
    return int(raw)


def format_page(status: AgentStatus, language: str, now_us: int = 0) -> str:
    """Format the whole document; `now_us` is the wall clock."""
    direction = "rtl" if language in RIGHT_TO_LEFT else "ltr"
    return (
        f'<!doctype html><html lang="{language}" dir="{direction}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="{REFRESH_S}">'
        f"<title>{escape(_(TITLE))}</title><style>{STYLE}</style>"
        f"<h1>{escape(_(TITLE))}</h1>{''.join(_format_body(status, now_us))}</html>"
    )


def _format_body(status: AgentStatus, now_us: int) -> Iterator[str]:
    notice = describe_absence(status)
    if notice:
        yield f"<p>{escape(notice)}"
    findings = status.get("findings")
    rows = list_rows(status)
    if not findings or not rows:
        yield f"<p>{escape(_(NOTHING_YET))}"
        return
    yield f"<p>{escape(describe_place(findings))}<table><tr>"
    yield from (f'<th scope="col">{escape(_(heading))}' for heading in HEADINGS)
    for row in rows:
        yield (
            f'<tr><th scope="row"><bdi>{escape(row.title)}</bdi>'
            f"<td>{escape(row.finding)}<td>{escape(row.own)}"
        )
    yield "</table>"
    yield from (f"<p>{escape(sentence)}" for sentence in describe_tools(status, now_us))
    yield f"<p>{escape(_(NOT_ON_DISK))}"


@dataclass(slots=True)
class LocalPage:
    """Answer requests for one address, which holds the token."""

    read_status: Callable[[], AgentStatus]
    language: str
    token: str
    port: int = 0
    _connections: int = 0

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/{self.token}/"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close."""
        self._connections += 1
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(READ_S):
                    writer.write(await self._answer(reader))
                    await writer.drain()
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        if self._connections > MAX_CONNECTIONS:
            return _format_reply(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _format_reply(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return self.answer_request(head)

    def answer_request(self, head: bytes) -> bytes:
        """Answer a request by its head alone."""
        request_line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        named = [field.partition(":") for field in fields]
        hosts = [value.strip() for name, _colon, value in named if name.lower() == "host"]
        if hosts not in ([f"{LOOPBACK}:{self.port}"], [f"localhost:{self.port}"]):
            return _format_reply(HTTPStatus.MISDIRECTED_REQUEST)
        method, path, *_version = [*request_line.split(" "), ""]
        if not secrets.compare_digest(path.encode(), f"/{self.token}/".encode()):
            return _format_reply(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return _format_reply(HTTPStatus.METHOD_NOT_ALLOWED)
        now_us = SystemClock().wall_us()
        content = format_page(self.read_status(), self.language, now_us).encode()
        return _format_reply(HTTPStatus.OK, content, has_body=method == "GET")


def _format_reply(status: HTTPStatus, content: bytes = b"", *, has_body: bool = True) -> bytes:
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        *HEADERS,
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + (content if has_body else b"")


@asynccontextmanager
async def serve_page(page: LocalPage) -> AsyncIterator[None]:
    """Serve on loopback inside the block. Raises OSError where the port is taken."""
    server = await asyncio.start_server(page.handle, LOOPBACK, page.port, limit=MAX_HEAD)
    async with server:
        page.port = server.sockets[0].getsockname()[1]
        yield
