"""A censor in the path that answers redirected connections or passes them on.

    python -m lab.country.interceptor pages NAME…                 block pages for these Hosts
    python -m lab.country.interceptor intercept NAME… --folder D  TLS with its own CA
    python -m lab.country.interceptor headers                     a proxy that tidies headers
    python -m lab.country.interceptor portal                      a page that wants to be paid first

Everything else is passed on unchanged to its destination. Runs in the gate's namespace.
"""

import argparse
import asyncio
import contextlib
import re
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import trustme

from lab.country.interference import PROGRAM_HTTP, PROGRAM_PROXY, PROGRAM_TLS
from support.field.box import answer_tls, copy, find_destination

FIRST_BYTES = 16_384
BLOCK_PAGE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
PAGE = (
    b"<html><head><title>Access is restricted</title></head><body>"
    b"The page you have requested has been blocked under the Law on Communications.</body></html>"
)

WELCOME = (
    b"<html><head><title>Welcome to Hotel Medeu</title></head><body>"
    b"<form>Room and name, please.</form></body></html>"
)

REQUEST = re.compile(rb"(?i:GET|HEAD|POST|PUT|OPTIONS) \S+ HTTP/1\.[01]")

Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["pages", "intercept", "headers", "portal"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args(arguments)
    names = [name.encode() for name in args.names]
    if args.what == "pages":
        asyncio.run(serve(PROGRAM_HTTP, partial(blocked, names)))
    elif args.what == "portal":
        asyncio.run(serve(PROGRAM_HTTP, portal))
    elif args.what == "headers":
        asyncio.run(serve(PROGRAM_PROXY, tidied))
    else:
        asyncio.run(serve(PROGRAM_TLS, partial(intercepted, names, contexts(args))))
    return 0


def contexts(args: argparse.Namespace) -> dict[bytes, ssl.SSLContext]:
    """Issue one certificate for each name, from a CA that no agent trusts."""
    authority = trustme.CA(organization_name="Qaznet Trust Network (a lab's)")
    authority.cert_pem.write_to_path(args.folder / "censor-ca.pem")
    made = {}
    for name in args.names:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, common_name=name).configure_cert(context)
        made[name.encode()] = context
    return made


async def serve(port: int, decide: Handler) -> None:
    async def turned_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            async with asyncio.timeout(60):
                first = await reader.read(FIRST_BYTES)
                if not first or not await decide(first, reader, writer):
                    await _pass_on(first, reader, writer)
        writer.close()

    server = await asyncio.start_server(turned_over, "0.0.0.0", port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


async def blocked(
    names: Sequence[bytes], first: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    head = first.lower()
    if not any(b"\r\nhost: " + name in head for name in names):
        return False
    return await _answer(writer, BLOCK_PAGE % (len(PAGE), PAGE))


async def portal(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer with the portal's page, whatever the protocol."""
    return await _answer(writer, BLOCK_PAGE % (len(WELCOME), WELCOME))


async def _answer(writer: asyncio.StreamWriter, data: bytes) -> bool:
    writer.write(data)
    await writer.drain()
    return True


async def intercepted(
    names: Sequence[bytes],
    made: dict[bytes, ssl.SSLContext],
    first: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    name = next((name for name in names if name in first), None)
    if name is None:
        return False
    await answer_tls(made[name], first, reader, writer)
    return True


async def tidied(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Forward requests with headers as a proxy writes them; answer 400 to the rest."""
    line, _, rest = first.partition(b"\r\n")
    if not REQUEST.fullmatch(line):
        return await _answer(
            writer, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
    head, end, body = rest.partition(b"\r\n\r\n")
    pairs = (header.partition(b":") for header in head.split(b"\r\n"))
    headers = [name.title() + colon + value for name, colon, value in pairs]
    method, _, target = line.partition(b" ")
    tidy = b"\r\n".join((method.upper() + b" " + target, *headers, b"Via: 1.1 cache"))
    await _pass_on(tidy + end + body, reader, writer)
    return True


async def _pass_on(
    first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    address, port = find_destination(writer)
    theirs, ours = await asyncio.open_connection(address, port)
    ours.write(first)
    async with asyncio.TaskGroup() as group:
        group.create_task(copy(reader, ours))
        group.create_task(copy(theirs, writer))


if __name__ == "__main__":
    sys.exit(main())
