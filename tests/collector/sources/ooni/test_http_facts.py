"""The facts of a page in OONI's data, as a reader sees them, at a bounded cost."""

import gzip
import time

import pytest

from heliograph_collector.sources.ooni import http_facts

HOSTILE = {
    "brackets": "<" * 65_536,
    "scripts": "<script>" * 8_192,
    "comments": "<!--" * 16_384,
    "titles": "<title>" * 9_000,
    "open titles": "<title" * 9_000,
    "tags that do not end": "<script " * 8_000,
    "closed, one by one": "<b>x</b>" * 8_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=list(HOSTILE))
def test_no_page_takes_long(body: str) -> None:
    began = time.process_time()
    http_facts.extract_title(body)
    http_facts.extract_text(body)
    assert time.process_time() - began < 5  # one took fifteen seconds, all take hundredths


def test_what_a_reader_sees() -> None:
    body = (
        "<html><head><title>Not this</title></head><!-- nor < this --><body class='x'>"
        "<script>if (1 < 2) {}</script>Access &amp; more<br>from 10.20.30.40 is 3 < 4</body>"
    )
    assert http_facts.extract_text(body) == "Access & more from [scrubbed] is 3 < 4"
    assert http_facts.extract_title("<TITLE lang=en> A\n b </Title>") == "A b"
    assert http_facts.extract_title("<title>never ends") == ""


NOTICE = (
    "<html><body><h1>\u0414\u043e\u0441\u0442\u0443\u043f \u043e\u0433\u0440\u0430\u043d\u0438"
    "\u0447\u0435\u043d</h1>\u043f\u043e \u0440\u0435\u0448\u0435\u043d\u0438\u044e</body></html>"
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (NOTICE.encode(), ""),
        (b"\xef\xbb\xbf" + NOTICE.encode(), ""),
        (NOTICE.encode("utf-16"), ""),
        (NOTICE.encode("windows-1251"), "text/html; charset=windows-1251"),
        (NOTICE.encode("windows-1251"), ""),
        (NOTICE.encode("koi8-r"), ""),
        (gzip.compress(NOTICE.encode()), ""),
        (gzip.compress(NOTICE.encode("windows-1251")), ""),
        (gzip.compress(NOTICE.encode())[:-4], ""),  # cut off
    ],
)
def test_a_page_is_read_in_any_charset_and_compressed(body: bytes, content_type: str) -> None:
    assert http_facts.decode_page(body, content_type) == NOTICE


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x1f\x8b\x08 is no stream", "is no stream"),
        ("Acc\u00e8s refus\u00e9 par l'op\u00e9rateur".encode("latin-1"), "Acc\u00e8s refus\u00e9"),
        (gzip.compress(b"a" * (1 << 24)), "aaaa"),
    ],
)
def test_what_is_no_such_page_stays_and_costs_no_more(body: bytes, words: str) -> None:
    page = http_facts.decode_page(body, "")
    assert words in page
    assert len(page) <= http_facts.LOOKED_AT
