"""Features of a page that came in clear, and of the handshake beside it."""

from collections.abc import Iterator
from dataclasses import replace

from heliograph.failure import HELLO_CUTS, Operation
from heliograph.observation import Http
from heliograph_collector.judge.control_looks import LookResult
from heliograph_collector.judge.endpoint_view import ConnectionAttempt, EndpointView, parse_host
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprints import (
    match_block_page,
    names_authority,
    speaks_to_visitor,
)
from heliograph_collector.judge.page_comparison import (
    Likeness,
    compare_pages,
    find_block_page,
    is_of_a_state,
    leads_to_bare_address,
    shows_more_than_title,
    shows_site,
)
from heliograph_collector.judge.sides import Sides

FEATURE_BY_LIKENESS = {likeness: Feature[f"PAGE_{likeness.name}"] for likeness in Likeness}
FOREIGN_PAGES = frozenset(
    (
        *(Feature.PAGE_DIFFERENT, Feature.PAGE_REDIRECTED, Feature.PAGE_INSIDE),
        *(Feature.PAGE_LEGAL, Feature.PAGE_BLOCK, Feature.PAGE_NOTICE),
    )
)
DOUBTED_PAGES = frozenset((Feature.PAGE_DIFFERENT, Feature.PAGE_LEGAL, Feature.PAGE_NOTICE))
# Pages of which a notice's words for an authority count beside another sign. Two pages without a
# title, or of other statuses, are not comparable; that is no sign that the site wrote this one.
WORDED_PAGES = frozenset((*DOUBTED_PAGES, Feature.PAGE_DYNAMIC))
LEADING_AWAY = frozenset((Feature.PAGE_REDIRECTED, Feature.PAGE_INSIDE))
OK = 200
REFUSALS = 400  # 4xx: RFC 9110 section 15.5
MAX_LANDING_BYTES = 16 * 1024  # assumed: a longer page may be an article that quotes a notice
ERRORS = 500  # 5xx: RFC 9110 section 15.6
LINES_OF_A_NOTICE = 2  # prefixes of the network that met it in place of unrelated sites; assumed


def extract_page_features(sides: Sides) -> Iterator[Feature]:
    """Yield features of the page; only cleartext pages are compared."""
    vantage = sides.vantage
    control = sides.control
    if Operation.TLS_HANDSHAKE in vantage.passed_operations | control.passed_operations:
        return
    if vantage.page is not None and control.page is not None:
        is_tls_cut = _is_tls_cut(sides)
        if is_tls_cut:
            yield Feature.TLS_CUT_BESIDE
        page = vantage.page[1]
        features = list(_compare(page, control.page[1], sides.landing, is_tls_cut=is_tls_cut))
        yield from features
        if _is_shared(page, control.page[1], sides, features):
            yield Feature.PAGE_SHARED


def has_same_page(vantage: EndpointView, control: EndpointView) -> bool:
    """Return whether both got the same page in clear, and no connection failed here."""
    if vantage.page is None or control.page is None:
        return False
    is_clear = Operation.TLS_HANDSHAKE not in vantage.passed_operations | control.passed_operations
    return is_clear and compare_pages(vantage.page[1], control.page[1]) is Likeness.SAME


def _is_shared(page: Http, control: Http, sides: Sides, features: list[Feature]) -> bool:
    """Return whether the network shows a notice in place of unrelated sites.

    Words of a notice or the name of an authority alone may also be those of news of one, and
    repetition alone does not distinguish it from a used-up plan, a publisher's page for one
    country or a guard against robots.
    """
    count = sides.profile.shared_pages.get(parse_host(page.url).lower(), 0)
    has_words = Feature.PAGE_NOTICE in features or Feature.AUTHORITY_NAMED in features
    is_notice = has_words and not speaks_to_visitor(page)
    return is_notice and count >= LINES_OF_A_NOTICE and control.status < REFUSALS


def _compare(
    page: Http, control: Http, landing: Http | None, *, is_tls_cut: bool
) -> Iterator[Feature]:
    feature = _classify(page, control, is_tls_cut=is_tls_cut)
    if feature in WORDED_PAGES and _names_authority(page, control):
        yield Feature.AUTHORITY_NAMED
    if feature in LEADING_AWAY and landing is not None:
        if _is_notice_landing(page, control, landing, is_tls_cut=is_tls_cut):
            yield Feature.NOTICE_LANDING
        elif speaks_to_visitor(landing):
            feature = Feature.PAGE_REDIRECTED  # a portal, a debt, a line to be registered
    yield feature
    if feature is Feature.PAGE_SAME and shows_site(page, control):
        yield Feature.PAGE_OWN
    if feature in FOREIGN_PAGES:
        yield Feature.PAGE_FOREIGN


def _classify(page: Http, control: Http, *, is_tls_cut: bool) -> Feature:
    feature = FEATURE_BY_LIKENESS[compare_pages(page, control)]
    if feature in DOUBTED_PAGES and is_tls_cut and _is_notice(page, control):
        return Feature.PAGE_BLOCK
    if feature is Feature.PAGE_SAME and is_tls_cut and not shows_more_than_title(page, control):
        return Feature.PAGE_DYNAMIC  # the filter that cuts TLS may also answer in clear
    return feature


def _is_notice(page: Http, control: Http) -> bool:
    """Return whether the page has a notice's words, which are evidence if TLS is cut.

    The words alone may also be those of a site's own ban, or of news of one. But a server
    that answers here with a ban does not cut here the TLS that it gives the control.
    """
    if OK != page.status < REFUSALS:
        return False
    return find_block_page(replace(page, status=OK), control) is not None


def _names_authority(page: Http, control: Http) -> bool:
    """Return whether the page names an authority and has nothing of the site."""
    if page.status >= ERRORS or control.status >= REFUSALS or is_of_a_state(page):
        return False
    return not shows_site(page, control) and names_authority(page)


def _is_notice_landing(page: Http, control: Http, landing: Http, *, is_tls_cut: bool) -> bool:
    """Return whether a redirect ended at a notice.

    A site sends nobody to a bare address that bars access by order of an authority; beside cut TLS
    its name is enough.
    """
    if control.status >= REFUSALS or landing.body_bytes > MAX_LANDING_BYTES:
        return False
    fingerprint = match_block_page(replace(landing, status=OK))
    if fingerprint is not None and (is_tls_cut or not fingerprint.has_common_words):
        return True
    if fingerprint is not None:
        return leads_to_bare_address(page)
    return is_tls_cut and names_authority(landing)


def _is_tls_cut(sides: Sides) -> bool:
    """Return whether every handshake at the page's addresses is cut; a control passed."""
    own = {a.address for a in sides.vantage.own_attempts}
    beside = [a for a in sides.vantage.validations if a.address in own]
    return bool(beside) and all(_is_cut_here(sides, attempt) for attempt in beside)


def _is_cut_here(sides: Sides, attempt: ConnectionAttempt) -> bool:
    step = attempt.failed_step
    return (
        step is not None
        and step.operation is Operation.TLS_HANDSHAKE
        and step.observation.failure in HELLO_CUTS
        and sides.looks.find_result(attempt, step.operation) is LookResult.PASSED
    )
