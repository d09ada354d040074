"""Model of a fingerprint: identifying conditions of an answer, and its owner."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from heliograph_collector.judge.fingerprints.near_wording import (
    LAW_WORDS,
    MIN_WORDS,
    has_near_words,
)
from heliograph_collector.judge.fingerprints.page_text import PageText
from heliograph_collector.judge.fingerprints.pattern import Pattern, PatternType

# A line without a country confirms only by an address or by this much text; assumed.
MIN_UNPLACED = 40
MAX_NEAR_WORDS = 160  # of a page in changed words: an article is longer; as in notices.yml
REPEATED_MARKUP = ("<html><head></head><body></body></html>", "<html></html>")


class FingerprintScope(StrEnum):
    """Owner of the page or answer; the first two block, the others leave doubt."""

    NATIONAL = "national"
    PROVIDER = "provider"
    PRODUCT = "product"  # that schools, offices and households run as well
    INSTITUTION = "institution"
    INNOCENT = "innocent"  # a page that only resembles a block page
    VAGUE = "vague"  # words that block pages and others have


class Surface(StrEnum):
    """Part of an answer that a pattern is searched in."""

    BODY = "body"
    TITLE = "title"
    LOCATION = "location"
    SERVER = "server"
    WORDS = "words"  # visible text of a short page
    NEAR_WORDS = "near words"  # most of them, in their order
    REDIRECT_WORD = "redirect word"  # of the address of a redirect away from the site
    REDIRECT_LABEL = "redirect label"  # of the host of a redirect away from the site
    REDIRECT_END = "redirect end"  # last label of that host
    HEADER = "header"  # any other; measurements keep no values of it
    DNS = "dns"
    ISSUER = "issuer"


class Kind(StrEnum):
    BLOCK_PAGE = "block page"
    BLOCK_ADDRESS = "block address"
    ISSUER = "certificate issuer"
    FALSE_POSITIVE = "false positive page"


@dataclass(frozen=True, slots=True)
class Condition:
    surface: Surface
    any_of: tuple[Pattern, ...]

    def holds_for(self, page: PageText) -> bool:
        return any(_FINDERS[self.surface](pattern, page) for pattern in self.any_of)


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """One line of a list; a page has it if every condition holds."""

    name: str
    scope: FingerprintScope
    conditions: tuple[Condition, ...]
    kind_of_page: str = ""  # of an innocent page: challenge, parked, edge_error, filter, consent
    countries: tuple[str, ...] = ()  # ISO 3166-1 alpha-2; empty: not known
    source: str = ""
    date: str = ""  # YYYY-MM-DD, of the measurement that shows it; "" if unknown
    status: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()  # names, all of which are present
    max_words: int = 0  # of the whole page; 0: any
    without: tuple[Pattern, ...] = ()  # of the visible text: a page with one of these is none

    @property
    def kind(self) -> Kind:
        surfaces = {condition.surface for condition in self.conditions}
        if Surface.DNS in surfaces:
            return Kind.BLOCK_ADDRESS
        if Surface.ISSUER in surfaces:
            return Kind.ISSUER
        return Kind.FALSE_POSITIVE if self.scope is FingerprintScope.INNOCENT else Kind.BLOCK_PAGE

    @property
    def is_blocking(self) -> bool:
        return self.scope in (FingerprintScope.NATIONAL, FingerprintScope.PROVIDER)

    @property
    def has_common_words(self) -> bool:
        """Return whether it asks for nothing but words that other pages have too."""
        surfaces = {condition.surface for condition in self.conditions}
        return not self.countries and surfaces == {Surface.WORDS}

    @cached_property
    def weight(self) -> int:
        """Return how much the fingerprint asks for: characters of its longest pattern."""
        patterns = [p for condition in self.conditions for p in condition.any_of]
        return max((len(p.literal) for p in patterns), default=0)

    @cached_property
    def has_address(self) -> bool:
        return any(p.host for condition in self.conditions for p in condition.any_of)

    def matches(self, page: PageText) -> bool:
        if self.status and page.http.status not in self.status:
            return False
        if not set(self.headers) <= set(page.http.header_names):
            return False
        if self.max_words and page.word_count > self.max_words:
            return False
        has_all = all(condition.holds_for(page) for condition in self.conditions)
        return has_all and not self.has_exception(page)

    def has_exception(self, page: PageText) -> bool:
        """Return whether the page has a phrase by which it is none of these."""
        return any(_find_words(pattern, page) for pattern in self.without)

    def is_expected_in(self, country: str) -> bool:
        """Return whether it lists the country; a line without countries confirms nothing."""
        return country in self.countries


def derive_near_line(fingerprint: Fingerprint, authorities: AbstractSet[str]) -> Fingerprint | None:
    """Derive the line for the same notice in changed words, which proves no block.

    Returns:
        None for a notice with too few words, no country, no authority or law, or
        several texts. Words that name no authority occur in age gates and help desks too.
    """
    if not (fingerprint.is_blocking and fingerprint.countries) or len(fingerprint.conditions) != 1:
        return None
    (condition,) = fingerprint.conditions
    words = condition.any_of[0].identifying_words
    is_one_text = condition.surface is Surface.BODY and len(condition.any_of) == 1
    if not is_one_text or words.count(" ") + 1 < MIN_WORDS:
        return None
    if not any(authority in words for authority in authorities):
        return None
    pattern = Pattern(PatternType.CONTAINS, words)
    return replace(
        fingerprint,
        name=f"{fingerprint.name}~",
        conditions=(Condition(Surface.NEAR_WORDS, (pattern,)),),
        countries=(),
        status=(200,),
        max_words=MAX_NEAR_WORDS,
    )


def list_authorities(fingerprints: Iterable[Fingerprint]) -> frozenset[str]:
    """List the words for authorities and laws: the last group of each notice."""
    notices = (f.conditions for f in fingerprints if f.is_blocking and f.max_words)
    groups = (conditions[-1] for conditions in notices if len(conditions) > 1)
    return LAW_WORDS | frozenset(
        pattern.words
        for group in groups
        if group.surface is Surface.WORDS
        for pattern in group.any_of
    )


def is_attributed(pattern: Pattern, surface: Surface, countries: tuple[str, ...]) -> bool:
    """Return whether a pattern is specific enough to blame a state or a provider.

    A list may call "Access denied" a national block page. Without a country, only an address of
    a page or a longer text counts. Empty pages and the vantage's own machine never do.
    """
    if surface is Surface.DNS:
        return not _is_unspecific(pattern.literal)
    if pattern.literal in REPEATED_MARKUP or _is_unspecific(pattern.host):
        return False
    return bool(countries or pattern.host or len(pattern.literal) >= MIN_UNPLACED)


def _is_unspecific(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified or host == "1.2.3.4"


def _find_in_body(pattern: Pattern, page: PageText) -> bool:
    """Find a pattern in the markup, or in an excerpt's title, words or redirect."""
    if pattern.required_word and pattern.required_word not in page.word_set:
        return False  # most patterns end here
    if _is_own_host(pattern, page):
        return False
    if pattern.find_in(page.source):
        return True
    if pattern.host:
        return pattern.find_in(page.location)
    if pattern.title:
        return pattern.title in page.title_words
    return bool(pattern.identifying_words) and pattern.identifying_words in page.visible_words


