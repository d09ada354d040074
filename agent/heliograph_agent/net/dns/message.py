"""DNS messages: a question to bytes, bytes to what they answer; by dnspython where `dns_plain`
does not know.

dns.message alone is imported, and late: dnspython's resolvers cost an idle agent 20 MB.
"""

from random import Random
from typing import TYPE_CHECKING

from heliograph.failure import Failure
from heliograph.observation import DnsAnswer

if TYPE_CHECKING:
    import dns.message
import re
import socket
import struct
from dataclasses import dataclass

__all__ = ["Question", "Reply"]

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28, "HTTPS": 65}
FAILURES = {
    2: Failure.DNS_SERVFAIL_ERROR,
    3: Failure.DNS_NXDOMAIN_ERROR,
    5: Failure.DNS_REFUSED_ERROR,
}
_PLAIN_NAME = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_PLAIN_LABEL = re.compile(rb"[A-Za-z0-9_-]{1,63}")
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_QUERY, _RESPONSE, _TRUNCATED, _RCODE, _KIND = 0x0100, 0x8000, 0x0200, 0x000F, 0xF800
_IN, _CNAME = 1, 5
_FAMILIES = {1: (4, "A", socket.AF_INET), 28: (16, "AAAA", socket.AF_INET6)}
_TO_NAME = b"\xc0\x0c"  # a pointer to the question's name
_QUESTION = 12  # where it stands
_MAX_RECORDS = 64
_MAX_LABELS = 128
_MAX_NAME = 255
_POINTER, _OFFSET = 0xC0, 0x3FFF
_MAX_TTL = 0x7FFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one server answered."""

    rcode: int
    answers: tuple[DnsAnswer, ...] = ()
    failure: Failure | None = None
    truncated: bool = False


def query_of(name: str, query_type: str, number: int) -> bytes | None:
    """A question of class IN, recursion desired; `number` is its id."""
    kind = TYPES.get(query_type)
    if kind is None or not _PLAIN_NAME.fullmatch(name):
        return None
    labels = b"".join(
        bytes((len(label),)) + label for label in name.rstrip(".").encode("ascii").split(b".")
    )
    return _HEADER.pack(number, _QUERY, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, _IN)


def reply_of(query: bytes, data: bytes) -> Reply | None:
    """A reply that repeats the question and has nothing but the answer to it: aliases first, then
    addresses of the type asked for."""
    end = len(query)
    if len(data) < end or data[:2] != query[:2] or data[_QUESTION:end] != query[_QUESTION:]:
        return None
    _, flags, questions, records, authority, additional = _HEADER.unpack_from(data)
    if flags & _KIND != _RESPONSE & _KIND or (questions, authority, additional) != (1, 0, 0):
        return None
    answers = _answers(query, data, records) if records else ()
    if answers is None or (not records and len(data) != end):
        return None
    rcode = flags & _RCODE
    failure = FAILURES.get(rcode, Failure.DNS_SERVER_MISBEHAVING) if rcode else None
    if failure is None and not (answers and answers[-1].type != "CNAME"):
        failure = Failure.DNS_NO_ANSWER
    return Reply(rcode=rcode, answers=answers, failure=failure, truncated=bool(flags & _TRUNCATED))


def _answers(query: bytes, data: bytes, records: int) -> tuple[DnsAnswer, ...] | None:
    """None when they are not as plain as that, or do not fill the rest of `data`."""
    asked = int.from_bytes(query[-4:-2], "big")
    if asked not in _FAMILIES or records > _MAX_RECORDS:
        return None
    chain = _Chain(data, len(query), query[_QUESTION:-4].lower())
    if not all(chain.follow(asked) for _ in range(records)):
        return None
    return tuple(chain.found) if chain.at == len(data) else None


class _Chain:
    """The records in their order: each must belong to the name that the one before led to."""

    def __init__(self, data: bytes, at: int, name: bytes) -> None:
        self.data = data
        self.at = at
        self.found: list[DnsAnswer] = []
        self._names = [name]  # in wire form and lower case; the last one is sought

    def follow(self, asked: int) -> bool:
        """Take one record; False when it is not plain."""
        if not self._take_name():
            return False
        begin = self.at + _RECORD.size
        if begin > len(self.data):
            return False
        kind, group, ttl, size = _RECORD.unpack_from(self.data, self.at)
        self.at = begin + size
        if group != _IN or ttl > _MAX_TTL or self.at > len(self.data):
            return False
        if kind == asked:
            return self._address(self.data[begin : self.at], kind, ttl)
        return kind == _CNAME and self._alias(begin, ttl)

    def _take_name(self) -> bool:
        if len(self._names) == 1 and self.data.startswith(_TO_NAME, self.at):
            self.at += len(_TO_NAME)
            return True
        read = _name(self.data, self.at)
        if read is None or read[0].lower() != self._names[-1]:
            return False
        self.at = read[1]
        return True

    def _address(self, packed: bytes, kind: int, ttl: int) -> bool:
        size, word, family = _FAMILIES[kind]
        if len(packed) != size:
            return False
        answer = DnsAnswer(type=word, data=socket.inet_ntop(family, packed), ttl_s=ttl)
        last = self.found[-1] if self.found else None
        # A library takes a set together: each record once, all with the least of their times.
        if last is not None and last.type == word and (last.ttl_s != ttl or answer in self.found):
            return False
        self.found.append(answer)
        return True

    def _alias(self, begin: int, ttl: int) -> bool:
        read = _name(self.data, begin)
        if read is None or read[1] != self.at or (self.found and self.found[-1].type != "CNAME"):
            return False
        target = read[0].lower()
        if target in self._names:  # a loop
            return False
        self._names.append(target)
        self.found.append(DnsAnswer(type="CNAME", data=_text(read[0]), ttl_s=ttl))
        return True


def _name(data: bytes, at: int) -> tuple[bytes, int] | None:
    """A name in wire form without compression, and where it ends; None when it is not plain."""
    labels: list[bytes] = []
    end = 0  # behind the first pointer
    bound = at  # a pointer leads to before itself
    while len(labels) < _MAX_LABELS and at < len(data):
        size = data[at]
        if size >= _POINTER:
            target = int.from_bytes(data[at : at + 2], "big") & _OFFSET
            if target >= bound or at + 2 > len(data):
                return None
            end, at, bound = end or at + 2, target, target
            continue
        if not size:
            wire = b"".join(labels) + b"\0"
            return (wire, end or at + 1) if labels and len(wire) < _MAX_NAME else None
        label = data[at + 1 : at + 1 + size]
        if len(label) != size or not _PLAIN_LABEL.fullmatch(label):
            return None
        labels.append(data[at : at + 1 + size])
        at += 1 + size
    return None


def _text(wire: bytes) -> str:
    parts, at = [], 0
    while wire[at]:
        parts.append(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    return b".".join(parts).decode("ascii")


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
