"""Hold the shipped and the imported lists, and reload them when they change.

`LIBRARY` is the process's own. A verdict depends on it as it does on the rules; each verdict names
the line that decided it.
"""

import ipaddress
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from operator import attrgetter
from typing import Protocol

from heliograph.address import NAT64
from heliograph.observation import Dns, Http
from heliograph_collector.judge.fingerprints.authority_words import speaks_to_visitor
from heliograph_collector.judge.fingerprints.fingerprint import (
    Fingerprint,
    FingerprintScope,
    Kind,
    Surface,
    derive_near_line,
    list_authorities,
)
from heliograph_collector.judge.fingerprints.list_reader import (
    SUFFIXES,
    FingerprintError,
    parse_list,
)
from heliograph_collector.judge.fingerprints.near_wording import has_near_words, list_key_words
from heliograph_collector.judge.fingerprints.page_text import PageText

SHIPPED = "heliograph"  # name of the lists that come with the program
MAX_LISTS = 64
CACHE_SIZE = 4096  # answers; many measurements get the same few; assumed

# The lists of a dry run: seen by its own task and the threads that this starts, by no other judge.
_TRIED: "ContextVar[FingerprintIndex | None]" = ContextVar("tried lists", default=None)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FingerprintList:
    """One list by its name."""

    name: str
    fingerprints: tuple[Fingerprint, ...]


@dataclass(frozen=True)
class FingerprintIndex:
    """Fingerprints by kind, ready to match."""

    lists: tuple[FingerprintList, ...]
    pages: tuple[Fingerprint, ...] = field(init=False)
    notices: tuple[Fingerprint, ...] = field(init=False)  # pages by common words alone
    issuers: tuple[Fingerprint, ...] = field(init=False)
    answers: dict[str, Fingerprint] = field(init=False)
    by_word: dict[str, list[int]] = field(init=False)  # positions in `pages`
    by_surface: dict[Surface, list[int]] = field(init=False)
    last_page: tuple[Http | None, Fingerprint | None] = (None, None)

    def __post_init__(self) -> None:
        every = [f for list_ in self.lists for f in list_.fingerprints]
        page_kinds = (Kind.BLOCK_PAGE, Kind.FALSE_POSITIVE)
        # Most specific first: the first match decides.
        known_pages = [f for f in every if f.kind in page_kinds]
        pages = sorted((*known_pages, *_derive_near_lines(known_pages)), key=_rank, reverse=True)
        object.__setattr__(self, "pages", tuple(pages))
        notices = tuple(f for f in pages if f.is_blocking and f.has_common_words)
        object.__setattr__(self, "notices", notices)
        by_word: defaultdict[str, list[int]] = defaultdict(list)
        by_surface: defaultdict[Surface, list[int]] = defaultdict(list)
        for position, fingerprint in enumerate(pages):
            surface, key_words = _find_key(fingerprint)
            for key_word in key_words:
                by_word[key_word].append(position)
            if not key_words:
                by_surface[surface].append(position)
        object.__setattr__(self, "by_word", dict(by_word))
        object.__setattr__(self, "by_surface", dict(by_surface))
        object.__setattr__(self, "issuers", tuple(f for f in every if f.kind is Kind.ISSUER))
        answers: dict[str, Fingerprint] = {}
        for fingerprint in every:
            for answer in _list_answers(fingerprint):
                answers.setdefault(answer, fingerprint)
        object.__setattr__(self, "answers", answers)

    def find_page(self, http: Http) -> Fingerprint | None:
        """Return the most specific fingerprint of a page, None if it has none."""
        last_http, last_fingerprint = self.last_page
        if last_http is http:  # several rules ask for the same page, one after the other
            return last_fingerprint
        page = PageText(http)
        fingerprint = next((f for f in self._select_candidates(page) if _knows(f, page)), None)
        object.__setattr__(self, "last_page", (http, fingerprint))
        return fingerprint

    def _select_candidates(self, page: PageText) -> Iterator[Fingerprint]:
        """Select what may match, by the page's words and parts; a thousand lines never do."""
        has_redirect = bool(page.redirect_labels)
        parts = {
            Surface.LOCATION: page.location,
            Surface.SERVER: page.server,
            Surface.TITLE: any(page.titles),
            Surface.WORDS: page.visible_words,
            Surface.BODY: page.markup or page.visible_words or page.location,
            Surface.REDIRECT_WORD: has_redirect,
            Surface.REDIRECT_LABEL: has_redirect,
            Surface.REDIRECT_END: has_redirect,
        }
        surfaces = (s for s in self.by_surface if parts.get(s, True))
        key_words = page.word_set & self.by_word.keys()
        positions = {
            *(p for surface in surfaces for p in self.by_surface[surface]),
            *(p for key_word in key_words for p in self.by_word[key_word]),
        }
        return (self.pages[position] for position in sorted(positions))

    def find_answer(self, dns: Dns) -> Fingerprint | None:
        """Return the fingerprint of the addresses and aliases that a lookup gave."""
        values = (canonicalize_answer(answer.data) for answer in dns.answers)
        return next((self.answers[v] for v in values if v in self.answers), None)

    def find_issuer(self, issuer: str) -> Fingerprint | None:
        name = issuer.casefold()
        return next((f for f in self.issuers if _names_issuer(f, name)), None)