def _find_in_title(pattern: Pattern, page: PageText) -> bool:
    if pattern.type is PatternType.FULL:
        return pattern.words in page.title_words
    return any(pattern.find_in(title) for title in page.titles)


def _find_in_location(pattern: Pattern, page: PageText) -> bool:
    location = page.location
    if not location or _is_own_host(pattern, page):
        return False
    if pattern.type is PatternType.PREFIX and pattern.host:
        return (
            location.removeprefix("http:")
            .removeprefix("//")
            .startswith(pattern.literal.removeprefix("http:").removeprefix("//"))
        )
    return pattern.find_in(location)


def _is_own_host(pattern: Pattern, page: PageText) -> bool:
    """Return whether the address is the measured site's own, which may well show it."""
    host = pattern.host.lstrip(".").removeprefix("www.")
    if not host or not page.host:
        return False
    return host == page.host or host.endswith("." + page.host) or page.host.endswith("." + host)


def _find_words(pattern: Pattern, page: PageText) -> bool:
    return pattern.words in page.visible_words


def _find_near_words(pattern: Pattern, page: PageText) -> bool:
    return has_near_words(pattern.literal.split(), page.visible_words.split())


def _find_redirect_word(pattern: Pattern, page: PageText) -> bool:
    return pattern.literal in page.redirect_words


def _find_redirect_label(pattern: Pattern, page: PageText) -> bool:
    return pattern.literal in page.redirect_labels[:-1]


def _find_redirect_end(pattern: Pattern, page: PageText) -> bool:
    return pattern.literal in page.redirect_labels[-1:]


def _find_in_server(pattern: Pattern, page: PageText) -> bool:
    return pattern.find_in(page.server)


def _find_nowhere(_pattern: Pattern, _page: PageText) -> bool:
    """Find nothing: a page has neither answers nor issuers, and values of few headers."""
    return False


_FINDERS: Mapping[Surface, Callable[[Pattern, PageText], bool]] = {
    Surface.BODY: _find_in_body,
    Surface.TITLE: _find_in_title,
    Surface.WORDS: _find_words,
    Surface.NEAR_WORDS: _find_near_words,
    Surface.LOCATION: _find_in_location,
    Surface.REDIRECT_WORD: _find_redirect_word,
    Surface.REDIRECT_LABEL: _find_redirect_label,
    Surface.REDIRECT_END: _find_redirect_end,
    Surface.SERVER: _find_in_server,
    Surface.HEADER: _find_nowhere,
    Surface.DNS: _find_nowhere,
    Surface.ISSUER: _find_nowhere,
}
