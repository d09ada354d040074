"""Two cleartext answers held against each other. A table, read from the top.

Nothing of this is asked of answers that came over verified TLS: those are the server's own words.
What makes two pages one is what OONI's web_connectivity asks: sizes, uncommon headers, titles.
"""

from enum import StrEnum

from heliograph.failure import Operation
from heliograph.observation import Http
from heliograph_collector.judge.endpoint_view import Sight, Step, host_of
from heliograph_collector.judge.signatures import Signature, block_page, look_alike

# Where the freezes seen in the field set in: after 16 to 25 KB, as servers and boxes count it.
FREEZE_FROM = 8 * 1024
FREEZE_TO = 64 * 1024
SILENCE_US = 5_000_000  # so long nothing, before it is called frozen
LEAST_RATE = 8 * 1024  # bytes a second until then: what crawls all along does not freeze


def frozen(here: Sight, control: Sight) -> bool:
    """Whether a body came briskly, stopped within the window and stayed silent to the end.

    Never when another connection of the same measurement got it whole.
    """
    theirs = [s for s in control.find(Operation.READ_BODY) if s.ok]
    whole = max((s.seen.http.body_bytes for s in theirs if s.seen.http), default=0)
    return any(_stuck(step, whole) for step in here.find(Operation.READ_BODY))


def _stuck(step: Step, whole: int) -> bool:
    http = step.seen.http
    if step.method != "slow_body" or http is None or not http.arrivals:
        return False
    last = http.arrivals[-1]
    if not FREEZE_FROM <= last.bytes <= FREEZE_TO or last.bytes >= whole:
        return False
    first = next(a.at_us for a in http.arrivals if a.bytes >= last.bytes)  # when it all was there
    brisk = last.bytes * 1_000_000 >= LEAST_RATE * max(first, 1)
    return brisk and step.seen.duration_us - first >= SILENCE_US


ALIKE = 0.7  # shorter body over longer one, from which bodies are the same page
LONG_WORD = 5  # letters; shorter ones stand in every title
OWN_LABEL = 4  # letters of a label that two hosts of one owner share: target in target.co.kz
REGISTRIES = frozenset(("ac", "co", "com", "edu", "gob", "gov", "net", "or", "org"))  # in a country

# Statuses and servers that turn robots away, for the robot's sake and not the state's.
ANTIBOT_STATUS = frozenset({403, 429, 503})
TOO_MANY = 429  # RFC 6585 section 4: says of itself that it is about the rate
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
ANTIBOT_HEADERS = frozenset({"cf-ray", "cf-mitigated", "x-sucuri-id", "x-iinfo", "x-datadome"})

# Header names that half of all servers send: to share one proves no kinship.
COMMON_HEADERS = frozenset(
    name
    for line in (
        "accept-ranges age cache-control cf-ray connection content-encoding content-language",
        "content-length content-type date etag expires keep-alive last-modified link location",
        "p3p pragma server set-cookie strict-transport-security transfer-encoding vary via",
        "x-content-type-options x-frame-options x-powered-by x-varnish x-xss-protection",
    )
    for name in line.split()
)
COMMON_LABELS = frozenset(("www", "mail", "blog", "info", "mobi", "name", "asia"))


class Likeness(StrEnum):
    SAME = "same"
    DIFFERENT = "different"
    REDIRECTED = "redirected"
    LEGAL = "legal"  # 451: somebody says so themselves
    BLOCK = "block"  # a known page of blocking
    BROKEN = "broken"  # a redirect that names no host
    ANTIBOT = "antibot"
    SERVER_ERROR = "server_error"
    PARKED = "parked"
    FILTER = "filter"  # of a product that also filters schools and offices
    DYNAMIC = "dynamic"  # nothing firm enough to compare


KINDS = {
    "challenge": Likeness.ANTIBOT,
    "edge_error": Likeness.SERVER_ERROR,
    "parked": Likeness.PARKED,
    "filter": Likeness.FILTER,
    "consent": Likeness.DYNAMIC,
}


