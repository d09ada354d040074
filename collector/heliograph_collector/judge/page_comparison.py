"""Comparison of two cleartext answers, by a list of checks in order.

Answers over verified TLS are not compared, because they come from the server. Pages are equal by
the criteria of OONI's web_connectivity: size, uncommon headers and title.
"""

import ipaddress
from enum import StrEnum

from heliograph.address import parse_literal
from heliograph.failure import Operation
from heliograph.observation import Http
from heliograph_collector.judge.endpoint_view import EndpointView, ObservedStep, parse_host
from heliograph_collector.judge.fingerprints import (
    Fingerprint,
    FingerprintScope,
    PageText,
    match_block_page,
    match_look_alike,
)
from heliograph_collector.model.private_networks import HOME_NETWORKS

# Bytes. Freezes in the field start after 15 to 25 KB (net4people/bbs#490, dpi-checkers#46), at
# times 64 KB; the lower bound is assumed.
FREEZE_FROM = 8 * 1024
FREEZE_TO = 64 * 1024
SILENCE_US = 5_000_000  # assumed: shortest silence that counts as frozen
MIN_RATE = 8 * 1024  # assumed, bytes/s before the stop: a slow transfer is not frozen


def is_frozen(vantage: EndpointView, control: EndpointView) -> bool:
    """Return whether a body came fast, stopped within the window and stayed silent.

    A body that is as long as the control's complete body is not frozen.
    """
    slow_steps = [s for s in vantage.find_steps(Operation.READ_BODY) if s.method == "slow_body"]
    if not slow_steps:
        return False
    control_steps = [s for s in control.find_steps(Operation.READ_BODY) if s.has_succeeded]
    complete_bytes = max(
        (s.observation.http.wire_bytes for s in control_steps if s.observation.http), default=0
    )
    return any(_is_stuck(step, complete_bytes) for step in slow_steps)


def _is_stuck(step: ObservedStep, complete_bytes: int) -> bool:
    http = step.observation.http
    if http is None or not http.arrivals:
        return False
    bytes_ = http.arrivals[-1].bytes
    if not FREEZE_FROM <= bytes_ <= FREEZE_TO or bytes_ >= complete_bytes:
        return False
    arrived_us = next(a.at_us for a in http.arrivals if a.bytes >= bytes_)  # when all had arrived
    is_fast = bytes_ * 1_000_000 >= MIN_RATE * max(arrived_us, 1)
    return is_fast and step.observation.duration_us - arrived_us >= SILENCE_US


ALIKE = 0.7  # ratio of body sizes above which pages are the same; OONI web_connectivity
SHELL = 0.1  # assumed; ratio of sizes below which an equal title alone shows no site
OWN_HEADERS = 2  # assumed: so many uncommon names in common are no chance
UNAVAILABLE_FOR_LEGAL_REASONS = 451  # RFC 7725
PORTAL_NETWORKS = (*HOME_NETWORKS, ipaddress.ip_network("172.16.0.0/12"))  # hotels have it too
# Words in the addresses of portals: MikroTik, UniFi, Aruba, Cisco, pfSense, by their manuals.
LOGIN_WORDS = (
    *("login", "logon", "portal", "hotspot", "guest", "auth", "captive", "splash", "wifi"),
    *("kyc", "register", "activat", "recharge", "topup", "billing", "payment", "balance"),
)
LONG_WORD = 5  # letters; shorter words occur in every title; OONI web_connectivity
OWN_LABEL = 4  # assumed: letters of a label that shows one owner: target in target.co.kz
STATE_LABELS = frozenset(("gov", "gob", "gouv", "gub", "govt", "go", "gc", "mil"))  # gov.uk, go.kr
COUNTRY_LABEL = 2  # letters of a country's domain, ISO 3166
REGISTRIES = frozenset(("ac", "co", "com", "edu", "gob", "gov", "net", "or", "org"))  # in a country

