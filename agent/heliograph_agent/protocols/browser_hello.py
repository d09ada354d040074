"""Say a browser's ClientHello to a server and read the first answer.

The hello has the shape of a profile (heliograph.hello_profiles), so that a filter that decides
by fingerprint takes it for that browser's. The handshake goes no further than the answer, hence
no private key is kept.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from heliograph.hello_profiles import GreasePlace, HelloProfile
from heliograph.observation import Tls
from heliograph_agent.net.probe_message import ProbeReply
from heliograph_agent.protocols import hpke
from heliograph_agent.protocols.hello_message import (
    ECH,
    KEY_SHARE,
    SERVER_NAME,
    SUPPORTED_VERSIONS,
    TLS12,
    TLS13,
    encode_block,
    encode_message,
    encode_record,
    encode_server_name,
    encode_uint16,
    encode_uint16_list,
)
from heliograph_agent.protocols.tls_hello import (
    RandomSource,
    apply_reply,
    make_grease,
    name_reply,
    parse_server_reply,
)

BROWSER_RANDOM_BYTES = 2_560  # maximum of random bytes for one hello
QUIC_PARAMETERS = 0x0039  # RFC 9001 section 8.2
_GROUPS = 0x000A
_SIGNATURES = 0x000D
_ML_KEM_COEFFICIENTS = 768  # three polynomials of 256 (FIPS 203 section 8)
_ML_KEM_Q = 3_329


class BrowserHello:
    """Send a ClientHello of a browser's shape."""

    name = "client_hello"

    def __init__(
        self,
        profile: HelloProfile,
        version: str,
        server_name: str,
        random_bytes: bytes,
        *,
        is_name_last: bool = False,
    ) -> None:
        """Build the hello. Raises ValueError for too few random bytes.

        Args:
            version: The edition of the profiles, which the record names.
            server_name: May be "", for an address.
            random_bytes: BROWSER_RANDOM_BYTES bytes.
            is_name_last: Where a permuting browser puts the name: after the key shares, and so
                in the second segment, or before them. A browser draws it by chance.
        """
        builder = HelloBuilder(profile, server_name, RandomSource(random_bytes))
        body = builder.build(is_name_last=is_name_last).encode_body()
        self._record = encode_record(encode_message(body))
        self._facts = Tls(
            server_name=server_name,
            ech="grease" if ECH in profile.extensions else "",
            profile=f"{profile.name} {version}",
        )

    def make_request(self) -> bytes:
        return self._record

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Return server_hello, hello_retry or alert_N. Raises ProtocolMismatch."""
        reply = parse_server_reply(received)
        if reply is None:
            return None
        self._facts = apply_reply(self._facts, reply)
        return ProbeReply(name_reply(reply))

    def tls_facts(self) -> Tls:
        """Return the facts of the hello and, once received, of its answer."""
        return self._facts


@dataclass(frozen=True, slots=True)
class HelloParts:
    """Hold the parts of a ClientHello."""

    random: bytes
    session_id: bytes
    suites: tuple[int, ...]
    extensions: tuple[tuple[int, bytes], ...]

    def replace_extension(self, number: int, content: bytes) -> "HelloParts":
        """Return these parts with another content of an extension, at its place."""
        changed = ((n, content if n == number else old) for n, old in self.extensions)
        return replace(self, extensions=tuple(changed))

    def encode_body(self) -> bytes:
        """Encode a ClientHello without message header."""
        extensions = b"".join(
            encode_uint16(number) + encode_block(2, content) for number, content in self.extensions
        )
        return b"".join(
            (
                encode_uint16(TLS12),
                self.random,
                encode_block(1, self.session_id),
                encode_block(2, encode_uint16_list(self.suites)),
                encode_block(1, b"\x00"),
                encode_block(2, extensions),
            )
        )


class HelloBuilder:
    """Fill the parts of one hello that differ each time."""

    def __init__(
        self,
        profile: HelloProfile,
        name: str,
        random_source: RandomSource,
        parameters: bytes | None = None,
    ) -> None:
        """Prepare one hello; `parameters` are those of QUIC's transport, None over TCP."""
        self._parameters = parameters
        self._profile = profile
        self._name = name
        self._random = random_source
        self._grease = random_source.take(len(GreasePlace) + 1)

    def build(self, *, is_name_last: bool) -> "HelloParts":
        """Build the parts of a ClientHello (RFC 8446 section 4.1.2)."""
        suites = (*self._make_grease(GreasePlace.SUITES), *self._profile.suites)
        return HelloParts(
            random=self._random.take(32),
            # A session id for middleboxes; QUIC has none (RFC 9001 section 8.4).
            session_id=b"" if self._parameters else self._random.take(32),
            suites=suites,
            extensions=tuple(self._order_extensions(is_name_last=is_name_last)),
        )

    def _order_extensions(self, *, is_name_last: bool) -> Iterable[tuple[int, bytes]]:
        extensions = self._fill_extensions()
        numbers = list(extensions)
        if self._profile.is_permuted:
            order = {number: self._random.take(2) for number in numbers}
            numbers.sort(key=order.__getitem__)
            _place_name(numbers, is_last=is_name_last)
        has_grease = GreasePlace.EXTENSIONS in self._profile.grease
        first = self._grease_value(len(GreasePlace) - 1)
        last = self._grease_value(len(GreasePlace))
        if has_grease:
            yield first, b""
        yield from ((number, extensions[number]) for number in numbers)
        if has_grease:
            yield last if last != first else last ^ 0x1010, b"\x00"  # none occurs twice

    def _fill_extensions(self) -> dict[int, bytes]:
        """Return the content of each extension; without a name there is none for it."""
        fill: Mapping[int, Callable[[], bytes]] = {
            SERVER_NAME: self._build_name,
            _GROUPS: self._build_groups,
            _SIGNATURES: self._build_signatures,
            KEY_SHARE: self._build_shares,
            SUPPORTED_VERSIONS: self._build_versions,
            ECH: self._build_ech,
            QUIC_PARAMETERS: self._build_parameters,
        }
        return {
            number: fill[number]() if content is None else content
            for number, content in self._profile.extensions.items()
            if self._name or number != SERVER_NAME
        }

    def _build_name(self) -> bytes:
        return encode_server_name(self._name)

    def _build_groups(self) -> bytes:
        groups = (*self._make_grease(GreasePlace.GROUPS), *self._profile.groups)
        return encode_block(2, encode_uint16_list(groups))

    def _build_signatures(self) -> bytes:
        signatures = (*self._make_grease(GreasePlace.SIGNATURES), *self._profile.signatures)
        return encode_block(2, encode_uint16_list(signatures))

    def _build_versions(self) -> bytes:
        versions = (*self._make_grease(GreasePlace.VERSIONS), TLS13, TLS12)
        return encode_block(1, encode_uint16_list(versions))

    def _build_ech(self) -> bytes:
        return make_grease(self._random, self._profile.ech_cipher, self._profile.ech_bytes)

    def _build_parameters(self) -> bytes:
        return self._parameters or b""

    def _build_shares(self) -> bytes:
        grease = self._make_grease(GreasePlace.GROUPS)
        shares = [encode_uint16(number) + encode_block(2, b"\x00") for number in grease]
        for group in self._profile.shares:
            share = _make_share(group, self._random)
            shares.append(encode_uint16(group) + encode_block(2, share))
        return encode_block(2, b"".join(shares))

    def _make_grease(self, place: GreasePlace) -> tuple[int, ...]:
        """Return the GREASE value of a list, none where the browser has none there."""
        index = tuple(GreasePlace).index(place)
        return (self._grease_value(index),) if place in self._profile.grease else ()

    def _grease_value(self, index: int) -> int:
        return 0x0A0A + 0x1010 * (self._grease[index] & 0x0F)


