"""The printed tree has a word for everything, fits the lines and is safe to print."""

import re
from dataclasses import replace
from typing import Any

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Arrival,
    Certificate,
    Dns,
    DnsAnswer,
    DnsReply,
    Exchange,
    Hop,
    Http,
    Observation,
    Tcp,
    Tls,
    Udp,
)
from heliograph_agent.cli.labels import STEPS, make_printable
from heliograph_agent.cli.observation_tree import ANSI, EndpointAnswer, classify_answer, format_tree


def step(operation: Operation, failure: Failure | None = None, **facts: Any) -> Observation:
    times = {"started_us": 0, "duration_us": 0} | facts
    return Observation(operation=operation, failure=failure, **times)


def lookup(engine: str, name: str, *data: str, resolver: str = "", **more: Any) -> Dns:
    answers = tuple(DnsAnswer(type="A", data=text) for text in data)
    asked: dict[str, Any] = {"engine": engine, "resolver": resolver, "name": name}
    return Dns(**asked, query_type="A", answers=answers, **more)


IN_DNS = lookup("system", "www.example.test", "192.0.2.1")
RESOLVED = step(Operation.RESOLVE, duration_us=12_000, dns=IN_DNS)
PLACE = Tcp(address="2001:db8::1", port=443)
LEAF = Certificate(
    sha256="", spki_sha256="", subject="CN=x", issuer="CN=Evil", not_before_s=0, not_after_s=1
)


def connect(failure: Failure | None = None, endpoint: str = "") -> Observation:
    times = {"started_us": 20_000, "duration_us": 1_500_000}
    return step(Operation.CONNECT, failure, endpoint=endpoint, tcp=PLACE, **times)


def hello(failure: Failure | None = None, alert: int | None = None) -> Observation:
    tls = Tls(server_name="", version="TLSv1.3", alert=alert, chain=(LEAF,))
    return step(Operation.TLS_HANDSHAKE, failure, started_us=30_000, tls=tls)


def page(operation: Operation, failure: Failure | None = None, title: str = "Hi") -> Observation:
    asked: dict[str, Any] = {"method": "GET", "url": "http://x/", "status": 302, "location": "/y"}
    http = Http(**asked, title=title, body_bytes=12_345)
    return step(operation, failure, started_us=40_000, http=http)


def test_each_step_has_its_line() -> None:
    seen = [
        RESOLVED, connect(), hello(), page(Operation.HTTP_ROUND_TRIP), page(Operation.READ_BODY),
    ]  # fmt: skip
    assert [" ".join(line.split()) for line in format_tree(seen)] == [
        "✓ look up A www.example.test by system 192.0.2.1 12 ms",
        "✓ connect [2001:db8::1]:443 connected 1.50 s",
        "✓ TLS without a name TLSv1.3, certificate by CN=Evil 0 ms",
        "✓ request GET http://x/ 302 Found → /y 0 ms",
        "✓ body 12.3 kB, “Hi” 0 ms",
    ]


def test_steps_of_an_endpoint_stand_together_under_its_name() -> None:
    seen = [connect(endpoint="b"), connect(endpoint="a"), connect(endpoint="b")]
    assert [line.strip() for line in format_tree(seen) if not line.startswith("  ")] == ["b", "a"]


@pytest.mark.parametrize("columns", [30, 48, 64, 80, 100, 200])
def test_lines_fit_the_terminal(columns: int) -> None:
    long = "https://www.example.test/" + "x" * 300
    asked = Http(method="GET", url=long, status=999)
    slow = step(Operation.HTTP_ROUND_TRIP, duration_us=9_990_000, http=asked)
    seen = [connect(), page(Operation.READ_BODY, title="t" * 300), slow]
    assert max(len(line) for line in format_tree(seen, columns)) <= columns


def chained(*steps: Observation) -> list[Observation]:
    """Return the steps, each based on the one before."""
    return [replace(step, parent=at - 1 if at else None) for at, step in enumerate(steps)]


