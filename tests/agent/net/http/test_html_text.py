"""Titles: in every alphabet people are blocked in, and from hostile pages."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.http.html_text import (
    MAX_CHARACTERS,
    MAX_TEXT,
    extract_text,
    extract_title,
    make_single_line,
)


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
    assert extract_title(body, content_type) == title


@pytest.mark.parametrize("name", ["rot13", "zlib", "idna", "unicode_escape", "undefined", "x"])
def test_codecs_that_are_no_charset_are_not_used(name: str) -> None:
    assert extract_title(b"<title>ok</title>", f"text/html; charset={name}") == "ok"


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"<title>no</title><h1>Access</h1><p>is&nbsp;denied", "text/html", "Access is denied"),
        (b"a<script>if (1 < 2) x('</p>')</SCRIPT >b<style>c</style>d", "", "a b d"),
        (b"1 < 2 &lt; 3 <!-- <b>no</b> -->4<!doctype x><?php 5 ?>6", "", "1 < 2 < 3 4 6"),
        (b"<noscript>Turn on JavaScript</noscript>", "text/html", "Turn on JavaScript"),
        (b"seen<script>never closed", "text/html", "seen"),
        (b"seen<a href='", "text/html", "seen"),
        (b"<scripted>seen</scripted>", "text/html", "seen"),
        (b"<b>as it is</b>", "text/plain; charset=utf-8", "<b>as it is</b>"),
        (b"<b>no</b>", "application/json", ""),
        ("<p>Доступ".encode("cp1251"), "text/html; charset=windows-1251", "Доступ"),
    ],
)
def test_text(body: bytes, content_type: str, text: str) -> None:
    assert extract_text(body, content_type) == text


@pytest.mark.parametrize("address", ["203.0.113.199", "2001:db8::abcd:1234"])
@pytest.mark.parametrize("limit", range(6, 26))
def test_a_cut_leaves_no_beginning_of_an_address(address: str, limit: int) -> None:
    """Whole or not at all: the scrubber knows addresses, not their beginnings."""
    line = make_single_line(f"ip is {address} now", limit)
    assert line.removeprefix("ip is").strip() in ("", address, f"{address} now", f"{address} no",
                                                  f"{address} n")  # fmt: skip


@pytest.mark.parametrize(
    "piece",
    [b"<", b"</script", b"<script>", b"<!--", b"<a ", b"<a>", b"&#1;", b"<style></sty", b" "],
)
def test_hostile_markup_costs_little(piece: bytes) -> None:
    began = time.monotonic()
    assert len(extract_text(piece * (524_288 // len(piece)), "text/html")) <= MAX_TEXT
    assert len(extract_text(b"<script>" + piece * 65_536, "text/html")) <= MAX_TEXT
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("piece", [b"<title ", b"<title>", b"<title" + b" " * 499, b"&#", b"\xff"])
def test_hostile_repetition_costs_little(piece: bytes) -> None:
    """Hostile repetition costs little; quadratic time would take minutes here."""
    began = time.monotonic()
    extract_title(piece * (524_288 // len(piece)), "text/html")
    assert time.monotonic() - began < 5


@given(st.binary(max_size=3000), st.text(max_size=60))
def test_any_bytes_give_a_short_printable_line(body: bytes, content_type: str) -> None:
    title = extract_title(b"<title>" + body, content_type)
    assert len(title) <= MAX_CHARACTERS
    assert title.isprintable()
    title.encode()
    text = extract_text(body, content_type)
    assert len(text) <= MAX_TEXT
    assert text.isprintable()


@given(st.text(max_size=2000), st.integers(1, 100))
def test_one_line(text: str, limit: int) -> None:
    line = make_single_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert line == line.strip()
