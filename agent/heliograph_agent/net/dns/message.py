"""Encode DNS queries and parse replies, with dnspython for the uncommon ones.

Only dns.message is imported, and late: dnspython's resolvers cost an idle agent 20 MB.
"""

import re
import socket
import struct
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from heliograph.failure import Failure
from heliograph.observation import DnsAnswer

if TYPE_CHECKING:
    import dns.message

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
_QUERY = 0x0100
_RESPONSE = 0x8000
_TRUNCATED = 0x0200
_RCODE = 0x000F
_KIND = 0xF800
_IN = 1
_CNAME = 5
_FAMILIES = {1: (4, "A", socket.AF_INET), 28: (16, "AAAA", socket.AF_INET6)}
_TO_NAME = b"\xc0\x0c"  # a compression pointer to the question's name
_QUESTION = 12  # offset of the question
_MAX_RECORDS = 64
_MAX_LABELS = 128
_MAX_NAME = 255
_POINTER = 0xC0
_OFFSET = 0x3FFF
_MAX_TTL = 0x7FFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsResponse:
    """Hold the answer of one server."""

    rcode: int
    answers: tuple[DnsAnswer, ...] = ()
    failure: Failure | None = None
    truncated: bool = False


def encode_query(name: str, query_type: str, number: int) -> bytes | None:
    """Encode a query of class IN with recursion desired; `number` is its id.

    None when the name or the type is not plain; then the library encodes it.
    """
    kind = TYPES.get(query_type)
    if kind is None or not _PLAIN_NAME.fullmatch(name):
        return None
    encoded = name.rstrip(".").encode("ascii").split(b".")
    labels = b"".join(bytes((len(label),)) + label for label in encoded)
    return _HEADER.pack(number, _QUERY, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, _IN)


def parse_plain_reply(query: bytes, data: bytes) -> DnsResponse | None:
    """Parse a reply that repeats the question and holds only its answer.

    The answer is aliases first, then addresses of the queried type. None for anything else.
    """
    end = len(query)
    if len(data) < end or data[:2] != query[:2] or data[_QUESTION:end] != query[_QUESTION:]:
        return None
    _, flags, questions, records, authority, additional = _HEADER.unpack_from(data)
    if flags & _KIND != _RESPONSE & _KIND or (questions, authority, additional) != (1, 0, 0):
        return None
    answers = _parse_plain_answers(query, data, records) if records else ()
    if answers is None or (not records and len(data) != end):
        return None
    is_answered = bool(answers) and answers[-1].type != "CNAME"
    return _make_response(flags & _RCODE, answers, is_answered, bool(flags & _TRUNCATED))


def _make_response(
    rcode: int, answers: tuple[DnsAnswer, ...], is_answered: bool, truncated: bool
) -> DnsResponse:
    failure = None if is_answered else Failure.DNS_NO_ANSWER
    if rcode:
        failure = FAILURES.get(rcode, Failure.DNS_SERVER_MISBEHAVING)
    return DnsResponse(rcode=rcode, answers=answers, failure=failure, truncated=truncated)


def _parse_plain_answers(query: bytes, data: bytes, records: int) -> tuple[DnsAnswer, ...] | None:
    """Parse the records; None when they are not plain or do not fill `data`."""
    query_type = int.from_bytes(query[-4:-2], "big")
    if query_type not in _FAMILIES or records > _MAX_RECORDS:
        return None
    chain = _RecordChain(data, len(query), query[_QUESTION:-4].lower())
    if not all(chain.read_record(query_type) for _ in range(records)):
        return None
    return tuple(chain.answers) if chain.offset == len(data) else None


class _RecordChain:
    """Parse records in order; each must belong to the name that the last one led to."""

    def __init__(self, data: bytes, offset: int, name: bytes) -> None:
        self.data = data
        self.offset = offset
        self.answers: list[DnsAnswer] = []
        self._names = [name]  # in wire form and lower case; the last one is the current name

    def read_record(self, query_type: int) -> bool:
        """Parse one record; False when it is not plain."""
        if not self._read_owner():
            return False
        begin = self.offset + _RECORD.size
        if begin > len(self.data):
            return False
        kind, group, ttl, size = _RECORD.unpack_from(self.data, self.offset)
        self.offset = begin + size
        if group != _IN or ttl > _MAX_TTL or self.offset > len(self.data):
            return False
        if kind == query_type:
            return self._read_address(self.data[begin : self.offset], kind, ttl)
        return kind == _CNAME and self._read_alias(begin, ttl)

    def _read_owner(self) -> bool:
        if len(self._names) == 1 and self.data.startswith(_TO_NAME, self.offset):
            self.offset += len(_TO_NAME)
            return True
        read = _parse_name(self.data, self.offset)
        if read is None or read[0].lower() != self._names[-1]:
            return False
        self.offset = read[1]
        return True

    def _read_address(self, packed: bytes, kind: int, ttl: int) -> bool:
        size, record_type, family = _FAMILIES[kind]
        if len(packed) != size:
            return False
        answer = DnsAnswer(type=record_type, data=socket.inet_ntop(family, packed), ttl_s=ttl)
        # The library merges a record set: each record once, all with the lowest TTL.
        for other in self.answers[-1:]:
            if other.type == record_type and (other.ttl_s != ttl or answer in self.answers):
                return False
        self.answers.append(answer)
        return True

    def _read_alias(self, begin: int, ttl: int) -> bool:
        read = _parse_name(self.data, begin)
        is_after_address = bool(self.answers) and self.answers[-1].type != "CNAME"
        if read is None or read[1] != self.offset or is_after_address:
            return False
        target = read[0].lower()
        if target in self._names:  # a loop
            return False
        self._names.append(target)
        self.answers.append(DnsAnswer(type="CNAME", data=_format_name(read[0]), ttl_s=ttl))
        return True


