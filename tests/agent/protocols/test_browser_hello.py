"""A browser's hello equals the installed browser's, and a real server answers it."""

import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib import resources
from pathlib import Path
from random import Random

import pytest

from heliograph.hello_profiles import HelloProfile, load_shipped_profiles, parse_profiles
from heliograph.yaml_document import YamlError
from heliograph_agent.net.probe_message import ProbeReply
from heliograph_agent.net.tls.fingerprint import (
    HelloShape,
    ParsedHello,
    compute_ja4,
    describe_hello,
    parse_hello,
    read_numbers,
)
from heliograph_agent.protocols.browser_hello import BROWSER_RANDOM_BYTES, BrowserHello
from support.browser_capture import DEADLINE_S, NAME, allow_newer_browser, visiting
from support.hello_exchange import ask_by_tcp
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.values import present

PROFILES = load_shipped_profiles()
SEGMENT = 1_460
_SEALED = 0xFE0D
_BEFORE_SEALED = 42  # kind, cipher, id, a key of 32 bytes and two lengths before the payload
_LISTS = {0x000A: 2, 0x000D: 2, 0x002B: 1}  # bytes of their length
NAME_PLACES = [("chrome", False, 1), ("chrome", True, 2), ("firefox", False, 1)]


def hello_of(
    profile: HelloProfile, name: str = NAME, *, seed: int = 7, is_name_last: bool = False
) -> BrowserHello:
    random_bytes = Random(seed).randbytes(BROWSER_RANDOM_BYTES)
    return BrowserHello(profile, "test", name, random_bytes, is_name_last=is_name_last)


def shape_of(record: bytes) -> HelloShape:
    return present(describe_hello(record, SEGMENT))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("name", "is_name_last", "segment"), NAME_PLACES)
def test_a_hello_has_the_fingerprint_and_the_size_of_its_browser(
    name: str, is_name_last: bool, segment: int, seed: int
) -> None:
    profile = PROFILES.get(name)
    shape = shape_of(hello_of(profile, seed=seed, is_name_last=is_name_last).make_request())
    assert shape.ja4 == profile.ja4
    assert profile.smallest <= shape.bytes <= profile.largest
    assert (shape.segments, shape.name_segment) == (2, segment)


def test_chromes_hellos_differ_in_order_and_firefoxs_do_not() -> None:
    orders = {
        name: {
            tuple(parse_hello(hello_of(PROFILES.get(name), seed=seed).make_request()).extensions)
            for seed in range(8)
        }
        for name in ("chrome", "firefox")
    }
    assert (len(orders["chrome"]), len(orders["firefox"])) == (8, 1)


def test_an_address_is_sent_without_a_name() -> None:
    shape = shape_of(hello_of(PROFILES.get("chrome"), "").make_request())
    assert shape.ja4.startswith("t13i1516h2")
    assert shape.name_segment == 0


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    home = tmp_path_factory.mktemp("nginx")
    with nginx(home, {NAME: LoopbackCA(home / "ca").leaf(NAME)}) as web:
        yield web.https


@pytest.mark.parametrize(
    ("server_name", "word", "version"),
    [(NAME, "server_hello", "TLSv1.3"), ("stranger.test", "alert_112", "")],
)
@pytest.mark.parametrize("name", ["chrome", "firefox"])
def test_a_real_server_answers_the_hello(
    openssl: int, name: str, server_name: str, word: str, version: str
) -> None:
    hello = hello_of(PROFILES.get(name), server_name)
    assert ask_by_tcp(openssl, hello) == ProbeReply(word)
    facts = hello.tls_facts()
    assert (facts.profile, facts.version) == (f"{name} test", version)


def content_of(record: bytes) -> Mapping[str, object]:
    """Return the content that two hellos of one browser share, without random parts."""
    hello = parse_hello(record)
    extensions = dict(hello.extensions)
    sealed = extensions.pop(_SEALED)
    shares = list_shares(extensions.pop(0x0033))
    lists = {n: read_numbers(extensions.pop(n)[skip:]) for n, skip in _LISTS.items()}
    return {
        "suites": hello.suites,
        "extensions": extensions,
        "lists": lists,
        "shares": shares,
        "sealed": sealed[:5].hex(),
    }


def list_shares(extension: bytes) -> list[tuple[int, int]]:
    shares = []
    offset = 2
    while offset < len(extension):
        size = int.from_bytes(extension[offset + 2 : offset + 4], "big")
        shares.append((int.from_bytes(extension[offset : offset + 2], "big"), size))
        offset += 4 + size
    return [share for share in shares if share[1] > 1]  # one byte is GREASE's


def assert_same_browser(record: bytes, profile: HelloProfile) -> None:
    assert shape_of(record).ja4 == profile.ja4
    assert profile.smallest <= len(record) <= profile.largest
    assert content_of(record) == content_of(hello_of(profile).make_request())
    assert len(parse_hello(record).extensions[_SEALED]) - _BEFORE_SEALED in profile.ech_bytes


# JA4_ro of Firefox 154 by browserleaks.com: lexiforest/curl-impersonate issue 308, 2026-09-02.
FIREFOX_154 = (
    "t13d1517h2_1301,1303,1302,c02b,c02f,cca9,cca8,c02c,c030,c013,c014,009c,009d,002f,0035_"
    "0000,0017,ff01,000a,000b,0023,0010,0005,0022,0012,0033,002b,000d,002d,001c,001b,fe0d_"
    "0403,0503,0603,0804,0805,0806,0401,0501,0601,0203,0201"
)
GIVEN_UP = 0xC00A  # the suite that ESR 153 has and 154 has not


