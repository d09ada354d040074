"""How far along a chain of redirects the test helper can be taken to have gone with the vantage.

It tells its last page alone. A redirect over TLS is the server's own, and one to the same host is
harmless; after one in clear to a foreign host the two are together only if their pages are alike.
"""

from collections.abc import Sequence
from itertools import pairwise

from heliograph.failure import Operation
from heliograph.observation import Http, Observation
from heliograph_collector.ooni.page import urlsplit_scheme
from heliograph_collector.ooni.values import Json, text, whole
from heliograph_collector.ooni.walk import Hop

Hops = Sequence[tuple[str, Sequence[Observation]]]  # each page's URL, and what the vantage saw

ALIKE = 0.7  # shorter body over longer one
LONG_WORD = 5  # letters


def together(hops: Hops, request: Json) -> Hops:
    """The pages that both sides saw; the helper's own page stands at the last of them."""
    last = _page(hops[-1][1])
    if last is None or alike(last, request):
        return hops
    for depth, ((url, _), (following, _)) in enumerate(pairwise(hops)):
        if urlsplit_scheme(url) == "http" and not _related(Hop(url).host, Hop(following).host):
            return hops[: depth + 1]
    return hops


def alike(ours: Http, theirs: Json) -> bool:
    """Whether two pages can be one: the status, and then the title or the size."""
    if ours.status != whole(theirs.get("status_code")):
        return False
    title, other = ours.title, text(theirs.get("title"), 256)
    if title or other:
        return bool(_words(title) & _words(other))
    size, length = ours.body_bytes, max(0, whole(theirs.get("body_length")))
    if ours.truncated or not (size and length):
        return True
    return min(size, length) / max(size, length) > ALIKE


def _page(seen: Sequence[Observation]) -> Http | None:
    pages = [o.http for o in seen if o.operation is Operation.READ_BODY and o.failure is None]
    return next((http for http in pages if http is not None), None)


def _words(title: str) -> set[str]:
    words = {word for word in title.lower().split() if len(word) >= LONG_WORD}
    return words or {title.strip().lower()}


def _related(one: str, other: str) -> bool:
    one, other = one.removeprefix("www."), other.removeprefix("www.")
    return one == other or one.endswith("." + other) or other.endswith("." + one)
