"""Features of a page that came in clear, and of the handshake beside it."""

from collections.abc import Iterator
from dataclasses import replace

from heliograph.failure import HELLO_CUTS, Operation
from heliograph.observation import Http
from heliograph_collector.judge.control_looks import LookResult
from heliograph_collector.judge.endpoint_view import ConnectionAttempt
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.page_comparison import (
    Likeness,
    compare_pages,
    find_block_page,
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
OK = 200
REFUSALS = 400


def extract_page_features(sides: Sides) -> Iterator[Feature]:
    """Yield features of the page; only cleartext pages are compared."""
    vantage = sides.vantage
    control = sides.control
    if Operation.TLS_HANDSHAKE in vantage.passed_operations | control.passed_operations:
        return
    if vantage.page is not None and control.page is not None:
        page = vantage.page[1]
        control_page = control.page[1]
        feature = FEATURE_BY_LIKENESS[compare_pages(page, control_page)]
        if feature in DOUBTED_PAGES and _is_notice_beside_cut(page, control_page, sides):
            feature = Feature.PAGE_BLOCK
        yield feature
        if feature is Feature.PAGE_SAME and shows_site(page, control_page):
            yield Feature.PAGE_OWN
        if feature in FOREIGN_PAGES:
            yield Feature.PAGE_FOREIGN


def _is_notice_beside_cut(page: Http, control: Http, sides: Sides) -> bool:
    """Return whether the page has a notice's words, and TLS is cut.

    The words alone do not tell a notice from a site's own ban, or from news of one. But a server
    that answers here with a ban does not cut here the TLS that it gives the control.
    """
    if OK != page.status < REFUSALS or not _is_tls_cut(sides):
        return False
    return find_block_page(replace(page, status=OK), control) is not None


def _is_tls_cut(sides: Sides) -> bool:
    """Return whether every handshake at the page's own addresses is cut, where a control passed."""
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
