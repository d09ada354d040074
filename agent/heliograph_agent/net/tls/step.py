"""A TLS handshake, the facts it left and the fault found in its chain."""

from dataclasses import dataclass, field

from heliograph.address import literal
from heliograph.observation import Tls
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tcp import Inbox, Wire
from heliograph_agent.net.tls import certificates
from heliograph_agent.net.tls.openssl import TlsSession, client_context
from heliograph_agent.net.tls.trust_store import Roots


@dataclass(slots=True, kw_only=True)
class Securing:
    """One handshake; `facts` hold whatever it has come to."""

    server_name: str
    send_sni: bool = True
    alpn: tuple[str, ...] = ("http/1.1",)
    session: TlsSession | None = None
    chain: list[bytes] = field(default_factory=list)

    async def run(self, wire: Wire, roots: Roots | None, now_s: int) -> Inbox:
        """What is read in clear; `session` is written to. Without `roots` any chain will do.

        Raises OSError, EOFError, or StepError when the chain proves nothing.
        """
        sent = self._sent()
        self.session = TlsSession(client_context(self.alpn), sent or None)
        clear = await self.session.handshake(wire)
        self.chain = self.session.chain()
        fault = certificates.fault(self.chain, roots, self.server_name, now_s) if roots else None
        if fault is not None:
            wire.transport.abort()
            raise StepError(fault)
        return clear

    @property
    def writer(self) -> TlsSession:
        if self.session is None:
            raise RuntimeError("no handshake has been begun")
        return self.session

    def facts(self) -> Tls:
        session = self.session
        if session is None:
            return Tls(server_name=self._sent())
        done = bool(self.chain)
        return Tls(
            server_name=self._sent(),
            version=session.version if done else "",
            cipher=session.cipher if done else "",
            alpn=session.alpn if done else "",
            alert=session.alert,
            chain=tuple(certificates.facts(der) for der in self.chain),
        )

    def _sent(self) -> str:
        """The name in the ClientHello: never an address (RFC 6066)."""
        return self.server_name if self.send_sni and not literal(self.server_name) else ""
