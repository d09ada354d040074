"""References of a page: what block pages are known by, and nothing of who looked."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Operation
from heliograph.observation import Http, Observation
from heliograph_agent.net.http.page_references import (
    MAX_ADDRESS,
    MAX_REFERENCES,
    MAX_TOTAL,
    extract_references,
)
from heliograph_agent.net.scrub import Scrubber

OWN4, OWN6 = "45.90.77.231", "2a0c:77ab:cd01:2:e7e7:4d3c:2b1a:f00d"


def list_references(markup: str, content_type: str = "text/html") -> list[str]:
    references = extract_references(markup.encode(), content_type)
    return [f"{r.element} {r.address}" for r in references]


@pytest.mark.parametrize(
    ("markup", "references"),
    [
        ('<iframe src="http://10.10.34.34?type=Invalid Site&policy=Main " style="w:1"></iframe>',
         ["iframe http://10.10.34.34"]),
        ("<FRAME SRC='//Blocked.Example:8080/x'>", ["frame http://blocked.example:8080/x"]),
        ("<meta http-equiv=Refresh content=\"0; URL='https://b.example/n.html'\">",
         ["refresh https://b.example/n.html"]),
        ("<meta content='5;url=/stop.html' http-equiv='refresh'>", ["refresh /stop.html"]),
        ('<form method=post action=http://b.example/go?id=7#top>', ["form http://b.example/go"]),
        ('<script>location.href="http:\\/\\/b.example\\/n";</script>', ["script http://b.example/n"]),
        ("<body onload=\"top.location='http://b.example/n'\">", ["body http://b.example/n"]),
        ("<style>p{background:url(//b.example/i.png)}</style>", ["style http://b.example/i.png"]),
        ("<!-- saved from url=(0020)http://b.example/n -->", ["comment http://b.example/n"]),
        ("<script>ga('create', 'UA-102574946-1')</script>", ["counter UA-102574946-1"]),
        ("<img src='a.png'><a href='http://b.example/'>x</a><iframe src='//c.example/'></iframe>",
         ["iframe http://c.example/", "img a.png", "a http://b.example/"]),
        ("<p a='>'><img alt=\"<iframe src='http://no.example/'>\" src=http://b.example/>",
         ["img http://no.example/", "img http://b.example/"]),
        ("<img src=\"http://b.example/\"><img src='http://b.example/'>", ["img http://b.example/"]),
        ("<iframe src='http://168436258/'>", ["iframe http://10.10.34.34/"]),
        ("<iframe src='http://0xa.10.8738/'>", ["iframe http://10.10.34.34/"]),
        ("<iframe src='http://&#49;0.10.34.34/'>", ["iframe http://10.10.34.34/"]),
        ("<iframe src='http://[::ffff:10.10.34.34]/'>", ["iframe http://10.10.34.34/"]),
        ("<iframe src='h\ntt\tp:\\\\b.example\\x'>", ["iframe http://b.example/x"]),
        ("<u77011234567 src='//b.example/n'>", ["other http://b.example/n"]),
        ("<iframe src='http://b.example/n'", ["iframe http://b.example/n"]),
        ("<textarea><iframe src='http://b.example/'></textarea><title><img src=x></title>", []),
        ("<a href='mailto:me@b.example'>x</a><a href='tel:+7701'>y</a><img src='data:x'>", []),
    ],
)  # fmt: skip
def test_references(markup: str, references: list[str]) -> None:
    assert list_references(markup) == references


def test_only_pages_and_only_anchors_of_short_ones() -> None:
    anchor = "<a href='http://b.example/'>x</a>"
    assert list_references(anchor, "application/json") == []
    assert list_references(anchor, "text/plain") == []
    assert list_references(anchor + "word " * 400) == []
    assert list_references(anchor + "word " * 40) == ["a http://b.example/"]


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://user:secret@b.example/x", "http://b.example/x"),
        ("http://b.example/x;jsessionid=AB12?mac=1", "http://b.example/x"),
        ("http://b.example/1c:1b:0d:aa:bb:cc/in", "http://b.example/*/in"),
        ("http://b.example/1c%3A1b%3A0d%3Aaa%3Abb%3Acc", "http://b.example/*"),
        ("http://b.example/1c1b0daabbcc.html", "http://b.example/*.html"),
        ("http://b.example/u/77011234567/pay", "http://b.example/u/*/pay"),
        ("http://b.example/u/me@mail.example/pay", "http://b.example/u/*/pay"),
        ("http://b.example/6b1f9f1e-2f0c-4d9e-9b1e-0d6f3f3c2a11", "http://b.example/*-2f0c-4d9e-9b1e-*"),
        ("http://b.example/s/NDUuOTAuNzcuMjMx", "http://b.example/s/*"),
        ("http://b.example/s/k3j4h5g6f7d8s9a0q1w2", "http://b.example/s/*"),
        ("http://b.example/ip/203.0.113.9", "http://b.example/ip/*"),
        ("http://b.example/ip/203_0_113_9", "http://b.example/ip/*"),
        ("http://b.example/ip/%32%30%33.0.113.9", "http://b.example/ip/*"),
        ("http://b.example/ip/cb007109", "http://b.example/ip/*"),
        ("http://b.example/ip/2001:db8::9", "http://b.example/ip/[scrubbed]"),
        ("http://b.example/a%2532b", "http://b.example/a"),
        ("http://203-0-113-9.pool.b.example/", "http://*.pool.b.example/"),
        (f"http://{OWN4}/x", "http://[scrubbed]/x"),
        (f"http://[{OWN6}]/x", "http://[[scrubbed]]/x"),
        ("http://760892903/x", "http://[scrubbed]/x"),
        ("http://0x2d.90.19943/x", "http://[scrubbed]/x"),
        ("http://192.168.1.1/login", ""),
        ("http://127.0.0.1/x", ""),
        ("http://[fe80::1]/x", ""),
        ("http://router/x", ""),
        ("http://10.10.34.36/x", "http://10.10.34.36/x"),
        ("https://mc.yandex.ru/watch/25730126", "https://mc.yandex.ru/watch/25730126"),
        ("https://b.example/Inne-Podatki/Pages/SiteCollectionImages_2019.aspx",
         "https://b.example/Inne-Podatki/Pages/SiteCollectionImages_2019.aspx"),
    ],
)  # fmt: skip
def test_what_may_identify_the_visitor_goes(address: str, kept: str) -> None:
    observation = Observation(
        operation=Operation.READ_BODY,
        started_us=0,
        duration_us=1,
        http=Http(
            method="GET",
            url="http://b.example/",
            references=extract_references(f'<iframe src="{address}">'.encode()),
        ),
    )
    http = Scrubber([OWN4, OWN6]).scrub_observation(observation).http
    assert http is not None
    assert [r.address for r in http.references] == ([kept] if kept else [])


def test_limits() -> None:
    many = "".join(f"<img src='/{n}.png'>" for n in range(500)) + "<iframe src='//b.example/'>"
    assert list_references(many)[0] == "iframe http://b.example/"
    assert len(list_references(many)) == MAX_REFERENCES
    long = "".join(f"<img src='/{'x-' * 300}{n}'>" for n in range(50))
    addresses = [line.partition(" ")[2] for line in list_references(long)]
    assert max(map(len, addresses)) <= MAX_ADDRESS
    assert sum(map(len, addresses)) <= MAX_TOTAL


@pytest.mark.parametrize("before", range(150, 250))
def test_a_cut_leaves_no_beginning_of_an_address(before: int) -> None:
    markup = f"<iframe src='http://b.example/{'x/' * (before // 2)}203.0.113.199/y'>"
    assert "203" not in "".join(list_references(markup))


@pytest.mark.parametrize(
    "piece",
    [
        "<", "<a", "<a ", "<a b=", "<a b='", "<a b=\"", "<!--", "<script>", "</script", "<a b='x\"",
        "=\"'", "http://", "//a", "\"//a.b/", "a b ", "a=", "<meta refresh content=url=", "UA-1",
        "<img src=a>", "<a href='http://1.1.1.1@", "%41", "&#49;",
    ],
)  # fmt: skip
def test_hostile_markup_costs_little(piece: str) -> None:
    """Hostile markup costs little; quadratic time would take minutes here."""
    began = time.monotonic()
    for start in ("", "<script>", "<a b=", "<iframe src='http://b.example/"):
        extract_references((start + piece * (131_072 // len(piece))).encode())
    assert time.monotonic() - began < 5


@given(st.lists(st.sampled_from(
    ("<", ">", "iframe", " src=", "'", '"', "http://", "//", "a.b", "1.2.3.4", "[::1]", "%", "@",
     ":", "/", "?", "&#", "<!--", "-->", "script", "\x00", "\u202e", "0x", "\ud800", ";", "\\"),
), max_size=60), st.binary(max_size=200))  # fmt: skip
def test_any_page_gives_short_printable_addresses(pieces: list[str], tail: bytes) -> None:
    body = "".join(pieces).encode("utf-8", "surrogatepass") + tail
    for body_of_kind in (body, b"<iframe src='http://" + body, b"<a href=" + body):
        references = extract_references(body_of_kind)
        assert len(references) <= MAX_REFERENCES
        for reference in references:
            assert 0 < len(reference.address) <= MAX_ADDRESS
            assert reference.address.isprintable()
            assert not set('?# <>"') & set(reference.address)
            reference.address.encode()
