"""Handshakes with a real nginx, and with servers that break off in one way each."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import SystemClock
from heliograph.failure import Failure, Operation
from heliograph.observation import MAX_CERTIFICATE_BYTES, Tls
from heliograph_agent.net import StepResult
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import Step, StepFacts
from heliograph_agent.net.system_net import SystemNet
from heliograph_agent.net.tls.openssl import alert_of_error, find_clear_alert
from heliograph_agent.net.trace import ByteStream, StepTrace
from support.loopback_ca import Leaf, LoopbackCA
from support.net_fixtures import Opening
from support.nginx import nginx
from support.tcp_server import (
    Handler,
    alert,
    close_after_first_bytes,
    reply,
    reset_after_first_bytes,
    say_nothing,
    tcp_server,
)
from support.tls_server import tls_server
from support.values import present

NAME = "www.example.test"


@pytest.fixture(scope="module")
def web(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("web"), {NAME: ca.through_intermediate(NAME)}) as running:
        yield running.https


async def shake(
    net: SystemNet, port: int, name: str = NAME, *, host: str = "127.0.0.1", **options: object
) -> tuple[StepResult, ByteStream | None]:
    _, stream = await net.connect(host, port, endpoint="web")
    return await net.handshake(present(stream), name, **options)  # type: ignore[arg-type]


def tls_of(seen: StepResult) -> Tls:
    assert seen.observation.operation is Operation.TLS_HANDSHAKE
    return present(seen.observation.tls)


async def test_every_handshake_says_what_its_hello_looked_like(opening: Opening, web: int) -> None:
    """Every handshake records the fingerprint of its hello.

    The same plan gives other fingerprints on other machines, which censors can tell apart.
    """
    net, _ = opening()
    for send_sni, name_segment in ((True, 1), (False, 0)):
        seen, stream = await shake(net, web, trust="any", send_sni=send_sni)
        if stream is not None:
            stream.close()
        facts = tls_of(seen)
        assert facts.library == " ".join(ssl.OPENSSL_VERSION.split()[:2])
        assert facts.ja4.startswith("t13d" if name_segment else "t13i")
        assert facts.ja4[8:10] == "h2"
        assert facts.hello_bytes > 200
        assert (facts.hello_segments >= 1, facts.name_segment) == (True, name_segment)
        assert facts.profile == ""


async def test_success_names_version_cipher_and_chain(opening: Opening, web: int) -> None:
    net, trace = opening()
    seen, stream = await shake(net, web)
    present(stream).close()
    facts = tls_of(seen)
    assert seen.is_success
    assert (facts.server_name, facts.version) == (NAME, "TLSv1.3")
    assert trace.certificates == {}, "the bytes of a chain that verified are nobody's business"
    assert (facts.alpn, facts.alert) == ("http/1.1", None)
    assert facts.cipher.startswith("TLS_")
    assert len(facts.chain) == 2  # leaf and intermediate; the root is not sent
    assert facts.chain[0].issuer == facts.chain[1].subject
    assert len(facts.chain[0].sha256) == len(facts.chain[0].spki_sha256) == 64
    assert (seen.observation.parent, seen.observation.endpoint) == (0, "web")
    assert trace.bytes_moved > 1000


async def test_older_version_and_no_alpn(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf(NAME), highest=ssl.TLSVersion.TLSv1_2) as port:
        net, _ = opening()
        seen, stream = await shake(net, port, alpn=())
    present(stream).close()
    assert (tls_of(seen).version, tls_of(seen).alpn) == ("TLSv1.2", "")


async def test_over_ipv6(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf("::1"), host="::1") as port:
        net, _ = opening()
        seen, stream = await shake(net, port, "::1", host="::1")
    present(stream).close()
    assert (seen.is_success, tls_of(seen).server_name) == (True, "")  # an address is never an SNI


@pytest.mark.parametrize(
    ("name", "send_sni", "sent"),
    [(NAME, False, ""), ("other.example.test", True, "other.example.test")],
)
async def test_server_refuses_unknown_or_absent_name(
    opening: Opening, web: int, name: str, send_sni: bool, sent: str
) -> None:
    result, stream = await shake(opening()[0], web, name, send_sni=send_sni)
    assert stream is None
    assert result.observation.failure is Failure.SSL_FAILED_HANDSHAKE
    assert (tls_of(result).server_name, tls_of(result).alert) == (sent, 112)


async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet as a mail server does: no ServerHello."""
    writer.write(b"220 mail.example.test ESMTP\r\n")
    await reader.read(4096)


