"""Parts of an incident for other sites: pictures, and a small page for frames."""

# ruff: noqa: RUF001 -- other scripts are what is tested

import re
import struct
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markupsafe import Markup

from heliograph_collector.http.charts import share_image
from support.incident_book import ALMATY, DOUBT, MOBILE, TELEGRAM
from support.kazakhstan_votes import feed, long_evening
from support.site import Serve

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
async def client(serve: Serve) -> Any:
    return await serve(feed(long_evening()))


def drawn(text: str) -> tuple[str, set[str]]:
    """Return the words of a picture, and the classes of its bars."""
    root = ET.fromstring(text)
    words = " ".join(node.text or "" for node in root.iter(f"{SVG}text"))
    return words, {node.get("class") or "" for node in root.iter(f"{SVG}rect")}


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", "Telegram"), ("ru", "блокировка"), ("kk", "бұғаттау"), ("fa", "مسدودسازی")],
)
async def test_the_picture_says_it_in_the_reader_s_language(
    client: Any, lang: str, words: str
) -> None:
    answer = await client.get(f"/incidents/{TELEGRAM}/share.svg?lang={lang}")
    assert (answer.status, answer.content_type) == (200, "image/svg+xml")
    told, bars = drawn(await answer.text())
    assert words in told
    assert {"reachable", "blocked", "bracket"} <= bars
    assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_the_same_in_dots_at_the_size_that_services_ask_for(client: Any) -> None:
    path = f"/incidents/{ALMATY}/share.png?lang=fa"
    answer = await client.get(path)
    body = await answer.read()
    assert (answer.status, answer.content_type) == (200, "image/png")
    assert body[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", body[16:24]) == (1200, 630)
    again = await client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    page = await (await client.get(f"/incidents/{ALMATY}?lang=fa")).text()
    (image,) = re.findall('property="og:image" content="([^"]+)"', page)
    assert image == f"http://127.0.0.1:{client.port}{path}"
    assert 'name="twitter:card" content="summary_large_image"' in page


def test_letters_of_all_four_languages_leave_dots() -> None:
    """A missing letter would be an empty box, the same for each."""

    def dots(letter: str) -> bytes:
        return share_image.render_png(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><text x="4" y="30" '
            f'font-size="28" font-family="DejaVu Sans Condensed">{letter}</text></svg>'
        )

    letters = "AaЖжҚқҢңӨөҰұҮүҺһӘәІіپچژگکیآ۰۵…–"
    assert len({dots(letter) for letter in [*letters, "\U0001f9ff", " "]}) >= len(letters) - 4
    assert dots("\U0001f9ff") not in {dots(letter) for letter in letters}


@pytest.mark.parametrize("sentence", ["x" * 400, "Kazakhstan " * 60, "<b>&\u2068a\u2069"])
def test_a_strange_sentence_stays_in_the_picture(sentence: str) -> None:
    card = share_image.ShareCard(
        sentence=sentence, state="closed", badge="", footer="", chart=Markup()
    )
    told, _ = drawn(share_image.render_svg(card))
    assert "\u2068" not in told
    ys = [int(y) for y in re.findall(r'<text x="60" y="(\d+)"', share_image.render_svg(card))]
    assert max(y for y in ys if y < 600) < 330


async def test_others_may_frame_that_page_and_no_other(client: Any) -> None:
    answer = await client.get(f"/incidents/{MOBILE}/embed?lang=ru")
    text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    assert "frame-ancestors *" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert "<script" not in text
    assert "Set-Cookie" not in answer.headers
    assert "мобильные сети" in text
    assert 'lang="ru" dir="ltr"' in text
    whole = await client.get(f"/incidents/{MOBILE}")
    assert "frame-ancestors 'none'" in whole.headers["Content-Security-Policy"]


@pytest.mark.parametrize("what", ["embed", "share.svg", "share.png"])
async def test_of_none_there_is_none(client: Any, what: str) -> None:
    assert (await client.get(f"/incidents/{'0' * 16}/{what}")).status == 404
    assert (await client.get(f"/incidents/{MOBILE}/{what}?lang=xx")).status == 400


async def test_where_there_is_little_to_draw_the_room_tells_how_unsure_it_is(client: Any) -> None:
    told, bars = drawn(await (await client.get(f"/incidents/{DOUBT}/share.svg")).text())
    assert "bracket" in bars
    assert "low confidence" in told
    assert "power cut" in told
    told, _ = drawn(await (await client.get(f"/incidents/{TELEGRAM}/share.svg")).text())
    assert "confidence" not in told


async def test_what_came_back_in_between_is_drawn_and_explained(client: Any) -> None:
    told, bars = drawn(await (await client.get(f"/incidents/{ALMATY}/share.svg")).text())
    assert "back" in bars
    assert "partly restored" in told
