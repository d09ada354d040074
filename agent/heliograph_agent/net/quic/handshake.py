"""A QUIC handshake, the facts it left and the fault found in its chain."""

from dataclasses import dataclass, field

from heliograph.address import literal
from heliograph.failure import Failure
from heliograph.observation import Tls
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.quic.connection import QuicEndedError, QuicWire, open_quic
from heliograph_agent.net.tcp import Count
from heliograph_agent.net.tls import certificates
from heliograph_agent.net.tls.trust_store import Roots
from heliograph_agent.net.trace import Seen

_MAX_CHAIN = 16
_ALERTS = range(0x100, 0x200)  # RFC 9001 section 4.8: 0x100 and the number of the TLS alert
_REFUSED = 0x02
_UNREADABLE = (42, 43)  # our own alerts for a certificate that cannot be read


def require_aioquic() -> None:
    """Raises ValueError with the cure when it is not installed."""
    try:
        import aioquic.quic.connection  # noqa: F401 - whether it is there is the question
    except ImportError as error:
        raise ValueError("QUIC needs aioquic: install heliograph[quic].") from error


@dataclass(frozen=True, slots=True)
class RealQuic:
    """An open connection."""

    seen: Seen
    wire: QuicWire

    def close(self) -> None:
        self.wire.close()


@dataclass(slots=True, kw_only=True)
class QuicShake:
    """One handshake; `facts` hold whatever it has come to."""

    server_name: str
    alpn: tuple[str, ...]
    wire: QuicWire | None = None
    chain: list[bytes] = field(default_factory=list)
    chosen: str = ""  # of `alpn`
    alert: int | None = None

    async def run(
        self, address: str, port: int, roots: Roots | None, now_s: int, count: Count
    ) -> None:
        """Without `roots` any chain will do.

        Raises OSError, or StepError also when the chain proves nothing.
        """
        self.wire = await open_quic(address, port, self.server_name, self.alpn, count)
        try:
            await self._completed(self.wire)
        except QuicEndedError as end:
            raise StepError(self._failure(end)) from end
        finally:
            self.chain = _chain(self.wire)
        fault = certificates.fault(self.chain, roots, self.server_name, now_s) if roots else None
        if fault is not None:
            raise StepError(fault)

    def facts(self) -> Tls:
        cipher = _cipher(self.wire) if self.chain else ""
        return Tls(
            server_name="" if literal(self.server_name) else self.server_name,
            version="TLSv1.3" if cipher else "",
            cipher=cipher,
            alpn=self.chosen,
            alert=self.alert,
            chain=tuple(certificates.facts(der) for der in self.chain),
        )

    async def _completed(self, wire: QuicWire) -> None:
        from aioquic.quic.events import HandshakeCompleted

        while True:
            await wire.turn()
            for event in wire.events():
                if isinstance(event, HandshakeCompleted):
                    self.chosen = event.alpn_protocol or ""
                    return  # what follows waits for whoever asks next

    def _failure(self, end: QuicEndedError) -> Failure:
        alert = end.code - _ALERTS.start if end.code in _ALERTS else None
        if end.no_version:
            return Failure.QUIC_INCOMPATIBLE_VERSION
        if not end.by_peer:
            if alert is None:
                return Failure.UNEXPECTED_REPLY
            bad = alert in _UNREADABLE
            return Failure.SSL_INVALID_CERTIFICATE if bad else Failure.SSL_FAILED_HANDSHAKE
        self.alert = alert
        if alert is not None:
            return Failure.SSL_FAILED_HANDSHAKE
        return Failure.CONNECTION_REFUSED if end.code == _REFUSED else Failure.EOF_ERROR


def _chain(wire: QuicWire) -> list[bytes]:
    """DER, as the peer sent it, leaf first; aioquic shows it nowhere."""
    from cryptography.hazmat.primitives.serialization import Encoding

    tls = wire.connection.tls
    leaf, others = tls._peer_certificate, tls._peer_certificate_chain  # noqa: SLF001 - no public way
    if leaf is None:
        return []
    return [each.public_bytes(Encoding.DER) for each in (leaf, *others)][:_MAX_CHAIN]


def _cipher(wire: QuicWire | None) -> str:
    """OpenSSL's name for it, which is RFC 8446's."""
    schedule = wire and wire.connection.tls.key_schedule
    return f"TLS_{schedule.cipher_suite.name}" if schedule else ""
