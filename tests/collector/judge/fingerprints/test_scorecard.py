"""Scorecard: our corpus, pages changed since, and lines that some lists lack."""

import html
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.observation import Http
from heliograph_collector.cli import main
from heliograph_collector.judge.fingerprints.authority_words import names_authority
from heliograph_collector.judge.fingerprints.fingerprint import Fingerprint, Kind, Surface
from heliograph_collector.judge.fingerprints.library import (
    FingerprintIndex,
    FingerprintList,
    load_shipped,
)
from heliograph_collector.judge.fingerprints.page_text import PageText
from heliograph_collector.judge.fingerprints.scorecard import (
    LabeledAnswer,
    find_fingerprint,
    read_corpus,
    score_corpus,
)
from support.examples import IS_SOAK, keep_part

CORPUS = Path(__file__).with_name("corpus.jsonl")
INDEX = FingerprintIndex(load_shipped())
WHOLE_PAGE = "<html><head><title>x</title></head><body>{}<p>Ref 77 of 3 May 2019</p></body></html>"
LINES = [f for list_ in INDEX.lists for f in list_.fingerprints if f.is_blocking]


def write_later_scheme(body: str) -> str:
    return body.replace("http://", "https://")


def write_entities(body: str) -> str:
    return "".join(f"&#{ord(c)};" if ord(c) > 127 or c == "'" else c for c in body)


def write_spaces(body: str) -> str:
    return body.replace(" ", " \n\t ").replace(">", ">\n")


def write_capitals(body: str) -> str:
    return body.upper()


def write_years(body: str) -> str:
    return body.replace("2019", "2026").replace("2012", "2024")


def write_quotes(body: str) -> str:
    return body.replace("'", "\u2019").replace(" ", "\u00a0")


def write_request(body: str) -> str:
    """Put a request's id, address and time around."""
    return f"<!-- {random.Random(1).random()} -->{body}<i>203.0.113.9 12:01:44</i>"


def write_no_scheme(body: str) -> str:
    return body.replace("http://", "//")


def write_port(body: str) -> str:
    return re.sub(r"(//[a-z0-9.-]+)(?=[/\"'])", r"\1:80", body)


def write_title(body: str) -> str:
    """Translate the title, unless it is all that the line knows."""
    return body.replace("<title>x</title>", "<title>\u041e\u0442\u043a\u0430\u0437</title>")


def write_scripts(body: str) -> str:
    script = "<script>if (1 < 2) { track('<p>') }</script>"
    return body.replace("<body>", f"<body>{script}").replace("<p>Ref", f"{script}<p>Ref")


def write_attributes(body: str) -> str:
    return re.sub(r"<([a-z0-9]+)(?=[ >])", r'<\1 data-v="1"', body)


def write_half(body: str) -> str:
    """Break the page off after the line's own part."""
    return body.partition("<p>Ref")[0]


def write_minified(body: str) -> str:
    return re.sub(r"\s+(?=<)|(?<=>)\s+", "", body)


def write_cut_at_16_kib(body: str) -> str:
    return f"{body}<p>{'word ' * 5_000}"[: 16 * 1024]


MUTATIONS = (
    *(write_later_scheme, write_entities, write_spaces, write_capitals, write_years),
    *(write_quotes, write_request, write_no_scheme, write_port, write_title, write_scripts),
    *(write_attributes, write_half, write_minified, write_cut_at_16_kib),
)


def draw_answer(line: Fingerprint, mutate: Callable[[str], str]) -> LabeledAnswer | None:
    """Draw what the line asks for, changed; None for a line with several conditions."""
    if len(line.conditions) != 1 or line.status or line.headers:
        return None
    (condition,) = line.conditions
    literal = condition.any_of[0].literal.replace("nta.s", "nta's")
    match condition.surface:
        case Surface.BODY:
            return LabeledAnswer("block", body=mutate(WHOLE_PAGE.format(literal)))
        case Surface.TITLE:
            return LabeledAnswer("block", body=mutate(f"<title>{html.escape(literal)}</title>"))
        case Surface.LOCATION:
            return LabeledAnswer("block", location=write_later_scheme(f"http://{literal}"))
        case Surface.DNS:
            return LabeledAnswer("block", dns=(literal.upper(),))
        case _:
            return None


