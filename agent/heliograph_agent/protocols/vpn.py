"""Probe OpenVPN and WireGuard with the first message of their handshakes.

OpenVPN: the first packet of a session (openvpn-rfc, sections on P_CONTROL packets). A server
with tls-auth or tls-crypt answers only clients that have its key. WireGuard:
Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s without a pre-shared key (whitepaper, Donenfeld, NDSS 2017,
section 5.4). A server that does not know our key does not answer.
"""

import hmac
from dataclasses import dataclass
from hashlib import blake2s

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols.hpke import derive_public_key

# OpenVPN
OPENVPN_RANDOM_BYTES = 8  # of one message: the session id
OPENVPN_REPLY = "hard_reset_server"
# P_CONTROL_HARD_RESET_*_V2 with key id 0
_CLIENT = 7 << 3
_SERVER = 8 << 3
_SESSION = 8


@dataclass(frozen=True, slots=True)
class HardReset:
    """Send OpenVPN's first packet; the reply is `hard_reset_server`.

    Over TCP (`is_framed`) each packet follows its length.
    """

    session: bytes
    is_framed: bool = False
    name: str = "openvpn"

    def make_request(self) -> bytes:
        packet = bytes((_CLIENT,)) + self.session + bytes(1) + bytes(4)
        return len(packet).to_bytes(2) + packet if self.is_framed else packet

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Parse a reply. Raises ProtocolMismatch when it does not answer our packet."""
        if not self.is_framed:
            return self._parse_answer(received)
        length = int.from_bytes(received[:2])
        packet = received[2:]
        if not packet:
            return None
        if not length or packet[0] != _SERVER:
            raise ProtocolMismatch("no packet of OpenVPN's")
        return self._parse_answer(packet[:length]) if length <= len(packet) else None

    def _parse_answer(self, packet: bytes) -> ProbeReply:
        """Check type, server's session, acknowledged packets and our session."""
        offset = 1 + _SESSION
        count = packet[offset] if len(packet) > offset else 0
        echoed_session = packet[offset + 1 + 4 * count :][:_SESSION]
        if (
            packet[:1] != bytes((_SERVER,))
            or (count and echoed_session != self.session)
            or len(packet) < 14
        ):
            raise ProtocolMismatch("no answer to our reset")
        return ProbeReply(OPENVPN_REPLY)


# WireGuard
# Random bytes of one message: sender index, ephemeral secret, a spare key.
WIREGUARD_RANDOM_BYTES = 68
WIREGUARD_KEY_BYTES = 32  # bytes of a key
RESPONSE = "handshake_response"
COOKIE = "cookie_reply"
_CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_INITIATION_TYPE, _RESPONSE_TYPE, _COOKIE_TYPE = (n.to_bytes(4, "little") for n in (1, 2, 3))
_RESPONSE_SIZE = 92
_COOKIE_SIZE = 64
_TAI64 = 0x400000000000000A  # of the Unix epoch


@dataclass(frozen=True, slots=True)
class HandshakeInitiation:
    """Send a WireGuard initiation; the reply is `handshake_response`.

    A server under load replies `cookie_reply`. `peer` is the server's public key. `private` is
    our key; empty means a fresh one, which no server knows. The message contains `wall_us`,
    because a server rejects a time that is not newer than the last one from the same key.
    """

    peer: bytes
    random_bytes: bytes
    wall_us: int
    private: bytes = b""
    name: str = "wireguard"

    @property
    def sender(self) -> bytes:
        return self.random_bytes[:4]

    def make_request(self) -> bytes:
        ephemeral = self.random_bytes[4:36]
        static = self._secret
        chain = _hash(_CONSTRUCTION)
        transcript = _hash(_hash(chain + _IDENTIFIER) + self.peer)
        public = derive_public_key(ephemeral)
        chain, _ = _derive_keys(chain, public)
        transcript = _hash(transcript + public)
        chain, key = _derive_keys(chain, _shared_secret(ephemeral, self.peer))
        sealed_static = _seal(key, derive_public_key(static), transcript)
        transcript = _hash(transcript + sealed_static)
        chain, key = _derive_keys(chain, _shared_secret(static, self.peer))
        sealed_time = _seal(key, _tai64n(self.wall_us), transcript)
        message = _INITIATION_TYPE + self.sender + public + sealed_static + sealed_time
        return message + _mac1(self.peer, message) + bytes(16)

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Parse a reply. Raises ProtocolMismatch when it does not answer our message."""
        kind = received[:4]
        size = len(received)
        if kind == _COOKIE_TYPE and size == _COOKIE_SIZE and received[4:8] == self.sender:
            return ProbeReply(COOKIE)
        if kind == _RESPONSE_TYPE and size == _RESPONSE_SIZE and received[8:12] == self.sender:
            mac = _mac1(derive_public_key(self._secret), received[:60])
            if hmac.compare_digest(mac, received[60:76]):
                return ProbeReply(RESPONSE)
        raise ProtocolMismatch("no answer to our initiation")

    @property
    def _secret(self) -> bytes:
        return self.private or self.random_bytes[36:68]


def _hash(data: bytes) -> bytes:
    return blake2s(data).digest()


def _mac1(public: bytes, message: bytes) -> bytes:
    key = _hash(b"mac1----" + public)
    return blake2s(message, digest_size=16, key=key).digest()


def _derive_keys(chain: bytes, input_key: bytes) -> tuple[bytes, bytes]:
    """Derive the next chaining key and a key (HKDF with two outputs)."""
    secret = hmac.digest(chain, input_key, "blake2s")
    first = hmac.digest(secret, b"\x01", "blake2s")
    return first, hmac.digest(secret, first + b"\x02", "blake2s")


def _tai64n(wall_us: int) -> bytes:
    seconds, micro = divmod(wall_us, 1_000_000)
    return (_TAI64 + seconds).to_bytes(8) + (micro * 1_000).to_bytes(4)


def _seal(key: bytes, plain: bytes, transcript: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key).encrypt(bytes(12), plain, transcript)


def _shared_secret(secret: bytes, peer_public: bytes) -> bytes:
    """Compute the secret. Raises ValueError for a useless key (RFC 7748 section 6.1)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    peer_key = X25519PublicKey.from_public_bytes(peer_public)
    return X25519PrivateKey.from_private_bytes(secret).exchange(peer_key)
