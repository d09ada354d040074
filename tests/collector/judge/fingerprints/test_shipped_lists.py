"""Every shipped line finds its own page, even changed, and no plain page."""

from dataclasses import replace

from heliograph.observation import Http
from heliograph_collector.judge.fingerprints import (
    Fingerprint,
    FingerprintScope,
    PageText,
    find_interceptor,
    match_block_page,
    match_look_alike,
    match_page,
)
from heliograph_collector.judge.fingerprints.fingerprint import Condition, Kind, Surface
from heliograph_collector.judge.fingerprints.library import load_shipped
from heliograph_collector.judge.page_comparison import Likeness, compare_pages

PLAIN = Http(
    method="GET",
    url="http://www.target.example/",
    status=200,
    title="The free newspaper",
    text="News of the day: ministers, courts, orders, sites and access to them",
    server="nginx",
    body_bytes=50_000,
    header_names=("content-length", "content-type"),
)
PAGES = [
    (list_.name, fingerprint)
    for list_ in load_shipped()
    for fingerprint in list_.fingerprints
    if fingerprint.kind in (Kind.BLOCK_PAGE, Kind.FALSE_POSITIVE)
]
BLOCKING = [fingerprint for _, fingerprint in PAGES if fingerprint.is_blocking]


def draw_page(fingerprint: Fingerprint) -> Http:
    """Draw a page that has what the line asks for, and no more."""
    status = fingerprint.status[0] if fingerprint.status else 200
    page = replace(PLAIN, status=status, title="", text="", body_bytes=700)
    page = replace(page, header_names=tuple(sorted(fingerprint.headers)))
    for condition in fingerprint.conditions:
        literal = condition.any_of[-1].literal.replace("nta.s", "nta's")
        match condition.surface:
            case Surface.TITLE:
                page = replace(page, title=literal.upper())
            case Surface.BODY:
                page = replace(page, markup=f"<html><body><div>{literal}</div></body></html>")
            case Surface.WORDS:
                page = replace(page, markup=f"{page.markup}<p>{literal}</p>")
            case Surface.REDIRECT_LABEL | Surface.REDIRECT_WORD | Surface.LOCATION:
                page = replace(page, location=draw_location(fingerprint, condition))
            case Surface.SERVER:
                page = replace(page, server=literal)
    return page


def draw_location(fingerprint: Fingerprint, condition: Condition) -> str:
    literal = condition.any_of[-1].literal
    if condition.surface is Surface.REDIRECT_WORD:
        return f"http://isp.example/{literal}.html"
    if condition.surface is Surface.LOCATION:
        return f"http://{literal.removeprefix('http:').lstrip(':/')}"
    end = next(c for c in fingerprint.conditions if c.surface is Surface.REDIRECT_END)
    return f"http://{literal}.isp.{end.any_of[0].literal}/"


def test_each_line_finds_its_own_page() -> None:
    for file, line in PAGES:
        name, page = f"{file}: {line.name}", draw_page(line)
        assert line.source, name
        assert line.matches(PageText(page)), (name, page)
        deciding = match_page(page)
        assert deciding is not None, name
        assert deciding.is_blocking == line.is_blocking, name
        likeness = compare_pages(page, PLAIN)
        is_listed = likeness is Likeness.BLOCK and not line.has_common_words
        assert (is_listed or likeness is Likeness.NOTICE) == line.is_blocking, name
        assert (likeness is Likeness.NOTICE) == line.has_common_words, name
        assert compare_pages(page, page) not in (Likeness.BLOCK, Likeness.REDIRECTED), name


def test_names_are_unique_and_no_plain_page_has_a_line() -> None:
    assert match_page(PLAIN) is None
    names = [line.name for _, line in PAGES]
    assert len(set(names)) == len(names)


def test_a_site_may_show_its_own_address() -> None:
    """A site may show its own address.

    The register of blocked sites is no block page when it is itself measured.
    """
    markup = '<a href="https://eais.rkn.gov.ru/">EAIS</a>'
    own_page = replace(PLAIN, url="http://eais.rkn.gov.ru/", markup=markup)
    assert match_block_page(own_page) is None
    moved_page = replace(PLAIN, url="http://divo.ru/", status=301, location="https://www.divo.ru/")
    assert match_block_page(moved_page) is None
    assert match_block_page(replace(own_page, url=PLAIN.url)) is not None


def test_an_article_that_quotes_a_block_page_is_none() -> None:
    quote = "<p>Users saw: Accesul dumneavoastră către acest site a fost restricționat</p>"
    article = replace(PLAIN, markup=f"<title>{PLAIN.title}</title>{quote}")
    assert match_block_page(article) is not None
    assert compare_pages(article, PLAIN) is Likeness.SAME


def test_the_more_specific_line_decides() -> None:
    """The more specific line decides between an office's filter and a state's."""
    words = "The page you have requested has been blocked"
    office = replace(PLAIN, markup=f"<p>{words}, because the URL is banned.</p>")
    assert match_block_page(office) is None
    filtered = match_look_alike(office)
    assert filtered is not None
    assert filtered.scope is FingerprintScope.PRODUCT
    state = replace(
        PLAIN,
        markup="<b>FortiGuard Web Filtering</b><p>You tried to access a web page which has been "
        "blocked as per directive received from the Ministry of Transport and Communications of "
        "Myanmar</p>",
    )
    assert match_block_page(state) is not None


def test_find_interceptor() -> None:
    assert find_interceptor("CN=FortiGate CA,O=Fortinet") == "fortinet"
    assert find_interceptor("CN=Qaznet Trust Network,C=KZ") == ""
