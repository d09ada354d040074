"""Match known block pages, block addresses, issuers and innocent pages.

README.md describes the lists, their sources and how to add a line.

Example:
    fingerprint = match_block_page(http)
    if fingerprint is not None:
        print(fingerprint.name, fingerprint.scope, fingerprint.countries)
"""

from heliograph.observation import Dns, Http
from heliograph_collector.judge.fingerprints import authority_words
from heliograph_collector.judge.fingerprints.fingerprint import Fingerprint, FingerprintScope, Kind
from heliograph_collector.judge.fingerprints.library import LIBRARY, canonicalize_answer
from heliograph_collector.judge.fingerprints.page_text import PageText

__all__ = [
    "Fingerprint",
    "FingerprintScope",
    "Kind",
    "PageText",
    "canonicalize_answer",
    "find_interceptor",
    "is_refusal",
    "list_answers",
    "match_answer",
    "match_block_page",
    "match_issuer",
    "match_look_alike",
    "match_page",
    "names_authority",
    "speaks_to_visitor",
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

    Vague words are none: they are no evidence either way.
    """
    fingerprint = match_page(http)
    if (
        fingerprint is None
        or fingerprint.is_blocking
        or fingerprint.scope is FingerprintScope.VAGUE
    ):
        return None
    return fingerprint


def is_refusal(http: Http) -> bool:
    """Return whether the page refuses access in terms that no search page uses."""
    fingerprint = match_page(http)
    return fingerprint is not None and (
        fingerprint.is_blocking or fingerprint.scope is FingerprintScope.VAGUE
    )


def names_authority(http: Http) -> bool:
    """Return whether a short page names an authority or a law, which is no proof."""
    return authority_words.names_authority(PageText(http), LIBRARY.index.notices)


def speaks_to_visitor(http: Http) -> bool:
    """Return whether the page asks for a login, money etc., or is of an office."""
    return authority_words.speaks_to_visitor(PageText(http))


def match_answer(dns: Dns) -> Fingerprint | None:
    """Return the fingerprint of the addresses and aliases that a lookup gave, or None."""
    return LIBRARY.index.find_answer(dns)


def list_answers(dns: Dns) -> tuple[str, ...]:
    """List the addresses and aliases that a lookup gave, in their shortest form."""
    return tuple(canonicalize_answer(answer.data) for answer in dns.answers)


def match_issuer(issuer: str) -> Fingerprint | None:
    """Return the fingerprint of a certificate's issuer, or None."""
    return LIBRARY.index.find_issuer(issuer)


def find_interceptor(issuer: str) -> str:
    """Return the local software or middlebox with this issuer, "" when it is none."""
    fingerprint = match_issuer(issuer)
    return "" if fingerprint is None or fingerprint.is_blocking else fingerprint.name
