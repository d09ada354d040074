"""WireGuard's initiation as a responder reads it (whitepaper, section 5.4), step by step.

tests/agent/experiments/test_vpn.py has the makers' own server answer it.
"""

import hmac
import struct
from hashlib import blake2s

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.probe_message import NotThisProtocol, Reply
from heliograph_agent.protocols.wireguard import CHANCE, Initiation

SERVER, CLIENT = (X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (3, 5))
WALL_US = 1_641_380_400_500_000
SPEECH = Initiation(
    SERVER.public_key().public_bytes_raw(), bytes(range(CHANCE)), WALL_US, bytes([5]) * 32
)


def mac1(public: bytes, message: bytes) -> bytes:
    key = blake2s(b"mac1----" + public).digest()
    return blake2s(message, key=key, digest_size=16).digest()


def kdf(chain: bytes, given: bytes, count: int) -> list[bytes]:
    secret, found = hmac.digest(chain, given, "blake2s"), [b""]
    for number in range(1, count + 1):
        found.append(hmac.digest(secret, found[-1] + bytes([number]), "blake2s"))
    return found[1:]


def opened(message: bytes) -> tuple[bytes, bytes]:
    """What the responder learns: the initiator's static key, and the time."""
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


def response(speech: Initiation = SPEECH, receiver: bytes = b"") -> bytes:
    begun = struct.pack("<I", 2) + b"them" + (receiver or speech.sender) + bytes(48)
    return begun + mac1(CLIENT.public_key().public_bytes_raw(), begun) + bytes(16)


def test_the_responder_learns_who_it_is_and_when() -> None:
    who, time = opened(SPEECH.opening())
    assert who == CLIENT.public_key().public_bytes_raw()
    seconds, nano = struct.unpack(">QI", time)
    assert (seconds, nano) == (2**62 + 10 + WALL_US // 1_000_000, 500_000_000)


def test_without_a_key_a_fresh_one_is_used() -> None:
    fresh = Initiation(SPEECH.peer, SPEECH.chance, WALL_US)
    who, _ = opened(fresh.opening())
    key = X25519PrivateKey.from_private_bytes(SPEECH.chance[36:68]).public_key()
    assert who == key.public_bytes_raw()


def test_a_response_names_our_index_and_is_signed_for_us() -> None:
    assert SPEECH.heard(response()) == Reply("handshake_response")
    cookie = struct.pack("<I", 3) + SPEECH.sender + bytes(56)
    assert SPEECH.heard(cookie) == Reply("cookie_reply")


@pytest.mark.parametrize(
    "other",
    [
        b"",
        SPEECH.opening(),
        response(receiver=b"else"),
        response()[:60] + bytes(32),  # without its MAC
        response()[:-1],
        response() + b"\x00",
        struct.pack("<I", 3) + b"else" + bytes(56),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_other_datagrams_are_no_reply(other: bytes) -> None:
    with pytest.raises(NotThisProtocol):
        SPEECH.heard(other)


@given(st.binary(max_size=120))
def test_no_bytes_are_taken_for_an_answer(data: bytes) -> None:
    with pytest.raises(NotThisProtocol):
        SPEECH.heard(data)


def test_a_key_that_nobody_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        Initiation(bytes(32), SPEECH.chance, WALL_US).opening()