def test_a_step_hangs_under_the_one_it_stands_on() -> None:
    seen = [
        *chained(RESOLVED, connect(), hello()),
        replace(connect(Failure.CONNECTION_RESET), parent=0, started_us=25_000),
        replace(RESOLVED, started_us=1),
    ]
    assert [line[:15].rstrip() for line in format_tree(seen)] == [
        "  ✓ look up A w", "  ✓ ├ connect [", "  ✓ │ └ TLS", "  ✗ └ connect [", "  ✓ look up A w",
    ]  # fmt: skip


def test_durations_stand_in_one_column_also_where_endpoints_differ_in_width() -> None:
    resolver = "https://dns.example.test/dns-query"
    dns = lookup("doh", "n" * 60, *["192.0.2.1"] * 9, resolver=resolver)
    whole = format_tree([connect(endpoint="near"), replace(RESOLVED, endpoint="far", dns=dns)], 80)
    lines = [line for line in whole if line.startswith("  ")]
    assert len({len(line) for line in lines}) == 1
    assert "https://" not in "".join(lines)  # the host is enough


def test_steps_without_a_label_stand_before_every_heading() -> None:
    lines = format_tree([connect(endpoint="a"), replace(RESOLVED, started_us=90_000)])
    assert lines[1] == "a"


def test_colours_are_paint_and_nothing_else() -> None:
    seen = [connect(), connect(Failure.CONNECTION_RESET), connect(Failure.INTERRUPTED)]
    seen += [connect(endpoint="label")]
    painted = format_tree(seen, colors=ANSI)
    assert painted[0].startswith("  \033[32m✓\033[0m ")
    assert "\033[31mconnection reset" in painted[1]
    assert [re.sub(r"\033\[\d+m", "", line) for line in painted] == format_tree(seen)


SENT_TLS: dict[str, Any] = {"exchange": Exchange(protocol="client_hello", reply="alert_112")}
LATE = DnsReply(after_us=31_000, rcode=0, answers=(DnsAnswer(type="A", data="192.0.2.9"),))


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (step(Operation.EXCHANGE, udp=Udp(address="192.0.2.3", port=3478),
              exchange=Exchange(protocol="stun", reply="binding_success")),
         "✓ send STUN 192.0.2.3:3478 binding success 0 ms"),
        (step(Operation.EXCHANGE, exchange=Exchange(protocol="mtproto", reply="res_pq")),
         "✓ send MTProto res pq 0 ms"),
        (step(Operation.EXCHANGE, failure=Failure.UNEXPECTED_REPLY,
              exchange=Exchange(protocol="noise")),
         "✗ send Noise answered, but not in this protocol 0 ms"),
        (step(Operation.EXCHANGE, exchange=Exchange(
            protocol="http_echo", reply="echo",
            differences=("header_name_capitalization", "header_value"))),
         ("✗ send HTTP to the echo came back, changed: capitals of header names, header values "
          "0 ms")),
        (step(Operation.EXCHANGE, tls=Tls(server_name="a.test", alert=112), **SENT_TLS),
         "✗ send hello for a.test alert 112 0 ms"),
        (step(Operation.EXCHANGE,
              tls=Tls(server_name="a.test", ech="grease", profile="chrome 2026-11-27.1"),
              exchange=Exchange(protocol="client_hello", reply="server_hello")),
         "✓ send Chrome hello for a.test ServerHello 0 ms"),
        (step(Operation.EXCHANGE, tls=Tls(server_name="a.test", ech="real", outer_name="b.test"),
              exchange=Exchange(protocol="client_hello", reply="server_hello_ech_accepted")),
         "✓ send ECH hello for a.test (b.test) ServerHello, name decrypted 0 ms"),
        (step(Operation.HOP, tcp=Tcp(address="192.0.2.1", port=443),
              hop=Hop(ttl=3, sent="client_hello", reply="rst", network="203.0.113.0/24",
                      reply_ttl=61, reply_ipid=7)),
         "✗ hop 3 ClientHello reset, 203.0.113.0/24, ttl 61, id 7 0 ms"),
        (step(Operation.HOP, hop=Hop(ttl=1, sent="syn", reply="time_exceeded")),
         "✓ hop 1 SYN router 0 ms"),
        (step(Operation.HOP, failure=Failure.GENERIC_TIMEOUT_ERROR, hop=Hop(ttl=2, sent="dns")),
         "- hop 2 query no answer in time 0 ms"),
        (step(Operation.QUIC_HANDSHAKE, udp=Udp(address="2001:db8::1", port=443),
              tls=Tls(server_name="a.test", version="TLSv1.3", alpn="h3")),
         "✓ QUIC [2001:db8::1]:443 for a.test TLSv1.3, h3 0 ms"),
        (step(Operation.HTTP_ROUND_TRIP,
              http=Http(method="GET", url="https://a.test/", status=200, version="3")),
         "✓ request GET https://a.test/ 200 OK, HTTP/3 0 ms"),
        (step(Operation.READ_BODY, http=Http(
            method="GET", url="http://a.test/", body_bytes=30_000, text="Not here",
            arrivals=(Arrival(at_us=0, bytes=0), Arrival(at_us=2_000_000, bytes=30_000)))),
         "✓ body 30 kB, 15 kB/s, “Not here” 0 ms"),
        (step(Operation.READ_BODY, failure=Failure.GENERIC_TIMEOUT_ERROR, http=Http(
            method="GET", url="https://a.test/", body_bytes=16_384)),
         "✗ body no answer in time after 16.4 kB 0 ms"),
        (replace(RESOLVED, dns=lookup(
            "udp", "a.test", "192.0.2.1", resolver="192.0.2.53:53", later=(LATE,))),
         "✓ look up A a.test by udp 192.0.2.53:53 192.0.2.1; after 31 ms also 192.0.2.9 12 ms"),
    ],
)  # fmt: skip
def test_what_each_experiment_saw_is_shown(seen: Observation, line: str) -> None:
    assert " ".join(format_tree([seen], 200)[0].split()) == line


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("failure", Failure)
def test_every_failure_of_every_step_can_be_said(operation: Operation, failure: Failure) -> None:
    assert operation in STEPS
    (line,) = format_tree([step(operation, failure)])
    assert "✓" not in line