class ListSource(Protocol):
    """Source of verified lists; it may be sent to another process."""

    def read_stamp(self) -> object:
        """Return a value that changes with the lists. Raises OSError."""
        ...

    def read_lists(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of lists. Raises OSError."""
        ...


class FingerprintLibrary:
    """Index that is replaced whole, so that a judging thread never sees half of one."""

    def __init__(self) -> None:
        self._index: FingerprintIndex | None = None
        self._source: ListSource | None = None
        self._stamp: object = None
        self._has_failed = False  # logged once, until the source answers again

    @property
    def index(self) -> FingerprintIndex:
        """Return the index; the first call reads the lists."""
        if (tried := _TRIED.get()) is not None:
            return tried
        if self._index is None:
            self._index = FingerprintIndex(load_shipped())
        return self._index

    def watch(self, source: ListSource) -> None:
        """Use the lists of a source from now on."""
        if source == self._source:
            return
        self._source = source
        if self._stamp is not None:  # the lists of another source
            self._index = None
            self._stamp = None
        self.refresh()

    @contextmanager
    def try_list(self, tried: FingerprintList) -> Iterator[None]:
        """Use a list in place of its namesake, in this context and its threads only."""
        others = (each for each in self.index.lists if each.name != tried.name)
        token = _TRIED.set(FingerprintIndex((*others, tried)))
        try:
            yield
        finally:
            _TRIED.reset(token)

    def refresh(self) -> None:
        """Reload the lists if they changed; a bad one is logged and left out.

        While the source does not answer, the lists that were read last stay in use.
        """
        if self._source is None:
            return
        try:
            stamp = self._source.read_stamp()
            if stamp != self._stamp:
                self._index = FingerprintIndex((*load_shipped(), *_parse_lists(self._source)))
                self._stamp = stamp
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                _LOG.error("The imported lists cannot be read now, those in use stay: %s", error)
            self._has_failed = True


@cache
def load_shipped() -> tuple[FingerprintList, ...]:
    """Load the lists that come with the program, once per process. Raises FingerprintError."""
    folder = resources.files(__package__ or "").joinpath("lists")
    files = sorted(folder.iterdir(), key=attrgetter("name"))
    return tuple(
        FingerprintList(f"{SHIPPED}/{file.name}", parse_list(file.name, file.read_bytes()))
        for file in files
        if file.name.endswith(SUFFIXES)
    )


def _parse_lists(source: ListSource) -> Iterable[FingerprintList]:
    for name, content in source.read_lists():
        try:
            yield FingerprintList(name, parse_list(name, content))
        except FingerprintError as error:
            _LOG.error("A list of fingerprints is left out: %s", error)


def _knows(fingerprint: Fingerprint, page: PageText) -> bool:
    if not fingerprint.matches(page):
        return False
    return not (fingerprint.has_common_words and speaks_to_visitor(page))


def _derive_near_lines(pages: Sequence[Fingerprint]) -> list[Fingerprint]:
    """Derive lines for notices in changed words, unless an innocent page is similar."""
    authorities = list_authorities(pages)
    near_lines = [near for f in pages if (near := derive_near_line(f, authorities)) is not None]
    others_by_word: defaultdict[str, list[list[str]]] = defaultdict(list)
    for f in pages:
        if not f.is_blocking:
            for pattern in (p for condition in f.conditions for p in condition.any_of):
                pattern_words = pattern.identifying_words.split()
                for pattern_word in set(pattern_words):
                    others_by_word[pattern_word].append(pattern_words)
    return [near for near in near_lines if not _is_near_any(near, others_by_word)]


def _is_near_any(near_line: Fingerprint, others_by_word: Mapping[str, list[list[str]]]) -> bool:
    near_words = near_line.conditions[0].any_of[0].literal.split()
    others = (
        other
        for near_word in list_key_words(near_words)
        for other in others_by_word.get(near_word, ())
    )
    return any(has_near_words(near_words, other) for other in others)


def _find_key(fingerprint: Fingerprint) -> tuple[Surface, frozenset[str]]:
    """Find words of which a page has one if it matches, or a part that it has."""
    for condition in fingerprint.conditions:
        if condition.surface is Surface.NEAR_WORDS:
            return Surface.BODY, list_key_words(condition.any_of[0].literal.split())
        required_words = frozenset(pattern.required_word for pattern in condition.any_of)
        if condition.surface is Surface.BODY and "" not in required_words:
            return Surface.BODY, required_words
    surfaces = (condition.surface for condition in fingerprint.conditions)
    default = Surface.BODY if fingerprint.conditions else Surface.HEADER  # names of headers alone
    return next((s for s in surfaces if s is not Surface.BODY), default), frozenset()


def _rank(fingerprint: Fingerprint) -> tuple[int, int, bool]:
    """Rank a block page's own address first, then the longest pattern.

    A block that no country's page is known for comes after all others, as it confirms nothing, and
    common words come after a listed notice in changed words. Vague words come last.
    """
    if fingerprint.scope is FingerprintScope.VAGUE:
        rank = 0
    elif not fingerprint.is_blocking:
        rank = 3
    elif fingerprint.has_address:
        rank = 4
    elif fingerprint.countries:
        rank = 3
    else:
        rank = 1 if fingerprint.has_common_words else 2
    return rank, fingerprint.weight, not fingerprint.is_blocking


def _list_answers(fingerprint: Fingerprint) -> Iterable[str]:
    for condition in fingerprint.conditions:
        if condition.surface is Surface.DNS:
            yield from (canonicalize_answer(pattern.literal) for pattern in condition.any_of)


@lru_cache(CACHE_SIZE)
def canonicalize_answer(data: str) -> str:
    """Return an address in shortest form, or a lower-case name without its last dot.

    An IPv4 address inside an IPv6 one (DNS64, or mapped) is returned as IPv4.
    """
    try:
        address = ipaddress.ip_address(data)
    except ValueError:
        return data.casefold().rstrip(".")
    if address.version == 6 and address in NAT64:
        return str(ipaddress.IPv4Address(address.packed[-4:]))
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)


def _names_issuer(fingerprint: Fingerprint, issuer: str) -> bool:
    return all(
        any(pattern.literal in issuer for pattern in condition.any_of)
        for condition in fingerprint.conditions
    )


LIBRARY = FingerprintLibrary()
