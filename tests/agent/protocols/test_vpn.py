"""OpenVPN's reset and WireGuard's initiation as servers read them, and replies.

The answer of OpenVPN was recorded from 2.6.14; WireGuard's initiation is opened step by step
(whitepaper, section 5.4). tests/agent/experiments/test_vpn.py has the makers' own servers answer.
"""

import contextlib
import hmac
import struct
from hashlib import blake2s

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols.vpn import WIREGUARD_RANDOM_BYTES, HandshakeInitiation, HardReset

SESSION = bytes.fromhex("b46c433211f6e010")
ANSWER = bytes.fromhex("40e47e01667f6247050100000000b46c433211f6e01000000000")
YES = ProbeReply("hard_reset_server")


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


def test_openvpn_request_is_a_reset_of_version_two() -> None:
    packet = HardReset(SESSION).make_request()
    assert packet == b"\x38" + SESSION + b"\x00" + b"\x00\x00\x00\x00"
    assert HardReset(SESSION, is_framed=True).make_request() == framed(packet)


def test_openvpn_reply_acknowledges_our_session_or_nothing() -> None:
    bare = b"\x40" + bytes(range(8)) + b"\x00" + b"\x00\x00\x00\x00"
    assert HardReset(SESSION).parse_reply(ANSWER) == YES
    assert HardReset(SESSION).parse_reply(bare) == YES
    assert HardReset(SESSION, is_framed=True).parse_reply(framed(ANSWER)) == YES
    with pytest.raises(ProtocolMismatch):
        HardReset(bytes(8)).parse_reply(ANSWER)

    whole = framed(ANSWER)
    for size in range(len(whole)):
        assert HardReset(SESSION, is_framed=True).parse_reply(whole[:size]) is None


@pytest.mark.parametrize("other", [b"", b"@", b"8" + ANSWER[1:], b"HTTP/1.1 400", ANSWER[:13]])
def test_openvpn_refuses_other_reply(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        HardReset(SESSION).parse_reply(other)


@pytest.mark.parametrize("other", [b"HTTP/1.1 400", b"\x15\x03\x01\x00", b"\x00\x00@", b"SSH-2.0"])
def test_openvpn_over_tcp_refuses_other_reply(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        HardReset(SESSION, is_framed=True).parse_reply(other)


SERVER, CLIENT = (X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (3, 5))
WALL_US = 1_641_380_400_500_000
MESSAGE = HandshakeInitiation(
    SERVER.public_key().public_bytes_raw(), bytes(range(WIREGUARD_RANDOM_BYTES)), WALL_US,
    bytes([5]) * 32,
)  # fmt: skip


def mac1(public: bytes, message: bytes) -> bytes:
    key = blake2s(b"mac1----" + public).digest()
    return blake2s(message, key=key, digest_size=16).digest()


def kdf(chain: bytes, given: bytes, count: int) -> list[bytes]:
    secret, found = hmac.digest(chain, given, "blake2s"), [b""]
    for number in range(1, count + 1):
        found.append(hmac.digest(secret, found[-1] + bytes([number]), "blake2s"))
    return found[1:]


def opened(message: bytes) -> tuple[bytes, bytes]:
    """Return what the responder learns: the initiator's static key, and the time."""
    kind, _, ephemeral, static, time, mac, cookie = struct.unpack("<I4s32s48s28s16s16s", message)
    assert (kind, cookie) == (1, bytes(16))
    server = SERVER.public_key().public_bytes_raw()
    assert mac == mac1(server, message[:116])
    chain = blake2s(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s").digest()
    said = blake2s(chain + b"WireGuard v1 zx2c4 Jason@zx2c4.com").digest()
    said = blake2s(blake2s(said + server).digest() + ephemeral).digest()
    (chain,) = kdf(chain, ephemeral, 1)
    shared = SERVER.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    chain, key = kdf(chain, shared, 2)
    who = ChaCha20Poly1305(key).decrypt(bytes(12), static, said)
    said = blake2s(said + static).digest()
    _, key = kdf(chain, SERVER.exchange(X25519PublicKey.from_public_bytes(who)), 2)
    return who, ChaCha20Poly1305(key).decrypt(bytes(12), time, said)


def response(initiation: HandshakeInitiation = MESSAGE, receiver: bytes = b"") -> bytes:
    begun = struct.pack("<I", 2) + b"them" + (receiver or initiation.sender) + bytes(48)
    return begun + mac1(CLIENT.public_key().public_bytes_raw(), begun) + bytes(16)


def test_the_responder_learns_who_it_is_and_when() -> None:
    who, time = opened(MESSAGE.make_request())
    assert who == CLIENT.public_key().public_bytes_raw()
    seconds, nano = struct.unpack(">QI", time)
    assert (seconds, nano) == (2**62 + 10 + WALL_US // 1_000_000, 500_000_000)


def test_without_a_key_a_fresh_one_is_used() -> None:
    fresh = HandshakeInitiation(MESSAGE.peer, MESSAGE.random_bytes, WALL_US)
    who, _ = opened(fresh.make_request())
    key = X25519PrivateKey.from_private_bytes(MESSAGE.random_bytes[36:68]).public_key()
    assert who == key.public_bytes_raw()


def test_a_response_names_our_index_and_is_signed_for_us() -> None:
    assert MESSAGE.parse_reply(response()) == ProbeReply("handshake_response")
    cookie = struct.pack("<I", 3) + MESSAGE.sender + bytes(56)
    assert MESSAGE.parse_reply(cookie) == ProbeReply("cookie_reply")


@pytest.mark.parametrize(
    "other",
    [
        b"",
        MESSAGE.make_request(),
        response(receiver=b"else"),
        response()[:60] + bytes(32),  # without its MAC
        response()[:-1],
        response() + b"\x00",
        struct.pack("<I", 3) + b"else" + bytes(56),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_other_datagrams_are_no_reply(other: bytes) -> None:
    with pytest.raises(ProtocolMismatch):
        MESSAGE.parse_reply(other)


@given(st.binary(max_size=120), st.booleans())
def test_no_bytes_are_taken_for_a_reply(data: bytes, is_framed: bool) -> None:
    with pytest.raises(ProtocolMismatch):
        MESSAGE.parse_reply(data)
    with contextlib.suppress(ProtocolMismatch):
        HardReset(SESSION, is_framed=is_framed).parse_reply(data)


def test_a_key_that_nobody_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        HandshakeInitiation(bytes(32), MESSAGE.random_bytes, WALL_US).make_request()