def likeness(here: Http, control: Http) -> Likeness:
    """How the vantage's answer stands to the control's."""
    known = block_page(here)
    if known is not None and _only_here(known, control):
        return Likeness.BLOCK
    if here.status == control.status and _kin(here, control):
        return Likeness.SAME
    mistaken = look_alike(here)
    if mistaken is not None and _only_here(mistaken, control):
        return KINDS[mistaken.kind]
    if look_alike(control) is not None:  # what the control got is no measure
        return Likeness.DYNAMIC
    if here.status == control.status:
        return _same_status(here, control)
    return _other_status(here, control)


def _only_here(signature: Signature, control: Http) -> bool:
    return not signature.fits(control)


def _kin(here: Http, control: Http) -> bool:
    """The very same page, or one with the same name."""
    if here.body_sha256 and here.body_sha256 == control.body_sha256:
        return True
    return not _redirect(here) and _titles_agree(here, control)


def _same_status(here: Http, control: Http) -> Likeness:
    if _redirect(here):
        if _goal(here) == _goal(control) or _at_home(here):
            return Likeness.SAME
        return Likeness.DYNAMIC if _of_one_owner(here) else Likeness.REDIRECTED
    if here.status >= 400 and not _new_title(here, control):
        return Likeness.SAME
    if _uncommon(here) & _uncommon(control):
        return Likeness.SAME
    if not (here.body_bytes and control.body_bytes) or here.truncated or control.truncated:
        return Likeness.DYNAMIC
    if _ratio(here.body_bytes, control.body_bytes) > ALIKE:
        return Likeness.SAME
    return Likeness.DIFFERENT if _new_title(here, control) else Likeness.DYNAMIC


def _other_status(here: Http, control: Http) -> Likeness:
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
        return _sent_on(here)
    if _titles_agree(here, control) or _uncommon(here) & _uncommon(control):
        return Likeness.DYNAMIC  # its own server is in another mood
    return Likeness.DIFFERENT


def _sent_on(here: Http) -> Likeness:
    """To where the control was not sent."""
    if "//" in here.location and not host_of(here.location):
        return Likeness.BROKEN
    kin = _at_home(here) or _of_one_owner(here)
    return Likeness.DYNAMIC if kin else Likeness.REDIRECTED


def _redirect(http: Http) -> bool:
    return 300 <= http.status < 400 and bool(http.location)


def _goal(http: Http) -> str:
    return host_of(http.location) or host_of(http.url)


def _at_home(http: Http) -> bool:
    """Whether the redirect stays with the host it came from."""
    return related(_goal(http), host_of(http.url))


def _of_one_owner(http: Http) -> bool:
    """Whether both hosts bear one name, as a site that sends each country to its own domain."""
    goal, host = _goal(http).lower(), host_of(http.url).lower()
    return bool(_labels(goal) & _labels(host)) or _registered(goal) == _registered(host)


def _registered(host: str) -> str:
    """The label under which a name was registered, bbc of www.bbc.co.uk; else the host itself."""
    labels = host.split(".")[:-1]
    if len(labels) > 1 and labels[-1] in REGISTRIES:
        labels = labels[:-1]
    return labels[-1] if labels else host


def _labels(host: str) -> set[str]:
    labels = host.lower().split(".")[:-1]
    return {label for label in labels if len(label) >= OWN_LABEL} - COMMON_LABELS


def related(one: str, other: str) -> bool:
    """Whether one host is the other or a name below it, `www.` left aside."""
    one, other = one.lower().removeprefix("www."), other.lower().removeprefix("www.")
    return one == other or one.endswith("." + other) or other.endswith("." + one)


def _antibot(http: Http) -> bool:
    if http.status == TOO_MANY:
        return True
    server = http.server.lower()
    named = any(name in server for name in ANTIBOT_SERVERS)
    return http.status in ANTIBOT_STATUS and (
        named or bool(ANTIBOT_HEADERS & set(http.header_names))
    )


def _uncommon(http: Http) -> set[str]:
    return set(http.header_names) - COMMON_HEADERS


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
