"""The facts of a page as OONI kept it: what a reader sees, at a cost that no page can drive up."""

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
