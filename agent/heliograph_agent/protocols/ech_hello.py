"""Seal the name of a ClientHello by Encrypted ClientHello (RFC 9849 section 6.1).

The true name is sealed to the server's published key, and its public name is outside. Browsers send
GREASE in its place (section 6.2: an extension that looks like a sealed hello), which is a
`BrowserHello`; one without the extension is a `BrowserHello` of `omit_ech`. The three differ in
nothing else: shape, size and order are those of the browser's profile.
"""

import hashlib
import hmac
from dataclasses import replace

from heliograph.hello_profiles import HelloProfile
from heliograph.observation import Tls
from heliograph_agent.net.probe_message import ProbeReply
from heliograph_agent.protocols import hpke
from heliograph_agent.protocols.browser_hello import (
    BROWSER_RANDOM_BYTES,
    HelloBuilder,
    HelloParts,
)
from heliograph_agent.protocols.ech_config import EchConfig
from heliograph_agent.protocols.hello_message import (
    ECH,
    SERVER_NAME,
    SUPPORTED_VERSIONS,
    TLS13,
    encode_block,
    encode_message,
    encode_record,
    encode_server_name,
    encode_uint16,
    encode_uint16_list,
)
from heliograph_agent.protocols.tls_hello import (
    RANDOM_AT,
    SERVER_HELLO,
    SUITES,
    RandomSource,
    ServerHello,
    TlsAlert,
    apply_reply,
    encode_outer,
    name_reply,
    parse_server_reply,
)

RANDOM_BYTES = BROWSER_RANDOM_BYTES + 128  # maximum of random bytes for one hello
ACCEPTED = "server_hello_ech_accepted"
_INNER = b"\x01"
_OUTER_EXTENSIONS = 0xFD00  # section 5.1
# Of TLS 1.2, which an inner hello does not offer: extended master secret, point formats, tickets,
# renegotiation.
_OF_TLS12 = (0x0017, 0x000B, 0x0023, 0xFF01)
_CONFIRMATION = 8
_INFO = b"tls ech\x00"


class SealedHello:
    """Send a browser's ClientHello whose name is sealed to a server's key."""

    name = "client_hello"

    def __init__(
        self,
        profile: HelloProfile,
        version: str,
        server_name: str,
        key: EchConfig,
        random_bytes: bytes,
    ) -> None:
        """Build the hello. Raises ValueError for too few random bytes.

        Args:
            version: The edition of the profiles, which the record names.
            server_name: May be "".
            random_bytes: RANDOM_BYTES bytes.
        """
        random_source = RandomSource(random_bytes)
        outer = HelloBuilder(profile, key.public_name, random_source).build(is_name_last=False)
        # the inner message is kept as the server reconstructs it
        body, self._inner = _seal_inner(outer, profile, server_name, key, random_source)
        self._record = encode_record(encode_message(body))
        self._facts = Tls(
            server_name=server_name,
            ech="real",
            outer_name=key.public_name,
            profile=f"{profile.name} {version}",
        )

    def make_request(self) -> bytes:
        return self._record

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Return server_hello, server_hello_ech_accepted, hello_retry or alert_N.

        Raises ProtocolMismatch.
        """
        reply = parse_server_reply(received)
        if reply is None:
            return None
        self._facts = apply_reply(self._facts, reply)
        if isinstance(reply, TlsAlert) or reply.is_retry:
            return ProbeReply(name_reply(reply))
        return ProbeReply(ACCEPTED if is_confirmed(self._inner, reply) else SERVER_HELLO)

    def tls_facts(self) -> Tls:
        """Return the facts of the hello and, once received, of its answer."""
        return self._facts


def omit_ech(profile: HelloProfile) -> HelloProfile:
    """Return the profile of a browser that neither seals its name nor seems to."""
    extensions = {kind: content for kind, content in profile.extensions.items() if kind != ECH}
    return replace(profile, extensions=extensions)


def _seal_inner(
    outer: HelloParts,
    profile: HelloProfile,
    name: str,
    config: EchConfig,
    random_source: RandomSource,
) -> tuple[bytes, bytes]:
    """Seal an inner hello into the outer one (sections 5.1, 5.2 and 6.1).

    Returns the outer hello's body, and the inner message as the server rebuilds it. Parts that both
    share stand in the outer one alone, as browsers do it: a second ML-KEM key would make the
    sealed hello twice as large as the others.
    """
    context = hpke.make_sealing_context(
        config.public_key, _INFO + config.wire, config.aead, random_source.take(32)
    )
    suites = tuple(number for number in outer.suites if number in SUITES)
    own = _list_own(name)
    shared = _list_shared(outer, profile)
    marker = encode_block(1, encode_uint16_list(number for number, _ in shared))
    random = random_source.take(32)
    encoded = HelloParts(random, b"", suites, (*own, (_OUTER_EXTENSIONS, marker))).encode_body()
    encoded += bytes(padding_size(len(encoded), name, config.max_name))
    inner_body = HelloParts(random, outer.session_id, suites, (*own, *shared)).encode_body()

    config_id = bytes((config.config_id,))
    empty = encode_outer(config.aead, config_id, context.enc, bytes(len(encoded) + hpke.TAG))
    associated = outer.replace_extension(ECH, empty).encode_body()
    sealed = context.seal(encoded, associated)
    extension = encode_outer(config.aead, config_id, context.enc, sealed)
    return outer.replace_extension(ECH, extension).encode_body(), encode_message(inner_body)


def _list_own(name: str) -> tuple[tuple[int, bytes], ...]:
    """List the extensions that only the inner hello has."""
    versions = encode_block(1, encode_uint16(TLS13))
    names = ((SERVER_NAME, encode_server_name(name)),) if name else ()
    return (*names, (SUPPORTED_VERSIONS, versions), (ECH, _INNER))


def _list_shared(outer: HelloParts, profile: HelloProfile) -> tuple[tuple[int, bytes], ...]:
    """List the extensions of both hellos, in the outer one's order."""
    left_out = (SERVER_NAME, SUPPORTED_VERSIONS, ECH, *_OF_TLS12)
    return tuple(
        (number, content)
        for number, content in outer.extensions
        if number in profile.extensions and number not in left_out  # none of GREASE
    )


def padding_size(size: int, name: str, max_name: int) -> int:
    """Compute the zeros that hide the length of the name (section 6.1.3)."""
    short = max(0, max_name - len(name)) if name else max_name + 9
    return short + 31 - (size + short - 1) % 32


def is_confirmed(inner: bytes, server_hello: ServerHello) -> bool:
    """Tell whether the ServerHello's random accepts the inner hello (section 7.2)."""
    if server_hello.suite not in SUITES:
        return False
    expected = compute_confirmation(inner, server_hello.message, SUITES[server_hello.suite][1])
    return hmac.compare_digest(expected, server_hello.random[-_CONFIRMATION:])


def compute_confirmation(inner: bytes, server_hello: bytes, algorithm: str) -> bytes:
    """Compute the eight bytes that confirm the inner hello.

    They depend on both messages, without the last eight bytes of the ServerHello's random.
    """
    end = RANDOM_AT + 32
    masked = server_hello[: end - _CONFIRMATION] + bytes(_CONFIRMATION) + server_hello[end:]
    transcript = hashlib.new(algorithm, inner + masked).digest()
    key = hpke.hkdf_extract(b"", inner[RANDOM_AT:end], algorithm)
    label = "ech accept confirmation"
    return hpke.hkdf_expand_label(key, label, transcript, _CONFIRMATION, algorithm)