def _parse_name(data: bytes, offset: int) -> tuple[bytes, int] | None:
    """Parse a name to uncompressed wire form and its end; None when it is not plain."""
    labels: list[bytes] = []
    end = 0  # after the first pointer
    bound = offset  # a pointer must point backwards, so that there is no loop
    while len(labels) < _MAX_LABELS and offset < len(data):
        size = data[offset]
        if size >= _POINTER:
            target = int.from_bytes(data[offset : offset + 2], "big") & _OFFSET
            if target >= bound or offset + 2 > len(data):
                return None
            end = end or offset + 2
            offset = target
            bound = target
            continue
        if not size:
            wire = b"".join(labels) + b"\0"
            return (wire, end or offset + 1) if labels and len(wire) < _MAX_NAME else None
        label = data[offset + 1 : offset + 1 + size]
        if len(label) != size or not _PLAIN_LABEL.fullmatch(label):
            return None
        labels.append(data[offset : offset + 1 + size])
        offset += 1 + size
    return None


def _format_name(wire: bytes) -> str:
    parts = []
    offset = 0
    while wire[offset]:
        parts.append(wire[offset + 1 : offset + 1 + wire[offset]])
        offset += 1 + wire[offset]
    return b".".join(parts).decode("ascii")


_MAX_ANSWERS = 64
_MAX_TEXT = 1_024


class DnsQuestion:
    """Encode one query and recognize its replies."""

    def __init__(self, name: str, query_type: str, rng: Random) -> None:
        """Encode the query. Raises ValueError, naming the fault, when it is impossible."""
        import dns.message

        number = rng.getrandbits(16)
        self._name = name
        self._kind = query_type
        self._number = number
        self._parsed: dns.message.QueryMessage | None = None
        self._is_plain = (wire := encode_query(name, query_type, number)) is not None
        self.wire: bytes = wire if wire is not None else self._library_query.to_wire()

    def with_id(self, number: int) -> bytes:
        """Return the query under another id; DoH uses 0 for caches (RFC 8484 section 4.1)."""
        self._library_query.id = number
        self.wire = number.to_bytes(2, "big") + self.wire[2:]
        return self.wire

    def parse_reply(self, data: bytes) -> DnsResponse | None:
        """Parse a reply; None when `data` does not answer this question.

        It then has another id or another name, or it is no DNS message.
        """
        plain = parse_plain_reply(self.wire, data) if self._is_plain else None
        return plain or self._parse_with_library(data)

    def is_other_id(self, data: bytes) -> bool:
        """Tell whether `data` replies to this question except for its id."""
        query_id = self.wire[:2]
        return data[:2] != query_id and self.parse_reply(query_id + data[2:]) is not None

    @property
    def _library_query(self) -> "dns.message.QueryMessage":
        """Return the library's form of the query, created on first use."""
        if self._parsed is None:
            self._parsed = _make_library_query(self._name, self._kind, self._number)
        return self._parsed

    def _parse_with_library(self, data: bytes) -> DnsResponse | None:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rdatatype

        try:
            message = dns.message.from_wire(data)
            if not self._library_query.is_response(message):
                return None
            kind = dns.rdatatype.to_text(self._library_query.question[0].rdtype)
            answers = self._collect_answers(message)
            is_answered = any(answer.type == kind for answer in answers)
            truncated = bool(message.flags & dns.flags.TC)
            return _make_response(int(message.rcode()), answers, is_answered, truncated)
        except (dns.exception.DNSException, ValueError):
            return None

    def _collect_answers(self, message: "dns.message.Message") -> tuple[DnsAnswer, ...]:
        """Collect the chain of CNAMEs from our name, and the records at its end."""
        import dns.rdatatype

        query_type = self._library_query.question[0].rdtype
        answers: list[DnsAnswer] = []
        name = self._library_query.question[0].name
        for _ in range(_MAX_ANSWERS):
            sets = {s.rdtype: s for s in reversed(message.answer) if s.name == name}
            records = sets.get(query_type) or sets.get(dns.rdatatype.CNAME)
            if not records:
                break
            kind = dns.rdatatype.to_text(records.rdtype)
            for record in records:
                record_text = record.to_text()[:_MAX_TEXT]
                data = record_text.rstrip(".") if kind == "CNAME" else record_text
                answers.append(DnsAnswer(type=kind, data=data or ".", ttl_s=records.ttl))
            if records.rdtype == query_type:
                break
            name = records[0].target
        return tuple(answers[:_MAX_ANSWERS])


def _make_library_query(name: str, query_type: str, number: int) -> "dns.message.QueryMessage":
    """Create the library's query. Raises ValueError, naming the fault."""
    import dns.exception
    import dns.message

    try:
        return dns.message.make_query(name, query_type, id=number)
    except (dns.exception.DNSException, UnicodeError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{name!r} {query_type!r} cannot be asked for: {reason}") from error
