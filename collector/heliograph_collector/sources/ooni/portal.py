"""Recognize captive portals, which answer for every server until the user logs in.

OONI tests no anchors, so a portal shows only in its own answers: by status 511 (RFC 6585, section
6), by the gateway's XML of WISPr 1.0, by a redirect that takes the device and the network along
(the parameters of CoovaChilli, Cisco, Aruba, Meraki, Mikrotik, Ruckus, Huawei, UniFi, Fortinet and
openNDS, by their manuals), by its name, or by a certificate in that name. A carrier's page about an
unpaid bill is one too. Block pages carry none of these.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, urljoin, urlsplit

from heliograph_collector.sources.ooni.archival import is_address, parse_certificate
from heliograph_collector.sources.ooni.document import HandshakeRow, OoniKeys, RequestRow
from heliograph_collector.sources.ooni.http_facts import extract_title, get_header, parse_scheme

LOGIN_REQUIRED = 511  # Network Authentication Required
WISPR = b"WISPAccessGatewayParam"
LOOKED_AT = 16 * 1024  # bytes of a body; a portal's page is short; assumed
PARAMETERS = frozenset(
    (
        *("uamip", "uamport", "nasid", "nas_id", "userurl", "called", "link-login", "link-orig"),
        *("client_mac", "clientmac", "ap_mac", "apmac", "node_mac", "switch_url", "wlan_id"),
        *("ssid", "essid", "wlanuserip", "wlanacname", "wlanacip", "gw_address", "gw_id", "gw_sn"),
        *("base_grant_url", "user_continue_url", "clientip", "client_ip", "fgtauth", "authaction"),
    )
)
_MAC = re.compile(r"\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b", re.IGNORECASE)
_NAMES = re.compile(
    r"hotspot|captive|wi-?fi|wlan|opennds|nodogsplash|chilli|fgtauth|securelogin|network-auth|"
    r"unifi|mikrotik|webauth|"
    # words of their own
    r"(?<![a-z])(?:guests?|splash|top-?up|recharge|refill|unpaid|overdue|dues|debts?|invoices?|"
    r"(?:low|no|zero)?-?balance|no-?(?:money|credit)|bill(?:ing|s)?|pay(?:ments?)?|suspend(?:ed)?|"
    # guest, invoice, debt, balance, payment and credit in Russian, Turkish, Spanish, Portuguese,
    # French, German, Persian and Indonesian, as providers write them in names
    r"oplata|balans|dolg|zadolzhennost|misafir|fatura|borc|odeme|bakiye|invitados?|factura|deuda|"
    r"pago|saldo|recarga|visiteurs?|facture|solde|gast|rechnung|guthaben|bedehi|sharj|tamdid|"
    r"tagihan|pulsa|kuota)(?![a-z])",
    re.IGNORECASE,
)
# Words of block pages in addresses, and Iran's own address: such a page is no portal.
_BLOCKED = re.compile(r"block|blok|zapret|censor|rkn|lawfilter|^10\.10\.34\.", re.IGNORECASE)
_LOGIN = re.compile(
    r"log-?[io]n|sign-?in|auth|portal|guest|register|welcome|giris|anmeld|connexion|acceso|vhod|"
    r"vojti|masuk",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"captive portal|hotspot|(?:wi-?fi|wlan|guest|network) (?:log-?in|access|portal|sign)|"
    r"(?:log-?in|sign-?in|connect|welcome) to (?:the |our |your )?(?:free |guest )?"
    r"(?:wi-?fi|wlan|network|internet)|network authentication",
    re.IGNORECASE,
)
_REFRESH = re.compile(
    rb"""(?:http-equiv=["']?refresh["']?[^>]{0,200}?url=|location(?:\.href)?\s*=\s*|"""
    rb"""location\.(?:replace|assign)\()\s*["']?([^"'>\s)]{1,2048})""",
    re.IGNORECASE,
)


def detect_portal(keys: OoniKeys) -> bool:
    """Return whether a portal answered any request in clear, or any handshake."""
    page = keys.control.http_request
    own_title = page.title if page is not None else ""
    answered = (row for row in keys.requests if row.response.code)
    return any(_is_portal_reply(row, own_title) for row in answered) or any(
        map(_is_portal_certificate, keys.tls_handshakes)
    )


def _is_portal_reply(row: RequestRow, own_title: str) -> bool:
    if parse_scheme(row.request.url) != "http":
        return False  # a reply over TLS is the server's own
    beginning = row.response.body[:LOOKED_AT]
    if row.response.code == LOGIN_REQUIRED or WISPR in beginning:
        return True
    if any(_leads_to_portal(row.request.url, url) for url in _list_targets(row, beginning)):
        return True
    title = extract_title(beginning.decode("utf-8", "replace"))
    return bool(_TITLE.search(title)) and title != own_title


def _list_targets(row: RequestRow, beginning: bytes) -> Iterator[str]:
    """List where the reply redirects to, by header or by its page."""
    yield get_header(row.response, "location")
    for match in _REFRESH.finditer(beginning):
        yield match.group(1).decode("utf-8", "replace")


def _leads_to_portal(url: str, target: str) -> bool:
    """Return whether a redirect to another host is a portal's, by parameters or name."""
    try:
        aim = urlsplit(urljoin(url, target))
        origin_host = urlsplit(url).hostname or ""
        host = aim.hostname or ""
    except ValueError:
        return False
    if not host or _is_same_site(host, origin_host):
        return False
    parameters = {name.lower() for name, _ in parse_qsl(aim.query, keep_blank_values=True)}
    if parameters & PARAMETERS or _MAC.search(aim.query):
        return True
    place = f"{host}{aim.path}"
    if _BLOCKED.search(place):
        return False
    # a gateway has no name in the public DNS; Cisco's calls itself 1.1.1.1 or 192.0.2.1
    is_local = is_address(host) or "." not in host or host.endswith((".lan", ".local"))
    return bool(_NAMES.search(place)) or (is_local and bool(_LOGIN.search(aim.path)))


def _is_same_site(host: str, other: str) -> bool:
    """Return whether two hosts share their last two labels, as on one site."""
    return not is_address(host) and host.split(".")[-2:] == other.split(".")[-2:]


def _is_portal_certificate(row: HandshakeRow) -> bool:
    """Return whether a handshake failed with a certificate in a portal's name."""
    if row.failure is None or not str(row.failure).startswith("ssl_"):
        return False
    return any(map(_NAMES.search, _list_names(row)))


def _list_names(row: HandshakeRow) -> Iterable[str]:
    if row.x_peer_certificates:
        return [row.x_peer_certificates[0].subject]
    leaf = parse_certificate(row.peer_certificates[0]) if row.peer_certificates else None
    return [leaf.subject] if leaf is not None else []