# Statuses and servers that reject robots without any order of a state.
ANTIBOT_STATUS = frozenset({403, 429, 503})  # assumed
TOO_MANY_REQUESTS = 429  # RFC 6585 section 4: rate limiting
ANTIBOT_SERVERS = (
    *("cloudflare", "akamaighost", "ddos-guard", "sucuri", "imperva", "incapsula", "cloudfront"),
    *("qrator", "datadome", "varnish"),
)
ANTIBOT_HEADERS = frozenset({"cf-ray", "cf-mitigated", "x-sucuri-id", "x-iinfo", "x-datadome"})

# About half of all servers send these headers: a common name proves nothing.
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
    INSIDE = "inside"  # a redirect to an address in private space
    LEGAL = "legal"  # status 451, RFC 7725
    BLOCK = "block"  # a known block page
    NOTICE = "notice"  # words of a ban that no list has
    BROKEN = "broken"  # a redirect without a host
    ANTIBOT = "antibot"
    SERVER_ERROR = "server_error"
    PARKED = "parked"
    FILTER = "filter"  # of a product that schools and offices use too
    DYNAMIC = "dynamic"  # nothing stable enough to compare


LIKENESS_BY_KIND = {
    "challenge": Likeness.ANTIBOT,
    "edge_error": Likeness.SERVER_ERROR,
    "parked": Likeness.PARKED,
    "consent": Likeness.DYNAMIC,
    "portal": Likeness.FILTER,
}


def compare_pages(page: Http, control: Http) -> Likeness:
    """Classify the vantage's answer against the control's answer."""
    block_page = find_block_page(page, control)
    if block_page is not None and not _is_own(page, control):
        is_doubted = block_page.has_common_words or _has_same_title(page, control)
        return Likeness.NOTICE if is_doubted else Likeness.BLOCK
    if page.status == control.status and _is_same_page(page, control):
        return Likeness.SAME
    look_alike = match_look_alike(page)
    if look_alike is not None and not look_alike.matches(PageText(control)):
        return classify_look_alike(look_alike)
    if match_look_alike(control) is not None:  # the control's answer is no reference
        return Likeness.DYNAMIC
    if page.status == control.status:
        return _compare_same_status(page, control)
    return _compare_other_status(page, control)


def find_block_page(page: Http, control: Http | None) -> Fingerprint | None:
    """Find the fingerprint of a block page that is not what the control got as well."""
    if control is not None and page.status == control.status and _has_same_content(page, control):
        return None  # most pages end here, before any line is tried
    fingerprint = match_block_page(page)
    if fingerprint is None or not _is_comparable(fingerprint, page, control):
        return None
    is_everywhere = control is not None and fingerprint.matches(PageText(control))
    return None if is_everywhere else fingerprint


def _is_comparable(fingerprint: Fingerprint, page: Http, control: Http | None) -> bool:
    """Return whether the line may blame beside this page of the control.

    A line without a country has only common words, which a site may use itself. It needs a
    page that the control got instead, and that has nothing of this one.
    """
    if fingerprint.countries:
        return True
    if control is None or control.status >= 400 or is_of_a_state(page):
        return False
    return not (_has_own_title(page, control) or _has_same_headers(page, control))


def is_of_a_state(page: Http) -> bool:
    """Return whether the site is an authority's, which writes of orders that it gave."""
    labels = ["", "", *parse_host(page.url).lower().split(".")]
    second = labels[-2]
    top = labels[-1]
    return top in STATE_LABELS or (len(top) == COUNTRY_LABEL and second in STATE_LABELS)


def _has_same_content(page: Http, control: Http) -> bool:
    """Return whether body or whole title are equal: an article may quote a block page."""
    if page.body_sha256 and page.body_sha256 == control.body_sha256:
        return True
    is_titled = bool(page.title) and page.title.split() == control.title.split()
    return is_titled and not _is_mere_shell(page, control)


