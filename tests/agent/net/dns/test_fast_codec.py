"""The fast parser reads as the library does, or not at all."""

import random

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure
from heliograph_agent.net.dns.message import (
    TYPES,
    DnsQuestion,
    DnsResponse,
    encode_query,
    parse_plain_reply,
)
from support.dns_server import answer
from support.values import present

NAME = "www.example.test"


def question(name: str = NAME, query_type: str = "A") -> DnsQuestion:
    return DnsQuestion(name, query_type, random.Random(3))


def library(asked: DnsQuestion, data: bytes) -> DnsResponse | None:
    return asked._parse_with_library(data)


@pytest.mark.parametrize("query_type", TYPES)
@pytest.mark.parametrize("name", [NAME, "EXAMPLE.test.", "a", "_x-1.a.b.c", f"{'a' * 63}.test"])
def test_question_is_the_librarys(name: str, query_type: str) -> None:
    wire = dns.message.make_query(name, query_type, id=4711).to_wire()
    assert encode_query(name, query_type, 4711) == wire


@pytest.mark.parametrize(
    ("name", "query_type"),
    [(NAME, "SRV"), ("bücher.test", "A"), ("a..b", "A"), ("", "A"), (".", "A"), ("a b", "A"),
     ("a" * 64, "A"), (".".join(["a" * 63] * 4), "A"), ("a\\.b", "A"), ("*.test", "A")],
)  # fmt: skip
def test_what_is_not_plain_is_the_librarys(name: str, query_type: str) -> None:
    assert encode_query(name, query_type, 1) is None


@pytest.mark.parametrize(
    ("query_type", "records"),
    [
        ("A", [f"{NAME}. 60 IN A 192.0.2.1"]),
        ("AAAA", [f"{NAME}. 60 IN AAAA 2001:db8::1"]),
        ("A", [f"{NAME}. 60 IN CNAME web.Example.test.", "web.example.test. 5 IN A 192.0.2.1"]),
        ("A", [f"{NAME}. 60 IN CNAME elsewhere.test."]),
        ("A", []),
    ],
)
def test_plain_replies(query_type: str, records: list[str]) -> None:
    asked = question(query_type=query_type)
    data = answer(asked.wire, *records)
    plain = present(parse_plain_reply(asked.wire, data))
    assert plain == library(asked, data)
    found = bool(plain.answers) and plain.answers[-1].type == query_type
    assert plain.failure is (None if found else Failure.DNS_NO_ANSWER)


@pytest.mark.parametrize("rcode", range(1, 11))
def test_rcodes(rcode: int) -> None:
    asked = question()
    data = answer(asked.wire, rcode=dns.rcode.Rcode(rcode))
    assert parse_plain_reply(asked.wire, data) == library(asked, data)


def test_two_addresses_cut_short() -> None:
    asked = question()
    reply = dns.message.make_response(dns.message.from_wire(asked.wire))
    reply.flags |= dns.flags.TC
    reply.answer.append(dns.rrset.from_text(f"{NAME}.", 60, "IN", "A", "192.0.2.1", "192.0.2.2"))
    data = reply.to_wire()  # once: the library shuffles a set whenever it writes one
    plain = parse_plain_reply(asked.wire, data)
    assert plain == library(asked, data)
    assert plain is not None
    assert plain.truncated
    assert {each.data for each in plain.answers} == {"192.0.2.1", "192.0.2.2"}


NAMES = st.sampled_from([NAME, "web.test", "b.web.test", "WWW.example.TEST", "odd\\032name.test"])
RECORDS = st.tuples(
    NAMES,
    st.sampled_from([0, 60, 61]),
    st.one_of(
        NAMES.map(lambda target: ("CNAME", f"{target}.")),
        st.ip_addresses(v=4).map(lambda address: ("A", str(address))),
        st.ip_addresses(v=6).map(lambda address: ("AAAA", str(address))),
        st.sampled_from([("A", "192.0.2.1"), ("TXT", '"x"'), ("MX", "1 web.test.")]),
    ),
).map(lambda r: f"{r[0]}. {r[1]} IN {r[2][0]} {r[2][1]}")


@given(st.lists(RECORDS, max_size=5), st.sampled_from(list(TYPES)), st.sampled_from([0, 2, 3, 5]))
def test_as_the_library_or_not_at_all(records: list[str], query_type: str, rcode: int) -> None:
    asked = question(query_type=query_type)
    data = answer(asked.wire, *records, rcode=dns.rcode.Rcode(rcode))
    plain = parse_plain_reply(asked.wire, data)
    assert plain is None or plain == library(asked, data)


@given(
    st.lists(RECORDS, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 12),
)
def test_bytes_gone_wrong(records: list[str], changes: list[tuple[int, int]], cut: int) -> None:
    asked = question()
    data = bytearray(answer(asked.wire, *records))
    for at, value in changes:
        data[at % len(data)] = value
    spoilt = bytes(data[: len(data) - cut])
    plain = parse_plain_reply(asked.wire, spoilt)
    assert plain is None or plain == library(asked, spoilt)


@given(st.binary(max_size=200))
def test_any_bytes_behind_our_question(tail: bytes) -> None:
    asked = question()
    data = asked.wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked.wire[12:] + tail
    plain = parse_plain_reply(asked.wire, data)
    assert plain is None or plain == library(asked, data)