def test_our_corpus() -> None:
    """No innocent answer is a block, and every block is known."""
    score = score_corpus(read_corpus(CORPUS), INDEX)
    assert (score.mistaken, score.precision) == (0, 1.0), score.lines
    missed = [
        answer.source
        for answer in read_corpus(CORPUS)
        if answer.label == "block" and not score_corpus([answer], INDEX).found
    ]
    assert missed == []
    assert (score.blocks, score.innocents) >= (25, 45)


@pytest.mark.long
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
def test_pages_that_changed_are_known(mutate: Callable[[str], str]) -> None:
    lines = keep_part(LINES, 3)
    answers = [answer for line in lines if (answer := draw_answer(line, mutate))]
    score = score_corpus(answers, INDEX)
    assert score.blocks > (600 if IS_SOAK else 200)
    assert score.recall >= 0.97, score.recall


def test_words_and_hosts_that_no_list_has_yet() -> None:
    """Words and hosts that no list has yet are matched, on bare fragments.

    Lines of OONI and our notices match what only the other sources list.
    """
    known = tuple(line for line in LINES if line.source == "ooni" or not line.countries)
    later = [line for line in LINES if line.source in ("censored planet", "citizen lab")]
    answers = [answer for line in later if (answer := draw_answer(line, write_request))]
    score = score_corpus(answers, FingerprintIndex((FingerprintList("a", known),)))
    print(f"recall on lines never seen: {score.recall:.3f} of {score.blocks}")
    assert score.recall >= 0.05


def test_notices_of_a_sentence_that_no_list_has() -> None:
    """Notices of a sentence that no list has are matched.

    `named` has an authority's name alone, which needs a second sign; `visitor` asks its visitor.
    """
    rows = (CORPUS.parent / "later_notices.tsv").read_text(encoding="utf-8").splitlines()
    wrong = []
    for label, _country, text in (row.split("\t") for row in rows):
        page = LabeledAnswer("block", body=WHOLE_PAGE.format(text))
        found = find_fingerprint(page, INDEX)
        is_named = names_authority(_draw_page(text), INDEX.notices)
        is_block = found is not None and found.is_blocking
        is_odd = (label == "named" and not is_named) or (label == "visitor" and is_named)
        if is_odd or is_block != (label == "block"):
            wrong.append((text, found))
    assert wrong == []


def _draw_page(text: str) -> PageText:
    return PageText(Http(method="GET", url="http://target.example/", status=200, text=text))


def change_words(text: str, count: int, seed: str) -> str:
    """Put other words in the place of some that the text has."""
    words = text.split(" ")
    chosen = random.Random(seed)
    for place in chosen.sample(range(len(words)), count):
        words[place] = chosen.choice(("any", "oleh", "всех", "network", "este"))
    return " ".join(words)


NEAR_LINES = [line for line in INDEX.pages if line.name.endswith("~")]


