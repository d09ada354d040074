"""DNS messages by dnspython: a question to bytes, bytes to what they answer.

dns.message alone is imported, and late: dnspython's resolvers cost an idle agent 20 MB.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from heliograph.failure import Failure
from heliograph.observation import DnsAnswer

if TYPE_CHECKING:
    import dns.message

_MAX_ANSWERS = 64
_MAX_TEXT = 1_024
_FAILURES = {
    2: Failure.DNS_SERVFAIL_ERROR,
    3: Failure.DNS_NXDOMAIN_ERROR,
    5: Failure.DNS_REFUSED_ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one server answered."""

    rcode: int
    answers: tuple[DnsAnswer, ...] = ()
    failure: Failure | None = None
    truncated: bool = False


class Question:
    """One query, and the judgement whether some bytes reply to it."""

    def __init__(self, name: str, query_type: str, rng: Random) -> None:
        """Raises ValueError, naming the fault, when there can be no such question."""
        import dns.exception
        import dns.message
        import dns.rdatatype

        try:
            self._query = dns.message.make_query(name, query_type, id=rng.getrandbits(16))
        except (dns.exception.DNSException, UnicodeError) as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"{name!r} {query_type!r} cannot be asked for: {reason}") from error
        self._type = dns.rdatatype.from_text(query_type)
        self._kind = dns.rdatatype.to_text(self._type)
        self.wire: bytes = self._query.to_wire()

    def with_id(self, number: int) -> bytes:
        """The same question under another id: DoH asks for 0, so that caches can work."""
        self._query.id = number
        return self._query.to_wire()

    def reply(self, data: bytes) -> Reply | None:
        """None when `data` does not answer this question: another id, another name, no message."""
        import dns.exception
        import dns.flags
        import dns.message

        try:
            message = dns.message.from_wire(data)
            if not self._query.is_response(message):
                return None
            truncated = bool(message.flags & dns.flags.TC)
            return self._read(message, truncated)
        except (dns.exception.DNSException, ValueError):
            return None

    def is_other_id(self, data: bytes) -> bool:
        """Whether this is a reply to our question in all but its id."""
        own = self.wire[:2]
        return data[:2] != own and self.reply(own + data[2:]) is not None

    def _read(self, message: "dns.message.Message", truncated: bool) -> Reply:
        rcode = int(message.rcode())
        answers = self._answers(message)
        failure = _FAILURES.get(rcode, Failure.DNS_SERVER_MISBEHAVING) if rcode else None
        if failure is None and not any(answer.type == self._kind for answer in answers):
            failure = Failure.DNS_NO_ANSWER
        return Reply(rcode=rcode, answers=answers, failure=failure, truncated=truncated)

    def _answers(self, message: "dns.message.Message") -> tuple[DnsAnswer, ...]:
        """The chain of CNAMEs from our name, and the records at its end."""
        import dns.rdatatype

        found: list[DnsAnswer] = []
        name = self._query.question[0].name
        wanted = (self._type, dns.rdatatype.CNAME)
        for _ in range(_MAX_ANSWERS):
            sets = [s for s in message.answer if s.name == name and s.rdtype in wanted]
            sets.sort(key=lambda s: s.rdtype != self._type)
            if not sets:
                break
            kind = dns.rdatatype.to_text(sets[0].rdtype)
            for record in sets[0]:
                text = record.to_text()[:_MAX_TEXT]
                data = text.rstrip(".") if kind == "CNAME" else text
                found.append(DnsAnswer(type=kind, data=data or ".", ttl_s=sets[0].ttl))
            if sets[0].rdtype == self._type:
                break
            name = sets[0][0].target
        return tuple(found[:_MAX_ANSWERS])
