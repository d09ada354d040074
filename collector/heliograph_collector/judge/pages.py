"""Two cleartext answers held against each other. A table, read from the top.

Nothing of this is asked of answers that came over verified TLS: those are the server's own words.
"""

from enum import StrEnum

from heliograph.observation import Http
from heliograph_collector.judge.sight import host_of

ALIKE = 0.7  # shorter body over longer one, from which bodies are the same page
LONG_WORD = 5  # letters; shorter ones stand in every title

# Statuses and servers that turn robots away, for the robot's sake and not the state's.
ANTIBOT_STATUS = frozenset({403, 429, 503})
ANTIBOT_SERVERS = (
    "cloudflare",
    "akamaighost",
    "ddos-guard",
    "sucuri",
    "imperva",
    "incapsula",
    "cloudfront",
    "qrator",
    "datadome",
    "varnish",
)


class Likeness(StrEnum):
    SAME = "same"
    DIFFERENT = "different"
    REDIRECTED = "redirected"
    LEGAL = "legal"  # 451: somebody says so themselves
    ANTIBOT = "antibot"
    SERVER_ERROR = "server_error"
    DYNAMIC = "dynamic"  # nothing firm enough to compare


def likeness(here: Http, control: Http) -> Likeness:
    """How the vantage's answer stands to the control's."""
    if here.status == control.status:
        return _same_status(here, control)
    if here.status == 451:
        return Likeness.LEGAL
    if _antibot(here):
        return Likeness.ANTIBOT
    if here.status >= 400 and control.status >= 400 and not _new_title(here, control):
        return Likeness.SAME
    if here.status >= 500:
        return Likeness.SERVER_ERROR
    if control.status >= 400:  # the control's own answer is no measure
        return Likeness.DYNAMIC
    if _redirect(here):
        return Likeness.DYNAMIC if _at_home(here) else Likeness.REDIRECTED
    return Likeness.DIFFERENT


def _same_status(here: Http, control: Http) -> Likeness:
    if _redirect(here):
        same = _goal(here) == _goal(control) or _at_home(here)
        return Likeness.SAME if same else Likeness.REDIRECTED
    if here.body_sha256 and here.body_sha256 == control.body_sha256:
        return Likeness.SAME
    if _titles_agree(here, control):
        return Likeness.SAME
    if here.status >= 400 and not _new_title(here, control):
        return Likeness.SAME
    if not (here.body_bytes and control.body_bytes) or here.truncated or control.truncated:
        return Likeness.DYNAMIC
    if _ratio(here.body_bytes, control.body_bytes) > ALIKE:
        return Likeness.SAME
    return Likeness.DIFFERENT if _new_title(here, control) else Likeness.DYNAMIC


def _redirect(http: Http) -> bool:
    return 300 <= http.status < 400 and bool(http.location)


def _goal(http: Http) -> str:
    return host_of(http.location) or host_of(http.url)


def _at_home(http: Http) -> bool:
    """Whether the redirect stays with the host it came from."""
    return related(_goal(http), host_of(http.url))


def related(one: str, other: str) -> bool:
    """Whether one host is the other or a name below it, `www.` left aside."""
    one, other = one.lower().removeprefix("www."), other.lower().removeprefix("www.")
    return one == other or one.endswith("." + other) or other.endswith("." + one)


def _antibot(http: Http) -> bool:
    server = http.server.lower()
    return http.status in ANTIBOT_STATUS and any(name in server for name in ANTIBOT_SERVERS)


def _ratio(one: int, other: int) -> float:
    return min(one, other) / max(one, other)


def _words(title: str) -> set[str]:
    words = {word for word in title.lower().split() if len(word) >= LONG_WORD}
    return words or ({title.strip().lower()} if title.strip() else set())


def _titles_agree(here: Http, control: Http) -> bool:
    return bool(_words(here.title) & _words(control.title))


def _new_title(here: Http, control: Http) -> bool:
    """Whether the vantage got a page with a name that the control's does not bear."""
    return bool(_words(here.title)) and not _titles_agree(here, control)
