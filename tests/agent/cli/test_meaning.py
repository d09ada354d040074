"""The closing sentence describes results and a likely cause, never a verdict."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Arrival,
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
from heliograph.translation import use_language
from heliograph_agent.cli import LOCALE
from heliograph_agent.cli.explain import SENTENCES, explain_measurement
from heliograph_agent.cli.explain.target import NOTHING
from heliograph_agent.experiments import REGISTRY

HOST, URL = "www.test", "https://www.test/"
TCP, UDP = Tcp(address="192.0.2.1", port=443), Udp(address="192.0.2.1", port=443)
CONTROL = "Only the same test from another network can tell which."
WITH_THE_NAME = "something on the way interferes with the name, or the server has a fault."
NAMES = sorted(experiment.name for experiment in REGISTRY)


def step(operation: Operation, failure: Failure | None = None, **facts: object) -> Observation:
    seen = Observation(operation=operation, started_us=0, duration_us=0, failure=failure)
    return replace(seen, **facts)  # type: ignore[arg-type]


def at(label: str, *steps: Observation) -> list[Observation]:
    return [replace(each, endpoint=label) for each in steps]


def lookup(
    *data: str, failure: Failure | None = None, engine: str = "system", later: str = ""
) -> Observation:
    def answers(*texts: str) -> tuple[DnsAnswer, ...]:
        return tuple(DnsAnswer(type="A", data=text) for text in texts)

    replies = (DnsReply(after_us=9_000, rcode=0, answers=answers(later)),) if later else ()
    facts = Dns(
        engine=engine, resolver="", name=HOST, query_type="A", rcode=None if failure else 0,
        answers=answers(*data), later=replies,
    )  # fmt: skip
    return step(Operation.RESOLVE, failure, dns=facts)


def connect(failure: Failure | None = None) -> Observation:
    return step(Operation.CONNECT, failure, tcp=TCP)


def tls(failure: Failure | None = None, name: str = HOST, alert: int | None = None) -> Observation:
    facts = Tls(server_name=name, version="" if failure else "TLSv1.3", alert=alert)
    return step(Operation.TLS_HANDSHAKE, failure, tls=facts)


def quic(failure: Failure | None = None) -> Observation:
    return step(Operation.QUIC_HANDSHAKE, failure, udp=UDP, tls=Tls(server_name=HOST))


def page(failure: Failure | None = None, url: str = URL, status: int = 200) -> Observation:
    http = Http(method="GET", url=url, status=status, title="Hi", body_bytes=1_200)
    return step(Operation.READ_BODY, failure, http=http)


def request(failure: Failure | None = None) -> Observation:
    return step(Operation.HTTP_ROUND_TRIP, failure, http=Http(method="GET", url=URL, status=200))


def datagram(failure: Failure) -> Observation:
    return step(Operation.EXCHANGE, failure, udp=UDP, exchange=Exchange(protocol="stun"))


def said(
    reply: str = "", failure: Failure | None = None, *differences: str, protocol: str = "stun"
) -> Observation:
    exchange = Exchange(protocol=protocol, reply=reply, differences=differences)
    return step(Operation.EXCHANGE, failure, exchange=exchange)


def transfer(bytes_a_second: int) -> Observation:
    arrivals = (Arrival(at_us=0, bytes=0), Arrival(at_us=1_000_000, bytes=bytes_a_second))
    http = Http(method="GET", url=URL, body_bytes=bytes_a_second, arrivals=arrivals)
    return step(Operation.READ_BODY, http=http)


def trace(*replies: str, sent: str = "client_hello") -> list[Observation]:
    return [
        step(Operation.HOP, None if word else Failure.GENERIC_TIMEOUT_ERROR,
             hop=Hop(ttl=ttl, sent=sent, reply=word))
        for ttl, word in enumerate(replies, start=1)
    ]  # fmt: skip


RESET, TIMEOUT = Failure.CONNECTION_RESET, Failure.GENERIC_TIMEOUT_ERROR
REFUSED = Failure.CONNECTION_REFUSED
ROUTER = "time_exceeded"
SYN = at("syn", *trace(ROUTER, ROUTER, "synack", sent="syn"))
NEUTRAL = at("neutral", *trace(ROUTER, ROUTER, "server_hello"))
BROWSERS = ("firefox", "chrome", "chrome_late")
ANSWERED = [each for label in BROWSERS for each in at(label, said("server_hello"))]
CUT = [each for label in BROWSERS for each in at(label, said("", RESET))]

CASES = [
    # one target, by the step that ended it
    ("tcp", [connect()], "takes connections. This cannot tell who takes them."),
    ("tcp", [connect(Failure.CONNECTION_REFUSED)], "does not listen there, or something on the"),
    ("tcp", [connect(TIMEOUT)], "Either packets are dropped on the way, or the server is down."),
    ("tls", [connect(), tls()], "encrypted connection (TLSv1.3). This cannot tell whether"),
    ("tls", [connect(), tls(RESET)],
     f"(connection reset). Either {WITH_THE_NAME} {CONTROL}"),
    ("tls", [connect(), tls(TIMEOUT, name="")], "there was no answer as encryption began"),
    ("tls", [connect(), tls(Failure.SSL_FAILED_HANDSHAKE, alert=40)],
     "with that name was refused (alert 40). Either"),
    ("tls", [connect(), tls(Failure.SSL_UNKNOWN_AUTHORITY)], "could not prove to be that server"),
    ("web", [lookup("192.0.2.1"), connect(), tls(), request(), page()],
     "A page came from a server that proved its name: 1200 bytes, “Hi”."),
    ("web", [connect(), request(), page(url="http://www.test/")], "anybody on the way may have"),
    ("web", [connect(), request(), page(status=451)], "An error page (status 451) came"),
    ("web", [lookup(failure=Failure.DNS_NXDOMAIN_ERROR)],
     "The resolver says that there is no such name. Either it hides the name"),
    ("web", [connect(), tls(), request(TIMEOUT)], "sent but not answered (no answer in time)"),
    ("web", [connect(), tls(), request(), page(TIMEOUT)], "cut or stalled on the way"),
    ("web", [connect(), request(Failure.HTTP_REQUEST_FAILED)], "not as a web server"),
    ("web", [connect(), request(), page(), *at("redirect-1", connect(), tls(RESET))],
     "Redirects followed first: 1. The connection was cut once the name was sent"),
    # ways of asking for a name
    ("dns", [lookup("192.0.2.1"), lookup("192.0.2.1", engine="udp")],
     "All 2 ways of asking agree on www.test. All of them may give the same"),
    ("dns", [lookup("1.1.1.1"), lookup("9.9.9.9", engine="udp")], "no sign of a forged answer"),
    ("dns", [lookup("10.10.34.35"), lookup("9.9.9.9", engine="udp")],
     "that no public host has (system: 10.10.34.35)"),
    ("dns", [lookup(failure=Failure.DNS_NXDOMAIN_ERROR), lookup("9.9.9.9", engine="doh")],
     "doh gave an address for www.test, others did not (system: no such name)."),
    ("dns", [lookup(failure=TIMEOUT)], "No way of asking gave an address"),
    ("dns", [lookup("1.1.1.1", engine="udp", later="9.9.9.9")], "one of them is forged"),
    ("dns_integrity", [*at("system", lookup("1.1.1.1")), *at("nowhere", lookup("1.2.3.4"))],
     "something on the way injects answers"),
    ("dns_integrity", [*at("system", lookup("1.1.1.1")), *at("nowhere", lookup("1.2.3.4")),
                       *at("nowhere_neutral", lookup("1.2.3.4"))], "answers every query"),
    # many places
    ("telegram", [*at("a", connect()), *at("b", connect(RESET)), *at("c", connect(RESET))],
     "Telegram answered at 1 of 3 places; b and c did not (connect: connection reset). A partial"),
    ("whatsapp", [*at("a", connect()), *at("b", connect())],
     "answered at all 2 places. This cannot tell whether the service as a whole works."),
    ("signal", [*at("a", connect(TIMEOUT)), *at("b", tls(RESET))], "answered at none of 2 places"),
    ("telegram", [*at("a", connect()), *at("b", connect(Failure.INTERRUPTED))],
     "1 could not be asked from here."),
    ("stun", [datagram(TIMEOUT)], "Either packets are dropped on the way, or the server is down."),
    ("stun", [datagram(REFUSED)],
     "No answer came (connection refused). Either"),
    ("stun", [datagram(REFUSED)],
     f"does not listen there, or something on the way refused it. {CONTROL}"),
    ("stun", [*at("a", said("binding_success")), *at("b", said("", TIMEOUT))], "at 1 of 2 places"),
    ("vpn", [*at("openvpn-1", said("", Failure.UNEXPECTED_REPLY))], "not in the protocol asked"),
    ("tor", [*at("bootstrap", said("progress_10", TIMEOUT))], "Tor did not answer at the one"),
    ("tor", [*at("bootstrap", said("progress_100", protocol="tor_bootstrap"))], "the one place"),
    ("outside_in", [*at("a", connect()), *at("b", connect(TIMEOUT))], "at 1 of 2 places"),
    ("messengers", [*at("a", connect()), *at("b", connect())], "at all 2 places"),
    ("connectivity", [*at("foreign-a", connect(Failure.NETWORK_UNREACHABLE))],
     "No anchor could be asked. 1 could not be asked from here."),
    ("connectivity", [*at("resolver-a", lookup("1.1.1.1")), *at("foreign-a", connect(), tls())],
     "This machine is online. 2 of 2 anchors answered."),
    # one against another
    ("sni", [*at("target", connect(), tls(RESET)), *at("neutral", connect(), tls())],
     "interferes with that name, or the server refuses names that it does not know."),
    ("sni", [*at("target", tls()), *at("neutral", tls()), *at("direct", tls(RESET))],
     "objects to the name. The addresses of www.test itself did not answer."),
    ("sni", [*at("target", tls(RESET)), *at("neutral", tls()), *at("direct", tls(RESET)),
             *at("direct_neutral", tls())], "its name fails too, and a neutral name passes."),
    ("sni", [*at("target", tls(RESET)), *at("neutral", tls(RESET))], "nothing about www.test."),
    ("http_host", [*at("target", request(RESET)), *at("neutral", request())], "(the Host header)."),
    ("quic", [*at("target", quic(TIMEOUT)), *at("tcp", tls()), *at("neutral", quic())],
     "does not answer by QUIC, but does over TCP"),
    ("quic", [*at("target", quic(TIMEOUT)), *at("neutral", quic(TIMEOUT))], "dropped for all"),
    ("quic", [*at("target", quic(REFUSED)), *at("neutral", quic(REFUSED))],
     "like QUIC or UDP being refused for all"),
    ("quic", [*at("target", quic(REFUSED)), *at("neutral", quic(TIMEOUT))],
     "being dropped or refused for all"),
    ("vpn", [quic(REFUSED)], "No QUIC connection was made (connection refused). Either the"),
    ("quic", [*at("target", lookup(failure=Failure.DNS_NXDOMAIN_ERROR))], "no such name"),
    ("quic", [*at("target", quic())], "answered by QUIC"),
    ("ech", [*at("real", said("server_hello_ech_accepted")), *at("none", said("server_hello")),
             *at("grease", said("server_hello"))], "decrypted by the server itself"),
    ("ech", [*at("none", said("server_hello")), *at("grease", said("", RESET))],
     "not one that looks like ECH"),
    ("ech", [*at("real", said("server_hello_ech_accepted")), *at("none", said("", RESET))],
     "when its name can be read on the way"),
    ("ech", [*at("none", said("alert_40")), *at("grease", said("alert_40"))],
     "ECH made no difference"),
    ("hello", [*at("own", tls()), *ANSWERED], "this program and browsers alike"),
    ("hello", [*at("own", tls()), *CUT], "first packet and no browser's"),
    ("hello", [*at("own", tls()), *at("firefox", said("", RESET)), *ANSWERED[1:]],
     "and not those of all browsers"),
    ("hello", [*at("own", tls(RESET)), *ANSWERED], "lets only browsers pass"),
    ("hello", [*at("own", tls(RESET)), *CUT[:2], ANSWERED[2]], "the name in the first packet"),
    ("hello", [*at("own", tls(RESET)), *CUT], "first packets made no difference"),
    ("hello", [*at("own", connect(TIMEOUT))], "No result: the test was stopped"),
    ("throttling", [*at("target", transfer(12_000)), *at("neutral", transfer(2_000_000))],
     "at 12 kB/s, the neutral reference at 2 MB/s. Either the connection is throttled"),
    ("throttling", [*at("target", transfer(900)), *at("neutral", transfer(1_000))], "no sign"),
    ("throttling", [*at("target", transfer(900))], "Too little was transferred"),
    # on the way
    ("middlebox", [*at("http", said("echo"))], "nothing on the way changes requests to that port"),
    ("middlebox", [*at("http", said("echo", None, "header_value")),
                   *at("line", said("http_reply", None, "http_reply"))],
     "Requests were changed on the way: header values. A web server on the way answered 1 of 2"),
    ("middlebox", [*at("line", said("http_reply", None, "http_reply"))], "is no echo service"),
    ("middlebox", [*at("http", connect(TIMEOUT))], "took no connection"),
    ("path", [*SYN, *NEUTRAL, *at("target", *trace(ROUTER, "rst"))],
     "the reply at hop 2 was a reset, before the server at hop 3"),
    ("path", [*SYN, *NEUTRAL, *at("target", *trace(ROUTER, "", ""))],
     "nothing was heard beyond hop 1 of 3"),
    ("path", [*SYN, *NEUTRAL, *at("target", *trace(ROUTER, ROUTER, "server_hello"))],
     "goes all the way to hop 3"),
    ("path", at("syn", *trace("rst", sent="syn")), "at hop 1 was a reset. No router was seen."),
    ("path", at("syn", *trace(ROUTER, "", sent="syn")), "The last router seen is hop 1"),
    ("path", [*at("neutral", *trace(ROUTER, "dns", sent="dns")),
              *at("target", *trace("dns", sent="dns"))], "looks like a forged answer"),
]  # fmt: skip


def told(experiment: str, seen: Sequence[Observation]) -> str:
    title = experiment.title() if experiment in ("telegram", "whatsapp", "signal", "tor") else ""
    return explain_measurement(experiment, HOST, seen, title=title)


@pytest.mark.parametrize(("experiment", "seen", "part"), CASES)
def test_what_was_seen_is_told(experiment: str, seen: list[Observation], part: str) -> None:
    assert part in told(experiment, seen)


TERMS = {  # names that no language translates
    "ClientHello", "Host", "Signal", "Telegram", "Tor", "Whatsapp", "doh", "system", "test",
    "udp", "www", "TLSv",
}  # fmt: skip


@pytest.mark.parametrize("language", ["fa", "kk", "ru"])
def test_each_language_says_all_of_it(language: str) -> None:
    use_language(language, LOCALE)
    try:
        words = {
            word
            for experiment, seen, _ in CASES
            for word in re.findall(r"[A-Za-z]{3,}", told(experiment, seen))
        }
    finally:
        use_language("en", LOCALE)
    assert {word for word in words - TERMS if not word.isupper()} == set()


def test_every_experiment_with_a_sentence_of_its_own_has_a_case() -> None:
    assert {name for name, _, _ in CASES} >= SENTENCES.keys()


steps = st.builds(
    lambda make, failure, label: replace(make, failure=failure, endpoint=label),
    st.sampled_from([each for _, seen, _ in CASES for each in seen]),
    st.one_of(st.none(), st.sampled_from(Failure)),
    st.sampled_from(
        ["", "target", "neutral", "none", "real", "grease", "tcp", "syn", "redirect-1"]
    ),
)


@given(experiment=st.sampled_from(NAMES), seen=st.lists(steps, max_size=8))
def test_no_sentence_is_a_verdict_and_none_fails(experiment: str, seen: list[Observation]) -> None:
    """Every result has a sentence without a culprit, with its limits, and none fails."""
    words = told(experiment, seen)
    assert bool(words) == bool(seen)
    assert "blocked" not in words.lower()
    assert "censor" not in words.lower()
    assert words == "" or words.endswith(".")


@given(experiment=st.sampled_from(NAMES), own=st.sampled_from(
    [Failure.INTERRUPTED, Failure.NETWORK_UNREACHABLE, Failure.ADDRESS_FAMILY_NOT_SUPPORTED]
))  # fmt: skip
def test_what_is_this_machines_own_fault_is_never_laid_on_the_target(
    experiment: str, own: Failure
) -> None:
    seen = [*at("target", connect(own)), *at("neutral", connect(own))]
    if experiment != "connectivity":
        assert told(experiment, seen) == NOTHING


@given(experiment=st.sampled_from(NAMES), make=st.sampled_from([connect, quic, datagram]))
def test_refused_packet_is_never_called_dropped(
    experiment: str, make: Callable[[Failure], Observation]
) -> None:
    seen = [*at("target", make(REFUSED)), *at("neutral", make(REFUSED))]
    assert "dropped" not in told(experiment, seen)
    assert "dropped" not in told(experiment, [make(REFUSED)])
