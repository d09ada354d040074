"""What a DNS query asks of the zone, and the bytes of its answer. Pure."""

from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from heliograph.beacon import sealed_in

MAX_QUERY = 512  # bytes
MORE = 64  # that an answer may have beyond its question
_SOA = "{zone} {zone} 1 3600 600 604800 0"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that is answered; `sealed` is what its name holds, None for nothing of ours."""

    query: dns.message.Message
    zone: str
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    sealed: bytes | None = None
    soa: bool = False

    def answer(self, address: str) -> bytes:
        """`address` is "" where there is nothing to say. Never longer than question and MORE."""
        response = dns.message.make_response(self.query, recursion_available=False)
        response.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR:
            response.flags |= dns.flags.AA
        question = self.query.question[0]
        if address:
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", "AAAA", address))
        if self.soa:
            text = _SOA.format(zone=f"{self.zone.strip('.')}.")
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", "SOA", text))
        return response.to_wire()


def read(wire: bytes, zone: str) -> Asked | None:
    """None for what is better met with silence."""
    if len(wire) > MAX_QUERY:
        return None
    try:
        query = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return None
    if query.flags & dns.flags.QR or len(query.question) != 1:
        return None
    if query.opcode() != dns.opcode.QUERY:
        return Asked(query, zone, dns.rcode.NOTIMP)
    question = query.question[0]
    apex = dns.name.from_text(zone)
    if question.rdclass != dns.rdataclass.IN or not question.name.is_subdomain(apex):
        return Asked(query, zone, dns.rcode.REFUSED)
    if question.name == apex:
        return Asked(query, zone, soa=question.rdtype == dns.rdatatype.SOA)
    sealed = None
    if question.rdtype == dns.rdatatype.AAAA:
        sealed = sealed_in(question.name.to_text(), zone)
    return Asked(query, zone, sealed=sealed)