def _has_own_title(page: Http, control: Http) -> bool:
    return _has_same_title(page, control) and not _is_mere_shell(page, control)


def _is_mere_shell(page: Http, control: Http) -> bool:
    """Return whether a page is so small that it may have only the site's title.

    Filters copy titles and names.
    """
    is_whole = not (page.truncated or control.truncated) and page.body_bytes > 0
    return is_whole and page.body_bytes < SHELL * control.body_bytes


def classify_look_alike(fingerprint: Fingerprint) -> Likeness:
    if fingerprint.scope in (FingerprintScope.PRODUCT, FingerprintScope.INSTITUTION):
        return Likeness.FILTER
    return LIKENESS_BY_KIND.get(fingerprint.kind_of_page, Likeness.DYNAMIC)


def shows_site(page: Http, control: Http) -> bool:
    """Return whether the page has the control's body, title or headers.

    A notice may have the control's size by chance: OONI called block pages of Indonesia accessible
    by it (ooni/explorer#497). A title such as "403 Forbidden" is not a site's either.
    """
    if _is_redirect(page):
        return bool(parse_host(page.location)) and page.location == control.location
    is_titled = page.status < 400 and _has_same_title(page, control)
    return (
        is_titled
        or _has_same_headers(page, control)
        or (bool(page.body_sha256) and page.body_sha256 == control.body_sha256)
    )


def shows_more_than_title(page: Http, control: Http) -> bool:
    """Return whether the page has the control's body, size or headers."""
    is_body = bool(page.body_sha256) and page.body_sha256 == control.body_sha256
    return is_body or _has_same_headers(page, control) or _are_sizes_alike(page, control)


def _is_same_page(page: Http, control: Http) -> bool:
    if page.body_sha256 and page.body_sha256 == control.body_sha256:
        return True
    return not _is_redirect(page) and _has_same_title(page, control)


def _compare_same_status(page: Http, control: Http) -> Likeness:
    if _is_redirect(page):
        if _get_redirect_host(page) == _get_redirect_host(control) or _stays_on_host(page):
            return Likeness.SAME
        return _compare_redirect(page)
    if page.status >= 400 and not _has_new_title(page, control):
        return Likeness.SAME
    if _has_same_headers(page, control):
        return Likeness.SAME
    if not (page.body_bytes and control.body_bytes) or page.truncated or control.truncated:
        return Likeness.DYNAMIC
    if not _has_new_title(page, control):
        return Likeness.SAME if _are_sizes_alike(page, control) else Likeness.DYNAMIC
    return Likeness.DYNAMIC if _are_sizes_alike(page, control) else Likeness.DIFFERENT


def _is_own(page: Http, control: Http) -> bool:
    """Return whether the site's own server sent the page, so that a ban is the site's."""
    shared = _list_shared_headers(page, control)
    is_same_software = bool(page.server) and page.server == control.server
    is_same_kind = page.status == control.status and _are_sizes_alike(page, control)
    return len(shared) >= OWN_HEADERS or (bool(shared) and (is_same_software or is_same_kind))


def _are_sizes_alike(page: Http, control: Http) -> bool:
    sizes = page.body_bytes, control.body_bytes
    return min(sizes) > ALIKE * max(sizes)


def _compare_other_status(page: Http, control: Http) -> Likeness:
    if _has_same_title(page, control) or _has_same_headers(page, control):
        return Likeness.DYNAMIC  # the site's own server, whatever it sends to this place
    if page.status == UNAVAILABLE_FOR_LEGAL_REASONS:
        return Likeness.LEGAL
    if _is_antibot(page):
        return Likeness.ANTIBOT
    if page.status >= 400 and control.status >= 400 and not _has_new_title(page, control):
        return Likeness.SAME
    if page.status >= 500:
        return Likeness.SERVER_ERROR
    if control.status >= 400:  # the control's answer is no reference
        return Likeness.DYNAMIC
    if _is_redirect(page):
        return _compare_redirect(page)
    return Likeness.DIFFERENT


