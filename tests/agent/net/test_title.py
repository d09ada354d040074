"""Titles: in every alphabet people are blocked in, and from hostile pages."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.title import MAX_CHARACTERS, one_line, title_of


@pytest.mark.parametrize(
    ("body", "content_type", "title"),
    [
        (b"<title>Plain</title>", "text/html", "Plain"),
        (b"<TITLE lang=en>\n Two\t lines </TITLE>", "", "Two lines"),
        (b"<title>a &lt;b&gt; &amp;c&#39;</title>", "text/html", "a <b> &c'"),
        ("<title>Қазақстан</title>".encode(), "text/html", "Қазақстан"),
        ("<title>Доступ</title>".encode("cp1251"), "text/html; charset=Windows-1251", "Доступ"),
        ("<meta charset=koi8-r><title>Доступ</title>".encode("koi8-r"), "text/html", "Доступ"),
        ("<title>پیوندها</title>".encode("utf-16"), "text/html", "پیوندها"),
        ("\ufeff<title>mark</title>".encode(), "text/html; charset=koi8-r", "mark"),
        (b"<title>caf\xe9</title>", "text/html", "café"),
        (b"<title>open", "text/html", "open"),
        (b"<title></title>", "text/html", ""),
        (b"<titles>no</titles>", "text/html", ""),
        (b"<title>no</title>", "application/json", ""),
        (b"<title>\x1b[31mred\x00</title>", "text/html", "[31mred"),
    ],
)
def test_title(body: bytes, content_type: str, title: str) -> None:
    assert title_of(body, content_type) == title


@pytest.mark.parametrize("name", ["rot13", "zlib", "idna", "unicode_escape", "undefined", "x"])
def test_codecs_that_are_no_charset_are_not_used(name: str) -> None:
    assert title_of(b"<title>ok</title>", f"text/html; charset={name}") == "ok"


@pytest.mark.parametrize("piece", [b"<title ", b"<title>", b"<title" + b" " * 499, b"&#", b"\xff"])
def test_hostile_repetition_costs_little(piece: bytes) -> None:
    """A gross bound only: what is quadratic takes minutes here."""
    began = time.monotonic()
    title_of(piece * (524_288 // len(piece)), "text/html")
    assert time.monotonic() - began < 5


@given(st.binary(max_size=3000), st.text(max_size=60))
def test_any_bytes_give_a_short_printable_line(body: bytes, content_type: str) -> None:
    title = title_of(b"<title>" + body, content_type)
    assert len(title) <= MAX_CHARACTERS
    assert title.isprintable()
    title.encode()


@given(st.text(max_size=2000), st.integers(1, 100))
def test_one_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert line == line.strip()
