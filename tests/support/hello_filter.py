"""A censor that reads the ClientHello, then ends the connection or passes it on.

    async with hello_filter(web.https, drops_browsers) as port:
        ...

It knows browsers by their list of cipher suites: those of Chrome and Firefox begin in an order that
no library's list has.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from heliograph_agent.net.tls.fingerprint import parse_hello

BROWSER_SUITES = (bytes.fromhex("130113021303c02bc02f"), bytes.fromhex("130113031302c02bc02f"))
FIRST_SEGMENT = 1_460
SMALL = 1_400
ML_KEM_SHARE = bytes.fromhex("11ec04c0")  # RFC 8446 section 4.2.8
SEALED, ALPN = 0xFE0D, 0x0010  # RFC 9849, RFC 7301
USUAL_SEAL = bytes.fromhex("0000010001")  # outer, HKDF-SHA256, AES-128-GCM (RFC 9849 section 5)
Drops = Callable[[bytes], bool]  # whether a connection with this hello is reset


def is_browser(hello: bytes) -> bool:
    return any(suites in hello for suites in BROWSER_SUITES)


def drops_browsers(hello: bytes) -> bool:
    return is_browser(hello)


def passes_browsers_only(hello: bytes) -> bool:
    return not is_browser(hello)


def drops_name(name: str) -> Drops:
    return lambda hello: name.encode() in hello


def drops_name_in_first_segment(name: str) -> Drops:
    return lambda hello: name.encode() in hello[:FIRST_SEGMENT]


def drops_large(hello: bytes) -> bool:
    return len(hello) > SMALL


def drops_ml_kem(hello: bytes) -> bool:
    """Return whether a hello has an ML-KEM key share: the group and 1,216 bytes."""
    return ML_KEM_SHARE in hello


def drops_sealed(hello: bytes) -> bool:
    """Return whether a hello has Encrypted ClientHello, which browsers send as GREASE."""
    return SEALED in parse_hello(hello).extensions


def drops_usual_seal(hello: bytes) -> bool:
    """Return whether a hello has Encrypted ClientHello with Chrome's suite, real or GREASE."""
    try:
        return parse_hello(hello).extensions.get(SEALED, b"").startswith(USUAL_SEAL)
    except (IndexError, ValueError):  # a messenger's random bytes that open as a handshake does
        return False


def drops_http2(hello: bytes) -> bool:
    return b"\x02h2" in parse_hello(hello).extensions[ALPN]


def drops_nothing(_: bytes) -> bool:
    return False


@asynccontextmanager
async def hello_filter(server_port: int, drops: Drops) -> AsyncIterator[int]:
    """Run the censor; yield its port. What passes goes to `server_port`, byte by byte."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            header = await reader.readexactly(5)
            hello = header + await reader.readexactly(int.from_bytes(header[3:], "big"))
            if not drops(hello):
                await pass_on(hello, reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    async def pass_on(
        hello: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", server_port)
        try:
            back_writer.write(hello)
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, back_writer))
                group.create_task(pump(back_reader, writer))
        except* OSError:
            pass
        finally:
            back_writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(16_384):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