def test_firefoxs_hello_is_that_of_the_public_capture() -> None:
    hello = parse_hello(hello_of(PROFILES.get("firefox")).make_request())
    signatures = read_numbers(hello.extensions[0x000D][2:])
    parts = (hello.suites, tuple(hello.extensions), signatures)
    said = "_".join(",".join(f"{number:04x}" for number in part) for part in parts)
    assert f"t13d1517h2_{said}" == FIREFOX_154


def test_firefoxs_hello_is_that_of_our_capture_but_for_one_suite() -> None:
    """The capture is of ESR, which few use."""
    capture = Path(__file__).parent / "captures" / "firefox-esr-153.hex"
    suites = parse_hello(bytes.fromhex(capture.read_text())).suites
    profile = PROFILES.get("firefox")
    assert tuple(suite for suite in suites if suite != GIVEN_UP) == profile.suites
    older = replace(profile, suites=suites, ja4="t13d1617h2_86a278354501_3cbfd9057e0d")
    assert_same_browser(bytes.fromhex(capture.read_text()), older)


def test_chromes_hello_is_that_of_the_installed_chromium() -> None:
    """Chrome's hello is that of the installed Chromium.

    A newer version's may differ: then hello_profiles.yml must be renewed.
    """
    record = capture_chromium()
    profile = PROFILES.get("chrome")
    allow_newer_browser(shape_of(record).ja4, profile)
    assert_same_browser(record, profile)


def capture_chromium() -> bytes:
    """Return the browser's first record to a server that hangs up."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        visiting("https", listener.getsockname()[1]),
        ExitStack() as accepted,
    ):
        return read_first_record(listener, accepted)


def read_first_record(listener: socket.socket, accepted: ExitStack) -> bytes:
    """Read the first record of any connection: a browser opens some it does not need."""
    records: dict[socket.socket, bytes] = {}
    while ready := select.select([listener, *records], [], [], DEADLINE_S)[0]:
        for connection in ready:
            if connection is listener:
                records[accepted.enter_context(listener.accept()[0])] = b""
            elif data := connection.recv(4096):
                record = records[connection] = records[connection] + data
                if len(record) >= 5 + int.from_bytes(record[3:5], "big") > 5:
                    return record
            else:
                del records[connection]
    raise AssertionError("the browser sent no whole hello")


# The example of FoxIO's page on JA4, and what it says of lists without an entry.
EXAMPLE = ParsedHello(
    legacy_version=0x0303,
    suites=read_numbers(
        bytes.fromhex("130113021303c02bc02fc02cc030cca9cca8c013c014009c009d002f0035")
    ),
    extensions=dict.fromkeys(
        (0x001B, 0x0000, 0x0033, 0x4469, 0x0017, 0x002D, 0x0005, 0x0023, 0x0012, 0xFF01, 0x000B,
         0x000A, 0x0015), b""
    )
    | {
        0x0010: bytes.fromhex("000c02683208687474702f312e31"),
        0x000D: bytes.fromhex("001004030804040105030805050108060601"),
        0x002B: bytes.fromhex("06dada03040303"),
    },
    name_end=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "t13d1516h2_8daaf6152771_e5627efa2ab1"),
        ({0x000D: b""}, "t13d1516h2_8daaf6152771_6d807ffa2a79"),
        ({0x0010: b"\x00\x02\x01\xab"}, "t13d1516ab_8daaf6152771_e5627efa2ab1"),
        ({0x0010: b"\x00\x05\x04\x30\x31\xab\xcd"}, "t13d15163d_8daaf6152771_e5627efa2ab1"),
        ({0x0010: b"\x00\x05\x04\x30\xab\xcd\x31"}, "t13d151601_8daaf6152771_e5627efa2ab1"),
        ({0x0010: b""}, "t13d151600_8daaf6152771_e5627efa2ab1"),
        ({0x002B: b""}, "t12d1516h2_8daaf6152771_e5627efa2ab1"),
    ],
)
def test_ja4_is_that_of_its_specification(changes: dict[int, bytes], expected: str) -> None:
    hello = replace(EXAMPLE, extensions=dict(EXAMPLE.extensions) | changes)
    assert compute_ja4(hello, "t") == expected


def test_a_hello_of_nothing_has_zeros_for_its_hashes() -> None:
    assert compute_ja4(ParsedHello(0x0302, (), {}, 0), "q") == f"q11i000000_{'0' * 12}_{'0' * 12}"


@pytest.mark.parametrize("size", [0, 5, 9, 44, 90, 200])
def test_a_hello_that_was_cut_is_not_described_wrongly(size: int) -> None:
    """A TypeError or an endless loop would end a task."""
    record = hello_of(PROFILES.get("chrome")).make_request()[:size]
    shape = describe_hello(record, SEGMENT)
    assert shape is None or shape.bytes == size


@pytest.mark.parametrize(
    ("line", "broken", "word"),
    [
        ("groups: [11ec", "groups: [11e", "four hexadecimal digits"),
        ("permuted: true", "permuted: maybe", "must be one of true, false"),
        ("bytes: [1850, 2100]", "bytes: [2100, 1850]", "the smallest and the largest"),
        ('"001c"', "zzzz", "hexadecimal digits"),
        ("grease: []", "grease: [roof]", "must be one of suites"),
    ],
)
def test_a_broken_file_names_its_line(line: str, broken: str, word: str) -> None:
    shipped = resources.files("heliograph").joinpath("hello_profiles.yml").read_text()
    with pytest.raises(YamlError, match=word):
        parse_profiles(shipped.replace(line, broken).encode(), "profiles.yml")