def _place_name(numbers: list[int], *, is_last: bool) -> None:
    """Move the name to the end, or before the key shares if it is not there already."""
    if SERVER_NAME not in numbers:
        return
    name_index = numbers.index(SERVER_NAME)
    share_index = numbers.index(KEY_SHARE)
    if is_last:
        numbers.append(numbers.pop(name_index))
    elif name_index > share_index:
        numbers[share_index] = SERVER_NAME
        numbers[name_index] = KEY_SHARE


def _make_share(group: int, random_source: RandomSource) -> bytes:
    """Make a public key of a group. Raises ValueError for an unsupported group."""
    if group == 0x001D:
        return hpke.derive_public_key(random_source.take(32))
    if group == 0x11EC:  # X25519MLKEM768: ML-KEM first (draft-ietf-tls-ecdhe-mlkem)
        ml_kem = _make_ml_kem_key(random_source)
        return ml_kem + hpke.derive_public_key(random_source.take(32))
    if group == 0x0017:
        return _make_p256_key(random_source)
    raise ValueError(f"no key share of the group {group:04x} can be made")


def _make_ml_kem_key(random_source: RandomSource) -> bytes:
    """Make bytes that pass a server's check of ML-KEM-768 keys (FIPS 203 section 7.2).

    A real key looks like 768 random numbers below q, 12 bits each, and a random seed. Nobody
    decapsulates here, so that random ones do, on every version of OpenSSL.
    """
    wide = random_source.take(2 * _ML_KEM_COEFFICIENTS)
    packed = 0
    for index in range(_ML_KEM_COEFFICIENTS):
        coefficient = int.from_bytes(wide[2 * index : 2 * index + 2], "big") % _ML_KEM_Q
        packed |= coefficient << 12 * index
    return packed.to_bytes(_ML_KEM_COEFFICIENTS * 12 // 8, "little") + random_source.take(32)


def _make_p256_key(random_source: RandomSource) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    secret = 1 + int.from_bytes(random_source.take(31), "big")  # below the order of the curve
    public = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