@pytest.mark.parametrize("line", NEAR_LINES, ids=lambda line: line.name)
def test_a_notice_in_changed_words_is_known(line: Fingerprint) -> None:
    """A notice in changed words is matched, even with one in five words changed.

    A news article with such a sentence is not.
    """
    text = line.conditions[0].any_of[0].literal
    size = text.count(" ") + 1
    for count in (1, size // 5):
        page = WHOLE_PAGE.format(change_words(text, count, f"{line.name} {count}"))
        found = find_fingerprint(LabeledAnswer("block", body=page), INDEX)
        assert found is not None
        assert found.is_blocking
    for innocent in (
        LabeledAnswer("innocent", body=page, status=403),
        LabeledAnswer("innocent", body=page + "<p>word</p>" * 200),
        LabeledAnswer("innocent", body=WHOLE_PAGE.format(change_words(text, size // 2, line.name))),
    ):
        found = find_fingerprint(innocent, INDEX)
        assert found is None or not found.name.endswith("~")


def test_no_filter_of_an_office_in_changed_words_is_taken_for_a_state() -> None:
    """An office's filter in changed words is not taken for a state's.

    No page that only resembles a block page is, by the lines for changed words.
    """
    lines = [f for list_ in INDEX.lists for f in list_.fingerprints if not f.is_blocking]
    texts = [
        pattern.literal
        for line in lines
        for condition in line.conditions
        for pattern in condition.any_of
        if condition.surface in (Surface.BODY, Surface.TITLE, Surface.WORDS)
    ]
    assert len(texts) > 400
    for text in texts:
        for count in range(min(3, text.count(" ") + 1)):
            body = WHOLE_PAGE.format(change_words(text, count, text))
            found = find_fingerprint(LabeledAnswer("innocent", body=body), INDEX)
            assert found is None or not found.name.endswith("~"), (text, found.name)


@pytest.mark.parametrize(
    "answer", ["64:ff9b::a0a:2222", "::ffff:10.10.34.34", "TrustPositif.Kominfo.go.id."]
)
def test_a_block_address_is_known_in_any_form(answer: str) -> None:
    line = find_fingerprint(LabeledAnswer("block", dns=(answer,)), INDEX)
    assert line is not None
    assert line.is_blocking
    for innocent in ("64:ff9b::a0a:2322", "trustpositif.kominfo.go.id.example"):
        assert find_fingerprint(LabeledAnswer("innocent", dns=(innocent,)), INDEX) is None


LATER_PAGES = (
    "<p>本網域已依刑事警察局命令封鎖</p>",
    "<p>Website này đã bị chặn theo yêu cầu của cơ quan nhà nước</p>",
    "<p>Přístup na tuto stránku byl zablokován na základě rozhodnutí soudu</p>",
    "<p>Deze website is ontoegankelijk gemaakt op bevel van de rechtbank</p>",
    "<p>Tato stránka je blokovaná: príkazu súdu, webové sídlo je zablokované</p>",
    "<p>We received an order from the Courts requiring us to prevent access to this site</p>",
    "<p>This website is blocked by the Telecommunications Regulatory Authority</p>",
    "<p>Situs ini diblokir oleh Komdigi sesuai peraturan</p>",
    "<p>Bu siteye eri\u015fim engellendi: 5651 say\u0131l\u0131 Kanun</p>",
    "<p>Ce site est bloqu\u00e9 sur d\u00e9cision de justice</p>",
    "<p>Este sitio est\u00e1 bloqueado por orden judicial</p>",
)


@pytest.mark.parametrize("body", LATER_PAGES)
def test_a_notice_in_other_words_blocks_and_confirms_nothing(body: str) -> None:
    answer = LabeledAnswer("block", body=f"<html><body>{body}</body></html>")
    line = find_fingerprint(answer, INDEX)
    assert line is not None
    assert line.is_blocking
    assert not any(line.is_expected_in(country) for country in ("RU", "KZ", "ID", ""))
    for innocent in (
        LabeledAnswer("innocent", body=body, status=403),  # the site's own ban
        LabeledAnswer("innocent", body=body + "<p>word</p>" * 200),  # an article
        LabeledAnswer("innocent", body=f"{body}<p>Please confirm your age</p>" * 3),  # a gate
    ):
        line = find_fingerprint(innocent, INDEX)
        assert line is None or not line.is_blocking


LEADING_PAGES = (
    "<iframe src='http://zapret.provider.example/'></iframe>",
    "<script>window.location.href = 'http://www.provider.example/rkn/stub.html'</script>",
    "<meta http-equiv=refresh content='0; url=http://www.provider.example/zapret/'>",
)


@pytest.mark.parametrize("body", LEADING_PAGES)
def test_a_page_that_only_leads_to_a_notice_is_one_and_an_article_is_none(body: str) -> None:
    line = find_fingerprint(LabeledAnswer("block", body=f"<html>{body}</html>"), INDEX)
    assert line is not None
    assert line.name == "redirect-law"
    article = LabeledAnswer("innocent", body=body + "<p>word</p>" * 30)
    assert find_fingerprint(article, INDEX) is None


def test_a_redirect_to_a_host_named_so() -> None:
    blocked = LabeledAnswer("block", location="https://zapret.provider.ru/x", status=302)
    line = find_fingerprint(blocked, INDEX)
    assert line is not None
    assert (line.name, line.countries) == ("redirect-law", ())
    for location, url in (
        ("https://block.target.example.ru/", "http://target.example.ru/"),
        ("https://block.vendor.example/", "http://target.example/"),
        ("https://www.blocked.target.ru/", "http://target.ru/"),
        ("http://balance.provider.example/block/?id=7", "http://target.example/"),
        ("http://target.example/zapret.html", "http://www.target.example/"),
    ):
        answer = LabeledAnswer("innocent", location=location, url=url, status=302)
        assert find_fingerprint(answer, INDEX) is None


@pytest.mark.long
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path)]
    assert main(["fingerprints", "score", str(CORPUS), "--json", *data]) == 0
    score = json.loads(capsys.readouterr().out)
    assert (score["found"], score["mistaken"]) == (score["blocks"], 0)
    assert main(["fingerprints", "score", str(CORPUS), "--without", "ooni", "--json", *data]) == 0
    assert json.loads(capsys.readouterr().out)["found"] < score["found"]

    bad_list = tmp_path / "bad.csv"
    bad_list.write_text(
        "name,scope,location_found,pattern_type,pattern,expected_countries\n"
        "x.plumber,nat,body,contains,Plumbers near you,RU\n"
    )
    assert main(["fingerprints", "import", str(bad_list), *data]) == 0
    assert "bad.csv: 1 fingerprints" in capsys.readouterr().out
    assert main(["fingerprints", "score", str(CORPUS), *data]) == 1
    assert "x.plumber: 0 right, 1 wrong" in capsys.readouterr().out
    assert main(["fingerprints", "list", "--json", *data]) == 0
    lists = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert lists["bad.csv"]["countries"] == {"RU": 1}
    assert lists["heliograph/block_pages.csv"]["kinds"] == {Kind.BLOCK_PAGE: 538}
    bad_list.write_text("name,scope\n")
    assert main(["fingerprints", "import", str(bad_list), *data]) == 1
    assert "bad.csv:1: the column location_found is missing" in capsys.readouterr().err


@pytest.mark.parametrize(("half", "least", "most_named"), [("learn", 30, 0), ("score", 26, 5)])
def test_notices_and_innocent_pages_written_apart_from_the_rules(
    half: str, least: int, most_named: int
) -> None:
    """Notices and innocent pages written apart from the rules are told apart.

    Words were added after the misses of the first half alone; the second was scored once.
    """
    text = (CORPUS.parent / "blind_notices.tsv").read_text(encoding="utf-8")
    rows = [row.split("\t") for row in text.splitlines() if not row.startswith("#")]
    pages: dict[str, list[Http]] = {"block": [], "innocent": []}
    for kind, its_half, _country, title, visible in rows:
        if its_half == half:
            pages[kind].append(
                Http(method="GET", url="http://a.example/", status=200, title=title, text=visible)
            )
    known = {kind: [INDEX.find_page(p) for p in listed] for kind, listed in pages.items()}
    assert sum(line is not None and line.is_blocking for line in known["block"]) >= least
    assert not any(line is not None and line.is_blocking for line in known["innocent"])
    named = [p for p in pages["innocent"] if names_authority(PageText(p), INDEX.notices)]
    assert len(named) <= most_named, "which blame only beside a second sign"
