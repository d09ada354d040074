"""Normal form of a page's markup, words, title and addresses.

Block pages change in white space, case, quotation marks, entities, years and http to https. The
normal form is the same before and after such a change, for pages and patterns alike.
"""

import html
import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from heliograph.observation import Http, Reference

MAX_MARKUP = 32 * 1024  # characters; known block pages announce themselves earlier; assumed
UNREAD_BYTES = 48 * 1024  # assumed: styles and scripts of a page with little text
UNREAD_EXCERPT_BYTES = 8 * 1024  # assumed: the same, where the source was not kept
BYTES_PER_WORD = 8  # assumed
FULL_EXCERPT = 500  # characters; agents send at most 512, so the page may be an article
UNREAD_WORDS = 160  # assumed, where an excerpt is full: as many as the longest notice by its words
_SPACE_AROUND_TAGS = re.compile(r" ?([<>]) ?")
# A year alone, as in a copyright line; never a part of an address, a date or a number.
_YEAR = re.compile(r"(?<![\w.:/-])(?:19|20)\d\d(?![\w:/-]|\.\d)")
_SCHEME = re.compile(r"(?:https?|^)://")  # a pattern may begin with the colon
_USUAL_PORT = re.compile(r"(\.[a-z0-9-]{1,63}):(?:80|443)(?![\w.])")
_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"\w+")
_LETTERS = re.compile(r"[a-z]+")
# A page's own redirect, or a frame that fills it: by markup, by script, by an excerpt's reference.
_LEADS_TO = re.compile(
    r"""(?:location(?:\.href)? ?= ?|location\.(?:replace|assign)\() ?['"]?(//[^'"\s<>;)]+)"""
    r"""|<meta[^<>]*url ?= ?['"]?(//[^'"\s<>;]+)"""
    r"""|<iframe[^<>]*src ?= ?['"]?(//[^'"\s<>]+)"""
)
MAX_WORDS_BESIDE = 12  # assumed: "please wait" and a link; a longer text is a page itself
_TITLE = re.compile(r"<title[^<>]*>([^<>]*)")
# Quotation marks, the letters I of Turkish, which machines fold differently, and invisible signs.
_CHARACTERS = str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
    | dict.fromkeys("\u2019\u2018\u0060", "'")
    | {"\u0131": "i"}
    | dict.fromkeys("\u0307\u00ad\u200b\u200c\u200d\u200e\u200f\ufeff")
)


def normalize_markup(markup: str) -> str:
    """Return markup without irrelevant differences.

    These are case, space, quotes, entities, years, scheme and port.
    """
    plain = html.unescape(markup).casefold().translate(_CHARACTERS)
    single_spaced = _SPACE_AROUND_TAGS.sub(r"\1", " ".join(plain.split()))
    schemeless = _SCHEME.sub("//", single_spaced)
    return _YEAR.sub("0000", _USUAL_PORT.sub(r"\1", schemeless))


def extract_words(markup: str) -> str:
    """Return the words of normalized markup, without tags and punctuation."""
    return " ".join(_WORD.findall(_TAG.sub(" ", _drop_scripts(markup))))


def _drop_scripts(markup: str) -> str:
    first, *others = markup.split("<script")
    return first + " ".join(part.partition("</script")[2] for part in others)


@dataclass(frozen=True)
class PageText:
    """An HTTP answer in normal form.

    `markup` is the source, empty where only an excerpt was kept; `source` is then drawn from it.
    """

    http: Http

    @cached_property
    def markup(self) -> str:
        return normalize_markup(self.http.markup[:MAX_MARKUP])

    @cached_property
    def source(self) -> str:
        """Return the markup, or one built of an excerpt's title, text and references."""
        return self.markup or normalize_markup(_draw_markup(self.http))

    @cached_property
    def visible_words(self) -> str:
        visible = normalize_markup(f"{self.http.title} <br> {self.http.text}")
        return extract_words(f"{self.markup}<br>{visible}")

    @cached_property
    def word_set(self) -> frozenset[str]:
        """Return all words of the page, its address of redirection and its tags."""
        return frozenset(_WORD.findall(f"{self.source} {self.visible_words} {self.location}"))

    @cached_property
    def titles(self) -> frozenset[str]:
        return frozenset((normalize_markup(self.http.title), *_TITLE.findall(self.markup)[:2]))

    @cached_property
    def title_words(self) -> frozenset[str]:
        return frozenset(extract_words(title) for title in self.titles)

    @cached_property
    def location(self) -> str:
        return normalize_markup(self.http.location)

    @cached_property
    def word_count(self) -> int:
        """Return the number of words of the page, an estimate if it was not read whole.

        Bytes beyond the read ones count as text of BYTES_PER_WORD.
        """
        read_bytes = max(len(self.markup), UNREAD_BYTES) if self.markup else UNREAD_EXCERPT_BYTES
        unread_words = max(0, self.http.body_bytes - read_bytes) // BYTES_PER_WORD
        if not self.markup and len(self.http.text) >= FULL_EXCERPT:
            unread_words += UNREAD_WORDS
        return self.visible_words.count(" ") + 1 + unread_words

    @cached_property
    def redirect(self) -> str:
        """Return the target of a page that only redirects, "" on the site's own domain."""
        leads_to = self.http.location
        if not leads_to and self.visible_words.count(" ") < MAX_WORDS_BESIDE:
            match = _LEADS_TO.search(self.source)
            leads_to = next(filter(None, match.groups()), "") if match else ""
        host = parse_host(leads_to)
        own_domain = self.host.rsplit(".", 2)[-2:]
        is_own = not host or not self.host or host.rsplit(".", 2)[-2:] == own_domain
        return "" if is_own else leads_to

    @cached_property
    def redirect_labels(self) -> tuple[str, ...]:
        """Return the labels of the host that the page leads to, () without one."""
        return tuple(parse_host(self.redirect).split(".")) if self.redirect else ()

    @cached_property
    def redirect_words(self) -> frozenset[str]:
        """Return the words of the address that the page leads to, without its query."""
        return frozenset(_LETTERS.findall(self.redirect.lower().partition("?")[0]))

    @cached_property
    def server(self) -> str:
        return normalize_markup(self.http.server)

    @cached_property
    def host(self) -> str:
        """Return the requested host without `www.`, "" if unknown."""
        return parse_host(self.http.url).removeprefix("www.")


def _draw_markup(http: Http) -> str:
    """Build markup of an agent's excerpt, for patterns with tags and addresses."""
    elements = "".join(map(_draw_element, http.references))
    return f"<title>{http.title}</title>{http.text}{elements}"


def _draw_element(reference: Reference) -> str:
    if reference.element == "refresh":
        return f'<meta content="0;url={reference.address}">'
    attribute = {"a": "href", "link": "href", "form": "action"}.get(reference.element, "src")
    return f'<{reference.element} {attribute}="{reference.address}">'


def parse_host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