def _compare_redirect(page: Http) -> Likeness:
    if "//" in page.location and not parse_host(page.location):
        return Likeness.BROKEN
    if _leads_inside(page):
        return Likeness.INSIDE
    has_same_owner = _stays_on_host(page) or _has_same_owner(page)
    return Likeness.DYNAMIC if has_same_owner else Likeness.REDIRECTED


def _leads_inside(http: Http) -> bool:
    """Return whether a redirect leads to a private address, as of a network's notice.

    A home router and a hotel's portal have such addresses too: in the ranges of homes (192.168/16,
    172.16/12, 169.254/16), and under the words of a login.
    """
    try:
        address = ipaddress.ip_address(_get_redirect_host(http))
    except ValueError:
        return False
    is_house = address.version == 6 or any(address in network for network in PORTAL_NETWORKS)
    is_login = any(word in http.location.lower() for word in LOGIN_WORDS)
    is_special = address.is_private and not (address.is_loopback or address.is_unspecified)
    return is_special and not is_house and not is_login


def leads_to_bare_address(http: Http) -> bool:
    """Return whether a redirect leads to an address instead of a host's name."""
    return bool(parse_literal(_get_redirect_host(http)))


def _is_redirect(http: Http) -> bool:
    return 300 <= http.status < 400 and bool(http.location)


def _get_redirect_host(http: Http) -> str:
    return parse_host(http.location) or parse_host(http.url)


def _stays_on_host(http: Http) -> bool:
    return is_related_host(_get_redirect_host(http), parse_host(http.url))


def _has_same_owner(http: Http) -> bool:
    """Return whether both hosts share a label, as sites with a domain per country do."""
    hosts = _get_redirect_host(http).lower(), parse_host(http.url).lower()
    owners, other_owners = map(_get_owner_labels, hosts)
    label, other_label = map(_get_registered_label, hosts)
    return label == other_label or not owners.isdisjoint(other_owners)


def _get_registered_label(host: str) -> str:
    """Return the registered label, as bbc of www.bbc.co.uk, or else the host itself."""
    labels = host.split(".")[:-1]
    if len(labels) > 1 and labels[-1] in REGISTRIES:
        labels = labels[:-1]
    return labels[-1] if labels else host


def _get_owner_labels(host: str) -> set[str]:
    labels = host.lower().split(".")[:-1]
    return {label for label in labels if len(label) >= OWN_LABEL} - COMMON_LABELS


def is_related_host(host: str, other_host: str) -> bool:
    """Return whether one host equals the other or is below it, ignoring `www.`."""
    host = host.lower().removeprefix("www.")
    other_host = other_host.lower().removeprefix("www.")
    return host == other_host or host.endswith("." + other_host) or other_host.endswith("." + host)


def _is_antibot(http: Http) -> bool:
    if http.status == TOO_MANY_REQUESTS:
        return True
    is_named = any(name in http.server.lower() for name in ANTIBOT_SERVERS)
    has_header = not ANTIBOT_HEADERS.isdisjoint(http.header_names)
    return http.status in ANTIBOT_STATUS and (is_named or has_header)


def _has_same_headers(page: Http, control: Http) -> bool:
    return bool(_list_shared_headers(page, control))


def _list_shared_headers(page: Http, control: Http) -> set[str]:
    return {*page.header_names} & {*control.header_names} - COMMON_HEADERS


def _split_title(title: str) -> set[str]:
    tokens = {token for token in title.lower().split() if len(token) >= LONG_WORD}
    return tokens or ({title.strip().lower()} if title.strip() else set())


def _has_same_title(page: Http, control: Http) -> bool:
    return bool(_split_title(page.title) & _split_title(control.title))


def _has_new_title(page: Http, control: Http) -> bool:
    return bool(_split_title(page.title)) and not _has_same_title(page, control)
