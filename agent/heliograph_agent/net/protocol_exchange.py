"""A speech said over a stream or in a datagram, and what was heard."""

import asyncio
from dataclasses import dataclass, field

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.probe_message import MAX_REPLY, NotThisProtocol, Reply, Speech, TlsSpeech
from heliograph_agent.net.step import Facts
from heliograph_agent.net.tcp import Count
from heliograph_agent.net.trace import Reader, Writer
from heliograph_agent.net.udp import Datagrams


@dataclass(slots=True)
class Talk:
    """One speech; `facts` hold whatever it has come to."""

    speech: Speech
    reply: Reply = field(default_factory=lambda: Reply(""))
    sent: int = 0
    received: int = 0

    async def over(self, reader: Reader, writer: Writer) -> None:
        """Raises OSError, EOFError when the peer ended before it had said a word, StepError."""
        opening = self.speech.opening()
        writer.write(opening)
        self.sent = len(opening)
        await writer.drain()
        heard = bytearray()
        while len(heard) < MAX_REPLY:
            data = await reader.read(MAX_REPLY - len(heard))
            if not data:
                raise EOFError
            heard += data
            self.received = len(heard)
            if self._understood(bytes(heard)):
                return
        raise StepError(Failure.UNEXPECTED_REPLY)

    async def in_datagram(self, address: str, port: int, deadline_s: float, count: Count) -> None:
        """Each datagram is a whole reply or none; what is none is passed over until the deadline,
        since anybody may throw datagrams at us.

        Raises OSError (a closed port answers by ICMP), TimeoutError, StepError when nothing but
        other things came.
        """
        line = Datagrams(address, port)
        strange = False
        try:
            async with asyncio.timeout(deadline_s):
                opening = self.speech.opening()
                line.send(opening)
                self.sent = len(opening)
                count(len(opening))
                while True:
                    data = await line.next()
                    count(len(data))
                    self.received += len(data)
                    if self._is_reply(data):
                        return
                    strange = True
        except TimeoutError:
            if strange:
                raise StepError(Failure.UNEXPECTED_REPLY) from None
            raise
        finally:
            line.close()

    def facts(self) -> Exchange:
        return Exchange(
            protocol=self.speech.name,
            reply=self.reply.word,
            sent_bytes=self.sent,
            received_bytes=self.received,
            differences=self.reply.differences,
        )

    @property
    def operation(self) -> Operation:
        """A TLS hello is the beginning of a handshake, and is written down as one."""
        is_hello = isinstance(self.speech, TlsSpeech)
        return Operation.TLS_HANDSHAKE if is_hello else Operation.EXCHANGE

    def observed(self) -> Facts:
        """The facts of the step: the exchange and, of a TLS hello, what it was."""
        speech = self.speech
        if isinstance(speech, TlsSpeech):
            return {"exchange": self.facts(), "tls": speech.tls()}
        return {"exchange": self.facts()}

    def _understood(self, heard: bytes) -> bool:
        """Whether the reply is whole. Raises StepError when it is none."""
        try:
            reply = self.speech.heard(heard)
        except NotThisProtocol as error:
            raise StepError(Failure.UNEXPECTED_REPLY) from error
        self.reply = reply or self.reply
        if isinstance(self.speech, TlsSpeech) and self.speech.tls().alert is not None:
            raise StepError(Failure.SSL_FAILED_HANDSHAKE)
        return reply is not None

    def _is_reply(self, datagram: bytes) -> bool:
        try:
            return self._understood(datagram)
        except StepError:
            return False
