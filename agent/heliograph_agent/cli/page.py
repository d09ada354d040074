"""`page`: show what `results` says in a browser of this machine."""

import argparse
import asyncio
import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

from heliograph.translation import choose_language, find_languages
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.runtime.event_loop import run_until_stopped
from heliograph_agent.runtime.status_file import read_status

if TYPE_CHECKING:
    from heliograph_agent.cli.local_page import LocalPage

MAX_PORT = 65_535


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
    from heliograph_agent.cli.local_page import TOKEN_BYTES, LocalPage

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
    from heliograph_agent.cli.local_page import serve_page

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
