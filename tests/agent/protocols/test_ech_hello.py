"""Real servers take a hand-made ClientHello and open a sealed one."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest
from cryptography.hazmat.bindings._rust import openssl as rust
from cryptography.hazmat.primitives import hashes, hmac, hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from heliograph.hello_profiles import load_shipped_profiles
from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.net.tls.fingerprint import describe_hello
from heliograph_agent.protocols.browser_hello import BrowserHello
from heliograph_agent.protocols.ech_config import EchConfig, parse_config_list
from heliograph_agent.protocols.ech_hello import (
    RANDOM_BYTES,
    SealedHello,
    omit_ech,
    padding_size,
)
from support.ech_server import EchServer, ech_server, in_base64, published
from support.hello_exchange import ask_by_tcp
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.values import present

CHROME = load_shipped_profiles().get("chrome")
_ECH = 0xFE0D
_OUTER = 0xFD00
_HASHES = {0x1301: hashes.SHA256(), 0x1302: hashes.SHA384(), 0x1303: hashes.SHA256()}


@dataclass(frozen=True, slots=True)
class Opened:
    encoded: bytes  # padding and all
    inner: bytes  # the handshake message, put together again
    server_name: str
    outer_name: str


def opened(record: bytes, key: X25519PrivateKey, config: bytes) -> Opened:
    """Open a sealed hello; raise InvalidTag unless key and outer hello match."""
    body = record[9:]
    session, extensions, at = _parts(body)
    sealed = extensions[_ECH]
    assert sealed[:6] == b"\x00\x00\x01\x00\x01\x07", "outer, HKDF-SHA256, AES-128-GCM, key 7"
    size = int.from_bytes(sealed[6:8], "big")
    enc, payload = sealed[8 : 8 + size], sealed[10 + size :]
    start = body.index(sealed, at) + 10 + size
    without = body[:start] + bytes(len(payload)) + body[start + len(payload) :]
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
    encoded: bytes = rust.hpke._decrypt_with_aad(
        suite, enc + payload, key, b"tls ech\x00" + config, without
    )
    empty, inner_extensions, _ = _parts(encoded)
    assert empty == b""
    assert inner_extensions[_ECH] == b"\x01"
    assert b"\x03\x03" not in inner_extensions[43], "an inner hello offers TLS 1.3 alone"
    assert not any(encoded[_end(encoded) :]), "the padding is zeros"
    hello = put_together(encoded, session, extensions)
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    return Opened(encoded, message, _name(inner_extensions), _name(extensions))


def put_together(encoded: bytes, session: bytes, outer: dict[int, bytes]) -> bytes:
    """Return the inner hello, completed from the outer one (RFC 9849 section 5.1)."""
    _, inner, begin = _parts(encoded)
    whole = b""
    for kind, content in inner.items():
        named = [int.from_bytes(content[n : n + 2], "big") for n in range(1, len(content), 2)]
        numbers = named if kind == _OUTER else [kind]
        places = [list(outer).index(number) for number in numbers if number in outer]
        assert kind != _OUTER or (places == sorted(places) and len(places) == len(numbers))
        for number in numbers:
            taken = outer[number] if kind == _OUTER else content
            whole += number.to_bytes(2, "big") + len(taken).to_bytes(2, "big") + taken
    head = encoded[:34] + bytes((len(session),)) + session + encoded[35 : begin - 2]
    return head + len(whole).to_bytes(2, "big") + whole


def server_hello(hello: Opened, *, suite: int) -> bytes:
    """Return a record with a ServerHello that confirms ECH."""
    algorithm = _HASHES[suite]
    random = bytes(range(24)) + bytes(8)
    tail = b"\x00" + suite.to_bytes(2, "big") + b"\x00\x00\x06\x00\x2b\x00\x02\x03\x04"
    without = _message(random, tail)
    transcript = hashlib.new(algorithm.name, hello.inner + without).digest()
    extract = hmac.HMAC(bytes(algorithm.digest_size), algorithm)
    extract.update(hello.inner[6:38])
    label = b"tls13 ech accept confirmation"
    info = b"\x00\x08" + bytes((len(label),)) + label + bytes((len(transcript),)) + transcript
    proof = HKDFExpand(algorithm, 8, info).derive(extract.finalize())
    whole = _message(random[:24] + proof, tail)
    return b"\x16\x03\x03" + len(whole).to_bytes(2, "big") + whole


def _message(random: bytes, tail: bytes) -> bytes:
    body = b"\x03\x03" + random + tail
    return b"\x02" + len(body).to_bytes(3, "big") + body


def _parts(body: bytes) -> tuple[bytes, dict[int, bytes], int]:
    """Return session id, extensions, and the offset of the extensions."""
    session = body[35 : 35 + body[34]]
    at = 35 + body[34]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    begin = at + 2
    end = begin + int.from_bytes(body[at : at + 2], "big")
    found: dict[int, bytes] = {}
    at = begin
    while at < end:
        kind, size = (int.from_bytes(body[at + n : at + n + 2], "big") for n in (0, 2))
        assert kind not in found, "an extension stands twice"
        found[kind] = body[at + 4 : at + 4 + size]
        at += 4 + size
    return session, found, begin


def _end(body: bytes) -> int:
    _, extensions, begin = _parts(body)
    return begin + sum(4 + len(content) for content in extensions.values())


def _name(extensions: dict[int, bytes]) -> str:
    return extensions[0][5:].decode()


NAME = "secret.test"
KEY = X25519PrivateKey.generate()
WIRE = published(KEY.public_key().public_bytes_raw())
ACCEPTED = ProbeReply("server_hello_ech_accepted")
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def key_of(text: str) -> EchConfig:
    return present(parse_config_list(text))


def chance(seed: int = 1) -> bytes:
    return Random(seed).randbytes(RANDOM_BYTES)


def hello_of(
    name: str, random_bytes: bytes, config: EchConfig | None = None, is_grease: bool = False
) -> BrowserHello | SealedHello:
    if config is not None:
        return SealedHello(CHROME, "test", name, config, random_bytes)
    return BrowserHello(CHROME if is_grease else omit_ech(CHROME), "test", name, random_bytes)


def sealed_hello(name: str, seed: int = 1) -> BrowserHello | SealedHello:
    return hello_of(name, chance(seed), config=key_of(in_base64(WIRE)))


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    home = tmp_path_factory.mktemp("nginx")
    with nginx(home, {NAME: LoopbackCA(home / "ca").leaf(NAME)}) as web:
        yield web.https


@pytest.mark.parametrize("grease", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_openssl_takes_it_with_and_without_grease(openssl: int, grease: bool, seed: int) -> None:
    speech = hello_of(NAME, chance(seed), is_grease=grease)
    assert ask_by_tcp(openssl, speech) == ProbeReply("server_hello")
    assert (speech.tls_facts().version, speech.tls_facts().server_name) == ("TLSv1.3", NAME)
    assert speech.tls_facts().ech == ("grease" if grease else "")


def test_openssl_does_not_open_a_sealed_name_and_that_is_seen(openssl: int) -> None:
    key = replace(key_of(in_base64(WIRE)), public_name=NAME)
    speech = hello_of("hidden.test", chance(), config=key)
    assert ask_by_tcp(openssl, speech) == ProbeReply("server_hello")


@pytest.mark.parametrize("name", ["stranger.test", ""])
def test_a_name_that_the_server_refuses_is_an_alert(openssl: int, name: str) -> None:
    speech = hello_of(name, chance())
    assert ask_by_tcp(openssl, speech) == ProbeReply("alert_112")
    assert (speech.tls_facts().server_name, speech.tls_facts().alert) == (name, 112)


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchServer]:
    leaf = LoopbackCA(tmp_path_factory.mktemp("ca")).leaf(NAME, "public.test")
    with ech_server(leaf) as server:
        yield server


@pytest.mark.slow
def test_another_implementation_opens_the_sealed_name(go: EchServer) -> None:
    speech = hello_of(NAME, chance(), config=key_of(go.config))
    assert NAME.encode() not in speech.make_request()
    assert ask_by_tcp(go.port, speech) == ACCEPTED
    assert go.name() == NAME
    assert speech.tls_facts().outer_name == "public.test"


@pytest.mark.slow
def test_an_outdated_key_is_taken_for_the_public_name(go: EchServer) -> None:
    outdated = replace(key_of(go.config), public_key=WIRE[9:41])
    speech = hello_of(NAME, chance(), config=outdated)
    assert ask_by_tcp(go.port, speech) == ProbeReply("server_hello")
    assert go.name() == "public.test"


@pytest.mark.slow
@pytest.mark.parametrize("grease", [False, True])
def test_what_is_not_sealed_is_taken_by_its_own_name(go: EchServer, grease: bool) -> None:
    speech = hello_of(NAME, chance(), is_grease=grease)
    assert ask_by_tcp(go.port, speech) == ProbeReply("server_hello")
    assert go.name() == NAME


@given(name=st.from_regex(r"[a-z]{1,40}\.test", fullmatch=True), seed=st.integers(0, 999))
def test_a_server_side_written_apart_opens_it_and_its_word_is_believed(
    name: str, seed: int
) -> None:
    """tests/support/ech_opening.py decrypts by another library and confirms by itself."""
    speech = sealed_hello(name, seed)
    hello = opened(speech.make_request(), KEY, WIRE)
    assert (hello.server_name, hello.outer_name) == (name, "public.test")
    assert speech.parse_reply(server_hello(hello, suite=0x1301)) == ACCEPTED


@pytest.mark.parametrize("suite", [0x1301, 0x1302, 0x1303])
def test_a_confirmation_is_believed_only_when_every_bit_is_right(suite: int) -> None:
    speech = sealed_hello(NAME)
    good = server_hello(opened(speech.make_request(), KEY, WIRE), suite=suite)
    assert speech.parse_reply(good) == ACCEPTED
    for at in range(9 + 2 + 24, 9 + 2 + 32):  # the confirmation, behind both heads and the version
        bad = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
        assert speech.parse_reply(bad) == ProbeReply("server_hello")


def test_the_length_of_the_name_is_hidden() -> None:
    records = [sealed_hello(name).make_request() for name in ("a.b", "long.name.test")]
    assert len({len(opened(record, KEY, WIRE).encoded) for record in records}) == 1
    assert all((size + padding_size(size, "a", 9)) % 32 == 0 for size in range(200, 300))


@pytest.mark.parametrize("seed", range(8))
def test_the_three_hellos_are_a_browsers_and_differ_in_ech_alone(seed: int) -> None:
    """The three hellos have a browser's size, segments and fingerprint, but for ECH."""
    hellos = {
        "real": sealed_hello(NAME, seed),
        "grease": hello_of(NAME, chance(seed), is_grease=True),
        "none": hello_of(NAME, chance(seed)),
    }
    shapes = {
        label: present(describe_hello(hello.make_request(), 1_460))
        for label, hello in hellos.items()
    }
    assert {shapes[label].ja4 for label in ("real", "grease")} == {CHROME.ja4}
    for label in ("real", "grease"):
        assert CHROME.smallest <= shapes[label].bytes <= CHROME.largest
    assert {(shape.segments, shape.name_segment) for shape in shapes.values()} == {(2, 1)}
    assert shapes["none"].ja4.startswith("t13d1516h2_")


