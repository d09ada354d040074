"""HTTP over a stream: a real nginx; replies that are cut, slow, huge or not HTTP."""

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import brotli
import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Reference
from heliograph_agent.net import StepResult
from heliograph_agent.net.system_net import SystemNet
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.nginx import PAGE, Nginx, nginx
from support.tcp_server import (
    Handler,
    close_after_first_bytes,
    reply,
    reset_after_first_bytes,
    reset_now,
    say_nothing,
    slow_body,
    tcp_server,
    truncated_body,
)
from support.tls_server import tls_server
from support.values import present
from support.zstd_library import zstd

NAME = "www.example.test"
_EMPTY_BLOCKS = b"\x00\x00\x00\xff\xff" * 200_000  # of deflate: they decode to nothing


@pytest.fixture(scope="module")
def web(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(
        tmp_path_factory.mktemp("web"),
        {NAME: ca.leaf(NAME)},
        pages={"/big": b"x" * 1_000_000},
        directives="location = /old { return 302 http://other.test/new?ip=203.0.113.9; }",
    ) as running:
        yield running


async def get(net: SystemNet, port: int, path: str = "/", **options: object) -> StepResult:
    _, stream = await net.connect("127.0.0.1", port, endpoint="web")
    return await net.http(present(stream), f"http://{NAME}:{port}{path}", **options)  # type: ignore[arg-type]


async def get_secure(net: SystemNet, port: int) -> StepResult:
    _, plain = await net.connect("127.0.0.1", port, endpoint="web")
    _, stream = await net.handshake(present(plain), NAME)
    return await net.http(present(stream), f"https://{NAME}:{port}/")


def http_of(result: StepResult) -> Http:
    return present(result.observation.http)


async def fetch(opening: Opening, handler: Handler, **options: object) -> StepResult:
    """Return a net's result for a cleartext server with this behavior."""
    with tcp_server(handler) as port:
        net, _ = opening(http_s=0.4, body_s=0.4)
        return await get(net, port, **options)  # type: ignore[arg-type]


async def test_page_over_tls(opening: Opening, web: Nginx) -> None:
    net, trace = opening()
    seen = await get_secure(net, web.https)
    assert [step.operation for step in trace.observations] == [
        Operation.CONNECT, Operation.TLS_HANDSHAKE, Operation.HTTP_ROUND_TRIP, Operation.READ_BODY,
    ]  # fmt: skip
    assert [step.parent for step in trace.observations] == [None, 0, 1, 2]
    assert {step.failure for step in trace.observations} == {None}
    assert {step.endpoint for step in trace.observations} == {"web"}
    facts = http_of(seen)
    assert (facts.status, facts.title) == (200, "It works here")
    assert facts.server.startswith("nginx/")
    assert (facts.body_bytes, facts.truncated) == (len(PAGE), False)
    assert facts.body_sha256 == hashlib.sha256(PAGE).hexdigest()
    assert trace.bytes_moved > len(PAGE) + 1000


async def test_redirect_keeps_its_host_and_loses_addresses(opening: Opening, web: Nginx) -> None:
    net, trace = opening()
    result = await get(net, web.http, "/old")
    assert http_of(result).location == "http://other.test/new?ip=[scrubbed]"
    assert present(trace.observations[1].http).status == 302


@pytest.mark.parametrize(
    ("path", "options", "size", "truncated"),
    [
        ("/", {"method": "HEAD"}, 0, False),
        ("/big", {}, 524_288, True),
        ("/big", {"body_limit": 1_000_000}, 1_000_000, False),
    ],
)
async def test_body_is_read_to_the_limit(
    opening: Opening, web: Nginx, path: str, options: dict[str, Any], size: int, truncated: bool
) -> None:
    result = await get(opening()[0], web.http, path, **options)
    facts = http_of(result)
    assert result.is_success
    assert (facts.status, facts.body_bytes, facts.truncated) == (200, size, truncated)
    assert not size or facts.body_sha256 == hashlib.sha256(b"x" * size).hexdigest()


async def test_headers_are_a_browsers_unless_given(opening: Opening) -> None:
    heard: list[bytes] = []

    async def listen(reader: object, writer: object) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))  # type: ignore[attr-defined]
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")  # type: ignore[attr-defined]

    with tcp_server(listen) as port:
        net, _ = opening()
        await get(net, port, "/a?b=c", headers={"user-agent": "probe", "X-Test": "1"})
        await get(net, port)
    assert heard[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert f"Host: {NAME}:{port}\r\n".encode() in heard[0]
    assert b"user-agent: probe\r\n" in heard[0]
    assert b"Chrome" not in heard[0]
    assert b"X-Test: 1\r\n" in heard[0]
    assert b"Chrome" in heard[1]


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (reset_after_first_bytes, Failure.CONNECTION_RESET),
        (close_after_first_bytes, Failure.EOF_ERROR),
        (say_nothing, Failure.GENERIC_TIMEOUT_ERROR),
        (reply(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), Failure.HTTP_REQUEST_FAILED),
        (reply(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), Failure.HTTP_REQUEST_FAILED),
        (reply(b"HTTP/1.1 100 Continue\r\n\r\n" * 50), Failure.HTTP_REQUEST_FAILED),
        (reply(b"HTTP/1.1 200 OK\r\nServer: half"), Failure.EOF_ERROR),
    ],
)
async def test_no_reply_worth_the_name(
    opening: Opening, handler: Handler, failure: Failure
) -> None:
    result = await fetch(opening, handler)
    assert result.observation.failure is failure
    assert (result.observation.operation, result.index) == (Operation.HTTP_ROUND_TRIP, 1)


CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"


@pytest.mark.parametrize(
    ("handler", "failure", "received"),
    [
        (truncated_body, Failure.HTTP_TRUNCATED_BODY, 25),
        (slow_body, Failure.GENERIC_TIMEOUT_ERROR, 11),
        (reply(CHUNK), Failure.HTTP_TRUNCATED_BODY, 5),
        (reply(CHUNK + b"zz\r\n"), Failure.HTTP_REQUEST_FAILED, 5),
    ],
)
async def test_body_that_does_not_end_well(
    opening: Opening, handler: Handler, failure: Failure, received: int
) -> None:
    result = await fetch(opening, handler)
    facts = http_of(result)
    assert result.observation.failure is failure
    assert result.observation.operation is Operation.READ_BODY
    assert (facts.status, facts.body_bytes, facts.truncated) == (200, received, True)
    assert facts.title == {truncated_body: "Half of it", slow_body: "Slow"}.get(handler, "")


async def test_reset_in_the_body(opening: Opening) -> None:
    """A reset in the body keeps its first part.

    The peer waits for a second message before it resets, so that the first part has arrived.
    """
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    result = await fetch(opening, reply(head + b"abc", then=reset_now))
    assert result.observation.failure is Failure.CONNECTION_RESET
    assert result.observation.operation in (Operation.HTTP_ROUND_TRIP, Operation.READ_BODY)


@pytest.mark.parametrize(
    ("head", "failure"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Failure.HTTP_TRUNCATED_BODY),
        (b"HTTP/1.0 200 OK\r\n\r\n", None),
    ],
)
async def test_end_of_tls_ends_a_body_without_length_only(
    opening: Opening, ca: LoopbackCA, head: bytes, failure: Failure | None
) -> None:
    with tls_server(ca.leaf(NAME), reply(head + b"abc")) as port:
        result = await get_secure(opening()[0], port)
    facts = http_of(result)
    assert result.observation.failure is failure
    assert (facts.body_bytes, facts.truncated) == (3, failure is not None)


WORDS = b"<title>Notice</title><p>Access from 203.0.113.9 is denied.</p><script>x</script>"
FRAME = b"<iframe src='http://10.10.34.34/?from=203.0.113.9'></iframe>"


async def test_words_of_a_page_in_clear(opening: Opening) -> None:
    head = b"HTTP/1.0 403 Forbidden\r\nContent-Type: text/html\r\nX-Squid-Error: 1\r\n\r\n"
    facts = http_of(await fetch(opening, reply(head + WORDS + FRAME)))
    assert facts.text == "Access from [scrubbed] is denied."
    assert facts.references == (Reference(element="iframe", address="http://10.10.34.34/"),)
    assert facts.version == "1.0"
    assert facts.header_names == ("content-type", "x-squid-error")


async def test_words_of_a_page_over_tls_are_not_kept(opening: Opening, web: Nginx) -> None:
    net, trace = opening()
    facts = http_of(await get_secure(net, web.https))
    assert (facts.text, facts.references) == ("", ())
    assert facts.version == "1.1"
    assert {"content-length", "date", "server"} <= set(facts.header_names)
    assert http_of(await get(net, web.http)).text == "ok"
    assert present(trace.observations[2].http).header_names == facts.header_names


async def test_header_names_are_bounded_and_keep_no_address(opening: Opening) -> None:
    names = b"".join(b"X-%05d: 203.0.113.9\r\n" % number for number in range(900))
    head = b"HTTP/1.1 200 OK\r\n198.51.100.7: a\r\n" + names + b"X" * 900 + b": 1\r\n\r\n"
    facts = http_of(await fetch(opening, reply(head)))
    assert len(facts.header_names) == 64
    assert facts.header_names[0] == "[scrubbed]"
    assert "203.0" not in repr(facts)


LIMIT = 524_288
_BOMB_START = b"<title>Bomb</title>"