FAILED = Failure.SSL_FAILED_HANDSHAKE


def server_hello(version: bytes) -> bytes:
    """A ServerHello for static RSA (002f) without extensions, so without RFC 5746 too."""
    body = version + bytes(32) + b"\x00" + b"\x00\x2f" + b"\x00"
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16" + version + len(message).to_bytes(2, "big") + message


OLD_SERVER_HELLO = server_hello(b"\x03\x01")  # TLS 1.0, which no browser has offered since 2020
UNSAFE_SERVER_HELLO = server_hello(b"\x03\x03")


@pytest.mark.parametrize(
    ("handler", "failure", "number"),
    [
        (reset_after_first_bytes, Failure.CONNECTION_RESET, None),
        (close_after_first_bytes, Failure.EOF_ERROR, None),
        (say_nothing, Failure.GENERIC_TIMEOUT_ERROR, None),
        (reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"), FAILED, None),
        (reply(b"\x16\x03\x03\x00\x40half a record"), Failure.EOF_ERROR, None),
        (speak_first, FAILED, None),
        *((alert(number), FAILED, number) for number in (10, 40, 42, 48, 49, 80, 112)),
        *((alert(number), Failure.SSL_UNSUPPORTED, number) for number in (70, 71, 120)),
        (reply(OLD_SERVER_HELLO), Failure.SSL_UNSUPPORTED, None),
        (reply(UNSAFE_SERVER_HELLO), Failure.EOF_ERROR, None),
    ],
)
async def test_broken_off(
    opening: Opening, handler: Handler, failure: Failure, number: int | None
) -> None:
    with tcp_server(handler) as port:
        net, trace = opening(tls_s=0.4)
        seen, stream = await shake(net, port)
    assert stream is None
    assert seen.observation.failure is failure
    facts = tls_of(seen)
    assert (facts.server_name, facts.chain, facts.alert) == (NAME, (), number)
    assert len(trace.observations) == 2


OLD_SERVERS = {
    "static RSA, GCM": "AES128-GCM-SHA256",
    "static RSA, CBC": "AES128-SHA",
    "ECDHE with CBC and SHA-1": "ECDHE-RSA-AES128-SHA",
}


@pytest.mark.parametrize("case", OLD_SERVERS)
async def test_old_servers_open_as_in_browsers(opening: Opening, ca: LoopbackCA, case: str) -> None:
    ciphers = OLD_SERVERS[case]
    highest = ssl.TLSVersion.TLSv1_2
    with tls_server(ca.rsa(NAME), highest=highest, ciphers=ciphers) as port:
        net, _ = opening()
        seen, stream = await shake(net, port)
        if stream is not None:
            stream.close()
    assert (seen.observation.failure, tls_of(seen).cipher) == (None, ciphers)


WRONG: Mapping[str, tuple[Callable[[LoopbackCA, LoopbackCA], Leaf], Failure]] = {
    "unknown authority": (lambda _, other: other.leaf(NAME), Failure.SSL_UNKNOWN_AUTHORITY),
    "unknown, expired": (lambda _, other: other.expired(NAME), Failure.SSL_UNKNOWN_AUTHORITY),
    "expired": (lambda ca, _: ca.expired(NAME), Failure.SSL_INVALID_CERTIFICATE),
    "not yet valid": (lambda ca, _: ca.not_yet(NAME), Failure.SSL_INVALID_CERTIFICATE),
    "expired, other": (lambda ca, _: ca.expired("x.test"), Failure.SSL_INVALID_CERTIFICATE),
    "other name": (lambda ca, _: ca.leaf("x.test"), Failure.SSL_INVALID_HOSTNAME),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_certificate_is_kept(
    opening: Opening, ca: LoopbackCA, tmp_path: Path, case: str
) -> None:
    make_leaf, failure = WRONG[case]
    with tls_server(make_leaf(ca, LoopbackCA(tmp_path / "other"))) as port:
        net, trace = opening()
        seen, stream = await shake(net, port)
    assert stream is None
    assert seen.observation.failure is failure
    facts = tls_of(seen)
    assert len(facts.chain) == 1
    assert facts.version == "TLSv1.3"
    assert facts.chain[0].not_after_s > 0
    (der,) = trace.certificates  # its bytes, for the collector to check again
    assert hashlib.sha256(der).hexdigest() == facts.chain[0].sha256


@dataclass
class ShownChain:
    """A handshake that was shown a chain."""

    chain: list[bytes]

    def step_facts(self) -> StepFacts:
        return {"tls": Tls(server_name=NAME)}


@pytest.mark.parametrize(
    ("chain", "failure", "is_kept"),
    [
        ([b"leaf", b"issuer"], Failure.SSL_UNKNOWN_AUTHORITY, True),
        ([b"leaf", b"issuer"], Failure.SSL_FAILED_HANDSHAKE, False),
        ([b"leaf", b"of 198.51.100.23"], Failure.SSL_UNKNOWN_AUTHORITY, False),
        ([b"leaf", b"\x30" + bytes((198, 51, 100, 23))], Failure.SSL_INVALID_HOSTNAME, False),
        ([bytes(MAX_CERTIFICATE_BYTES), b"issuer"], Failure.SSL_UNKNOWN_AUTHORITY, False),
    ],
)
def test_a_chain_is_kept_unless_it_names_the_machine_or_is_too_long(
    chain: list[bytes], failure: Failure, is_kept: bool
) -> None:
    async def run() -> StepTrace:
        trace = StepTrace(SystemClock())
        source = ShownChain(chain)
        scrubber = Scrubber(["198.51.100.23"])
        with Step(trace, scrubber, Operation.TLS_HANDSHAKE, 9.0, None, "", source=source):
            raise StepError(failure)
        return trace

    assert list(asyncio.run(run()).certificates) == (chain if is_kept else [])


@pytest.mark.parametrize(
    ("settings", "failure"),
    [({"ca_file": ""}, Failure.SSL_UNKNOWN_AUTHORITY), ({}, None)],
    ids=["in place of the public roots", "and the CA file of the configuration"],
)
async def test_shipped_set_of_roots(
    opening: Opening, web: int, settings: dict[str, str], failure: Failure | None
) -> None:
    result, stream = await shake(opening(**settings)[0], web, trust="signal")
    assert result.observation.failure is failure
    if stream is not None:
        stream.close()


RECORD = b"\x16\x03\x03\x00\x04abcd"
CLEAR_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


@pytest.mark.parametrize(
    ("received", "number"),
    [
        (CLEAR_ALERT, 40), (RECORD + CLEAR_ALERT, 40), (CLEAR_ALERT[:-1], None), (RECORD, None),
        (b"", None), (b"\x15\x03\x03\x00\x1a" + bytes(26), None),
    ],
)  # fmt: skip
def test_clear_alert_is_found_and_an_encrypted_one_is_not(
    received: bytes, number: int | None
) -> None:
    assert find_clear_alert(received) == number


@given(st.binary(max_size=400))
def test_any_bytes_hold_an_alert_or_none(data: bytes) -> None:
    number = find_clear_alert(data)
    assert number is None or 0 <= number <= 255


def test_alert_of_openssls_reason() -> None:
    error = ssl.SSLError(1, "whatever the message says")
    error.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    assert alert_of_error(error) == 80
    error.reason = "WRONG_VERSION_NUMBER"
    assert alert_of_error(error) is None
    assert alert_of_error(OSError()) is None
