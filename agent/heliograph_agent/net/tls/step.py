"""Run a TLS handshake, and hold its facts and the fault of its chain."""

import ssl
from dataclasses import dataclass, field

from heliograph.address import parse_literal
from heliograph.failure import Failure
from heliograph.observation import Tls
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.tcp import ReceiveBuffer, TcpConnection
from heliograph_agent.net.tls import certificates
from heliograph_agent.net.tls.fingerprint import shape_facts
from heliograph_agent.net.tls.openssl import TlsSession, make_client_context
from heliograph_agent.net.tls.trust_store import Roots

LIBRARY = " ".join(ssl.OPENSSL_VERSION.split()[:2])  # without its date

# The server finds no common version, strength or protocol (RFC 8446 section 6.2, RFC 7301). Of
# handshake_failure nothing is certain: servers send it for a name that they do not have, too.
UNSUPPORTED_ALERTS = frozenset({70, 71, 86, 120})


@dataclass(slots=True, kw_only=True)
class TlsHandshake:
    """Make one handshake; `step_facts` returns the facts so far."""

    server_name: str
    send_sni: bool = True
    alpn: tuple[str, ...] = ("http/1.1",)
    session: TlsSession | None = None
    chain: list[bytes] = field(default_factory=list)

    async def run(
        self, connection: TcpConnection, roots: Roots | None, now_s: int
    ) -> ReceiveBuffer:
        """Make the handshake and return the buffer of decrypted bytes.

        Write to `writer`. Without `roots` any chain is accepted. Raises OSError, EOFError, or
        StepError when the chain does not verify.
        """
        self.session = TlsSession(make_client_context(self.alpn), self._sent_name() or None)
        try:
            plaintext = await self.session.handshake(connection)
        except ssl.SSLError as error:
            if self.session.alert in UNSUPPORTED_ALERTS:
                raise StepError(Failure.SSL_UNSUPPORTED) from error
            raise
        self.chain = self.session.chain()
        try:
            certificates.check_chain(self.chain, roots, self.server_name, now_s)
        except StepError:
            connection.transport.abort()
            raise
        return plaintext

    @property
    def writer(self) -> TlsSession:
        if self.session is None:
            raise RuntimeError("no handshake has been begun")
        return self.session

    def step_facts(self) -> StepFacts:
        session = self.session
        if session is None:
            return {"tls": Tls(server_name=self._sent_name())}
        is_done = bool(self.chain)
        shape = shape_facts(session.hello, session.segment_bytes)
        tls = Tls(
            server_name=self._sent_name(),
            version=session.version if is_done else "",
            cipher=session.cipher if is_done else "",
            alpn=session.alpn if is_done else "",
            alert=session.alert,
            chain=tuple(certificates.describe_certificate(der) for der in self.chain),
            library=LIBRARY,
            **shape,
        )
        return {"tls": tls}

    def _sent_name(self) -> str:
        """Return the name in the ClientHello: never an address (RFC 6066)."""
        return self.server_name if self.send_sni and not parse_literal(self.server_name) else ""
