"""`page` is for this machine alone: by its address, its Host and its token."""

import asyncio
from html.parser import HTMLParser

import pytest

from heliograph.translation import use_language
from heliograph_agent.cli import LOCALE
from heliograph_agent.cli.page import MAX_HEAD, LocalPage, format_page, serve_page
from heliograph_agent.cli.results import format_results
from support.findings import told
from support.values import present

TOKEN = "a-random-word"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /{token}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}", 200),
        ("GET /{token}/ HTTP/1.1\r\nhost:localhost:{port}", 200),
        ("HEAD /{token}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}", 200),
        ("POST /{token}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}", 405),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}", 404),
        ("GET /{token}x/ HTTP/1.1\r\nHost: 127.0.0.1:{port}", 404),
        ("GET /\xff/ HTTP/1.1\r\nHost: 127.0.0.1:{port}", 404),
        ("GET /{token}/ HTTP/1.1\r\nHost: rebound.example:{port}", 421),
        ("GET /{token}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: rebound.example", 421),
        ("GET /{token}/ HTTP/1.1\r\nHost: 127.0.0.1", 421),
        ("GET /{token}/ HTTP/1.1", 421),
        ("\r\n", 421),
        ("GET /" + MAX_HEAD * "a", 431),
    ],
)
async def test_only_who_knows_the_address_reads_it(head: str, status: int) -> None:
    page = LocalPage(lambda: told(telegram="blocked"), "en", TOKEN)
    async with serve_page(page):
        reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
        filled = head.replace("{token}", TOKEN).replace("{port}", str(page.port))
        writer.write(f"{filled}\r\n\r\n".encode("latin-1"))
        reply = (await reader.read()).decode()
        writer.close()
    assert reply.startswith(f"HTTP/1.1 {status} ")
    assert ("Telegram" in reply) == (status == 200 and head.startswith("GET"))
    fields, _, content = reply.partition("\r\n\r\n")
    assert "Cache-Control: no-store" in fields
    assert "default-src 'none'" in fields
    if head.startswith("GET"):
        assert f"Content-Length: {len(content.encode())}" in fields


class Texts(HTMLParser):
    def __init__(self, document: str) -> None:
        super().__init__()
        self.texts = ""
        self.tags: list[str] = []
        self.feed(document)

    def handle_data(self, data: str) -> None:
        self.texts += data + "\n"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


@pytest.mark.parametrize("language", ["en", "ru", "kk", "fa"])
def test_it_says_what_results_says_without_a_script(language: str) -> None:
    use_language(language, LOCALE)
    try:
        status = told(telegram="blocked", signal="down")
        findings = present(status["findings"])
        findings["services"]["signal"]["title"] = "<script>alert(1)</script>"
        document = format_page(status, language)
        lines = list(format_results(status))
    finally:
        use_language("en", LOCALE)
    page = Texts(document)
    assert "script" not in page.tags
    assert f'dir="{"rtl" if language == "fa" else "ltr"}"' in document
    assert "<script>alert(1)</script>" in page.texts
    row = next(line for line in lines if "Telegram" in line)
    for part in row.lstrip("\u200f").removeprefix("  Telegram").replace("؛", ";").split(";"):
        assert part.strip() in page.texts


def test_without_findings_it_tells_nothing_good() -> None:
    assert "The collector has told nothing yet." in format_page({}, "en")
