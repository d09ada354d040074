"""WireGuard's handshake initiation and its two answers.

Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s with no shared secret. Source: the WireGuard whitepaper
(Donenfeld, NDSS 2017), section 5.4. A server that does not know our key answers nothing at all.
"""

import hmac
from dataclasses import dataclass
from hashlib import blake2s

from heliograph_agent.net.probe_message import NotThisProtocol, Reply

CHANCE = 68  # bytes of chance that a speech takes: sender index, ephemeral secret, a spare key
KEY = 32  # bytes of a key
RESPONSE, COOKIE = "handshake_response", "cookie_reply"
_CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_INITIATION_TYPE, _RESPONSE_TYPE, _COOKIE_TYPE = (n.to_bytes(4, "little") for n in (1, 2, 3))
_RESPONSE_SIZE, _COOKIE_SIZE = 92, 64
_TAI64 = 0x400000000000000A  # of the Unix epoch


@dataclass(frozen=True, slots=True)
class Initiation:
    """`handshake_response`, or `cookie_reply` from a server under load.

    `peer` is the server's public key; `private` ours, empty for a fresh one, which no server knows.
    `wall_us` is said to the server, who takes no older one from the same key.
    """

    peer: bytes
    chance: bytes
    wall_us: int
    private: bytes = b""
    name: str = "wireguard"

    @property
    def sender(self) -> bytes:
        return self.chance[:4]

    def opening(self) -> bytes:
        ephemeral, static = self.chance[4:36], self._secret
        chain = _hash(_CONSTRUCTION)
        transcript = _hash(_hash(chain + _IDENTIFIER) + self.peer)
        public = _public(ephemeral)
        chain, _ = _derived(chain, public)
        transcript = _hash(transcript + public)
        chain, key = _derived(chain, _shared(ephemeral, self.peer))
        sealed_static = _sealed(key, _public(static), transcript)
        transcript = _hash(transcript + sealed_static)
        chain, key = _derived(chain, _shared(static, self.peer))
        sealed_time = _sealed(key, _tai64n(self.wall_us), transcript)
        message = _INITIATION_TYPE + self.sender + public + sealed_static + sealed_time
        return message + _mac1(self.peer, message) + bytes(16)

    def heard(self, received: bytes) -> Reply | None:
        """Raises NotThisProtocol when it is no answer to ours."""
        kind, size = received[:4], len(received)
        if kind == _COOKIE_TYPE and size == _COOKIE_SIZE and received[4:8] == self.sender:
            return Reply(COOKIE)
        if kind == _RESPONSE_TYPE and size == _RESPONSE_SIZE and received[8:12] == self.sender:
            mac = _mac1(_public(self._secret), received[:60])
            if hmac.compare_digest(mac, received[60:76]):
                return Reply(RESPONSE)
        raise NotThisProtocol("no answer to our initiation")

    @property
    def _secret(self) -> bytes:
        return self.private or self.chance[36:68]


def _hash(text: bytes) -> bytes:
    return blake2s(text).digest()


def _mac1(public: bytes, message: bytes) -> bytes:
    key = _hash(b"mac1----" + public)
    return blake2s(message, digest_size=16, key=key).digest()


def _derived(chain: bytes, given: bytes) -> tuple[bytes, bytes]:
    """The next chaining key and a key (HKDF of two outputs)."""
    secret = hmac.digest(chain, given, "blake2s")
    first = hmac.digest(secret, b"\x01", "blake2s")
    return first, hmac.digest(secret, first + b"\x02", "blake2s")


def _tai64n(wall_us: int) -> bytes:
    seconds, micro = divmod(wall_us, 1_000_000)
    return (_TAI64 + seconds).to_bytes(8) + (micro * 1_000).to_bytes(4)


def _sealed(key: bytes, plain: bytes, transcript: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key).encrypt(bytes(12), plain, transcript)


def _public(secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _shared(secret: bytes, public: bytes) -> bytes:
    """Raises ValueError when `public` is no key of use (RFC 7748 section 6.1)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    theirs = X25519PublicKey.from_public_bytes(public)
    return X25519PrivateKey.from_private_bytes(secret).exchange(theirs)
