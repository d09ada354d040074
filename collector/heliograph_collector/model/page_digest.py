"""Digests of short cleartext pages, equal for one notice under every site's name.

A page is recognized by its words alone. Differences between visits are left out: the site's own
name, numbers, addresses, and words that hold digits, as references and times do. No text is kept.
"""

import re
from hashlib import blake2b

from heliograph.observation import Http

OK = 200
MIN_WORDS = 5  # assumed: "It works!" of many servers is shorter
MIN_LETTERS = 30  # assumed; the same in scripts without spaces
MAX_BODY_BYTES = 16 * 1024  # assumed, as of a notice; a longer page is a site's own
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"\S+")


def digest_page(page: Http) -> str:
    """Return the digest of a page that may be a notice, "" of any other.

    Only an answer of status 200 counts, because the errors of a CDN are alike at all of its sites,
    and only one that came in clear, because nobody else can answer over verified TLS.
    """
    if page.status != OK or not page.url.startswith("http://") or not page.text:
        return ""
    if page.truncated or page.body_bytes > MAX_BODY_BYTES:
        return ""
    terms = _list_terms(f"{page.title} {page.text}", read_host(page))
    if len(set(terms)) < MIN_WORDS and sum(map(len, terms)) < MIN_LETTERS:
        return ""
    return _digest_terms(terms)


def identify_own_page(page: Http) -> str:
    """Return the words' digest, title or name that distinguishes a site's own page."""
    digest = digest_page(page)
    title_terms = _list_terms(page.title, read_host(page))
    return digest or (_digest_terms(title_terms) if title_terms else read_host(page))


def read_host(page: Http) -> str:
    """Return the name that was asked for the page."""
    return page.url.partition("://")[2].partition("/")[0].partition(":")[0].lower().rstrip(".")


def find_owner_label(host: str) -> str:
    """Return the label that identifies a name's owner: its longest but for the last."""
    labels = host.split(".")[:-1] or [host]
    return max(labels, key=len)


def _digest_terms(terms: list[str]) -> str:
    return blake2b(" ".join(terms).encode(), digest_size=12).hexdigest()


def _list_terms(visible: str, host: str) -> list[str]:
    """List the words, without the host's name and tokens with digits or addresses."""
    host_labels = {*host.split("."), host}
    terms: list[str] = []
    for token in _TOKEN.findall(visible.casefold()):
        if host in token or "://" in token or any(map(str.isdigit, token)):
            continue
        terms += [term for term in _WORD.findall(token) if term not in host_labels]
    return terms
