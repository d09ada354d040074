"""Fingerprints: known block pages, block addresses, certificate issuers and innocent pages.

README.md describes the lists, their sources and how to add a line.

Example:
    fingerprint = match_block_page(http)
    if fingerprint is not None:
        print(fingerprint.name, fingerprint.scope, fingerprint.countries)
"""

from heliograph.observation import Dns, Http
from heliograph_collector.judge.fingerprints.fingerprint import Fingerprint, Kind, Scope
from heliograph_collector.judge.fingerprints.library import LIBRARY
from heliograph_collector.judge.fingerprints.page_text import PageText

__all__ = [
    "Fingerprint",
    "Kind",
    "PageText",
    "Scope",
    "find_interceptor",
    "is_refusal",
    "match_block_answer",
    "match_block_page",
    "match_look_alike",
    "match_page",
]


def match_page(http: Http) -> Fingerprint | None:
    """Return the most specific fingerprint of the page, None if it has none."""
    return LIBRARY.index.find_page(http)


def match_block_page(http: Http) -> Fingerprint | None:
    """Return the fingerprint of a national or provider block page, or None."""
    fingerprint = match_page(http)
    return fingerprint if fingerprint is not None and fingerprint.is_blocking else None


def match_look_alike(http: Http) -> Fingerprint | None:
    """Return the fingerprint of a page of no state and no provider, or None.

    Vague words are none: they say nothing either way.
    """
    fingerprint = match_page(http)
    if fingerprint is None or fingerprint.is_blocking or fingerprint.scope is Scope.VAGUE:
        return None
    return fingerprint


def is_refusal(http: Http) -> bool:
    """Return whether the page refuses access in terms that no search page uses."""
    fingerprint = match_page(http)
    return fingerprint is not None and (fingerprint.is_blocking or fingerprint.scope is Scope.VAGUE)


def match_block_answer(dns: Dns) -> Fingerprint | None:
    """Return the fingerprint of a national or provider block address that a lookup gave."""
    fingerprint = LIBRARY.index.find_answer(dns)
    return fingerprint if fingerprint is not None and fingerprint.is_blocking else None


def find_interceptor(issuer: str) -> str:
    """Return the local software or middlebox with this issuer, "" when it is none."""
    fingerprint = LIBRARY.index.find_issuer(issuer)
    is_local = fingerprint is not None and not fingerprint.is_blocking
    return fingerprint.name if fingerprint is not None and is_local else ""
