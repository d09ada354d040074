"""Takes the volunteer's addresses out of every text before it becomes an observation.

The machine's own addresses are known and go everywhere. The address its provider shows to the
world is not known to the machine, but block pages love to print it: so every address literal goes
from a title, and from what follows the host in a URL. The host itself stays: it is evidence.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from heliograph.observation import Certificate, Dns, DnsAnswer, Http, Observation
from heliograph_agent.net.coarse import is_network

MARK = "[scrubbed]"
_COLON = r"(?::|%3[Aa])"
_CANDIDATE = re.compile(
    r"(?<![0-9.])\d{1,3}(?:([.-])\d{1,3})(?:\1\d{1,3}){2}(?![0-9])"  # 192.0.2.1, 192-0-2-1
    rf"|(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{{0,4}}{_COLON}){{2,8}}(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|[0-9A-Fa-f]{{0,4}})"
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Scrubber:
    """Knows the machine's own addresses, loopback excepted."""

    def __init__(self, own: Iterable[str]) -> None:
        self._own = frozenset(ipaddress.ip_address(address) for address in own)
        forms = sorted({form for address in self._own for form in _forms(address)}, key=len)
        pattern = "|".join(re.escape(form) for form in reversed(forms))
        self._forms = (
            re.compile(rf"(?<![0-9A-Za-z])(?:{pattern})(?![0-9A-Za-z])", re.IGNORECASE)
            if forms
            else None
        )

    def own(self, text: str) -> str:
        """Without the machine's own addresses, in any of their text forms."""
        if self._forms is not None:
            text = self._forms.sub(MARK, text)
        return _replace(text, lambda address: address in self._own)

    def page(self, text: str) -> str:
        """Without any address: a title, a banner."""
        return _replace(self.own(text), lambda _: True)

    def url(self, text: str) -> str:
        """The host stays unless it is our own; what follows it keeps no address."""
        try:
            parts = urlsplit(text)
        except ValueError:
            return self.page(text)
        tail = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
        head = text.removesuffix(tail) if tail else text
        if head + tail != text:  # an odd spelling that does not come back together
            return self.page(text)
        return self.own(head) + self.page(tail)

    def observation(self, seen: Observation) -> Observation:
        """The same step, fit to leave the machine."""
        return replace(
            seen,
            failure_detail=self.page(seen.failure_detail),
            dns=None if seen.dns is None else self._dns(seen.dns),
            tcp=None if seen.tcp is None else replace(seen.tcp, address=self.own(seen.tcp.address)),
            udp=None if seen.udp is None else replace(seen.udp, address=self.own(seen.udp.address)),
            tls=None
            if seen.tls is None
            else replace(seen.tls, chain=tuple(self._certificate(c) for c in seen.tls.chain)),
            http=None if seen.http is None else self._http(seen.http),
        )

    def _dns(self, dns: Dns) -> Dns:
        return replace(
            dns,
            resolver=self.own(dns.resolver),
            name=self.own(dns.name),
            answers=tuple(self._answer(answer) for answer in dns.answers),
            later=tuple(
                replace(reply, answers=tuple(self._answer(answer) for answer in reply.answers))
                for reply in dns.later
            ),
        )

    def _answer(self, answer: DnsAnswer) -> DnsAnswer:
        """An address or a name is the answer itself; a text may hold whatever somebody wrote."""
        whole = self.own if answer.type in ("A", "AAAA", "CNAME") else self.page
        if answer.type == "TXT" and is_network(answer.data.strip('"')):
            whole = self.own
        return replace(answer, data=whole(answer.data))

    def _certificate(self, certificate: Certificate) -> Certificate:
        return replace(
            certificate,
            subject=self.own(certificate.subject),
            issuer=self.own(certificate.issuer),
        )

    def _http(self, http: Http) -> Http:
        return replace(
            http,
            url=self.url(http.url),
            title=self.page(http.title),
            server=self.page(http.server),
            location=self.url(http.location),
            text=self.page(http.text),
            header_names=tuple(self.page(name) for name in http.header_names),
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
