"""Pages as an agent reports them: title, first words, references, no source.

Each listed page is drawn as markup, read by the agent's code, sent as an envelope is, and matched.
"""

import csv
import html
import io
import re
from importlib import resources
from pathlib import Path

import pytest

from heliograph.codec import observations as codec
from heliograph.failure import Operation
from heliograph.observation import Http, Observation, Reference
from heliograph_agent.net.http.html_text import extract_text, extract_title
from heliograph_agent.net.http.page_references import extract_references
from heliograph_agent.net.scrub import Scrubber
from heliograph_collector.judge.fingerprints import match_block_page
from heliograph_collector.judge.fingerprints.scorecard import URL, read_corpus
from heliograph_collector.judge.page_comparison import Likeness, compare_pages

LISTS = resources.files("heliograph_collector.judge.fingerprints") / "lists"
SCRUBBER = Scrubber(["198.51.100.23"])
PLACES = {
    "iframe": '<iframe src="{}?url=http://target.example/&policy=Main " width=9></iframe>',
    "script": "<script src='{}'></script>",
    "redirect": "<script>window.location.href = '{}';</script>",
    "refresh": '<META HTTP-EQUIV=refresh CONTENT="0; url={}">',
    "form": "<form method=post action={}></form>",
    "image": '<img alt="" src="{}">',
    "anchor": "<a href='{}'>more</a>",
    "words": "<p>See {}</p>",
}


def report_page(markup: str, url: str = URL, location: str = "", server: str = "") -> Http:
    """Report a cleartext page as the collector gets it from an agent."""
    body = markup.encode()
    http = Http(
        method="GET",
        url=url,
        status=200,
        title=extract_title(body, "text/html"),
        text=extract_text(body, "text/html"),
        references=extract_references(body, "text/html"),
        body_bytes=len(body),
        location=location,
        server=server,
    )
    step = Observation(operation=Operation.READ_BODY, started_us=0, duration_us=1, http=http)
    wire = codec.observation_to_pb(SCRUBBER.scrub_observation(step))
    received = codec.observation_from_pb(0, wire).http
    assert received is not None
    return received


def draw_markup(pattern: str, place: str) -> str:
    if "<" in pattern or '="' in pattern:
        return pattern
    if pattern.startswith("UA-"):
        return f"<script>ga('create', '{pattern}', 'auto');</script>"
    if not re.search("[./]", pattern) or re.search(r"[ @]|^mailto:|^url=", pattern):
        return f"<p>{html.escape(pattern)}</p>"
    is_relative = re.match("/[^/]|[a-z_]+/[a-z.]+$", pattern)
    start = "" if is_relative or re.match("http:|https:|//", pattern) else "http://"
    return PLACES[place].format(start + pattern.replace(".", "www.", pattern.startswith(".")))


def draw_page(row: dict[str, str], place: str) -> Http:
    pattern = row["pattern"]
    match row["location_found"]:
        case "body":
            page = draw_markup(pattern, place)
            return report_page(f"<html><title>x</title><body><div>{page}</div></body></html>")
        case "title":
            return report_page(f"<title>{html.escape(pattern)}</title>")
        case "header.server":
            return report_page("", server=pattern)
        case _:
            return report_page("", location=f"http://{pattern}")


@pytest.mark.parametrize("place", PLACES)
def test_listed_pages_are_known_natively(place: str) -> None:
    """Listed pages match natively: 219 of 538 lines did before references."""
    text = (LISTS / "block_pages.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    missed = [row["pattern"] for row in rows if match_block_page(draw_page(row, place)) is None]
    print(f"{place}: {len(rows) - len(missed)} of {len(rows)} lines match")
    assert len(missed) <= 0.08 * len(rows), missed


INNOCENT = (
    "<iframe src='http://10.10.34.340/'></iframe>",
    "<iframe src='http://10.10.35.34/'></iframe>",
    "<iframe src='http://210.10.34.34/'></iframe>",
    "<iframe src='http://10.10.34.34.cdn.example/'></iframe>",
    "<script src='http://blocked.mts.ru.evil.example/x.js'></script>",
    "<script src='http://notblocked.mts.ru/x.js'></script>",
    "<img src='http://target.example/blocked.mts.ru.png'>",
    "<img src='http://target.example/?next=http://blocked.mts.ru/'>",
    "<a href='http://blocked.mts.ru/'>The page</a>" + "<p>of an article about censorship</p>" * 40,
    "<script>ga('create', 'UA-102574946-12')</script>",
    "<script>// see 10.10.34.34\nload('/x.js')</script>",
)


@pytest.mark.parametrize("markup", INNOCENT)
def test_what_only_resembles_a_listed_address_is_none(markup: str) -> None:
    assert match_block_page(report_page(markup)) is None


def test_innocent_pages_of_our_corpus_stay_innocent() -> None:
    corpus = read_corpus(Path(__file__).with_name("corpus.jsonl"))
    innocents = [answer for answer in corpus if answer.label == "innocent" and not answer.dns]
    pages = [
        report_page(answer.body, answer.url, location=answer.location, server=answer.server)
        for answer in innocents
        if answer.status == 200
    ]
    assert len(pages) > 15
    assert [page for page in pages if match_block_page(page)] == []


def test_what_the_control_is_shown_too_is_no_sign() -> None:
    page = report_page("<title>Shop</title><img src='http://185.36.60.2/icons/logo.png'>")
    other = report_page("<title>Home</title><img src='http://185.36.60.2/icons/logo.png'>hello")
    assert match_block_page(page) is not None
    assert compare_pages(page, other) is not Likeness.BLOCK
    assert compare_pages(page, report_page("<title>Home</title>")) is Likeness.BLOCK


def test_no_page_makes_a_measurement_too_long_for_the_collector() -> None:
    """No page makes a measurement too long, although replaced addresses get longer."""
    page = report_page("".join(f"<img src='/{n}{'/::1' * 48}'>" for n in range(40)))
    assert "[scrubbed]" in page.references[0].address


def test_a_site_may_point_at_itself() -> None:
    reference = Reference(element="script", address="https://eais.rkn.gov.ru/x.js")
    own = Http(method="GET", url="http://eais.rkn.gov.ru/", status=200, references=(reference,))
    assert match_block_page(own) is None
