"""Send a browser's first two Initials to a QUIC server and read the server's.

The hello inside has the shape of a profile (heliograph.hello_profiles), and is spread over the
packets as that browser does it: a filter that reads one packet may miss the name. The handshake
goes no further than the server's hello, hence no private key is kept.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

from heliograph.hello_profiles import HelloProfile
from heliograph.observation import Tls
from heliograph.quic_profile import InitialLayout, InitialsProfile
from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols.browser_hello import HelloBuilder
from heliograph_agent.protocols.hello_message import encode_message, encode_record
from heliograph_agent.protocols.quic_initial import (
    FRAME_PING,
    TAG_BYTES,
    InitialContent,
    decode_initial,
    derive_keys,
    encode_crypto,
    encode_initial,
    encode_varint,
    header_size,
)
from heliograph_agent.protocols.tls_hello import (
    RandomSource,
    TlsAlert,
    apply_reply,
    name_reply,
    parse_server_reply,
)

QUIC_RANDOM_BYTES = 4_096  # maximum of random bytes for one hello
RETRY = "retry"
_ALERTS = range(0x100, 0x200)  # RFC 9001 section 4.8: 0x100 and the number of the TLS alert
_LONG_RETRY = 0xF0
_MAX_HANDSHAKE = 16_384
_MAX_KEPT = 64  # pieces; assumed, a server's hello comes in one or two
_MAX_KEPT_BYTES = 65_536
_PIECES = 5  # of each packet of a scrambled hello; assumed, captures show 4 to 8
_MAX_HEAD = 64  # bytes at the front that Chromium sends with the end of its hello, by captures
_PINGS = 8  # assumed, captures show 3 to 10 in a packet
_MAX_FIRST_NUMBER = 32  # assumed for Firefox's first packet number, captures show 11 and 25


class QuicBrowserHello:
    """Send a ClientHello in the Initials of a browser's shape."""

    name = "quic_hello"

    def __init__(
        self, profile: HelloProfile, version: str, server_name: str, random_bytes: bytes
    ) -> None:
        """Build the packets. Raises ValueError for too few random bytes.

        Args:
            profile: A profile's `quic`.
            version: The edition of the profiles, which the record names.
            random_bytes: QUIC_RANDOM_BYTES bytes.
        """
        if profile.initials is None:
            raise ValueError(f"the profile {profile.name} is not one of QUIC")
        random_source = RandomSource(random_bytes)
        destination_id = random_source.take(8)
        source_id = random_source.take(profile.initials.source_id_bytes)
        parameters = encode_parameters(profile.initials, source_id, random_source)
        builder = HelloBuilder(profile, server_name, random_source, parameters)
        self._hello = encode_message(builder.build(is_name_last=False).encode_body())
        layout: _Layout = _LAYOUTS[profile.initials.layout](profile.initials, random_source)
        cut = find_name_cut(self._hello, server_name)
        self._datagrams = layout.make_datagrams(self._hello, cut, destination_id, source_id)
        self._keys = derive_keys(destination_id, "server in")
        self._pieces: dict[int, bytes] = {}
        self._facts = Tls(
            server_name=server_name, ech="grease", profile=f"{profile.name} {version}"
        )

    def make_request(self) -> bytes:
        """Return the hello in a record, as a hello over TCP would have it."""
        return encode_record(self._hello)

    def make_datagrams(self) -> tuple[bytes, ...]:
        return self._datagrams

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Return server_hello, hello_retry, retry or alert_N. Raises ProtocolMismatch."""
        if received[:1] and received[0] & _LONG_RETRY == _LONG_RETRY:
            return ProbeReply(RETRY)
        try:
            content = decode_initial(received, self._keys)
        except ValueError as error:
            raise ProtocolMismatch("an Initial that cannot be read") from error
        if content is None:
            raise ProtocolMismatch("no Initial of this connection")
        return self._read_content(content)

    def tls_facts(self) -> Tls:
        """Return the facts of the hello and, once received, of its answer."""
        return self._facts

    def _read_content(self, content: InitialContent) -> ProbeReply | None:
        if content.error is not None:
            if content.error not in _ALERTS:
                raise ProtocolMismatch("closed without an alert")
            alert = TlsAlert(content.error - _ALERTS.start)
            self._facts = apply_reply(self._facts, alert)
            return ProbeReply(name_reply(alert))
        pieces = {**self._pieces, **content.pieces}
        if len(pieces) > _MAX_KEPT or sum(map(len, pieces.values())) > _MAX_KEPT_BYTES:
            raise ProtocolMismatch("a handshake in too many pieces")
        self._pieces = pieces
        handshake = join_pieces(self._pieces)
        reply = parse_server_reply(encode_record(handshake)) if handshake else None
        if reply is None:
            return None
        self._facts = replace(apply_reply(self._facts, reply), alpn="")
        return ProbeReply(name_reply(reply))


def join_pieces(pieces: dict[int, bytes]) -> bytes:
    """Join the pieces from offset 0 to the first gap."""
    joined = bytearray()
    for offset, piece in sorted(pieces.items()):
        if offset > len(joined):
            break
        joined += piece[len(joined) - offset :]
    return bytes(joined[:_MAX_HANDSHAKE])


def find_name_cut(hello: bytes, name: str) -> int:
    """Find the middle of the name in a hello; its own middle without a name."""
    at = hello.find(name.encode("ascii")) if name else -1
    return len(hello) // 2 if at < 0 else at + len(name) // 2


def encode_parameters(
    profile: InitialsProfile, source_id: bytes, random_source: RandomSource
) -> bytes:
    """Encode the transport parameters (RFC 9000 section 18)."""
    encoded: list[bytes] = []
    for number, value in profile.parameters:
        content = _make_value(value, source_id, profile, random_source)
        if value == "grease":  # RFC 9000 section 18.1: 31 * N + 27
            number = 27 + 31 * int.from_bytes(random_source.take(7), "big")
        encoded.append(encode_varint(number) + encode_varint(len(content)) + content)
    if profile.has_permuted_parameters:
        encoded.sort(key=lambda _: random_source.take(2))
    return b"".join(encoded)


def _make_value(
    value: str, source_id: bytes, profile: InitialsProfile, random_source: RandomSource
) -> bytes:
    if value == "source_id":
        return source_id
    if value == "grease":
        return random_source.take(random_source.take(1)[0] % 16)
    if value == "version_information":  # RFC 9368: the one version, and a GREASE one
        grease = bytes(0x0A | byte & 0xF0 for byte in random_source.take(4))
        one = b"\x00\x00\x00\x01"
        is_last = profile.layout is InitialLayout.SCRAMBLED
        return one + one + grease if is_last else one + grease + one
    return bytes.fromhex(value)


class _Layout(Protocol):
    """Spread a hello over two packets."""

    def make_datagrams(
        self, hello: bytes, cut: int, destination_id: bytes, source_id: bytes
    ) -> tuple[bytes, ...]: ...


class _SlicedLayout:
    """Cut the hello within the name, and add zeros after each packet, as Firefox does."""

    def __init__(self, profile: InitialsProfile, random_source: RandomSource) -> None:
        self._datagram_bytes = profile.datagram_bytes
        self._first_number = random_source.take(1)[0] % _MAX_FIRST_NUMBER

    def make_datagrams(
        self, hello: bytes, cut: int, destination_id: bytes, source_id: bytes
    ) -> tuple[bytes, ...]:
        half = len(hello) // 2
        start = cut if cut + half <= len(hello) else cut - half
        end = start + half
        outer = encode_crypto(end, hello[end:]) + encode_crypto(0, hello[:start])
        inner = encode_crypto(start, hello[start:end])
        return tuple(
            encode_initial(destination_id, source_id, self._first_number + index, 1, payload).ljust(
                self._datagram_bytes, b"\x00"
            )
            for index, payload in enumerate((outer, inner))
        )


class _ScrambledLayout:
    """Scatter pieces of the hello among PING and PADDING frames, as Chromium does."""

    def __init__(self, profile: InitialsProfile, random_source: RandomSource) -> None:
        self._datagram_bytes = profile.datagram_bytes
        self._source_id_bytes = profile.source_id_bytes
        self._random = random_source

    def make_datagrams(
        self, hello: bytes, cut: int, destination_id: bytes, source_id: bytes
    ) -> tuple[bytes, ...]:
        """Make two packets; where the name is cut is left to chance."""
        del cut
        head = self._draw(_MAX_HEAD)
        tail = head + len(hello) // 2
        outer = [*self._split(0, head), *self._split(tail, len(hello))]
        datagrams: list[bytes] = []
        for index, ranges in enumerate((outer, self._split(head, tail))):
            number = index + 1  # and so many bytes for it, by captures
            room = self._datagram_bytes - TAG_BYTES - header_size(self._source_id_bytes, number)
            frames = [encode_crypto(start, hello[start:end]) for start, end in ranges]
            payload = self._scatter(frames, room)
            datagrams.append(encode_initial(destination_id, source_id, number, number, payload))
        return tuple(datagrams)

    def _draw(self, limit: int) -> int:
        """Draw a number from 1 to `limit`."""
        return 1 + int.from_bytes(self._random.take(2), "big") % limit

    def _split(self, start: int, end: int) -> list[tuple[int, int]]:
        inner = {start + self._draw(end - start) for _ in range(_PIECES - 1)}
        cuts = sorted({start, end, *inner})
        return list(pairwise(cuts))

    def _scatter(self, frames: list[bytes], room: int) -> bytes:
        """Put the frames in random order among frames without content."""
        filler_bytes = room - sum(map(len, frames))
        pings = min(_PINGS, filler_bytes)
        gaps = [self._draw(filler_bytes + 1) - 1 for _ in frames]
        filler = bytearray(filler_bytes)
        for _ in range(pings):
            filler[self._draw(filler_bytes) - 1] = FRAME_PING
        payload = bytearray()
        previous = 0
        frames.sort(key=lambda _: self._random.take(2))
        for gap, frame in zip(sorted(gaps), frames, strict=True):
            payload += filler[previous:gap] + frame
            previous = gap
        return bytes(payload + filler[previous:])


_LAYOUTS: Mapping[InitialLayout, type[_SlicedLayout] | type[_ScrambledLayout]] = {
    InitialLayout.SCRAMBLED: _ScrambledLayout,
    InitialLayout.SLICED: _SlicedLayout,
}
