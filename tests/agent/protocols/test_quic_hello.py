"""A browser's first QUIC packets, as captured and as the installed browser's."""

import socket
from pathlib import Path
from random import Random

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from heliograph.hello_profiles import HelloProfile, load_shipped_profiles
from heliograph_agent.net.probe_message import ProtocolMismatch
from heliograph_agent.net.tls.fingerprint import HelloShape, describe_hello, parse_hello
from heliograph_agent.protocols.hello_message import encode_record
from heliograph_agent.protocols.quic_hello import QUIC_RANDOM_BYTES, QuicBrowserHello, join_pieces
from heliograph_agent.protocols.quic_initial import encode_crypto
from support.browser_capture import DEADLINE_S, NAME, allow_newer_browser, visiting
from support.quic_server import initial
from support.values import present

BROWSERS = ("chrome", "firefox")
CAPTURES = Path(__file__).parent / "captures"
_PARAMETERS = 0x0039
_RANDOM_PARAMETERS = {0x0F, 0x11}


def profile_of(name: str) -> HelloProfile:
    return present(load_shipped_profiles().get(name).quic)


def hello_of(name: str, seed: int = 7, server_name: str = NAME) -> QuicBrowserHello:
    random_bytes = Random(seed).randbytes(QUIC_RANDOM_BYTES)
    return QuicBrowserHello(profile_of(name), "test", server_name, random_bytes)


def open_initials(datagrams: tuple[bytes, ...]) -> tuple[bytes, list[tuple[int, ...]]]:
    """Return the hello in a client's datagrams, and the shape of each.

    A shape is the sizes of datagram, packet and ids, and the packet number.
    """
    pieces: dict[int, bytes] = {}
    shapes: list[tuple[int, ...]] = []
    for data in datagrams:
        buffer = Buffer(data=data)
        header = pull_quic_header(buffer)
        assert header.packet_type == QuicPacketType.INITIAL
        assert not data[header.packet_length :].strip(b"\x00")
        keys = CryptoPair()
        keys.setup_initial(header.destination_cid, is_client=False, version=present(header.version))
        packet = data[: header.packet_length]
        head, payload, _ = keys.decrypt_packet(packet, buffer.tell(), 0)
        shapes.append(
            (len(data), len(header.destination_cid), len(header.source_cid), (head[0] & 3) + 1)
        )
        pieces |= read_crypto(Buffer(data=payload))
    return join_pieces(pieces), shapes


def read_crypto(payload: Buffer) -> dict[int, bytes]:
    pieces = {}
    while not payload.eof():
        kind = payload.pull_uint_var()
        assert kind in (0, 1, 6), "a frame that no browser's first packet has"
        if kind == 6:
            offset = payload.pull_uint_var()
            pieces[offset] = payload.pull_bytes(payload.pull_uint_var())
    return pieces


def shape_of(hello: bytes) -> HelloShape:
    return present(describe_hello(encode_record(hello), 1_460, transport="q"))


def parameters_of(hello: bytes) -> dict[int, bytes]:
    buffer = Buffer(data=parse_hello(encode_record(hello)).extensions[_PARAMETERS])
    parameters = {}
    while not buffer.eof():
        number = buffer.pull_uint_var()
        parameters[number] = buffer.pull_bytes(buffer.pull_uint_var())
    return parameters


def assert_same_browser(datagrams: tuple[bytes, ...], name: str) -> None:
    """Assert that captured datagrams and ours agree in all that is not random."""
    hello, shapes = open_initials(datagrams)
    own, own_shapes = open_initials(hello_of(name).make_datagrams())
    profile = profile_of(name)
    assert shapes == own_shapes
    assert shape_of(hello).ja4 == shape_of(own).ja4 == profile.ja4
    assert profile.smallest <= len(hello) <= profile.largest
    theirs, ours = parameters_of(hello), parameters_of(own)
    numbers = {n for n, value in present(profile.initials).parameters if value != "grease"}
    for parameters in (theirs, ours):
        grease = [number for number in parameters if number not in numbers]
        assert [number % 31 for number in grease] == [27] * (name == "chrome")
        for number in grease:
            del parameters[number]
    assert theirs.keys() == ours.keys()
    assert name == "chrome" or list(theirs) == list(ours)  # Chrome permutes them
    fixed = theirs.keys() - _RANDOM_PARAMETERS
    assert {n: theirs[n] for n in fixed} == {n: ours[n] for n in fixed}
    assert len(theirs[0x11]) == len(ours[0x11])


@pytest.mark.parametrize("name", BROWSERS)
@pytest.mark.parametrize("seed", range(20))
def test_packets_carry_the_whole_hello_of_the_browser(name: str, seed: int) -> None:
    message = hello_of(name, seed)
    hello, shapes = open_initials(message.make_datagrams())
    profile = profile_of(name)
    assert encode_record(hello) == message.make_request()
    assert (shape_of(hello).ja4, len(shapes)) == (profile.ja4, 2)
    assert profile.smallest <= len(hello) <= profile.largest


@pytest.mark.parametrize("name", BROWSERS)
def test_no_packet_has_the_whole_hello(name: str) -> None:
    for data in hello_of(name).make_datagrams():
        assert len(open_initials((data,))[0]) < profile_of(name).smallest


def test_firefoxs_packets_are_those_of_its_capture() -> None:
    lines = (CAPTURES / "firefox-esr-153-quic.hex").read_text().split()
    assert_same_browser(tuple(map(bytes.fromhex, lines)), "firefox")


def test_chromes_packets_are_those_of_the_installed_chromium() -> None:
    """Chrome's packets are those of the installed Chromium.

    A newer version's may differ: then hello_profiles.yml must be renewed.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(DEADLINE_S)
        flags = ("--enable-quic", f"--origin-to-force-quic-on={NAME}:443")
        with visiting("https", server.getsockname()[1], *flags):
            datagrams = (server.recv(65_536), server.recv(65_536))
    allow_newer_browser(shape_of(open_initials(datagrams)[0]).ja4, profile_of("chrome"))
    assert_same_browser(datagrams, "chrome")


@pytest.mark.parametrize("size", [0, 1, 5, 14, 30, 40])
def test_a_datagram_that_was_cut_is_refused(size: int) -> None:
    message = hello_of("chrome")
    data = initial(b"\x00" * 40)(message.make_datagrams()[0])[0][:size]
    with pytest.raises(ProtocolMismatch):
        message.parse_reply(data)


@pytest.mark.parametrize("piece", [b"x", bytes(1_000)])
def test_a_server_cannot_fill_the_memory_with_pieces(piece: bytes) -> None:
    """A server cannot fill the memory with pieces.

    None of them begins the handshake, so that all would be kept and sorted each time.
    """
    hello = hello_of("chrome")
    request = hello.make_datagrams()[0]

    def send(offset: int) -> None:
        assert hello.parse_reply(initial(encode_crypto(offset, piece))(request)[0]) is None

    for offset in range(1, 65):
        send(offset)
    with pytest.raises(ProtocolMismatch, match="too many pieces"):
        send(65)
