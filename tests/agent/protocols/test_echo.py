"""An echo is the same, changed in one of the named ways, or no echo."""

import json
from collections.abc import Sequence

import pytest

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols.echo import (
    REQUEST_LINE,
    HttpEcho,
    TcpEcho,
    make_malformed_lines,
)

SPEECH = HttpEcho("echo.test", bytes(range(64)))


def reply(
    line: str = REQUEST_LINE,
    headers: Sequence[tuple[str, str]] = tuple(SPEECH.headers),
    status: str = "200 OK",
) -> bytes:
    body = json.dumps({"request_line": line, "headers": headers}).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_the_request_is_one_that_no_browser_sends_and_every_server_takes() -> None:
    line, host, *_ = SPEECH.make_request().decode().split("\r\n")
    assert line == "GeT / HTTP/1.1"
    name, value = host.split(": ")
    assert (name.lower(), value) == ("host", "echo.test")
    assert SPEECH.make_request().endswith(b"\r\n\r\n")
    assert all(name not in ("Host", "Accept", "User-Agent") for name, _ in SPEECH.headers)


@pytest.mark.parametrize(
    ("line", "change", "words"),
    [
        ("GeT / HTTP/1.1", lambda h: h, ()),
        ("GET / HTTP/1.1", lambda h: h, ("request_line_capitalization",)),
        ("GeT http://echo.test/ HTTP/1.1", lambda h: h, ("request_line",)),
        ("GeT / HTTP/1.0", lambda h: h, ("request_line",)),
        ("GeT / HTTP/1.1", lambda h: [(n.title(), v) for n, v in h],
         ("header_name_capitalization",)),
        ("GeT / HTTP/1.1", lambda h: [*h, ("Via", "1.1 box")], ("header_name", "header_number")),
        ("GeT / HTTP/1.1", lambda h: h[:-1], ("header_name", "header_number")),
        ("GeT / HTTP/1.1", lambda h: [*h[:-1], ("X-Agent", "y")], ("header_name",)),
        ("GeT / HTTP/1.1", lambda h: h[::-1], ("header_order",)),
        ("GeT / HTTP/1.1", lambda h: [(n, "gzip") if n.lower() == "accept-encoding" else (n, v)
                                      for n, v in h], ("header_value",)),
    ],
)  # fmt: skip
def test_each_change_has_its_word(line: str, change, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    told = reply(line, change(list(SPEECH.headers)))
    assert SPEECH.parse_reply(told) == ProbeReply("echo", words)


def test_more_is_wanted_until_the_whole_answer_is_there() -> None:
    whole = reply()
    assert [SPEECH.parse_reply(whole[:end]) for end in range(len(whole))] == [None] * len(whole)
    assert SPEECH.parse_reply(whole) == ProbeReply("echo")


def test_a_changed_transfer_coding_is_no_difference_of_the_request() -> None:
    _, _, body = reply().partition(b"\r\n\r\n")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    assert SPEECH.parse_reply(chunked % (len(body), body)) == ProbeReply("echo")


@pytest.mark.parametrize(
    "other",
    [
        b"SSH-2.0-OpenSSH", reply(status="403 Forbidden"), b"HTTP/1.1 200 OK\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\n\r\n{"request_line": 3, "headers": []}',
        b'HTTP/1.1 200 OK\r\n\r\n{"request_line": "", "headers": [["a"]]}',
    ],
)  # fmt: skip
def test_what_describes_no_request_is_no_echo(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        SPEECH.parse_reply(other)


LINES = make_malformed_lines(bytes(range(64)))


def test_the_lines_are_five_and_made_by_chance() -> None:
    assert len(LINES) == 5
    other = make_malformed_lines(bytes(range(7, 71)))
    assert [name for name in LINES if LINES[name] == other[name]] == ["line_squid"]
    assert len(LINES["line_long_method"].split(b" ")[0]) == 1_024


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_that_comes_back_is_an_echo_once_it_is_whole(line: bytes) -> None:
    speech = TcpEcho(line)
    assert {speech.parse_reply(line[:end]) for end in range(len(line))} == {None}
    assert speech.parse_reply(line) == ProbeReply("echo")


@pytest.mark.parametrize(
    ("received", "told"),
    [
        (b"HTTP/1.0 400 Bad Request\r\n", ProbeReply("http_reply", ("http_reply",))),
        (b"HTT", None),
        (b"abcd / HTTP/1.1\r\n", None),
        (b"abcd / http/1.1\r\n\r\n", ProbeReply("echo", ("request_line_capitalization",))),
        (b"ABCD / HTTP/1.1\r\nVia: box\r\n\r\n", ProbeReply("echo", ("request_line",))),
        (b"ABCD / HTTP/1.1\r\n\r\n!", ProbeReply("echo", ("longer",))),
        (b"GET / HTTP/1.1\r\n\r\n", ProbeReply("echo", ("request_line",))),
    ],
)
def test_a_line_that_was_touched_is_told(received: bytes, told: ProbeReply | None) -> None:
    assert TcpEcho(b"ABCD / HTTP/1.1\r\n\r\n").parse_reply(received) == told
