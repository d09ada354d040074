"""Command `heliograph-collector top`: live state in a terminal, over a slow line."""

import argparse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from heliograph_collector.cli import CommandError, add_command

_MAX_PASSWORD_LENGTH = 1_024


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "top",
        "watch countries, incidents and ingest in a terminal",
        "top --url https://sun.example.org",
        description="Shows live data of a collector's public API: countries, services, open "
        "incidents and their age. It needs little data, so it works on a slow line. q quits.",
    )
    command.add_argument(
        "--url", default="http://127.0.0.1:8080", metavar="URL", help="the collector's page"
    )
    command.add_argument(
        "--password-file", metavar="FILE", help="the operator's password, to show ingest figures"
    )
    command.add_argument(
        "--json", action="store_true", help="print the data once as JSON, and exit"
    )


def run(args: argparse.Namespace) -> int:
    import asyncio

    from heliograph_collector.cli.top.client import ApiClientError, fetch_snapshot

    url = _parse_url(args.url)
    password = _read_password(args.password_file)
    if args.json:
        try:
            print(asyncio.run(fetch_snapshot(url, password)))
        except ApiClientError as error:
            raise CommandError(f"{url}: {error}.") from error
        return 0
    from heliograph_collector.cli.top.screen import Top

    Top(url, password).run()
    return 0


def _parse_url(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        is_valid = False
    if not is_valid:
        raise CommandError(f"--url {address[:80]!r} must be the page's address: http://HOST:PORT.")
    return address.rstrip("/")


def _read_password(file: str | None) -> str:
    if not file:
        return ""
    with Path(file).expanduser().open(encoding="utf-8", errors="replace") as stream:
        return stream.read(_MAX_PASSWORD_LENGTH).strip()
