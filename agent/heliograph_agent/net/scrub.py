"""Remove the volunteer's addresses from every text of an observation.

The machine's own addresses are known and are removed everywhere. The public address that its
provider assigns is not known to the machine, but block pages often print it. Therefore every
address literal is removed from a title, and from the part of a URL after the host. The host
itself is evidence and stays.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from heliograph.observation import (
    Certificate,
    Dns,
    DnsAnswer,
    DnsReply,
    Http,
    Observation,
    Reference,
    Tcp,
    Tls,
    Udp,
)
from heliograph_agent.net.dns.truncate import is_network

MARK = "[scrubbed]"
_REMEMBERED = 512  # cached texts of each kind
_COLON = r"(?::|%3[Aa])"
_CANDIDATE = re.compile(
    r"(?<![0-9.])\d{1,3}(?:([.-])\d{1,3})(?:\1\d{1,3}){2}(?![0-9])"  # 192.0.2.1, 192-0-2-1
    rf"|(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{{0,4}}{_COLON}){{2,8}}(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|[0-9A-Fa-f]{{0,4}})"
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Record = TypeVar(
    "_Record", Observation, Dns, DnsAnswer, DnsReply, Tcp, Udp, Tls, Certificate, Http, Reference
)


class Scrubber:
    """Remove the machine's own addresses (loopback excepted), or all, from texts."""

    def __init__(self, own: Iterable[str]) -> None:
        self.addresses = tuple(own)
        self._own_addresses = frozenset(ipaddress.ip_address(address) for address in self.addresses)
        forms = sorted(
            {form for address in self._own_addresses for form in _text_forms(address)}, key=len
        )
        pattern = "|".join(re.escape(form) for form in reversed(forms))
        self._forms = (
            re.compile(rf"(?<![0-9A-Za-z])(?:{pattern})(?![0-9A-Za-z])", re.IGNORECASE)
            if forms
            else None
        )

        # The same hosts and names recur with every probe of a task.
        self._scrub_own_cached = lru_cache(maxsize=_REMEMBERED)(self._replace_own)
        self._scrub_page_cached = lru_cache(maxsize=_REMEMBERED)(self._replace_all)
        self._scrub_url_cached = lru_cache(maxsize=_REMEMBERED)(self._replace_in_url)
        self._scrub_names_cached = lru_cache(maxsize=_REMEMBERED)(self._replace_in_names)

    def scrub_own(self, value: str) -> str:
        """Remove the machine's own addresses in all of their text forms."""
        return self._scrub_own_cached(value) if value else value

    def scrub_page(self, value: str) -> str:
        """Remove every address from the text of a page, such as a title or a banner."""
        return self._scrub_page_cached(value) if value else value

    def scrub_url(self, value: str) -> str:
        """Remove own addresses from the host of a URL, and every address after it."""
        return self._scrub_url_cached(value) if value else value

    def contains_own(self, content: bytes) -> bool:
        """Tell whether bytes hold one of the machine's own addresses, as bytes or as text."""
        text = content.decode("latin-1")
        return any(address.packed in content for address in self._own_addresses) or (
            self._replace_own(text) != text
        )

    def scrub_observation(self, observation: Observation) -> Observation:
        """Remove the volunteer's addresses; return the same object if there are none."""
        tcp = observation.tcp
        udp = observation.udp
        return _change(
            observation,
            failure_detail=self.scrub_page(observation.failure_detail),
            dns=observation.dns and self._scrub_dns(observation.dns),
            tcp=tcp and _change(tcp, address=self.scrub_own(tcp.address)),
            udp=udp and _change(udp, address=self.scrub_own(udp.address)),
            tls=observation.tls and self._scrub_tls(observation.tls),
            http=observation.http and self._scrub_http(observation.http),
        )

    def _replace_own(self, value: str) -> str:
        if self._forms is not None:
            value = self._forms.sub(MARK, value)
        return _replace_addresses(value, self._own_addresses)

    def _replace_all(self, value: str) -> str:
        return _replace_addresses(self.scrub_own(value), None)

    def _replace_in_url(self, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:
            return self.scrub_page(value)
        tail = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
        head = value.removesuffix(tail) if tail else value
        if head + tail != value:  # an unusual spelling that does not survive the round trip
            return self.scrub_page(value)
        return self.scrub_own(head) + self.scrub_page(tail)

    def _replace_in_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(self.scrub_page, names))

    def _scrub_tls(self, tls: Tls) -> Tls:
        return _change(tls, chain=tuple(map(self._scrub_certificate, tls.chain)))

    def _scrub_dns(self, dns: Dns) -> Dns:
        return _change(
            dns,
            resolver=self.scrub_own(dns.resolver),
            name=self.scrub_own(dns.name),
            answers=tuple(map(self._scrub_answer, dns.answers)),
            later=tuple(
                _change(reply, answers=tuple(map(self._scrub_answer, reply.answers)))
                for reply in dns.later
            ),
        )

    def _scrub_answer(self, answer: DnsAnswer) -> DnsAnswer:
        """Remove own addresses from an address or a name, every address from other text.

        An address or a name is the answer itself; a text can contain anything.
        """
        is_network_text = answer.type == "TXT" and is_network(answer.data.strip('"'))
        is_own = answer.type in ("A", "AAAA", "CNAME") or is_network_text
        scrub = self.scrub_own if is_own else self.scrub_page
        return _change(answer, data=scrub(answer.data))

    def _scrub_certificate(self, certificate: Certificate) -> Certificate:
        return _change(
            certificate,
            subject=self.scrub_own(certificate.subject),
            issuer=self.scrub_own(certificate.issuer),
        )

    def _scrub_http(self, http: Http) -> Http:
        return _change(
            http,
            url=self.scrub_url(http.url),
            title=self.scrub_page(http.title),
            server=self.scrub_page(http.server),
            location=self.scrub_url(http.location),
            text=self.scrub_page(http.text),
            header_names=self._scrub_names_cached(http.header_names),
            references=tuple(
                _change(reference, address=self.scrub_url(reference.address))
                for reference in http.references
            ),
        )


def _change(record: _Record, **values: Any) -> _Record:
    """Replace the fields that differ; return the same object if none does."""
    for name, value in values.items():
        if getattr(record, name) != value:
            return replace(record, **values)
    return record


def _replace_addresses(value: str, secret: frozenset[Address] | None) -> str:
    """Replace the addresses in `secret`, without it all."""

    def replace_match(match: re.Match[str]) -> str:
        address = _parse_address(match[0])
        if address is None:
            return match[0]
        # `::` is no machine's address, and separates words in titles.
        is_secret = not address.is_unspecified if secret is None else address in secret
        return MARK if is_secret else match[0]

    return _CANDIDATE.sub(replace_match, value)


def _parse_address(value: str) -> Address | None:
    plain = re.sub("%3[Aa]", ":", value)
    if ":" not in plain:
        plain = plain.replace("-", ".")
        plain = ".".join(part.lstrip("0") or "0" for part in plain.split("."))
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        return None


def _text_forms(address: Address) -> Iterable[str]:
    """List other spellings: names made from an address, and plain numbers."""
    yield address.reverse_pointer
    if isinstance(address, ipaddress.IPv4Address):
        yield f"{int(address):d}"
        yield f"{int(address):08x}"
        yield f"0x{int(address):08x}"
    else:
        yield address.exploded.replace(":", "-")
        yield address.compressed.replace(":", "-")
        yield f"{int(address):032x}"
