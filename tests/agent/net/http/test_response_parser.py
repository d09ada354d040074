"""Replies as bytes: a head is separated from noise, and a body's end is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.http.response_parser import (
    MAX_HEAD,
    NotHttpError,
    ResponseBody,
    ResponseHead,
    decode_location,
    take_head,
)
from support.values import present


def head_of(data: bytes) -> ResponseHead | None:
    return take_head(bytearray(data))


def test_head() -> None:
    received = bytearray(
        b"HTTP/1.1 301 Moved\r\nServer: x\r\nLOCATION:\thttps://y.test/\r\n"
        b"Via: a\r\n b\r\nVia: c\r\n\r\nbody"
    )
    head = present(take_head(received))
    assert (head.version, head.status) == ("1.1", 301)
    assert (head.first_value("server"), head.first_value("location")) == ("x", "https://y.test/")
    assert (head.all_values("via"), head.first_value("none")) == (["a b", "c"], "")
    assert received == b"body"


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"HTTP/1.0 200\n\nrest", ()),
        (b"HTTP/1.1 200 OK\nA: 1\r\n\nrest", (("a", "1"),)),
        (b"HTTP/1.1 200 OK\r\nno colon\r\nodd name: 1\r\n: 2\r\nA: 1\r\n\r\n", (("a", "1"),)),
        (b"HTTP/1.1 200 OK\nA: 1\n\nbody\r\n\r\n", (("a", "1"),)),
    ],
)
def test_sloppy_heads_are_read(data: bytes, fields: tuple[tuple[str, str], ...]) -> None:
    head = present(head_of(data))
    assert (head.status, head.fields) == (200, fields)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("http://қаз.test/ә".encode(), "http://қаз.test/ә"),
        (b"/caf\xe9", "/caf%E9"),
        (b"/\xd0\xbd%20\xff", "/%D0%BD%20%FF"),
    ],
)
def test_a_location_is_read_as_utf_8_and_other_bytes_are_escaped(sent: bytes, read: str) -> None:
    head = present(head_of(b"HTTP/1.1 302 Found\r\nLocation: " + sent + b"\r\n\r\n"))
    assert decode_location(head.first_value("location")) == read


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0", b"\x15\x03\x03", b"HTTP/x.y 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n",
        b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD + 1),
    ],
)  # fmt: skip
def test_what_is_no_head_is_known_at_once(data: bytes) -> None:
    with pytest.raises(NotHttpError):
        head_of(data)


def test_head_in_pieces() -> None:
    whole, received = b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n", bytearray()
    for byte in whole[:-1]:
        received.append(byte)
        assert take_head(received) is None
    received.append(whole[-1])
    assert take_head(received) is not None


def body(*fields: tuple[str, str], status: int = 200, method: str = "GET") -> ResponseBody:
    return ResponseBody(ResponseHead("1.1", status, fields), method)


def test_where_bodies_end() -> None:
    assert body(method="HEAD").is_done
    assert body(("content-length", "5"), status=204).is_done
    assert body(("content-length", "5"), status=304).is_done
    assert body(("content-length", "0")).is_done
    known = body(("content-length", "3"))
    assert (known.feed_data(b"abcd"), known.is_done, known.feed_data(b"e")) == (b"abc", True, b"")
    short = body(("content-length", "3"))
    assert (short.feed_data(b"a"), short.feed_end()) == (b"a", False)
    unknown = body()
    assert (unknown.feed_data(b"abc"), unknown.is_done, unknown.feed_end()) == (b"abc", False, True)
    odd = body(("transfer-encoding", "x"))
    assert (odd.feed_data(b"abc"), odd.feed_end()) == (b"abc", True)


@pytest.mark.parametrize("value", ["x", "-1", "3, 4", "9" * 30, "", "٣"])
def test_lengths_that_are_none(value: str) -> None:
    with pytest.raises(NotHttpError):
        body(("content-length", value))


def test_the_same_length_twice() -> None:
    assert body(("content-length", "3"), ("content-length", "3, 3")).feed_data(b"abc") == b"abc"


CHUNKED = b"5;name=x\r\nabcde\r\n00A \r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"


@given(st.integers(1, len(CHUNKED)))
def test_chunks_in_pieces_of_any_size(size: int) -> None:
    chunked = body(("transfer-encoding", "gzip, Chunked"))
    heard = b"".join(chunked.feed_data(CHUNKED[i : i + size]) for i in range(0, len(CHUNKED), size))
    assert (heard, chunked.is_done, chunked.is_broken) == (b"abcde0123456789", True, False)


@pytest.mark.parametrize(
    "data", [b"zz\r\n", b"\r\n", b"5\r\nabcdeXX", b"5" + b" " * 3000, b"5\r\nabcde\rX", b"-5\r\n"]
)
def test_chunks_that_are_none(data: bytes) -> None:
    chunked = body(("transfer-encoding", "chunked"))
    chunked.feed_data(data)
    assert (chunked.is_broken, chunked.is_done) == (True, False)


def test_cut_chunks_are_not_whole() -> None:
    for end in range(len(CHUNKED) - 1):
        chunked = body(("transfer-encoding", "chunked"))
        chunked.feed_data(CHUNKED[:end])
        assert not chunked.feed_end()
        assert not chunked.is_broken


@given(st.binary(max_size=400))
def test_any_bytes_are_a_head_or_are_not(data: bytes) -> None:
    for received in (data, b"HTTP/1.1 200 OK\r\n" + data):
        try:
            head_of(received)
        except NotHttpError:
            continue


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_chunks_end_or_do_not(pieces: list[bytes]) -> None:
    chunked = body(("transfer-encoding", "chunked"))
    heard = b"".join(chunked.feed_data(piece) for piece in pieces)
    assert len(heard) <= sum(map(len, pieces))