def test_a_server_that_asks_again_is_told() -> None:
    speech = hello_of(NAME, chance())
    body = b"\x03\x03" + RETRY + b"\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04"
    handshake = b"\x02" + len(body).to_bytes(3, "big") + body
    reply = b"\x16\x03\x03" + len(handshake).to_bytes(2, "big") + handshake
    assert speech.parse_reply(reply) == ProbeReply("hello_retry")
    assert {speech.parse_reply(reply[:end]) for end in range(len(reply))} == {None}


@pytest.mark.parametrize(
    "other",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",
        b"\x17\x03\x03\x00\x01\x00", b"\x16\x03\x03\x00\x08\x02\x00\x00\x04\x03\x03\x00\x00",
        b"\x15\x02", b"\x16\x03\x03\xff\xff",
    ],
)  # fmt: skip
def test_what_is_no_answer_to_a_hello_is_no_tls(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        hello_of(NAME, chance()).parse_reply(other.ljust(5, b"\x00"))


@given(st.binary(max_size=200))
def test_nothing_that_is_received_breaks_it(data: bytes) -> None:
    speech = hello_of(NAME, chance())
    for received in (data, b"\x16\x03\x03\x00" + data[:1] + b"\x02\x00\x00" + data[1:]):
        try:
            speech.parse_reply(received)
        except ProtocolMismatch:
            continue


def test_too_little_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="random bytes"):
        hello_of(NAME, b"\x00" * 40)
