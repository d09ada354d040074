"""`heliograph-collector top`: the world now, in a terminal, over a bad line."""

import argparse
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from heliograph_collector.cli import CommandError

_MOST_PASSWORD = 1_024


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "top",
        help="watch countries, incidents and ingest in a terminal",
        description="Shows what a collector's public API tells, live: countries and services, open "
        "incidents, how fresh it is. It asks little, so that it works over a bad line. q quits.",
        epilog="Example: heliograph-collector top --url https://sun.example.org",
        allow_abbrev=False,
    )
    command.add_argument(
        "--url", default="http://127.0.0.1:8080", metavar="URL", help="the collector's page"
    )
    command.add_argument(
        "--password-file", metavar="FILE", help="the operator's password, for figures of ingest"
    )
    command.add_argument("--json", action="store_true", help="print one look as JSON, and end")


def run(args: argparse.Namespace) -> int:
    import asyncio

    from heliograph_collector.cli.top.client import WireError, look

    url, password = _url(args.url), _password(args.password_file)
    if args.json:
        try:
            print(json.dumps(asyncio.run(look(url, password))))
        except WireError as error:
            raise CommandError(f"{url}: {error}.") from error
        return 0
    from heliograph_collector.cli.top.screen import Top

    Top(url, password).run()
    return 0


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        good = False
    if not good:
        raise CommandError(f"--url {text[:80]!r} must be the page's address: http://HOST:PORT.")
    return text.rstrip("/")


def _password(file: str | None) -> str:
    if not file:
        return ""
    with Path(file).expanduser().open(encoding="utf-8") as stream:
        return stream.read(_MOST_PASSWORD).strip()