def test_an_alert_is_named_by_its_number() -> None:
    (line,) = format_tree([hello(Failure.SSL_FAILED_HANDSHAKE, alert=40)])
    assert "handshake failed (alert 40)" in line


def test_a_hostile_title_cannot_move_the_cursor() -> None:
    (line,) = format_tree([page(Operation.READ_BODY, title="\x1b[2J\r\x9b1A\u202eevil")])
    assert line.isprintable()
    assert make_printable("a\nb", 10) == "a·b"
    assert make_printable("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("steps", "answer"),
    [
        ([RESOLVED], EndpointAnswer.YES),
        ([RESOLVED, connect()], EndpointAnswer.YES),
        ([RESOLVED, connect(Failure.CONNECTION_RESET)], EndpointAnswer.NO),
        ([RESOLVED, connect(Failure.CONNECTION_RESET), connect()], EndpointAnswer.YES),
        ([RESOLVED, connect(Failure.NETWORK_UNREACHABLE)], EndpointAnswer.UNKNOWN),
        ([RESOLVED, connect(Failure.INTERRUPTED)], EndpointAnswer.UNKNOWN),
        ([RESOLVED, connect(), hello(Failure.CONNECTION_RESET)], EndpointAnswer.NO),
        ([connect(Failure.NETWORK_UNREACHABLE), connect(Failure.HOST_UNREACHABLE)],
         EndpointAnswer.NO),
        ([page(Operation.HTTP_ROUND_TRIP), page(Operation.READ_BODY, Failure.HTTP_TRUNCATED_BODY)],
         EndpointAnswer.NO),
        ([], EndpointAnswer.UNKNOWN),
    ],
)  # fmt: skip
def test_the_deepest_step_that_was_tried_tells(
    steps: list[Observation], answer: EndpointAnswer
) -> None:
    assert classify_answer(steps) is answer
