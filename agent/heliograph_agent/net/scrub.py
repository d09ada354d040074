"""Takes the volunteer's addresses out of every text before it becomes an observation.

The machine's own addresses are known and go everywhere. The address its provider shows to the
world is not known to the machine, but block pages love to print it: so every address literal goes
from a title, and from what follows the host in a URL. The host itself stays: it is evidence.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

from heliograph.observation import (
    Certificate,
    Dns,
    DnsAnswer,
    Http,
    Observation,
    Tcp,
    Tls,
    Udp,
)
from heliograph_agent.net.dns.truncate import is_network

MARK = "[scrubbed]"
_REMEMBERED = 512  # texts of each kind
_COLON = r"(?::|%3[Aa])"
_CANDIDATE = re.compile(
    r"(?<![0-9.])\d{1,3}(?:([.-])\d{1,3})(?:\1\d{1,3}){2}(?![0-9])"  # 192.0.2.1, 192-0-2-1
    rf"|(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{{0,4}}{_COLON}){{2,8}}(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|[0-9A-Fa-f]{{0,4}})"
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Scrubber:
    """Knows the machine's own addresses, loopback excepted."""

    def __init__(self, own: Iterable[str]) -> None:
        self.addresses = tuple(own)
        self._own = frozenset(ipaddress.ip_address(address) for address in self.addresses)
        forms = sorted({form for address in self._own for form in _forms(address)}, key=len)
        pattern = "|".join(re.escape(form) for form in reversed(forms))
        self._forms = (
            re.compile(rf"(?<![0-9A-Za-z])(?:{pattern})(?![0-9A-Za-z])", re.IGNORECASE)
            if forms
            else None
        )

        # The same hosts and names come again with every probe of a task.
        self._own_of = lru_cache(maxsize=_REMEMBERED)(self._clean_of_own)
        self._page_of = lru_cache(maxsize=_REMEMBERED)(self._clean_of_all)
        self._url_of = lru_cache(maxsize=_REMEMBERED)(self._clean_url)

    def own(self, text: str) -> str:
        """Without the machine's own addresses, in any of their text forms."""
        return self._own_of(text) if text else text

    def page(self, text: str) -> str:
        """Without any address: a title, a banner."""
        return self._page_of(text) if text else text

    def url(self, text: str) -> str:
        """The host stays unless it is our own; what follows it keeps no address."""
        return self._url_of(text) if text else text

    def observation(self, seen: Observation) -> Observation:
        """The same step, fit to leave the machine; the same object when it was already."""
        clean = (
            self.page(seen.failure_detail),
            seen.dns and self._dns(seen.dns),
            seen.tcp and self._tcp(seen.tcp),
            seen.udp and self._udp(seen.udp),
            seen.tls and self._tls(seen.tls),
            seen.http and self._http(seen.http),
        )
        if clean == (seen.failure_detail, seen.dns, seen.tcp, seen.udp, seen.tls, seen.http):
            return seen
        detail, dns, tcp, udp, tls, http = clean
        return replace(seen, failure_detail=detail, dns=dns, tcp=tcp, udp=udp, tls=tls, http=http)

    def _clean_of_own(self, text: str) -> str:
        if self._forms is not None:
            text = self._forms.sub(MARK, text)
        return _replace(text, lambda address: address in self._own)

    def _clean_of_all(self, text: str) -> str:
        return _replace(self.own(text), lambda _: True)

    def _clean_url(self, text: str) -> str:
        try:
            parts = urlsplit(text)
        except ValueError:
            return self.page(text)
        tail = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
        head = text.removesuffix(tail) if tail else text
        if head + tail != text:  # an odd spelling that does not come back together
            return self.page(text)
        return self.own(head) + self.page(tail)

    def _tcp(self, tcp: Tcp) -> Tcp:
        address = self.own(tcp.address)
        return tcp if address == tcp.address else replace(tcp, address=address)

    def _udp(self, udp: Udp) -> Udp:
        address = self.own(udp.address)
        return udp if address == udp.address else replace(udp, address=address)

    def _tls(self, tls: Tls) -> Tls:
        chain = tuple(self._certificate(certificate) for certificate in tls.chain)
        return tls if chain == tls.chain else replace(tls, chain=chain)

    def _dns(self, dns: Dns) -> Dns:
        resolver, name = self.own(dns.resolver), self.own(dns.name)
        answers = self._answers(dns.answers)
        later = tuple(replace(r, answers=self._answers(r.answers)) for r in dns.later)
        if (resolver, name, answers, later) == (dns.resolver, dns.name, dns.answers, dns.later):
            return dns
        return replace(dns, resolver=resolver, name=name, answers=answers, later=later)

    def _answers(self, answers: tuple[DnsAnswer, ...]) -> tuple[DnsAnswer, ...]:
        return tuple(self._answer(answer) for answer in answers)

    def _answer(self, answer: DnsAnswer) -> DnsAnswer:
        """An address or a name is the answer itself; a text may hold whatever somebody wrote."""
        whole = self.own if answer.type in ("A", "AAAA", "CNAME") else self.page
        if answer.type == "TXT" and is_network(answer.data.strip('"')):
            whole = self.own
        data = whole(answer.data)
        return answer if data == answer.data else replace(answer, data=data)

    def _certificate(self, certificate: Certificate) -> Certificate:
        subject, issuer = self.own(certificate.subject), self.own(certificate.issuer)
        if (subject, issuer) == (certificate.subject, certificate.issuer):
            return certificate
        return replace(certificate, subject=subject, issuer=issuer)

    def _http(self, http: Http) -> Http:
        clean = (
            self.url(http.url),
            self.page(http.title),
            self.page(http.server),
            self.url(http.location),
            self.page(http.text),
            tuple(map(self.page, http.header_names)),
        )
        if clean == (
            http.url,
            http.title,
            http.server,
            http.location,
            http.text,
            http.header_names,
        ):
            return http
        url, title, server, location, text, names = clean
        return replace(
            http,
            url=url,
            title=title,
            server=server,
            location=location,
            text=text,
            header_names=names,
        )


def _replace(text: str, condemned: Callable[[Address], bool]) -> str:
    def judge(found: re.Match[str]) -> str:
        address = _parse(found[0])
        return MARK if address is not None and condemned(address) else found[0]

    return _CANDIDATE.sub(judge, text)


def _parse(text: str) -> Address | None:
    plain = re.sub("%3[Aa]", ":", text)
    if ":" not in plain:
        plain = plain.replace("-", ".")
        plain = ".".join(part.lstrip("0") or "0" for part in plain.split("."))
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        return None


def _forms(address: Address) -> Iterable[str]:
    """Spellings that are not address literals: names made of an address, and plain numbers."""
    yield address.reverse_pointer
    if isinstance(address, ipaddress.IPv4Address):
        yield f"{int(address):d}"
        yield f"{int(address):08x}"
        yield f"0x{int(address):08x}"
    else:
        yield address.exploded.replace(":", "-")
        yield address.compressed.replace(":", "-")
        yield f"{int(address):032x}"
