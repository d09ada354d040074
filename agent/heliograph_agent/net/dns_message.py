"""DNS messages: a question to bytes, bytes to what they answer; by dnspython where `dns_plain`
does not know.

dns.message alone is imported, and late: dnspython's resolvers cost an idle agent 20 MB.
"""

from random import Random
from typing import TYPE_CHECKING

from heliograph.failure import Failure
from heliograph.observation import DnsAnswer
from heliograph_agent.net.dns_plain import FAILURES, Reply, query_of, reply_of

if TYPE_CHECKING:
    import dns.message

__all__ = ["Question", "Reply"]

_MAX_ANSWERS = 64
_MAX_TEXT = 1_024


class Question:
    """One query, and the judgement whether some bytes reply to it."""

    def __init__(self, name: str, query_type: str, rng: Random) -> None:
        """Raises ValueError, naming the fault, when there can be no such question."""
        import dns.message

        number = rng.getrandbits(16)
        self._name, self._kind, self._number = name, query_type, number
        self._parsed: dns.message.QueryMessage | None = None
        self._is_plain = (wire := query_of(name, query_type, number)) is not None
        self.wire: bytes = wire if wire is not None else self._query.to_wire()

    def with_id(self, number: int) -> bytes:
        """The same question under another id: DoH asks for 0, so that caches can work."""
        self._query.id = number
        self.wire = number.to_bytes(2, "big") + self.wire[2:]
        return self.wire

    def reply(self, data: bytes) -> Reply | None:
        """None when `data` does not answer this question: another id, another name, no message."""
        plain = reply_of(self.wire, data) if self._is_plain else None
        return plain or self._reply(data)

    def is_other_id(self, data: bytes) -> bool:
        """Whether this is a reply to our question in all but its id."""
        own = self.wire[:2]
        return data[:2] != own and self.reply(own + data[2:]) is not None

    @property
    def _query(self) -> "dns.message.QueryMessage":
        """The library's own form of it, made when it is needed."""
        if self._parsed is None:
            self._parsed = _query(self._name, self._kind, self._number)
        return self._parsed

    def _reply(self, data: bytes) -> Reply | None:
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

    def _read(self, message: "dns.message.Message", truncated: bool) -> Reply:
        import dns.rdatatype

        rcode = int(message.rcode())
        kind = dns.rdatatype.to_text(self._query.question[0].rdtype)
        answers = self._answers(message)
        failure = FAILURES.get(rcode, Failure.DNS_SERVER_MISBEHAVING) if rcode else None
        if failure is None and not any(answer.type == kind for answer in answers):
            failure = Failure.DNS_NO_ANSWER
        return Reply(rcode=rcode, answers=answers, failure=failure, truncated=truncated)

    def _answers(self, message: "dns.message.Message") -> tuple[DnsAnswer, ...]:
        """The chain of CNAMEs from our name, and the records at its end."""
        import dns.rdatatype

        asked = self._query.question[0].rdtype
        found: list[DnsAnswer] = []
        name = self._query.question[0].name
        wanted = (asked, dns.rdatatype.CNAME)
        for _ in range(_MAX_ANSWERS):
            sets = [s for s in message.answer if s.name == name and s.rdtype in wanted]
            sets.sort(key=lambda s: s.rdtype != asked)
            if not sets:
                break
            kind = dns.rdatatype.to_text(sets[0].rdtype)
            for record in sets[0]:
                text = record.to_text()[:_MAX_TEXT]
                data = text.rstrip(".") if kind == "CNAME" else text
                found.append(DnsAnswer(type=kind, data=data or ".", ttl_s=sets[0].ttl))
            if sets[0].rdtype == asked:
                break
            name = sets[0][0].target
        return tuple(found[:_MAX_ANSWERS])


def _query(name: str, query_type: str, number: int) -> "dns.message.QueryMessage":
    """Raises ValueError, naming the fault."""
    import dns.exception
    import dns.message

    try:
        return dns.message.make_query(name, query_type, id=number)
    except (dns.exception.DNSException, UnicodeError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{name!r} {query_type!r} cannot be asked for: {reason}") from error