def _compress_bomb(compress: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """Return a function that makes a bomb, not at once, as every worker imports this."""
    return lambda: compress(_BOMB_START + bytes(50_000_000))


@pytest.mark.parametrize(
    ("coding", "written", "title", "decoded", "is_whole"),
    [
        (b"gzip", gzip.compress(WORDS, mtime=0), "Notice", WORDS, True),
        (b"x-gzip", gzip.compress(WORDS, mtime=0), "Notice", WORDS, True),
        (b"deflate", zlib.compress(WORDS), "Notice", WORDS, True),
        (b"deflate", zlib.compress(WORDS)[2:-4], "Notice", WORDS, True),
        (b"BR", brotli.compress(WORDS), "Notice", WORDS, True),
        (b"zstd", zstd.compress(WORDS), "Notice", WORDS, True),
        (b"zstd", zstd.compress(WORDS[:30]) + zstd.compress(WORDS[30:]), "Notice", WORDS, True),
        (b"gzip", gzip.compress(WORDS, mtime=0) + b"trailing", "Notice", WORDS, True),
        (b"gzip", gzip.compress(WORDS, mtime=0)[:-20], "Notice", None, True),
        (b"gzip", _compress_bomb(gzip.compress), "Bomb", _BOMB_START.ljust(LIMIT, b"\0"), False),
        (
            b"br",
            _compress_bomb(partial(brotli.compress, quality=1)),
            "Bomb",
            _BOMB_START.ljust(LIMIT, b"\0"),
            False,
        ),
        (b"zstd", _compress_bomb(zstd.compress), "Bomb", _BOMB_START.ljust(LIMIT, b"\0"), False),
        (b"zstd", zstd.compress(b"") * 100, "", b"", False),
        (b"deflate", _EMPTY_BLOCKS, "", b"", False),
        (b"gzip", WORDS, "", b"", False),
        (b"br", WORDS, "", b"", False),
        (b"zstd", WORDS, "", b"", False),
        (b"dcb", WORDS, "Notice", WORDS, True),
        (b"", WORDS, "Notice", WORDS, True),
    ],
)
@pytest.mark.parametrize("piece", [1_000_000, 7])
async def test_a_body_is_counted_decoded(
    opening: Opening,
    coding: bytes,
    written: bytes | Callable[[], bytes],
    title: str,
    decoded: bytes | None,
    is_whole: bool,
    piece: int,
) -> None:
    """A body is counted and hashed decoded, as a browser shows it."""
    body = written if isinstance(written, bytes) else written()
    piece = max(piece, len(body) // 500)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\n\r\n" % coding

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        for at in range(0, len(body), piece):
            writer.write(body[at : at + piece])
            await writer.drain()

    with tcp_server(answer) as port:
        facts = http_of(await get(opening()[0], port, watch=True))
    assert (facts.title, facts.truncated) == (title, not is_whole)
    if decoded is not None:
        assert facts.body_bytes == len(decoded)
        assert facts.body_sha256 == hashlib.sha256(decoded).hexdigest()
    is_coded = coding not in (b"", b"dcb")
    assert facts.coded_bytes <= min(len(body), LIMIT)
    assert (facts.coded_bytes > 0) == is_coded
    assert facts.arrivals[-1].bytes == facts.wire_bytes


async def test_a_freeze_is_seen(opening: Opening) -> None:
    """16 KiB, then silence."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

    async def freeze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(head + bytes(8_192))
        await writer.drain()
        writer.write(bytes(8_192))
        await say_nothing(reader, writer)

    facts = http_of(seen := await fetch(opening, freeze, watch=True))
    assert seen.observation.failure is Failure.GENERIC_TIMEOUT_ERROR
    assert facts.arrivals[-1].bytes == facts.body_bytes == 16_384
    assert 0 < facts.arrivals[0].at_us <= facts.arrivals[-1].at_us < 500_000


async def test_arrivals_are_thinned(opening: Opening, web: Nginx) -> None:
    net, _ = opening()
    facts = http_of(await get(net, web.http, "/big", watch=True, body_limit=1_000_000))
    sizes = [arrival.bytes for arrival in facts.arrivals]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 1_000_000
    assert len(sizes) <= 64
    assert http_of(await get(net, web.http, "/big")).arrivals == ()


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://x.test/", {}), ("nonsense", {}), ("http:///", {}), ("http://x.test/ä b", {}),
        ("http://x.test/", {"method": "GET /x"}), ("http://x.test/", {"headers": {"X y": "1"}}),
        ("http://x.test/", {"headers": {"X": "1\r\nHost: other"}}),
    ],
)  # fmt: skip
async def test_what_cannot_be_sent_is_no_observation(
    opening: Opening, web: Nginx, url: str, options: dict[str, Any]
) -> None:
    net, trace = opening()
    _, stream = await net.connect("127.0.0.1", web.http)
    with pytest.raises(ValueError, match=r"^(url|request): "):
        await net.http(present(stream), url, **options)
    assert len(trace.observations) == 1
